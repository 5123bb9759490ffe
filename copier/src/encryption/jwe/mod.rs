//! JSON Web Encryption (RFC 7516) in its JSON serialisations, as much of it as layer keys need: RSA-OAEP, RSA-OAEP-256
//! and ECDH-ES+A256KW over AES-256-GCM.

mod message;
mod wrap;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use self::message::{Header, Message, Written};
use super::{DecryptionKey, Recipient};
use crate::{Error, Result};

const ENCRYPTION: &str = "A256GCM";

fn failed(what: &str) -> Error {
    Error::Other { what: "wrapping a layer key".to_owned(), source: what.to_owned().into() }
}

/// Encrypts `plain` for every recipient: flattened for one, general for several (RFC 7516, 7.2).
pub(super) fn encrypt(plain: &[u8], recipients: &[Recipient]) -> Result<Vec<u8>> {
    let (mut key, mut iv) = ([0; 32], [0; 12]);
    aws_lc_rs::rand::fill(&mut key)
        .and_then(|()| aws_lc_rs::rand::fill(&mut iv))
        .map_err(|_| failed("no random bytes"))?;
    let wrapped =
        recipients.iter().map(|recipient| wrap::wrap(&key, recipient)).collect::<Result<Vec<_>>>()?;
    let shared = Header { enc: Some(ENCRYPTION.to_owned()), ..Header::default() };
    let (protected, recipients) = match <[_; 1]>::try_from(wrapped) {
        Ok([one]) => (Header { enc: shared.enc, ..one.header.clone() }, vec![one]),
        Err(several) => (shared, several),
    };
    let protected = message::encode_header(&protected)?;
    let mut ciphertext = plain.to_vec();
    let tag = UnboundKey::new(&AES_256_GCM, &key)
        .map(LessSafeKey::new)
        .and_then(|key| {
            let nonce = Nonce::assume_unique_for_key(iv);
            key.seal_in_place_separate_tag(nonce, Aad::from(protected.as_bytes()), &mut ciphertext)
        })
        .map_err(|_| failed("AES-256-GCM failed"))?;
    Written::new(protected, recipients, &iv, &ciphertext, tag.as_ref()).to_json()
}

/// Decrypts a message with the first key that fits one of its recipients; `None` if none fits.
///
/// # Errors
/// `Error::Integrity` for what is no such message.
pub(super) fn decrypt(bytes: &[u8], keys: &[DecryptionKey]) -> Result<Option<Vec<u8>>> {
    let message = Message::parse(bytes)?;
    let mut text = message.protected.clone();
    if let Some(aad) = &message.aad {
        text = format!("{text}.{aad}");
    }
    for (header, encrypted_key) in &message.recipients {
        if header.enc.as_deref() != Some(ENCRYPTION) {
            continue;
        }
        for key in keys {
            let Some(content_key) = wrap::unwrap(key, header, encrypted_key) else { continue };
            if let Some(plain) = open(&content_key, &message, text.as_bytes()) {
                return Ok(Some(plain));
            }
        }
    }
    Ok(None)
}

fn open(key: &[u8], message: &Message, aad: &[u8]) -> Option<Vec<u8>> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?);
    let nonce = Nonce::try_assume_unique_for_key(&message.iv).ok()?;
    let mut bytes = [message.ciphertext.as_slice(), &message.tag].concat();
    let plain = key.open_in_place(nonce, Aad::from(aad), &mut bytes).ok()?;
    Some(plain.to_vec())
}

fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
