//! Where an image goes.

#[cfg(test)]
pub(crate) mod suite;

use async_trait::async_trait;
use berth_oci::{Descriptor, Digest, Reference, RepoName};

use crate::{
    Content, ImageName, RawManifest, Result, content::Blob, remote::Repository, signature::Signature,
};

/// What a transport holds, and how. The engine plans by it.
#[derive(Clone, Debug)]
pub struct SinkTraits {
    /// Manifest types it takes, best first; `None` takes every type.
    pub manifest_types: Option<&'static [&'static str]>,
    /// Whether it holds indexes (docker-archive and docker-daemon do not).
    pub indexes: bool,
    /// Whether it holds signatures.
    pub signatures: bool,
    /// What it wants of layers that nobody asked to be recompressed.
    pub layers: LayerForm,
    /// Whether it has the manifest's digest as the source had it. Where it has not (docker-archive and docker-daemon
    /// keep no manifest), `--preserve-digests` is an error.
    pub keeps_manifest: bool,
    /// Whether blobs may be put at once. An archive on standard output takes one after the other.
    pub concurrent: bool,
    /// Whether all of what a manifest there names is surely there too. Registries refuse a manifest whose parts they lack;
    /// of a folder anybody may have taken a file away, and an index may have been written without all of its children.
    pub trust_current: bool,
    /// Whether it unpacks layers. Then it needs the content of each, also of one that may lie elsewhere, and an image's
    /// configuration is put before its layers are asked for: the digests of what is in them stand there.
    pub unpacks: bool,
}

/// What a transport wants of layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerForm {
    /// As they are.
    Preserve,
    /// Compressed: plain ones are gzipped (registries and OCI layouts, as Skopeo does).
    Compress,
    /// Plain tar (docker-archive, docker-daemon).
    Decompress,
}

/// An upload that a registry began in answer to a mount it did not do: its `Location`, absolute.
#[derive(Clone, Debug)]
pub struct UploadHandle(pub url::Url);

/// What a sink had of a blob.
#[derive(Debug)]
pub enum Reuse {
    /// It is there.
    Present,
    /// It is there now, from this repository of the same registry.
    Mounted(RepoName),
    /// It is not there.
    Absent(Option<UploadHandle>),
}

/// What a manifest is at its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A child of an index, or a referrer: put by digest.
    Child,
    /// What the destination's name will mean: put last, under the tag where there is one.
    Top,
}

/// Writes one image, index or artifact.
///
/// The order of calls: blobs of a manifest before it, children before their index, the top last, then [`Self::commit`].
/// One suite runs on every implementation. Blobs may be put at once where [`SinkTraits::concurrent`]. A sink that is
/// dropped without a commit leaves nothing that looks like an image.
#[async_trait]
pub trait Sink: Send + Sync {
    /// The name it was opened by.
    fn name(&self) -> &ImageName;

    /// What it holds and how.
    fn traits(&self) -> SinkTraits;

    /// The reference that a new signature will speak of, where the transport has one.
    fn identity(&self) -> Option<&Reference> {
        None
    }

    /// The repository, where the sink is a registry.
    fn repository(&self) -> Option<&Repository> {
        None
    }

    /// What the name means there now, by the cheapest way (HEAD): a copy of the same is done at once.
    async fn current(&self) -> Result<Option<Descriptor>>;

    /// Asserts that signatures of these kinds have a place, before anything moves.
    ///
    /// # Errors
    /// If they have none, with the setting that gives them one.
    fn check_signatures(&self, _simple: bool, _sigstore: bool) -> Result<()> {
        Ok(())
    }

    /// An image that is about to come, before any of its blobs: who cannot take it says so here, where nothing moved yet.
    async fn expect(&self, _image: &berth_oci::Manifest) -> Result<()> {
        Ok(())
    }

    /// Whether a blob is there, or can be made to be without its bytes. `mount_from` are repositories of the same
    /// registry that are known to hold it, best first.
    async fn reuse(&self, blob: &Descriptor, mount_from: &[RepoName]) -> Result<Reuse>;

    /// Stores a blob and answers what it is. The content is verified by its stream, see [`Content`]; a sink that was
    /// told no digest hashes for itself. Whatever fails leaves no blob.
    async fn put(
        &self,
        blob: &Blob,
        content: &dyn Content,
        upload: Option<UploadHandle>,
    ) -> Result<Descriptor>;

    /// Begins an upload that may outlive this process: whoever notes it can go on with it later, by
    /// [`Self::put_lasting`]. `None` where the transport has no such thing.
    async fn begin_upload(&self) -> Result<Option<UploadHandle>> {
        Ok(None)
    }

    /// As [`Self::put`], on an upload of [`Self::begin_upload`], which stays where the process ends or the connection
    /// breaks. If it was `begun_before`, perhaps by another process, what it has of the blob is not sent again; one that
    /// is gone is no error.
    async fn put_lasting(
        &self,
        blob: &Blob,
        content: &dyn Content,
        upload: UploadHandle,
        begun_before: bool,
    ) -> Result<Descriptor> {
        self.put(blob, content, (!begun_before).then_some(upload)).await
    }

    /// Stores a manifest. Its bytes are kept as they are.
    async fn put_manifest(&self, manifest: &RawManifest, role: Role) -> Result<()>;

    /// Stores signatures of the manifest with this digest, beside what is there.
    async fn put_signatures(&self, _manifest: &Digest, _signatures: &[Signature]) -> Result<()> {
        Ok(())
    }

    /// Makes durable and visible what was put (closes an archive, writes an index file). Called once, last.
    async fn commit(&self) -> Result<()>;
}
