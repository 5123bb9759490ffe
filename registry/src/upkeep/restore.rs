//! Puts manifests that come from elsewhere than a push into the catalog, children before parents.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use berth_oci::{
    Digest, MediaType, RepoName, Tag,
    manifest::{Manifest, ManifestError},
};
use bytes::Bytes;

use crate::{
    catalog::{
        BlobRow, Catalog, CatalogError, Committed, Lease, ManifestPut, ManifestRef, NewBlob, RefKind,
        Refusal, Restored, UploadId,
    },
    clock::{Clock, Timestamp},
    manifests::Manifests,
};

/// A manifest that is to come back.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The repository.
    pub repo: RepoName,
    /// The digest, which `body` has.
    pub digest: Digest,
    /// Its Content-Type, where that is known.
    pub media_type: Option<MediaType>,
    /// When it was pushed.
    pub pushed_at: Timestamp,
    /// The bytes.
    pub body: Bytes,
    /// Its tags, and since when.
    pub tags: Vec<(Tag, Timestamp)>,
}

/// How one came back.
#[derive(Debug)]
pub enum Outcome {
    /// Whole, but for these tags that have moved on since.
    Whole(Vec<Tag>),
    /// Not yet, or, if it was to be stored as it is, without these.
    Lacking(Vec<ManifestRef>),
    /// Not at all.
    Refused(String),
}

/// Puts manifests into the catalog.
#[derive(Debug)]
pub struct Restore<'a> {
    catalog: &'a dyn Catalog,
    manifests: &'a Manifests,
    clock: &'a dyn Clock,
    lease: Duration,
    // Links that were made, and until when that will do: layers are shared, and one transaction for each will do.
    linked: Mutex<HashMap<(RepoName, Digest), Timestamp>>,
}

impl<'a> Restore<'a> {
    /// Into this catalog, by these rules. Collection leaves blobs alone for `lease` from when they are linked.
    #[must_use]
    pub fn new(
        catalog: &'a dyn Catalog,
        manifests: &'a Manifests,
        clock: &'a dyn Clock,
        lease: Duration,
    ) -> Self {
        Self { catalog, manifests, clock, lease, linked: Mutex::default() }
    }

    fn lease(&self) -> Lease {
        Lease { now: self.clock.now(), length: self.lease }
    }

    /// Whether a blob was linked so lately that collection leaves it alone for a quarter of a lease at least.
    #[must_use]
    pub fn is_linked(&self, repo: &RepoName, digest: &Digest) -> bool {
        let link = (repo.clone(), digest.clone());
        let linked = self.linked.lock().unwrap_or_else(PoisonError::into_inner);
        linked.get(&link).is_some_and(|until| self.clock.now() < *until)
    }

    /// Whether a blob was linked, and so long ago that collection may have taken it again.
    #[must_use]
    pub fn is_due(&self, repo: &RepoName, digest: &Digest) -> bool {
        let link = (repo.clone(), digest.clone());
        let linked = self.linked.lock().unwrap_or_else(PoisonError::into_inner);
        linked.get(&link).is_some_and(|until| self.clock.now() >= *until)
    }

    /// Notes that a blob was linked just before, with `lease`.
    fn note(&self, repo: &RepoName, digest: &Digest, lease: Lease) {
        let link = (repo.clone(), digest.clone());
        // A lease that has half of its time left is not renewed: a quarter leaves another for what follows.
        let until = lease.now + lease.length / 4;
        self.linked.lock().unwrap_or_else(PoisonError::into_inner).insert(link, until);
    }

