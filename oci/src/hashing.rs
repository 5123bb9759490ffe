//! From bytes to digests: the bridge to the hash crate.

use berth_hash::{Hasher, Kind};

use crate::{Algorithm, Digest};

impl From<Algorithm> for Kind {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256,
            Algorithm::Sha512 => Self::Sha512,
        }
    }
}

impl From<Kind> for Algorithm {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Sha256 => Self::Sha256,
            Kind::Sha512 => Self::Sha512,
        }
    }
}

impl Digest {
    /// The digest of `content`. Hash what does not fit memory with a [`Hasher`] and
    /// [`Digest::from_hasher`].
    #[must_use]
    pub fn of(algorithm: Algorithm, content: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm.into());
        hasher.update(content);
        Self::from_hasher(hasher)
    }

    /// The digest of everything that went into `hasher`.
    #[must_use]
    pub fn from_hasher(hasher: Hasher) -> Self {
        let algorithm = hasher.kind().into();
        Self::from_hash(algorithm, &hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_descriptors_content_has_its_published_digest() {
        assert_eq!(
            Digest::of(Algorithm::Sha256, b"{}").as_str(),
            "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        );
        assert_eq!(Digest::of(Algorithm::Sha512, b"{}").algorithm(), Algorithm::Sha512);
    }
}
