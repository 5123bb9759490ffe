//! Verification of OpenPGP messages (RFC 9580, and RFC 4880 before it) as `gpg --sign` writes them: the signature and what
//! is signed in one message, usually compressed.
//!
//! A message counts if exactly one signature is in it, of a document, made with SHA-2 or SHA-3 by a key of the keyring
//! that is for signing and neither expired nor revoked *now*: when a signature was made is the signer's claim, and whoever
//! stole a key claims whatever helps.

mod certificate;
#[cfg(test)]
pub(crate) mod tests;

use std::io::Read;

use jiff::Timestamp;
use pgp::{
    composed::{Deserializable, FullSignaturePacket, Message, SignatureManyReader, SignedPublicKey},
    crypto::hash::HashAlgorithm,
    packet::{Signature, SignatureType, SubpacketData},
    types::{Fingerprint, KeyDetails},
};

use super::{MAX_SIGNATURE_BYTES, Rejection};

/// Most bytes of a keyring.
pub const MAX_KEYRING_BYTES: usize = 16 * 1024 * 1024;
/// Most keys of a keyring.
const MAX_KEYS: usize = 10_000;
/// How far the clock of a signer may be ahead.
const CLOCK_SKEW_SECONDS: i64 = 60;
const ARMOR: &[u8] = b"-----BEGIN PGP ";

/// Public keys that are trusted to sign.
#[derive(Clone, Debug)]
pub struct Keyring {
    keys: Vec<SignedPublicKey>,
}

/// What a signature of a trusted key vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Fingerprint of the key, in upper-case hexadecimal.
    pub fingerprint: String,
    /// Fingerprint of the subkey that made the signature, or once more of the key.
    pub signed_by: String,
    /// What was signed.
    pub content: Vec<u8>,
}

impl Keyring {
    /// Reads a keyring: binary as `gpg --export` writes it, or armored, then also several blocks in one file.
    ///
    /// # Errors
    /// If it holds no public key, a secret one, too many, or bytes that are none.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > MAX_KEYRING_BYTES {
            return Err(format!("the keyring has more than {MAX_KEYRING_BYTES} bytes"));
        }
        let mut keys = Vec::new();
        let blocks = armored_blocks(bytes);
        if blocks.is_empty() {
            let found = SignedPublicKey::from_bytes_many(bytes).map_err(|fault| fault.to_string())?;
            collect(found, &mut keys)?;
        }
        for block in blocks {
            let (found, _) =
                SignedPublicKey::from_armor_many_buf(block).map_err(|fault| fault.to_string())?;
            collect(found, &mut keys)?;
        }
        if keys.is_empty() {
            return Err("the keyring holds no OpenPGP public key".to_owned());
        }
        Ok(Self { keys })
    }

    /// All keys of several keyrings; `None` where there is not one.
    #[must_use]
    pub fn join(rings: impl IntoIterator<Item = Self>) -> Option<Self> {
        let keys: Vec<_> = rings.into_iter().flat_map(|ring| ring.keys).collect();
        (!keys.is_empty()).then_some(Self { keys })
    }

    /// Fingerprints of the keys (not of their subkeys), in upper-case hexadecimal.
    #[must_use]
    pub fn fingerprints(&self) -> Vec<String> {
        self.keys.iter().map(|key| text(&key.fingerprint())).collect()
    }

    /// Verifies a message and gives what was signed.
    ///
    /// # Errors
    /// Why nobody vouches for it.
    pub fn verify(&self, message: &[u8], now: Timestamp) -> Result<Verified, Rejection> {
        let (signature, content) = open(message).map_err(invalid)?;
        check_signature(&signature, now).map_err(invalid)?;
        // A key's id is a hint that two keys can share: the first whose signature it is decides.
        let mut wrong = None;
        for key in &self.keys {
            match certificate::verify(key, &signature, &content, now) {
                Ok(Some(signed_by)) => {
                    return Ok(Verified {
                        fingerprint: text(&key.fingerprint()),
                        signed_by: text(&signed_by),
                        content,
                    });
                }
                Ok(None) => {}
                Err(fault) => wrong = Some(fault),
            }
        }
        Err(invalid(wrong.unwrap_or_else(|| format!("{} is not in the keyring", issuer(&signature)))))
    }
}

/// What a message claims to be signed, and by which keys (ids or fingerprints): nothing of it is verified.
///
/// # Errors
/// If it is no signed message.
pub fn read_without_verification(message: &[u8]) -> Result<(Vec<String>, Vec<u8>), Rejection> {
    let (signature, content) = open(message).map_err(invalid)?;
    let fingerprints = signature.issuer_fingerprint().into_iter().map(text);
    let ids = signature.issuer_key_id().into_iter().map(|id| id.to_string().to_uppercase());
    Ok((fingerprints.chain(ids).collect(), content))
}

fn invalid(fault: String) -> Rejection {
    Rejection(format!("Invalid GPG signature: {fault}"))
}

