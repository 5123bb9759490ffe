//! A registry as a source and as a sink.

use async_trait::async_trait;
use berth_oci::{Descriptor, Digest, ManifestReference, Reference, RepoName};
use tokio::sync::OnceCell;

use super::{Repository, repository::Mount};
use crate::{
    Content, Error, ImageName, RawManifest, Result, Reuse, Role, Sink, SinkTraits, Source, UploadHandle,
    content::Blob, sink::LayerForm,
};

pub(super) struct RegistrySource {
    name: ImageName,
    reference: Reference,
    repository: Repository,
    top: OnceCell<RawManifest>,
}

impl RegistrySource {
    pub(super) fn new(name: ImageName, reference: Reference, repository: Repository) -> Self {
        Self { name, reference, repository, top: OnceCell::new() }
    }

    fn target(&self) -> Result<ManifestReference> {
        self.reference.target().ok_or_else(|| Error::Usage(format!("{}: neither tag nor digest", self.name)))
    }
}

#[async_trait]
impl Source for RegistrySource {
    fn name(&self) -> &ImageName {
        &self.name
    }

    fn identity(&self) -> Option<&Reference> {
        Some(&self.reference)
    }

    fn repository(&self) -> Option<&Repository> {
        Some(&self.repository)
    }

    async fn head(&self) -> Result<Option<Descriptor>> {
        self.repository.head_manifest(&self.target()?).await
    }

    async fn manifest(&self, instance: Option<&Digest>) -> Result<RawManifest> {
        match instance {
            Some(digest) => self.repository.manifest(&ManifestReference::Digest(digest.clone())).await,
            None => {
                let target = self.target()?;
                self.top.get_or_try_init(|| self.repository.manifest(&target)).await.cloned()
            }
        }
    }

    async fn blob(&self, blob: &Descriptor) -> Result<Box<dyn Content>> {
        Ok(self.repository.blob(blob))
    }

    async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        self.repository.referrers(subject, None).await
    }
}

pub(super) struct RegistrySink {
    name: ImageName,
    reference: Reference,
    repository: Repository,
}

impl RegistrySink {
    pub(super) const fn new(name: ImageName, reference: Reference, repository: Repository) -> Self {
        Self { name, reference, repository }
    }
}

#[async_trait]
impl Sink for RegistrySink {
    fn name(&self) -> &ImageName {
        &self.name
    }

    fn traits(&self) -> SinkTraits {
        SinkTraits {
            manifest_types: None,
            indexes: true,
            signatures: true,
            layers: LayerForm::Compress,
            keeps_manifest: true,
            concurrent: true,
        }
    }

    fn identity(&self) -> Option<&Reference> {
        Some(&self.reference)
    }

    fn repository(&self) -> Option<&Repository> {
        Some(&self.repository)
    }

    async fn current(&self) -> Result<Option<Descriptor>> {
        match self.reference.target() {
            Some(target) => self.repository.head_manifest(&target).await,
            None => Ok(None),
        }
    }

    async fn reuse(&self, blob: &Descriptor, mount_from: &[RepoName]) -> Result<Reuse> {
        if self.repository.has_blob(&blob.digest).await?.is_some() {
            return Ok(Reuse::Present);
        }
        let Some(from) = mount_from.first() else { return Ok(Reuse::Absent(None)) };
        match self.repository.mount(&blob.digest, Some(from)).await? {
            Mount::Done => Ok(Reuse::Mounted(from.clone())),
            Mount::Upload(upload) => Ok(Reuse::Absent(Some(upload))),
        }
    }

    async fn put(
        &self,
        blob: &Blob,
        content: &dyn Content,
        upload: Option<UploadHandle>,
    ) -> Result<Descriptor> {
        self.repository.put_blob(blob, content, upload).await
    }

    async fn put_manifest(&self, manifest: &RawManifest, role: Role) -> Result<()> {
        let digest = ManifestReference::Digest(manifest.digest.clone());
        let under = match role {
            Role::Child => digest,
            Role::Top => self.reference.target().unwrap_or(digest),
        };
        self.repository.put_manifest(manifest, &under).await
    }

    async fn commit(&self) -> Result<()> {
        Ok(())
    }
}
