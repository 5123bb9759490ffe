//! An image that is read from a copy of its place: an archive that was unpacked, or came through a pipe.

use async_trait::async_trait;
use berth_copier::{
    Content, Error, ImageName, RawManifest, Source, remote::Repository, signature::Signature,
};
use berth_oci::{Descriptor, Digest, Reference};

/// Says the name of the original. By it the policy judges: packing a file, or piping it, must not lead around a rule for
/// the folder where it lies.
pub(super) struct Copied {
    origin: ImageName,
    copy: Box<dyn Source>,
}

impl Copied {
    pub(super) fn new(origin: &ImageName, copy: Box<dyn Source>) -> Self {
        Self { origin: origin.clone(), copy }
    }
}

#[async_trait]
impl Source for Copied {
    fn name(&self) -> &ImageName {
        &self.origin
    }

    fn identity(&self) -> Option<&Reference> {
        self.copy.identity()
    }

    fn repository(&self) -> Option<&Repository> {
        self.copy.repository()
    }

    async fn head(&self) -> Result<Option<Descriptor>, Error> {
        self.copy.head().await
    }

    async fn manifest(&self, instance: Option<&Digest>) -> Result<RawManifest, Error> {
        self.copy.manifest(instance).await
    }

    async fn blob(&self, blob: &Descriptor) -> Result<Box<dyn Content>, Error> {
        self.copy.blob(blob).await
    }

    async fn signatures(&self, manifest: &Digest) -> Result<Vec<Signature>, Error> {
        self.copy.signatures(manifest).await
    }

    async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        self.copy.referrers(subject).await
    }
}
