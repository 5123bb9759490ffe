//! The rules of manifests: what may be stored, under which tags, and what it must refer to.
//! No axum, no sqlx here.

use std::{collections::HashMap, sync::Arc, time::Duration};

use berth_oci::{
    Descriptor, Digest, ManifestReference, MediaType, RepoName, Tag,
    manifest::{Manifest, ManifestError},
};
use bytes::Bytes;

mod caps;

use caps::Caps;
pub use caps::PerRepository;

use crate::{
    catalog::{
        Burial, Catalog, CatalogError, IsFixed, Lease, ManifestDelete, ManifestPut, ManifestRef, ManifestRow,
        NewManifest, RecordName, RefKind, Refusal,
    },
    clock::Clock,
    records::{RecordError, Records},
    storage::StorageError,
    tags::Immutable,
};

/// What the configuration says about manifests.
#[derive(Clone, Debug)]
pub struct Settings {
    /// An index may be stored though children of it are missing.
    pub sparse_indexes: bool,
    /// An image may be stored though layers of it are missing.
    pub sparse_images: bool,
    /// Indexes may be nested so deep.
    pub max_depth: usize,
    /// Tags that never move or go.
    pub immutable: Immutable,
    /// How long blobs are kept after something named them.
    pub blob_lease: Duration,
    /// What is deleted can be brought back for a while.
    pub undelete: bool,
    /// How many manifests and tags a repository may have.
    pub most: PerRepository,
}

/// Why a manifest was not stored.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// It breaks a rule of its own format.
    #[error(transparent)]
    Invalid(#[from] ManifestError),
    /// Its digest is not the one that it was pushed under.
    #[error("the manifest is {actual}, not {expected}")]
    DigestMismatch {
        /// What the client said.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// It refers to what is not there.
    #[error("{} references are missing", .0.len())]
    Missing(Vec<ManifestRef>),
    /// It is nested too deep.
    #[error("the index is nested deeper than {0} levels")]
    TooDeep(usize),
    /// A tag that must not move points elsewhere.
    #[error("tag {0} is immutable")]
    Immutable(Tag),
    /// The namespace's limits say no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The repository has as many of something as it may have.
    #[error("the repository has {limit} {what}, and may have no more")]
    RepositoryFull {
        /// Of what.
        what: &'static str,
        /// How many.
        limit: u32,
    },
    /// A tag points elsewhere that the caller may not move.
    #[error("tag {0} may not be moved")]
    Kept(Tag),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Its record could not be written.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<RecordError> for PutError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Catalog(error) => Self::Catalog(error),
            RecordError::Storage(error) => Self::Storage(error),
        }
    }
}

impl From<RecordError> for DeleteError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Catalog(error) => Self::Catalog(error),
            RecordError::Storage(error) => Self::Storage(error),
        }
    }
}

/// Why a manifest or tag was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// A tag that must not go.
    #[error("tag {0} is immutable")]
    Immutable(Tag),
    /// A tag that the caller may not take away.
    #[error("tag {0} may not be deleted")]
    Kept(Tag),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Its record could not be deleted.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A manifest that was stored.
#[derive(Debug)]
pub struct Stored {
    /// Its digest.
    pub digest: Digest,
    /// Its subject, for `OCI-Subject`.
    pub subject: Option<Digest>,
    /// It has layers of a type that the specification has deprecated.
    pub deprecated_layers: bool,
    /// The tags that point at it now, of those that the push named.
    pub tags: Vec<Tag>,
    /// Which of them pointed at another manifest before, and at which.
    pub moved: Vec<(Tag, Digest)>,
}

/// Reads and writes manifests.
#[derive(Clone, Debug)]
pub struct Manifests {
    catalog: Arc<dyn Catalog>,
    clock: Arc<dyn Clock>,
    records: Records,
    settings: Arc<Settings>,
    caps: Arc<Caps>,
}

