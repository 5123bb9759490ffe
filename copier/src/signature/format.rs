//! Signatures as files: what `dir:` keeps in `signature-N` and a lookaside server serves under that name.
//!
//! A simple signature is written as it is, an OpenPGP message. Every other format is announced: a NUL (which no OpenPGP
//! message begins with), the format's name, a newline, the content.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use super::{MAX_SIGNATURE_BYTES, Signature, json};
use crate::{Error, Result};

const SIMPLE: &[u8] = b"simple-signing";
const SIGSTORE: &[u8] = b"sigstore-json";

/// The content of the format `sigstore-json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SigstoreFile {
    #[serde(rename = "mimeType")]
    media_type: String,
    payload: String,
    annotations: BTreeMap<String, String>,
}

impl Signature {
    /// The signature as a file's bytes.
    #[must_use]
    pub fn to_file_bytes(&self) -> Vec<u8> {
        match self {
            Self::Simple(message) => message.to_vec(),
            Self::Sigstore { media_type, payload, annotations } => {
                let file = SigstoreFile {
                    media_type: media_type.clone(),
                    payload: STANDARD.encode(payload),
                    annotations: annotations.clone(),
                };
                let mut bytes = vec![0];
                bytes.extend_from_slice(SIGSTORE);
                bytes.push(b'\n');
                bytes.extend_from_slice(&as_go_writes_it(&file));
                bytes
            }
        }
    }

    /// Reads a signature's file. Nothing in it is verified.
    ///
    /// # Errors
    /// `Error::Integrity` for a file that is empty, larger than [`MAX_SIGNATURE_BYTES`], or of a format that nobody
    /// knows.
    pub fn from_file_bytes(bytes: &[u8]) -> Result<Self> {
        let fault = |reason: String| Error::Integrity(format!("invalid signature: {reason}"));
        if bytes.len() > MAX_SIGNATURE_BYTES {
            return Err(fault(format!("more than {MAX_SIGNATURE_BYTES} bytes")));
        }
        match bytes {
            [] => Err(fault("the file is empty".to_owned())),
            [0, rest @ ..] => {
                let end = rest.iter().position(|&byte| byte == b'\n');
                let end = end.ok_or_else(|| fault("no newline behind the format's name".to_owned()))?;
                match (&rest[..end], &rest[end + 1..]) {
                    (SIMPLE, content) => Ok(Self::Simple(content.to_vec().into())),
                    (SIGSTORE, content) => sigstore(content).map_err(fault),
                    (name, _) => Err(fault(format!("unrecognized signature format {}", printable(name)))),
                }
            }
            [first, ..] if begins_openpgp(*first) => Ok(Self::Simple(bytes.to_vec().into())),
            [first, ..] => {
                Err(fault(format!("unrecognized signature format, starting with binary {first:#x}")))
            }
        }
    }
}

/// JSON with the fields in their order and the escapes of Go's writer, so that the same signature is the same file
/// whichever tool wrote it. Those characters stand in texts alone.
fn as_go_writes_it(file: &SigstoreFile) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "texts and maps of them always are JSON")]
    let json = serde_json::to_string(file).expect("texts serialise");
    let mut out = String::with_capacity(json.len());
    for char in json.chars() {
        match char {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(char)));
            }
            other => out.push(other),
        }
    }
    out.into_bytes()
}

fn sigstore(content: &[u8]) -> Result<Signature, String> {
    // Read once to refuse equal keys, which serde would let the last win of.
    json::parse(content).map_err(|fault| fault.to_string())?;
    let file: SigstoreFile = serde_json::from_slice(content).map_err(|fault| fault.to_string())?;
    let payload = STANDARD.decode(&file.payload).map_err(|fault| format!("payload: {fault}"))?;
    Ok(Signature::Sigstore {
        media_type: file.media_type,
        payload: payload.into(),
        annotations: file.annotations,
    })
}

/// Whether an OpenPGP packet that a signed message begins with has this first byte (RFC 9580, 4.2): compressed data (8),
/// one-pass signature (4) or signature (2), in the old header format with any length type or in the new one.
const fn begins_openpgp(first: u8) -> bool {
    let tag = match first >> 6 {
        0b10 => (first >> 2) & 0x0f,
        0b11 => first & 0x3f,
        _ => return false,
    };
    matches!(tag, 2 | 4 | 8)
}