    /// Makes a durable object visible as a blob of `repo`, and ends the session that brought it; why not, if its
    /// namespace may not hold it. That is only so where a server runs beside, which keeps its quotas; manifests then
    /// lack it.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn blob(
        &self,
        repo: &RepoName,
        blob: &BlobRow,
        upload: Option<UploadId>,
    ) -> Result<Result<Committed, Refusal>, CatalogError> {
        let BlobRow { digest, size, key } = blob.clone();
        let (new, lease) = (NewBlob { repo: repo.clone(), digest, size, key, upload }, self.lease());
        let committed = self.catalog.commit_blob(&new, lease.now, lease).await?;
        match &committed {
            Ok(_) => self.note(repo, &blob.digest, lease),
            Err(refusal) => tracing::warn!("Blob {} stays out of {repo}: {refusal}", blob.digest),
        }
        Ok(committed)
    }

    /// Links a blob that some repository has into `repo`. `None` where none has it; why not, if its namespace may not
    /// hold it.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn known_blob(
        &self,
        repo: &RepoName,
        digest: &Digest,
    ) -> Result<Option<Result<(), Refusal>>, CatalogError> {
        let lease = self.lease();
        match self.catalog.mount_blob(None, repo, digest, lease.now, lease).await? {
            Ok(None) => Ok(None),
            Ok(Some(_)) => {
                self.note(repo, digest, lease);
                Ok(Some(Ok(())))
            }
            Err(refusal) => {
                tracing::warn!("Blob {digest} stays out of {repo}: {refusal}");
                Ok(Some(Err(refusal)))
            }
        }
    }

    /// The blobs that a manifest needs; none for what is no manifest.
    #[must_use]
    pub fn blobs_of(&self, candidate: &Candidate) -> Vec<Digest> {
        let Ok(manifest) = Manifest::parse(candidate.body.clone(), candidate.media_type.as_ref()) else {
            return Vec::new();
        };
        let references = self.manifests.row(&candidate.repo, &candidate.digest, &manifest).references;
        references.into_iter().filter(|r| r.kind == RefKind::Blob).map(|r| r.digest).collect()
    }

    /// Whether others have to be there before it is: it is an index.
    ///
    /// # Errors
    /// When it is no manifest.
    pub fn is_parent(&self, candidate: &Candidate) -> Result<bool, ManifestError> {
        let manifest = Manifest::parse(candidate.body.clone(), candidate.media_type.as_ref())?;
        Ok(!manifest.manifests.is_empty())
    }

    /// Stores a manifest with its tags; as it is, whatever it lacks, where `as_it_is`.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn manifest(&self, candidate: &Candidate, as_it_is: bool) -> Result<Outcome, CatalogError> {
        let manifest = match Manifest::parse(candidate.body.clone(), candidate.media_type.as_ref()) {
            Ok(manifest) => manifest,
            Err(error) => return Ok(Outcome::Refused(error.to_string())),
        };
        let mut restored = Restored {
            manifest: self.manifests.row(&candidate.repo, &candidate.digest, &manifest),
            pushed_at: candidate.pushed_at,
            tags: candidate.tags.clone(),
        };
        let mut lacking = Vec::new();
        loop {
            let restoration = self.catalog.restore(&restored, self.lease()).await?;
            match restoration.put {
                ManifestPut::Stored { .. } if lacking.is_empty() => {
                    return Ok(Outcome::Whole(restoration.newer));
                }
                ManifestPut::Stored { .. } => return Ok(Outcome::Lacking(lacking)),
                ManifestPut::Missing(missing) if as_it_is => {
                    for reference in &mut restored.manifest.references {
                        let is_missing =
                            |m: &ManifestRef| m.digest == reference.digest && m.kind == reference.kind;
                        reference.optional |= missing.iter().any(is_missing);
                    }
                    lacking.extend(missing);
                }
                ManifestPut::Missing(missing) => return Ok(Outcome::Lacking(missing)),
                ManifestPut::TooDeep => return Ok(Outcome::Refused("it is nested too deep".to_owned())),
                ManifestPut::TagFixed(tag) => {
                    return Ok(Outcome::Refused(format!("tag {tag} must not move")));
                }
                ManifestPut::Refused(refusal) => return Ok(Outcome::Refused(refusal.to_string())),
            }
        }
    }
}