impl Manifests {
    /// Rules over a catalog, whose changes go into `records` before they are answered.
    #[must_use]
    pub fn new(
        catalog: Arc<dyn Catalog>,
        clock: Arc<dyn Clock>,
        records: Records,
        settings: Settings,
    ) -> Self {
        let caps = Arc::new(Caps::new(settings.most));
        Self { catalog, clock, records, settings: Arc::new(settings), caps }
    }

    fn lease(&self) -> Lease {
        Lease { now: self.clock.now(), length: self.settings.blob_lease }
    }

    /// Stores `body` verbatim under `reference` and `tags`. Tags that are there and that `kept` says so of only
    /// stay where they point. Safe to repeat.
    ///
    /// # Errors
    /// See [`PutError`]; nothing is stored then, no tag has moved. But where catalog or storage failed
    /// it may be, and the push has to be repeated.
    pub async fn put(
        &self,
        repo: &RepoName,
        reference: ManifestReference,
        tags: Vec<Tag>,
        content_type: Option<&MediaType>,
        body: Bytes,
        kept: IsFixed,
    ) -> Result<Stored, PutError> {
        let manifest = Manifest::parse(body.clone(), content_type)?;
        let (digest, tags) = match reference {
            ManifestReference::Digest(expected) => {
                let actual = Digest::of(expected.algorithm(), &body);
                if actual != expected {
                    return Err(PutError::DigestMismatch { expected, actual });
                }
                (expected, tags)
            }
            ManifestReference::Tag(tag) => {
                let tags = std::iter::once(tag).chain(tags).collect();
                (Digest::of(berth_oci::Algorithm::Sha256, &body), tags)
            }
        };
        self.caps.admit(&self.catalog, repo, &digest, &tags).await?;
        let fixed = |tag: &&Tag| self.settings.immutable.covers(repo, tag) || kept(tag);
        let fixed = tags.iter().filter(fixed).cloned().collect();
        let subject = manifest.subject.as_ref().map(|subject| subject.digest.clone());
        let deprecated_layers = manifest.layers.iter().any(|layer| layer.media_type.is_non_distributable());
        let new = NewManifest { tags, fixed, ..self.row(repo, &digest, &manifest) };
        match self.catalog.put_manifest(&new, self.clock.now(), self.lease()).await? {
            ManifestPut::Stored { created, moved } => {
                if !created {
                    self.mend(repo, &digest, &new.body).await?;
                }
                let set = new.tags.clone();
                let tags = new.tags.into_iter().map(|tag| RecordName::Tag(repo.clone(), tag));
                let manifest = RecordName::Manifest(repo.clone(), digest.clone());
                self.records.settle(tags.chain([manifest])).await?;
                Ok(Stored { digest, subject, deprecated_layers, tags: set, moved })
            }
            ManifestPut::Missing(missing) => Err(PutError::Missing(missing)),
            ManifestPut::Refused(refusal) => Err(PutError::Refused(refusal)),
            ManifestPut::TagFixed(tag) if self.settings.immutable.covers(repo, &tag) => {
                Err(PutError::Immutable(tag))
            }
            ManifestPut::TagFixed(tag) => Err(PutError::Kept(tag)),
            ManifestPut::TooDeep => Err(PutError::TooDeep(self.settings.max_depth)),
        }
    }

    /// Puts the bytes of a manifest right that was there and has been damaged. Before its record is written, which is
    /// made of the catalog's bytes.
    async fn mend(&self, repo: &RepoName, digest: &Digest, body: &Bytes) -> Result<(), CatalogError> {
        match self.catalog.manifest(repo, &ManifestReference::Digest(digest.clone())).await {
            Err(error) if error.is_damage_of(digest) => {
                self.catalog.mend_body(digest, body).await?;
                tracing::warn!(%digest, "Manifest {digest} was damaged in the catalog; a push of it has put it right");
                Ok(())
            }
            found => found.map(drop),
        }
    }