fn text(fingerprint: &Fingerprint) -> String {
    format!("{fingerprint:X}")
}

fn issuer(signature: &Signature) -> String {
    let fingerprint = signature.issuer_fingerprint().first().map(|print| text(print));
    let id = || signature.issuer_key_id().first().map(|id| id.to_string().to_uppercase());
    fingerprint
        .or_else(id)
        .map_or_else(|| "the unnamed key that signed it".to_owned(), |key| format!("key {key}"))
}

/// The armored blocks of a text, each to the beginning of the next; none where the bytes are binary.
fn armored_blocks(bytes: &[u8]) -> Vec<&[u8]> {
    // A packet's first byte has its highest bit set (RFC 9580, 4.2), so that no text is a binary keyring.
    if bytes.first().is_some_and(|first| first & 0x80 != 0) {
        return Vec::new();
    }
    let begins: Vec<usize> = bytes
        .windows(ARMOR.len())
        .enumerate()
        .filter(|(at, window)| *window == ARMOR && (*at == 0 || bytes[at - 1] == b'\n'))
        .map(|(at, _)| at)
        .collect();
    let ends = begins.iter().skip(1).copied().chain([bytes.len()]);
    begins.iter().zip(ends).map(|(&begin, end)| &bytes[begin..end]).collect()
}

fn collect(
    found: impl Iterator<Item = pgp::errors::Result<SignedPublicKey>>,
    keys: &mut Vec<SignedPublicKey>,
) -> Result<(), String> {
    for key in found {
        if keys.len() == MAX_KEYS {
            return Err(format!("the keyring holds more than {MAX_KEYS} keys"));
        }
        keys.push(key.map_err(|fault| fault.to_string())?);
    }
    Ok(())
}

/// Takes a message apart: compressed or not, one signature around literal data, and nothing behind.
fn open(bytes: &[u8]) -> Result<(Signature, Vec<u8>), String> {
    let fault = |fault: pgp::errors::Error| fault.to_string();
    let mut message = Message::from_bytes(bytes).map_err(fault)?;
    if message.is_compressed() {
        message = message.decompress().map_err(fault)?;
    }
    let Message::Signed { reader, .. } = &message else {
        return Err("the message is not signed".to_owned());
    };
    if reader.num_signatures() != 1 {
        return Err(format!("unexpected signature count {}", reader.num_signatures()));
    }
    if !reader.get_ref().is_literal() {
        return Err("what is signed is not literal data".to_owned());
    }
    let mut content = Vec::new();
    let limit = MAX_SIGNATURE_BYTES as u64 + 1;
    (&mut message).take(limit).read_to_end(&mut content).map_err(|fault| fault.to_string())?;
    if content.len() > MAX_SIGNATURE_BYTES {
        return Err(format!("more than {MAX_SIGNATURE_BYTES} bytes are signed"));
    }
    let Message::Signed { reader: SignatureManyReader::Done { signatures, .. }, .. } = message else {
        return Err("the message ends early".to_owned());
    };
    match <[FullSignaturePacket; 1]>::try_from(signatures) {
        Ok([FullSignaturePacket::Ops { signature, .. } | FullSignaturePacket::Signature { signature }]) => {
            Ok((signature, content))
        }
        Err(signatures) => Err(format!("unexpected signature count {}", signatures.len())),
    }
}

/// What the signature says of itself.
fn check_signature(signature: &Signature, now: Timestamp) -> Result<(), String> {
    let config = signature.config().ok_or("a signature of an unknown version")?;
    if !matches!(config.typ(), SignatureType::Binary | SignatureType::Text) {
        return Err("the signature is not one of a document".to_owned());
    }
    let strong = [
        HashAlgorithm::Sha256,
        HashAlgorithm::Sha384,
        HashAlgorithm::Sha512,
        HashAlgorithm::Sha3_256,
        HashAlgorithm::Sha3_512,
    ];
    if !strong.contains(&config.hash_alg) {
        return Err(format!(
            "made with {}, which is too weak; sign again with SHA-256 or better",
            config.hash_alg
        ));
    }
    if signature.issuer_key_id().is_empty() && signature.issuer_fingerprint().is_empty() {
        return Err("the signature does not say which key made it".to_owned());
    }
    let created = config.created().ok_or("the signature does not say when it was made")?;
    let age = now.as_second() - i64::from(created.as_secs());
    if age < -CLOCK_SKEW_SECONDS {
        return Err("the signature was made in the future".to_owned());
    }
    match signature.signature_expiration_time() {
        Some(lasts) if lasts.as_secs() != 0 && age >= i64::from(lasts.as_secs()) => {
            return Err("the signature has expired".to_owned());
        }
        _ => {}
    }
    let unknown =
        |data: &SubpacketData| matches!(data, SubpacketData::Other(..) | SubpacketData::Experimental(..));
    if config.hashed_subpackets().any(|subpacket| subpacket.is_critical && unknown(&subpacket.data)) {
        return Err("the signature has a critical part that is not understood".to_owned());
    }
    Ok(())
}
