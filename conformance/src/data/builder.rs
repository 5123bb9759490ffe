//! The parts that every data set is made of.

use berth_oci::{Algorithm, Digest, MediaType};
use bytes::Bytes;
use rand::Rng as _;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256, Sha512};

/// The digest of `bytes`.
#[must_use]
pub fn digest_of(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    match algorithm {
        Algorithm::Sha256 => Digest::from_hash(algorithm, &Sha256::digest(bytes)),
        Algorithm::Sha512 => Digest::from_hash(algorithm, &Sha512::digest(bytes)),
    }
}

/// `length` random bytes.
#[must_use]
pub fn random(length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    rand::rng().fill_bytes(&mut bytes);
    bytes.into()
}

/// Content and its digest.
#[derive(Clone, Debug)]
pub struct Blob {
    /// Digest of `bytes`.
    pub digest: Digest,
    /// The content.
    pub bytes: Bytes,
}

impl Blob {
    /// A blob of this content.
    #[must_use]
    pub fn new(algorithm: Algorithm, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { digest: digest_of(algorithm, &bytes), bytes }
    }

    /// A blob of `length` random bytes.
    #[must_use]
    pub fn random(algorithm: Algorithm, length: usize) -> Self {
        Self::new(algorithm, random(length))
    }
}

/// A manifest and what a registry must say of it.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Digest of `bytes`.
    pub digest: Digest,
    /// Its Content-Type.
    pub media_type: String,
    /// The bytes, verbatim.
    pub bytes: Bytes,
    /// Its subject's digest.
    pub subject: Option<Digest>,
    /// The artifact type that the referrers list must show; none where it must show none.
    pub artifact_type: Option<String>,
    /// The annotations that the referrers list must show.
    pub annotations: Map<String, Value>,
}

/// What one push brings.
#[derive(Clone, Debug)]
pub struct DataSet {
    /// The algorithm of all digests in it.
    pub algorithm: Algorithm,
    /// The blobs; no digest twice.
    pub blobs: Vec<Blob>,
    /// The manifests, children first; the last is the one that gets a tag.
    pub manifests: Vec<Manifest>,
    /// Whether a child of the last manifest is missing.
    pub sparse: bool,
}

/// Makes a [`DataSet`]. Methods give the descriptors to be put into manifests.
#[derive(Debug)]
pub struct Builder {
    set: DataSet,
    /// Whether descriptors carry their content in `data`.
    pub inline: bool,
}

impl Builder {
    /// An empty set.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        let set = DataSet { algorithm, blobs: Vec::new(), manifests: Vec::new(), sparse: false };
        Self { set, inline: false }
    }

    /// The finished set.
    #[must_use]
    pub fn finish(self) -> DataSet {
        self.set
    }

    /// The finished set, of which something is missing.
    #[must_use]
    pub fn finish_sparse(mut self) -> DataSet {
        self.set.sparse = true;
        self.set
    }

    /// Adds a blob.
    pub fn blob(&mut self, media_type: &str, bytes: impl Into<Bytes>) -> Value {
        let blob = Blob::new(self.set.algorithm, bytes);
        let mut descriptor = descriptor(media_type, &blob.digest, blob.bytes.len());
        if self.inline {
            descriptor["data"] = base64(&blob.bytes).into();
        }
        if !self.set.blobs.iter().any(|known| known.digest == blob.digest) {
            self.set.blobs.push(blob);
        }
        descriptor
    }

    /// Adds a blob of random bytes.
    pub fn random_blob(&mut self, media_type: &str, length: usize) -> Value {
        self.blob(media_type, random(length))
    }

    /// A descriptor of content that is nowhere.
    #[must_use]
    pub fn absent(&self, media_type: &str, size: usize) -> Value {
        descriptor(media_type, &digest_of(self.set.algorithm, &random(32)), size)
    }

    /// Adds a manifest, whose media type is its `mediaType` field.
    pub fn manifest(&mut self, body: &Value) -> Value {
        let media_type = body["mediaType"].as_str().unwrap_or(MediaType::OCI_MANIFEST).to_owned();
        self.manifest_bytes(&media_type, body, body.to_string())
    }

    /// Adds a manifest that says `body` in these very bytes.
    pub fn manifest_bytes(&mut self, media_type: &str, body: &Value, bytes: impl Into<Bytes>) -> Value {
        let bytes = bytes.into();
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let is_index = matches!(media_type, MediaType::OCI_INDEX | MediaType::DOCKER_LIST);
        let config_type = if is_index { None } else { text(&body["config"]["mediaType"]) };
        let manifest = Manifest {
            digest: digest_of(self.set.algorithm, &bytes),
            media_type: media_type.to_owned(),
            subject: body["subject"]["digest"].as_str().and_then(|digest| digest.parse().ok()),
            artifact_type: text(&body["artifactType"]).or(config_type),
            annotations: body["annotations"].as_object().cloned().unwrap_or_default(),
            bytes,
        };
        let mut descriptor = descriptor(media_type, &manifest.digest, manifest.bytes.len());
        if self.inline {
            descriptor["data"] = base64(&manifest.bytes).into();
        }
        self.set.manifests.push(manifest);
        descriptor
    }
}

/// A descriptor (image-spec, descriptor.md).
fn descriptor(media_type: &str, digest: &Digest, size: usize) -> Value {
    json!({"mediaType": media_type, "digest": digest, "size": size})
}

/// Standard base64 with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for position in 0..4 {
            let index = (group >> (18 - 6 * position)) & 63;
            let character = if position <= chunk.len() { char::from(ALPHABET[index as usize]) } else { '=' };
            text.push(character);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_padded() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn the_empty_blob_has_its_well_known_digests() {
        let sha256 = digest_of(Algorithm::Sha256, b"");
        assert_eq!(
            sha256.as_str(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert!(
            digest_of(Algorithm::Sha512, b"").as_str().starts_with("sha512:cf83e1357eefb8bdf1542850d66d8007")
        );
    }
}
