//! A registry as a source and as a sink.

use async_trait::async_trait;
use berth_oci::{Descriptor, Digest, ManifestReference, Reference, RepoName};
use tokio::sync::OnceCell;

use super::{Mount, Repository};
use crate::{
    Content, Error, ImageName, RawManifest, Result, Reuse, Role, Sink, SinkTraits, Source, UploadHandle,
    content::Blob,
    signature::{Signature, storage},
    sink::LayerForm,
};

/// Repositories that a blob is tried to be mounted from.
const MOUNTS: usize = 2;

pub(super) struct RegistrySource {
    name: ImageName,
    reference: Reference,
    repository: Repository,
    head: OnceCell<Option<Descriptor>>,
    top: OnceCell<RawManifest>,
}

impl RegistrySource {
    pub(super) fn new(name: ImageName, reference: Reference, repository: Repository) -> Self {
        Self { name, reference, repository, head: OnceCell::new(), top: OnceCell::new() }
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
        if let Some(top) = self.top.get() {
            return top.descriptor().map(Some);
        }
        let target = self.target()?;
        let what = || self.repository.head_manifest(&target);
        let found = self.head.get_or_try_init(what).await?.clone();
        match found {
            Some(found) => Ok(Some(found)),
            None => Err(Error::NotFound {
                what: format!("reading manifest {target}"),
                place: format!("{}/{}", self.reference.host(), self.reference.name()),
                reason: super::repository::NO_MANIFEST.to_owned(),
            }),
        }
    }

    async fn manifest(&self, instance: Option<&Digest>) -> Result<RawManifest> {
        if let Some(digest) = instance {
            return self.repository.manifest(&ManifestReference::Digest(digest.clone())).await;
        }
        // What was resolved once stays what it was, though the tag may move (C5).
        let target = match self.head.get() {
            Some(Some(found)) => ManifestReference::Digest(found.digest.clone()),
            Some(None) | None => self.target()?,
        };
        self.top.get_or_try_init(|| self.repository.manifest(&target)).await.cloned()
    }

    async fn blob(&self, blob: &Descriptor) -> Result<Box<dyn Content>> {
        Ok(self.repository.blob(blob))
    }

    async fn signatures(&self, manifest: &Digest) -> Result<Vec<Signature>> {
        storage::read(&self.repository, &self.repository.signature_storage(&self.reference), manifest).await
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

    /// Cancels an upload that nobody needs.
    async fn give_up(&self, upload: Option<UploadHandle>) {
        if let Some(upload) = upload
            && let Err(error) = self.repository.cancel(&upload).await
        {
            // The registry forgets it by itself, later.
            tracing::debug!("an upload stays behind: {error}");
        }
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
            trust_current: true,
            unpacks: false,
        }
    }

    fn identity(&self) -> Option<&Reference> {
        Some(&self.reference)
    }

    fn repository(&self) -> Option<&Repository> {
        Some(&self.repository)
    }

    fn check_signatures(&self, simple: bool, sigstore: bool) -> Result<()> {
        let storage = self.repository.signature_storage(&self.reference);
        storage::check(&self.repository, &storage, simple, sigstore)
    }

    async fn current(&self) -> Result<Option<Descriptor>> {
        match self.reference.target() {
            Some(target) => self.repository.head_manifest(&target).await,
            None => Ok(None),
        }
    }

    async fn reuse(&self, blob: &Descriptor, mount_from: &[RepoName]) -> Result<Reuse> {
        let own = self.repository.reference().name();
        if self.repository.surely_has(&blob.digest) {
            return Ok(Reuse::Present);
        }
        let known = self.repository.places_of(&blob.digest);
        let mut candidates: Vec<&RepoName> = Vec::new();
        for name in mount_from.iter().chain(&known) {
            if name != own && !candidates.contains(&name) {
                candidates.push(name);
            }
        }
        let mut candidates = candidates.into_iter().take(MOUNTS);
        // A mount that works answers the question as well, in one request.
        let first = match candidates.next() {
            Some(from) => match self.repository.mount(&blob.digest, Some(from)).await? {
                Mount::Done => return Ok(Reuse::Mounted(from.clone())),
                Mount::Upload(upload) => {
                    self.repository.unlearn(&blob.digest, from);
                    Some(upload)
                }
            },
            None => None,
        };
        if self.repository.has_blob(&blob.digest).await?.is_some() {
            self.give_up(first).await;
            return Ok(Reuse::Present);
        }
        let Some(from) = candidates.next() else { return Ok(Reuse::Absent(first)) };
        match self.repository.mount(&blob.digest, Some(from)).await? {
            Mount::Done => {
                self.give_up(first).await;
                Ok(Reuse::Mounted(from.clone()))
            }
            Mount::Upload(upload) => {
                self.repository.unlearn(&blob.digest, from);
                self.give_up(first).await;
                Ok(Reuse::Absent(Some(upload)))
            }
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

    async fn begin_upload(&self) -> Result<Option<UploadHandle>> {
        self.repository.lasting_upload().await.map(Some)
    }

    async fn put_lasting(
        &self,
        blob: &Blob,
        content: &dyn Content,
        upload: UploadHandle,
        begun_before: bool,
    ) -> Result<Descriptor> {
        self.repository.put_lasting(blob, content, upload, begun_before).await
    }

    async fn put_manifest(&self, manifest: &RawManifest, role: Role) -> Result<()> {
        let digest = ManifestReference::Digest(manifest.digest.clone());
        let under = match role {
            Role::Child => digest,
            Role::Top => self.reference.target().unwrap_or(digest),
        };
        self.repository.put_manifest(manifest, &under).await
    }

    async fn put_signatures(&self, manifest: &Digest, signatures: &[Signature]) -> Result<()> {
        let storage = self.repository.signature_storage(&self.reference);
        storage::write(&self.repository, &storage, manifest, signatures).await
    }

    async fn commit(&self) -> Result<()> {
        Ok(())
    }
}