fn printable(name: &[u8]) -> String {
    let cut = &name[..name.len().min(64)];
    format!("\"{}\"", cut.escape_ascii())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Signature {
        Signature::Sigstore {
            media_type: super::super::SIGSTORE_PAYLOAD.to_owned(),
            payload: (&b"{\"critical\":{}}"[..]).into(),
            annotations: BTreeMap::from([(
                super::super::annotation::SIGNATURE.to_owned(),
                "MEUC".to_owned(),
            )]),
        }
    }

    #[test]
    fn a_sigstore_signature_is_announced_by_a_nul_and_its_formats_name() {
        let bytes = sample().to_file_bytes();
        assert!(bytes.starts_with(b"\0sigstore-json\n{\"mimeType\":"));
        assert_eq!(Signature::from_file_bytes(&bytes).unwrap(), sample());
    }

    #[test]
    fn files_are_those_that_go_writes() {
        let signature = Signature::Sigstore {
            media_type: "m".to_owned(),
            payload: (&b"p"[..]).into(),
            annotations: BTreeMap::from([
                ("b".to_owned(), "<&>\u{2028}".to_owned()),
                ("a".to_owned(), String::new()),
            ]),
        };
        let expected = "\0sigstore-json\n{\"mimeType\":\"m\",\"payload\":\"cA==\",\
             \"annotations\":{\"a\":\"\",\"b\":\"\\u003c\\u0026\\u003e\\u2028\"}}";
        assert_eq!(String::from_utf8(signature.to_file_bytes()).unwrap(), expected);
    }

    #[test]
    fn a_simple_signature_is_the_message_itself_and_may_be_announced_too() {
        for first in [0x90_u8, 0x91, 0x88, 0x89, 0xa3, 0xc2, 0xc4, 0xc8] {
            let message = vec![first, 1, 2, 3];
            let signature = Signature::from_file_bytes(&message).unwrap();
            assert_eq!(signature, Signature::Simple(message.clone().into()));
            assert_eq!(signature.to_file_bytes(), message);
        }
        let announced = Signature::from_file_bytes(b"\0simple-signing\nxyz").unwrap();
        assert_eq!(announced, Signature::Simple((&b"xyz"[..]).into()));
    }

    #[test]
    fn c9_what_is_no_signature_is_refused_by_name() {
        let large = vec![0x90; MAX_SIGNATURE_BYTES + 1];
        let twice =
            b"\0sigstore-json\n{\"mimeType\":\"a\",\"mimeType\":\"b\",\"payload\":\"\",\"annotations\":{}}";
        for (bytes, reason) in [
            (&b""[..], "empty"),
            (&large[..], "more than"),
            (b"hello", "starting with binary 0x68"),
            (b"\0sigstore-json", "no newline"),
            (b"\0\x1b[2J\n{}", "\"\\x1b[2J\""),
            (b"\0sigstore-json\n{}", "missing field"),
            (b"\0sigstore-json\n{\"mimeType\":\"a\",\"payload\":\"!\",\"annotations\":{}}", "payload"),
            (
                b"\0sigstore-json\n{\"mimeType\":\"a\",\"payload\":\"\",\"annotations\":{},\"x\":1}",
                "unknown field",
            ),
            (twice, "mimeType"),
        ] {
            let error = Signature::from_file_bytes(bytes).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_file_makes_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Signature::from_file_bytes(&bytes);
            let announced = [b"\0sigstore-json\n".as_slice(), &bytes].concat();
            let _ = Signature::from_file_bytes(&announced);
        }

        #[test]
        fn whatever_is_written_is_read_again(
            payload in prop::collection::vec(any::<u8>(), 0..100),
            media_type in ".*",
            annotations in prop::collection::btree_map(".*", ".*", 0..4),
        ) {
            let signature = Signature::Sigstore { media_type, payload: payload.into(), annotations };
            prop_assert_eq!(Signature::from_file_bytes(&signature.to_file_bytes()).unwrap(), signature);
        }
    }
}
