//! Encrypted layers (`+encrypted` media types), as ocicrypt and so Skopeo, podman and containerd write and read them.
//!
//! A layer is encrypted with AES-256 in counter mode under a key of its own, with an HMAC-SHA256 over the encrypted bytes.
//! The key, its nonce and the plain layer's digest are wrapped for the recipients as JWE (RFC 7516) in an annotation of
//! the layer's descriptor; cipher and HMAC stand beside in another.

mod cipher;
mod content;
mod der;
mod jwe;
mod key;
mod options;
mod pbes2;
mod private_key;

#[cfg(test)]
mod interop_tests;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use berth_oci::MediaType;

use crate::{Error, Result};

pub use content::{Decrypted, Encrypted};
pub use key::Recipient;
pub use options::{KEYS_ANNOTATION, OPTIONS_ANNOTATION};
pub use private_key::DecryptionKey;

/// Whom to encrypt for.
#[derive(Clone, Debug, Default)]
pub struct Encrypt {
    /// Their public keys.
    pub recipients: Vec<Recipient>,
    /// Which layers, by place; negative places count from the top; empty means all.
    pub layers: Vec<i64>,
}

impl Encrypt {
    /// The places that [`Self::layers`] means in an image of `count` layers.
    ///
    /// # Errors
    /// `Error::Usage` for a layer that the image has not.
    pub fn select(&self, count: usize) -> Result<BTreeSet<usize>> {
        if self.layers.is_empty() {
            return Ok((0..count).collect());
        }
        let all = i64::try_from(count).unwrap_or(i64::MAX);
        let place = |&layer: &i64| {
            let place = if layer < 0 { layer.checked_add(all) } else { Some(layer) };
            place.and_then(|place| usize::try_from(place).ok()).filter(|place| *place < count).ok_or_else(
                || {
                    Error::Usage(format!(
                        "--encrypt-layer {layer}: the image has {count} layers, from 0 or from -1"
                    ))
                },
            )
        };
        self.layers.iter().map(place).collect()
    }
}

const SUFFIX: &str = "+encrypted";

/// Whether a layer of this type is encrypted.
#[must_use]
pub fn is_encrypted(media_type: &MediaType) -> bool {
    media_type.as_str().ends_with(SUFFIX)
}

/// The type of a layer once it is encrypted.
///
/// # Errors
/// `Error::Unsupported` for types that have no such form: Docker's, and those of no layer.
pub fn encrypted_type(plain: &MediaType) -> Result<MediaType> {
    let text = plain.as_str();
    if is_encrypted(plain) {
        return Ok(plain.clone());
    }
    if text.starts_with("application/vnd.oci.image.layer.") {
        return Ok(MediaType::new(&format!("{text}{SUFFIX}")));
    }
    Err(Error::Unsupported(format!(
        "{text} cannot be encrypted: only OCI layers can, so convert the image with --format oci"
    )))
}

/// The type of a layer once it is decrypted; a type that is not encrypted stays.
#[must_use]
pub fn decrypted_type(encrypted: &MediaType) -> MediaType {
    MediaType::new(encrypted.as_str().strip_suffix(SUFFIX).unwrap_or(encrypted.as_str()))
}

/// A descriptor's annotations without those of the encryption.
#[must_use]
pub fn without_encryption(annotations: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let kept = annotations.iter().filter(|(key, _)| !key.starts_with(options::NAMESPACE));
    kept.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// The annotations of an encrypted layer that `recipients` can read as well from now on. Its bytes stay as they are: only
/// its key is wrapped once more.
///
/// # Errors
/// If none of `keys` unwraps the layer's key.
pub fn add_recipients(
    annotations: &BTreeMap<String, String>,
    keys: &[DecryptionKey],
    recipients: &[Recipient],
) -> Result<BTreeMap<String, String>> {
    let private = options::unwrap(annotations, keys)?;
    let mut annotations = annotations.clone();
    let wrapped = options::wrap(&private, recipients)?;
    let before = annotations.get(KEYS_ANNOTATION).filter(|before| !before.is_empty());
    let all = before.map_or_else(|| wrapped.clone(), |before| format!("{before},{wrapped}"));
    annotations.insert(KEYS_ANNOTATION.to_owned(), all);
    Ok(annotations)
}