    /// What the catalog is to hold of a manifest, but for its tags.
    #[must_use]
    pub fn row(&self, repo: &RepoName, digest: &Digest, manifest: &Manifest) -> NewManifest {
        NewManifest {
            repo: repo.clone(),
            digest: digest.clone(),
            media_type: manifest.media_type.clone(),
            references: self.references(manifest),
            subject: manifest.subject.as_ref().map(|subject| subject.digest.clone()),
            artifact_type: manifest.referrer_type().cloned(),
            annotations: manifest.annotations.clone(),
            tags: Vec::new(),
            fixed: Vec::new(),
            max_depth: self.settings.max_depth,
            body: manifest.raw.clone(),
        }
    }

    /// What must be in the repository before the manifest is.
    fn references(&self, manifest: &Manifest) -> Vec<ManifestRef> {
        let blob = |descriptor: &Descriptor, sparse: bool| ManifestRef {
            digest: descriptor.digest.clone(),
            kind: RefKind::Blob,
            optional: sparse || descriptor.media_type.is_non_distributable() || !descriptor.urls.is_empty(),
        };
        let config = manifest.config.iter().map(|config| blob(config, false));
        let layers = manifest.layers.iter().map(|layer| blob(layer, self.settings.sparse_images));
        let children = manifest.manifests.iter().map(|descriptor| ManifestRef {
            digest: descriptor.digest.clone(),
            kind: RefKind::Child,
            optional: self.settings.sparse_indexes,
        });
        // A layer may stand in a manifest twice (empty layers do); once is enough to know, and it
        // is optional only where every mention of it is.
        let mut seen = HashMap::new();
        let mut references: Vec<ManifestRef> = Vec::new();
        for reference in config.chain(layers).chain(children) {
            let at = *seen.entry((reference.digest.clone(), reference.kind)).or_insert(references.len());
            match references.get_mut(at) {
                Some(earlier) => earlier.optional &= reference.optional,
                None => references.push(reference),
            }
        }
        references
    }

    /// The manifest that `reference` stands for.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn get(
        &self,
        repo: &RepoName,
        reference: &ManifestReference,
    ) -> Result<Option<ManifestRow>, CatalogError> {
        self.catalog.manifest(repo, reference).await
    }

    /// Deletes a tag alone, or a manifest with all its tags. `false` when there was none.
    ///
    /// # Errors
    /// When an immutable tag would go, or one that `kept` says so of, or the catalog fails.
    pub async fn delete(
        &self,
        repo: &RepoName,
        reference: &ManifestReference,
        kept: IsFixed,
    ) -> Result<bool, DeleteError> {
        let burial = Burial { now: self.clock.now(), keep: self.settings.undelete };
        match reference {
            ManifestReference::Tag(tag) => {
                if self.settings.immutable.covers(repo, tag) {
                    return Err(DeleteError::Immutable(tag.clone()));
                }
                if kept(tag) {
                    return Err(DeleteError::Kept(tag.clone()));
                }
                let deleted = self.catalog.delete_tag(repo, tag, burial).await?;
                // Also where there was none: an earlier try may have come no further than the catalog.
                self.records.settle([RecordName::Tag(repo.clone(), tag.clone())]).await?;
                Ok(deleted)
            }
            ManifestReference::Digest(digest) => {
                let (settings, of) = (self.settings.clone(), repo.clone());
                let fixed = Arc::new(move |tag: &Tag| settings.immutable.covers(&of, tag) || kept(tag));
                match self.catalog.delete_manifest(repo, digest, fixed, burial).await? {
                    ManifestDelete::Deleted(tags) => {
                        let tags = tags.into_iter().map(|tag| RecordName::Tag(repo.clone(), tag));
                        let manifest = RecordName::Manifest(repo.clone(), digest.clone());
                        self.records.settle(tags.chain([manifest])).await?;
                        Ok(true)
                    }
                    ManifestDelete::Absent => Ok(false),
                    ManifestDelete::TagFixed(tag) if self.settings.immutable.covers(repo, &tag) => {
                        Err(DeleteError::Immutable(tag))
                    }
                    ManifestDelete::TagFixed(tag) => Err(DeleteError::Kept(tag)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
