//! Puts manifests that come from elsewhere than a push into the catalog, children before parents.

use std::{collections::HashSet, sync::Mutex, sync::PoisonError};

use berth_oci::{
    Digest, MediaType, RepoName, Tag,
    manifest::{Manifest, ManifestError},
};
use bytes::Bytes;

use crate::{
    catalog::{BlobRow, Catalog, CatalogError, Lease, ManifestPut, ManifestRef, NewBlob, Refusal, Restored},
    clock::Timestamp,
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
    lease: Lease,
    // Links that were made: layers are shared, and one transaction for each will do.
    linked: Mutex<HashSet<(RepoName, Digest)>>,
}

impl<'a> Restore<'a> {
    /// Into this catalog, by these rules. Blobs are left alone by collection for `lease`.
    #[must_use]
    pub fn new(catalog: &'a dyn Catalog, manifests: &'a Manifests, lease: Lease) -> Self {
        Self { catalog, manifests, lease, linked: Mutex::default() }
    }

    /// How many blobs were linked into repositories.
    #[must_use]
    pub fn links(&self) -> usize {
        self.linked.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Makes a durable object visible as a blob of `repo`; why not, if its namespace may not hold it. That
    /// is only so where a server runs beside, which keeps its quotas; manifests then lack it.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn blob(&self, repo: &RepoName, blob: &BlobRow) -> Result<Option<Refusal>, CatalogError> {
        let link = (repo.clone(), blob.digest.clone());
        if self.linked.lock().unwrap_or_else(PoisonError::into_inner).contains(&link) {
            return Ok(None);
        }
        let BlobRow { digest, size, key } = blob.clone();
        let new = NewBlob { repo: repo.clone(), digest, size, key, upload: None };
        if let Err(refusal) = self.catalog.commit_blob(&new, self.lease.now, self.lease).await? {
            tracing::warn!("Blob {} stays out of {repo}: {refusal}", blob.digest);
            return Ok(Some(refusal));
        }
        self.linked.lock().unwrap_or_else(PoisonError::into_inner).insert(link);
        Ok(None)
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
            let restoration = self.catalog.restore(&restored, self.lease).await?;
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
