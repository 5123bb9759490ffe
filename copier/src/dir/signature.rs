//! A signature as a file: OpenPGP messages as they are, anything else behind a NUL, the format's name and a line's end.

use std::{borrow::Cow, collections::BTreeMap};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{Error, Result, signature::Signature};

/// Most bytes of one file.
pub(super) const MAX_BYTES: u64 = 4 * 1024 * 1024;
/// Most signatures of one manifest (C9).
pub(super) const MAX_COUNT: usize = 1_000;

const SIMPLE: &str = "simple-signing";
const SIGSTORE: &str = "sigstore-json";

/// Order and names of the fields are those of the files that are out there.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sigstore<'a> {
    mime_type: Cow<'a, str>,
    payload: Cow<'a, str>,
    #[serde(default)]
    annotations: Cow<'a, BTreeMap<String, String>>,
}

/// The file of a signature.
pub(super) fn to_file(signature: &Signature) -> Result<Vec<u8>> {
    match signature {
        Signature::Simple(message) => Ok(message.to_vec()),
        Signature::Sigstore { media_type, payload, annotations } => {
            let fields = Sigstore {
                mime_type: media_type.into(),
                payload: STANDARD.encode(payload).into(),
                annotations: Cow::Borrowed(annotations),
            };
            let json = serde_json::to_string(&fields).map_err(|fault| Error::Other {
                what: "writing a signature".to_owned(),
                source: fault.into(),
            })?;
            Ok(format!("\0{SIGSTORE}\n{}", escaped(&json)).into_bytes())
        }
    }
}

/// Go's way to write JSON, so that the same signature is the same file: these characters stand in texts alone.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for char in json.chars() {
        match char {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", u32::from(char))),
            other => out.push(other),
        }
    }
    out
}

/// The signature in a file.
///
/// # Errors
/// A sentence, if the file is of no format that is known.
pub(super) fn from_file(content: &Bytes) -> Result<Signature, String> {
    match content.first() {
        None => Err("an empty file is no signature".to_owned()),
        Some(0) => {
            let end =
                content.iter().position(|byte| *byte == b'\n').ok_or("no line's end behind the format")?;
            let rest = content.slice(end + 1..);
            match &content[1..end] {
                name if name == SIMPLE.as_bytes() => Ok(Signature::Simple(rest)),
                name if name == SIGSTORE.as_bytes() => sigstore(&rest),
                name => Err(format!("unknown format \"{}\"", name.escape_ascii())),
            }
        }
        Some(tag) if is_openpgp(*tag) => Ok(Signature::Simple(content.clone())),
        Some(tag) => Err(format!("unknown format: the first byte is {tag:#04x}")),
    }
}

fn sigstore(json: &[u8]) -> Result<Signature, String> {
    let fields: Sigstore<'_> = serde_json::from_slice(json).map_err(|fault| fault.to_string())?;
    let payload = STANDARD.decode(fields.payload.as_bytes()).map_err(|fault| format!("payload: {fault}"))?;
    Ok(Signature::Sigstore {
        media_type: fields.mime_type.into_owned(),
        payload: payload.into(),
        annotations: fields.annotations.into_owned(),
    })
}

/// Whether an OpenPGP message may begin so (RFC 9580, 4.2): compressed data, a one-pass signature, or a signature.
fn is_openpgp(tag: u8) -> bool {
    let kind = if tag & 0x40 == 0 { (tag >> 2) & 0x0f } else { tag & 0x3f };
    tag & 0x80 != 0 && matches!(kind, 2 | 4 | 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sigstore() -> Signature {
        Signature::Sigstore {
            media_type: "application/vnd.dev.cosign.simplesigning.v1+json".to_owned(),
            payload: Bytes::from_static(b"{\"critical\":{}}"),
            annotations: [("dev.cosignproject.cosign/signature".to_owned(), "a<b&c".to_owned())].into(),
        }
    }

    #[test]
    fn sigstore_signatures_stand_behind_their_formats_name() {
        let file = to_file(&sigstore()).unwrap();
        let expected = "\0sigstore-json\n{\"mimeType\":\"application/vnd.dev.cosign.simplesigning.v1+json\",\
             \"payload\":\"eyJjcml0aWNhbCI6e319\",\
             \"annotations\":{\"dev.cosignproject.cosign/signature\":\"a\\u003cb\\u0026c\"}}";
        assert_eq!(String::from_utf8(file.clone()).unwrap(), expected);
        assert_eq!(from_file(&file.into()), Ok(sigstore()));
    }

    #[test]
    fn openpgp_messages_are_files_as_they_are() {
        for tag in [0x88, 0x89, 0x90, 0xa3, 0xc2, 0xc4, 0xc8_u8] {
            let message = Bytes::from(vec![tag, 1, 2, 3]);
            let signature = Signature::Simple(message.clone());
            assert_eq!(to_file(&signature).unwrap(), message);
            assert_eq!(from_file(&message), Ok(signature));
        }
        let named = Bytes::from_static(b"\0simple-signing\n\x90x");
        assert_eq!(from_file(&named), Ok(Signature::Simple(Bytes::from_static(b"\x90x"))));
    }

    #[test]
    fn what_is_no_signature_is_refused_in_words() {
        let broken: [&'static [u8]; 7] = [
            b"",
            b"hello",
            b"\0",
            b"\0x\ny",
            b"\0sigstore-json\n{",
            b"\xcb",
            b"\0sigstore-json\n{\"mimeType\":\"\",\"payload\":\"?\"}",
        ];
        for content in broken {
            assert!(from_file(&Bytes::from_static(content)).is_err(), "{content:?} was taken");
        }
    }
}
