//! The digest of a manifest in a file.

use std::io::{self, Read};

use berth_oci::{
    Algorithm, Digest,
    manifest::{MAX_MANIFEST_BYTES, Manifest, ManifestError},
};
use bytes::Bytes;

/// Why a file has no manifest digest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestDigestError {
    /// It could not be read.
    #[error("reading the manifest: {0}")]
    Read(#[from] io::Error),
    /// It has more bytes than a manifest may.
    #[error("the manifest has more than {MAX_MANIFEST_BYTES} bytes")]
    TooLarge,
    /// It is no manifest.
    #[error("{0}")]
    Invalid(#[from] ManifestError),
}

/// Reads a manifest of at most 4 MiB and gives the SHA-256 digest of its bytes as they stand.
///
/// # Errors
/// When it cannot be read, is too large, or is not a manifest that a registry would take.
pub fn manifest_digest(mut from: impl Read) -> Result<Digest, ManifestDigestError> {
    let mut bytes = Vec::new();
    from.by_ref().take(MAX_MANIFEST_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_MANIFEST_BYTES {
        return Err(ManifestDigestError::TooLarge);
    }
    let manifest = Manifest::parse(Bytes::from(bytes), None)?;
    Ok(Digest::of(Algorithm::Sha256, &manifest.raw))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_bytes_as_they_stand() {
        let text = "{ \"schemaVersion\": 2,\n  \"mediaType\": \"application/vnd.oci.image.index.v1+json\", \"manifests\": [] }\n";
        assert_eq!(manifest_digest(text.as_bytes()).unwrap(), Digest::of(Algorithm::Sha256, text.as_bytes()));
    }

    #[test]
    fn what_is_no_manifest_has_no_manifest_digest() {
        assert!(matches!(manifest_digest(&b"{}x"[..]), Err(ManifestDigestError::Invalid(_))));
        let large = vec![b' '; MAX_MANIFEST_BYTES + 1];
        assert!(matches!(manifest_digest(&large[..]), Err(ManifestDigestError::TooLarge)));
    }
}
