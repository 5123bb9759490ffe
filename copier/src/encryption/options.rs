//! What a descriptor's annotations say of an encrypted layer.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use berth_oci::Digest;
use serde::{Deserialize, Serialize};

use super::{DecryptionKey, Recipient, cipher::LayerKey, jwe};
use crate::{Error, Result};

/// What the names of all of the encryption's annotations begin with.
pub(super) const NAMESPACE: &str = "org.opencontainers.image.enc.";
/// Annotation with the wrapped keys: JWEs in base64, between commas.
pub const KEYS_ANNOTATION: &str = "org.opencontainers.image.enc.keys.jwe";
/// Annotation with the cipher and the HMAC: JSON in base64.
pub const OPTIONS_ANNOTATION: &str = "org.opencontainers.image.enc.pubopts";

const CIPHER: &str = "AES_256_CTR_HMAC_SHA256";
/// JWEs in one annotation that are looked at.
const WRAPPED_MAX: usize = 100;

/// Byte strings by name; Go's encoding of them, where none is also `null`.
type Bytes64 = Option<String>;
type Named = Option<BTreeMap<String, Bytes64>>;

/// What everybody may know.
#[derive(Serialize, Deserialize)]
pub(super) struct Public {
    cipher: String,
    #[serde(default)]
    hmac: Bytes64,
    #[serde(default)]
    cipheroptions: Named,
}

/// What only the recipients may know.
#[derive(Serialize, Deserialize)]
pub(super) struct Private {
    symkey: String,
    #[serde(default)]
    digest: String,
    #[serde(default)]
    cipheroptions: Named,
}

fn wrong(fault: &str) -> Error {
    Error::Integrity(format!("the encrypted layer's annotations are not as they must be: {fault}"))
}

fn decode(text: &str, what: &str) -> Result<Vec<u8>> {
    STANDARD.decode(text).map_err(|_| wrong(&format!("{what} is not base64")))
}

fn option<'a>(options: &'a Named, name: &str) -> Option<&'a str> {
    options.as_ref()?.get(name)?.as_deref()
}

impl Public {
    pub(super) fn new(tag: Vec<u8>) -> Self {
        Self {
            cipher: CIPHER.to_owned(),
            hmac: Some(STANDARD.encode(tag)),
            cipheroptions: Some(BTreeMap::new()),
        }
    }

    pub(super) fn to_annotation(&self) -> Result<String> {
        Ok(STANDARD.encode(serde_json::to_vec(self).map_err(unwritten)?))
    }

    pub(super) fn of(annotations: &BTreeMap<String, String>) -> Result<Self> {
        let text = annotations.get(OPTIONS_ANNOTATION).ok_or_else(|| wrong("pubopts is missing"))?;
        let public: Self = serde_json::from_slice(&decode(text, "pubopts")?)
            .map_err(|error| wrong(&format!("pubopts: {error}")))?;
        if public.cipher == CIPHER {
            Ok(public)
        } else {
            Err(Error::Unsupported(format!(
                "the layer is encrypted with {:?}; only {CIPHER} is known",
                public.cipher
            )))
        }
    }

    /// The HMAC. The specification and the first implementations disagree about where it stands.
    pub(super) fn tag(&self) -> Result<Vec<u8>> {
        let text =
            option(&self.cipheroptions, "hmac").or(self.hmac.as_deref().filter(|text| !text.is_empty()));
        let tag = decode(text.ok_or_else(|| wrong("there is no HMAC"))?, "the HMAC")?;
        if tag.len() == 32 { Ok(tag) } else { Err(wrong("the HMAC has not 32 bytes")) }
    }
}

impl Private {
    pub(super) fn new(key: &LayerKey, digest: &Digest) -> Self {
        Self {
            symkey: STANDARD.encode(key.key),
            digest: digest.to_string(),
            cipheroptions: Some([("nonce".to_owned(), Some(STANDARD.encode(key.nonce)))].into()),
        }
    }

    pub(super) fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(unwritten)
    }

    pub(super) fn from_json(json: &[u8]) -> Result<Self> {
        // The parser's words may hold the key.
        serde_json::from_slice(json).map_err(|_| wrong("what is wrapped for the recipients is no layer key"))
    }

    /// Key and nonce. A nonce among the public options is not looked at: the HMAC does not cover it, so anybody could
    /// have put it there.
    pub(super) fn layer_key(&self) -> Result<LayerKey> {
        let key = decode(&self.symkey, "the layer key")?;
        let nonce = option(&self.cipheroptions, "nonce");
        let nonce = decode(nonce.ok_or_else(|| wrong("there is no nonce"))?, "the nonce")?;
        Ok(LayerKey {
            key: key.try_into().map_err(|_| wrong("the layer key has not 32 bytes"))?,
            nonce: nonce.try_into().map_err(|_| wrong("the nonce has not 16 bytes"))?,
        })
    }

    pub(super) fn digest(&self) -> Option<Digest> {
        self.digest.parse().ok()
    }
}

fn unwritten(error: serde_json::Error) -> Error {
    Error::Other { what: "encryption".to_owned(), source: error.into() }
}

/// Wraps a layer's private options for all recipients: one JWE, in base64.
pub(super) fn wrap(private: &[u8], recipients: &[Recipient]) -> Result<String> {
    Ok(STANDARD.encode(jwe::encrypt(private, recipients)?))
}

/// The private options that one of `keys` unwraps.
pub(super) fn unwrap(annotations: &BTreeMap<String, String>, keys: &[DecryptionKey]) -> Result<Vec<u8>> {
    let Some(wrapped) = annotations.get(KEYS_ANNOTATION).filter(|text| !text.is_empty()) else {
        return Err(elsewhere(annotations));
    };
    if keys.is_empty() {
        return Err(no_key("it is encrypted, and no key was given; give one with --decryption-key PATH"));
    }
    let mut tried = 0;
    for text in wrapped.split(',') {
        tried += 1;
        if tried > WRAPPED_MAX {
            return Err(wrong(&format!("there are more than {WRAPPED_MAX} wrapped keys")));
        }
        let message = decode(text.trim(), "a wrapped key")?;
        if let Some(private) = jwe::decrypt(&message, keys)? {
            return Ok(private);
        }
    }
    Err(no_key("it is encrypted for other keys than those that were given with --decryption-key"))
}

fn no_key(why: &str) -> Error {
    Error::Other { what: "decrypting the layer".to_owned(), source: why.into() }
}

fn elsewhere(annotations: &BTreeMap<String, String>) -> Error {
    let prefix = format!("{NAMESPACE}keys.");
    match annotations.keys().find_map(|key| key.strip_prefix(&prefix)) {
        Some("jwe") | None => wrong("there are no wrapped keys"),
        Some(scheme) => Error::Unsupported(format!(
            "the layer's key is wrapped by {scheme:?}; only keys wrapped as JWE can be unwrapped"
        )),
    }
}
