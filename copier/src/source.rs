//! Where an image comes from.

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
pub(crate) mod suite;

use async_trait::async_trait;
use berth_oci::{Descriptor, Digest, MediaType, Platform, Reference};
use bytes::Bytes;

use crate::{Content, Error, ImageName, Result, remote::Repository, signature::Signature};

#[cfg(test)]
pub(crate) use fixture::Fixture;

/// A manifest's bytes as they were served.
#[derive(Clone, Debug)]
pub struct RawManifest {
    /// The bytes, untouched: the digest is theirs.
    pub raw: Bytes,
    /// The type that came with them (a header, an index), where something said so.
    pub media_type: Option<MediaType>,
    /// Digest of the bytes, computed and not believed.
    pub digest: Digest,
}

impl RawManifest {
    /// Takes bytes and computes their SHA-256 digest.
    #[must_use]
    pub fn new(raw: Bytes, media_type: Option<MediaType>) -> Self {
        let digest = Digest::of(berth_oci::Algorithm::Sha256, &raw);
        Self { raw, media_type, digest }
    }

    /// Parses it (strictly, as a registry would).
    ///
    /// # Errors
    /// If it is no manifest.
    pub fn parse(&self) -> Result<berth_oci::Manifest> {
        berth_oci::Manifest::parse(self.raw.clone(), self.media_type.as_ref())
            .map_err(|fault| Error::Manifest { digest: self.digest.clone(), fault })
    }

    /// A descriptor of it.
    ///
    /// # Errors
    /// As [`Self::parse`], which finds out the type.
    pub fn descriptor(&self) -> Result<Descriptor> {
        let media_type = match &self.media_type {
            Some(media_type) => media_type.clone(),
            None => self.parse()?.media_type,
        };
        Ok(Descriptor::new(media_type, self.digest.clone(), self.raw.len() as u64))
    }
}

/// Reads one image, index or artifact.
///
/// One suite runs on every implementation (`source/suite`). All calls may run at once.
#[async_trait]
pub trait Source: Send + Sync {
    /// The name it was opened by.
    fn name(&self) -> &ImageName;

    /// The reference that a signature or a policy speaks of, where the transport has one.
    fn identity(&self) -> Option<&Reference> {
        None
    }

    /// The repository, where the source is a registry: blobs may be mounted from it.
    fn repository(&self) -> Option<&Repository> {
        None
    }

    /// The top manifest's descriptor by the cheapest way there is (HEAD), or `None` where there is no way that is
    /// cheaper than [`Self::manifest`].
    async fn head(&self) -> Result<Option<Descriptor>> {
        Ok(None)
    }

    /// The manifest that the name means, or a child (an instance of an index, a referrer) by digest. The digest is
    /// verified: what was asked for by digest has it. A tag is resolved once: later calls answer the same manifest.
    ///
    /// # Errors
    /// `Error::NotFound` if it is not there, `Error::Integrity` if its bytes are not what they should be.
    async fn manifest(&self, instance: Option<&Digest>) -> Result<RawManifest>;

    /// A blob's content, not yet opened and not verified.
    ///
    /// # Errors
    /// `Error::NotFound` here or at the opening, if it is not there.
    async fn blob(&self, blob: &Descriptor) -> Result<Box<dyn Content>>;

    /// Signatures kept beside the manifest with this digest, of every format that the configuration asks for.
    async fn signatures(&self, _manifest: &Digest) -> Result<Vec<Signature>> {
        Ok(Vec::new())
    }

    /// Manifests whose `subject` is this one (distribution-spec, "Listing Referrers").
    async fn referrers(&self, _subject: &Digest) -> Result<Vec<Descriptor>> {
        Ok(Vec::new())
    }
}

/// Which children of an index are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Instances {
    /// The one for this platform; the host's, unless told otherwise.
    #[default]
    System,
    /// All of them, and the index.
    All,
    /// The index alone.
    IndexOnly,
    /// The index (with its bytes untouched, so sparse at the destination) and the children for these platforms.
    Platforms(Vec<Platform>),
}
