//! The JSON of a message.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::base64url;
use crate::{Error, Result};

/// Bytes of a message that is looked at; a layer key's has some hundreds.
const MESSAGE_BYTES_MAX: usize = 256 << 10;
const RECIPIENTS_MAX: usize = 100;

/// Header parameters (RFC 7516, 4.1; RFC 7518, 4.6.1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) alg: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) enc: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) kid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) epk: Option<EphemeralKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) apu: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) apv: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) crit: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) zip: Option<serde_json::Value>,
}

/// The sender's public key of an agreement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EphemeralKey {
    pub(super) kty: String,
    pub(super) crv: String,
    pub(super) x: String,
    pub(super) y: String,
}

impl Header {
    fn or(self, other: &Self) -> Self {
        let other = other.clone();
        Self {
            alg: self.alg.or(other.alg),
            enc: self.enc.or(other.enc),
            kid: self.kid.or(other.kid),
            epk: self.epk.or(other.epk),
            apu: self.apu.or(other.apu),
            apv: self.apv.or(other.apv),
            crit: self.crit.or(other.crit),
            zip: self.zip.or(other.zip),
        }
    }
}

pub(super) fn encode_header(header: &Header) -> Result<String> {
    Ok(base64url(&serde_json::to_vec(header).map_err(unwritten)?))
}

fn unwritten(error: serde_json::Error) -> Error {
    Error::Other { what: "wrapping a layer key".to_owned(), source: error.into() }
}

/// A content key wrapped for one recipient.
pub(super) struct Wrapped {
    pub(super) header: Header,
    pub(super) key: Vec<u8>,
}

/// A message on its way out.
#[derive(Serialize)]
pub(super) struct Written {
    protected: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    encrypted_key: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    recipients: Vec<WrittenRecipient>,
    iv: String,
    ciphertext: String,
    tag: String,
}

#[derive(Serialize)]
struct WrittenRecipient {
    header: Header,
    encrypted_key: String,
}

impl Written {
    /// One recipient's header is in the protected one.
    pub(super) fn new(
        protected: String,
        recipients: Vec<Wrapped>,
        iv: &[u8],
        text: &[u8],
        tag: &[u8],
    ) -> Self {
        let mut written = Self {
            protected,
            encrypted_key: None,
            recipients: Vec::new(),
            iv: base64url(iv),
            ciphertext: base64url(text),
            tag: base64url(tag),
        };
        match recipients.as_slice() {
            [one] => written.encrypted_key = Some(base64url(&one.key)),
            _ => {
                let entry = |one: Wrapped| WrittenRecipient {
                    header: one.header,
                    encrypted_key: base64url(&one.key),
                };
                written.recipients = recipients.into_iter().map(entry).collect();
            }
        }
        written
    }

    pub(super) fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(unwritten)
    }
}

/// A message that came: everything decoded, headers joined per recipient.
pub(super) struct Message {
    /// As it stands: it is authenticated.
    pub(super) protected: String,
    pub(super) aad: Option<String>,
    pub(super) recipients: Vec<(Header, Vec<u8>)>,
    pub(super) iv: Vec<u8>,
    pub(super) ciphertext: Vec<u8>,
    pub(super) tag: Vec<u8>,
}

#[derive(Deserialize)]
struct Read {
    #[serde(default)]
    protected: String,
    #[serde(default)]
    unprotected: Option<Header>,
    #[serde(default)]
    header: Option<Header>,
    #[serde(default)]
    encrypted_key: Option<String>,
    #[serde(default)]
    recipients: Vec<ReadRecipient>,
    #[serde(default)]
    aad: Option<String>,
    #[serde(default)]
    iv: String,
    ciphertext: String,
    #[serde(default)]
    tag: String,
}

#[derive(Deserialize)]
struct ReadRecipient {
    #[serde(default)]
    header: Option<Header>,
    #[serde(default)]
    encrypted_key: String,
}

fn wrong(fault: &str) -> Error {
    Error::Integrity(format!("a wrapped layer key is no JSON Web Encryption: {fault}"))
}

fn decode(text: &str) -> Result<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong("a part is not base64url"))
}

impl Message {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(wrong(&format!("it has more than {MESSAGE_BYTES_MAX} bytes")));
        }
        let mut read: Read = serde_json::from_slice(bytes).map_err(|error| wrong(&error.to_string()))?;
        if read.recipients.len() > RECIPIENTS_MAX {
            return Err(wrong(&format!("it has more than {RECIPIENTS_MAX} recipients")));
        }
        if read.recipients.is_empty() {
            let encrypted_key = read.encrypted_key.take().unwrap_or_default();
            read.recipients.push(ReadRecipient { header: read.header.take(), encrypted_key });
        }
        // go-jose writes the first recipient's key once more where the flattened form has it: the list is what counts.
        let protected: Header = match read.protected.as_str() {
            "" => Header::default(),
            text => serde_json::from_slice(&decode(text)?).map_err(|error| wrong(&error.to_string()))?,
        };
        let shared = protected.or(&read.unprotected.unwrap_or_default());
        let recipients = read.recipients.into_iter().map(|recipient| {
            let header = shared.clone().or(&recipient.header.unwrap_or_default());
            if header.crit.is_some() || header.zip.is_some() {
                return Err(wrong("its header asks for extensions or compression"));
            }
            Ok((header, decode(&recipient.encrypted_key)?))
        });
        Ok(Self {
            recipients: recipients.collect::<Result<_>>()?,
            protected: read.protected,
            aad: read.aad,
            iv: decode(&read.iv)?,
            ciphertext: decode(&read.ciphertext)?,
            tag: decode(&read.tag).and_then(|tag| {
                if tag.len() == 16 { Ok(tag) } else { Err(wrong("its tag has not 16 bytes")) }
            })?,
        })
    }
}
