//! Takes over what another registry has stored, from where it lies.
//!
//! The other registry may go on serving, and taking pushes: nothing of its tree is changed, and a
//! second run picks up what has come since. A folder's blobs get a second name in ours, so that either
//! registry can delete its own without touching the other's; a bucket's are served where they are,
//! and never deleted. Where both take pushes of one tag, the later one wins.

mod blobs;
#[cfg(test)]
mod tests;
mod tree;

use std::{collections::HashMap, sync::Arc, time::Duration};

use berth_oci::{Digest, ManifestReference, RepoName, Tag};
use serde::Serialize;
use serde_json::json;

use self::tree::Repository;
pub use self::tree::Tree;
use super::{
    Teller, UpkeepError,
    restore::{Candidate, Outcome, Restore},
};
use crate::{
    catalog::Catalog,
    clock::{Clock, Timestamp},
    manifests::Manifests,
    records::Records,
    storage::BlobStore,
};

/// What was taken over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Repositories in the tree.
    pub repositories: u64,
    /// Manifests that are new here.
    pub manifests: u64,
    /// Tags that are new here or have moved.
    pub tags: u64,
    /// Manifests and tags that were here already.
    pub known: u64,
    /// Tags that were set here later, and stay.
    pub newer: u64,
    /// Blobs that got a second name, or are served where they are.
    pub in_place: u64,
    /// Blobs that were copied.
    pub copied: u64,
    /// Manifests that are here but lack something that the tree lacks too, or that was left out.
    pub incomplete: u64,
    /// Manifests, tags and links of blobs that could not be taken over.
    pub skipped: u64,
}

/// Takes over a tree.
#[derive(Debug)]
pub struct Import {
    /// Into this catalog.
    pub catalog: Arc<dyn Catalog>,
    /// And this storage.
    pub store: Arc<dyn BlobStore>,
    /// By these rules.
    pub manifests: Manifests,
    /// What then writes the records.
    pub records: Records,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// For how long collection leaves alone what was taken over and no manifest names yet.
    pub lease: Duration,
    /// Whether every blob is read first.
    pub verify: bool,
}

/// A manifest on its way.
struct Waiting {
    digest: Digest,
    pushed_at: Timestamp,
    tags: Vec<(Tag, Timestamp)>,
}

impl Import {
    /// Takes over everything in the tree.
    ///
    /// # Errors
    /// When the tree cannot be read, when catalog or storage fails. It can be run again.
    pub async fn run(&self, tree: &Tree, teller: &Teller) -> Result<Imported, UpkeepError> {
        let mut imported = Imported::default();
        let repositories = tree.repositories().await?;
        if repositories.is_empty() {
            return Err(UpkeepError::Refused(
                "no repository is there: the folder or root must be the one that docker/registry/v2 is in"
                    .to_owned(),
            ));
        }
        teller.tell(&json!({ "progress": "repositories", "count": repositories.len() })).await;
        for (name, repository) in repositories {
            let restore = Restore::new(&*self.catalog, &self.manifests, &*self.clock, self.lease);
            self.repository(tree, &restore, &name, repository, &mut imported, teller).await?;
            imported.repositories += 1;
            teller.tell(&json!({ "imported": name })).await;
        }
        self.records.settle_all().await?;
        Ok(imported)
    }

    async fn repository(
        &self,
        tree: &Tree,
        restore: &Restore<'_>,
        name: &RepoName,
        repository: Repository,
        imported: &mut Imported,
        teller: &Teller,
    ) -> Result<(), UpkeepError> {
        for digest in &repository.layers {
            if let Some(refusal) = self.blob(tree, restore, name, digest, imported, teller).await? {
                imported.skipped += 1;
                let what = format!("blob {digest} of {name}");
                teller.tell(&json!({ "skipped": what, "why": refusal.to_string() })).await;
            }
        }
        let mut tags: HashMap<Digest, Vec<(Tag, Timestamp)>> = HashMap::new();
        for (tag, since) in repository.tags {
            match tree.tag(name, &tag).await? {
                Some(digest) if repository.revisions.contains_key(&digest) => {
                    tags.entry(digest).or_default().push((tag, since));
                }
                Some(digest) => {
                    imported.skipped += 1;
                    let why = format!("its manifest {digest} was deleted");
                    teller.tell(&json!({ "skipped": format!("{name}:{tag}"), "why": why })).await;
                }
                None => {}
            }
        }
        let mut waiting = Vec::new();
        for (digest, pushed_at) in repository.revisions {
            let tags = tags.remove(&digest).unwrap_or_default();
            waiting.push(Waiting { digest, pushed_at, tags });
        }
        // Children before parents, as long as that gets anywhere; the rest as it is.
        loop {
            let before = waiting.len();
            waiting = self.round(tree, restore, name, waiting, false, imported, teller).await?;
            if waiting.is_empty() || waiting.len() == before {
                break;
            }
        }
        self.round(tree, restore, name, waiting, true, imported, teller).await?;
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "one step of one function, which has all of these")]
    async fn round(
        &self,
        tree: &Tree,
        restore: &Restore<'_>,
        name: &RepoName,
        manifests: Vec<Waiting>,
        as_it_is: bool,
        imported: &mut Imported,
        teller: &Teller,
    ) -> Result<Vec<Waiting>, UpkeepError> {
        let mut waiting = Vec::new();
        for manifest in manifests {
            if self.is_known(name, &manifest).await? {
                imported.known += 1 + manifest.tags.len() as u64;
                continue;
            }
            let what = format!("{name}@{}", manifest.digest);
            let Some(body) = tree.manifest(&manifest.digest).await? else {
                imported.skipped += 1 + manifest.tags.len() as u64;
                teller.tell(&json!({ "skipped": what, "why": "its bytes are gone" })).await;
                continue;
            };
            if Digest::of(manifest.digest.algorithm(), &body) != manifest.digest {
                imported.skipped += 1 + manifest.tags.len() as u64;
                let why = "its bytes are not those of its digest";
                teller.tell(&json!({ "skipped": what, "why": why })).await;
                continue;
            }
            let candidate = Candidate {
                repo: name.clone(),
                digest: manifest.digest.clone(),
                media_type: None,
                pushed_at: manifest.pushed_at,
                body,
                tags: manifest.tags.clone(),
            };
            // What was linked long ago collection may have taken since, for no manifest named it.
            for digest in restore.blobs_of(&candidate) {
                if restore.is_due(name, &digest) {
                    drop(self.blob(tree, restore, name, &digest, imported, teller).await?);
                }
            }
            match restore.manifest(&candidate, as_it_is).await? {
                Outcome::Lacking(_) if !as_it_is => waiting.push(manifest),
                Outcome::Refused(why) => {
                    imported.skipped += 1 + manifest.tags.len() as u64;
                    teller.tell(&json!({ "skipped": what, "why": why })).await;
                }
                Outcome::Whole(newer) => {
                    imported.manifests += 1;
                    imported.newer += newer.len() as u64;
                    imported.tags += (manifest.tags.len() - newer.len()) as u64;
                }
                Outcome::Lacking(lacking) => {
                    imported.manifests += 1;
                    imported.incomplete += 1;
                    imported.tags += manifest.tags.len() as u64;
                    let lacks: Vec<_> = lacking.into_iter().map(|reference| reference.digest).collect();
                    teller.tell(&json!({ "incomplete": what, "lacks": lacks })).await;
                }
            }
        }
        Ok(waiting)
    }

    /// Whether the manifest is here with all its tags.
    async fn is_known(&self, name: &RepoName, manifest: &Waiting) -> Result<bool, UpkeepError> {
        let by_digest = ManifestReference::Digest(manifest.digest.clone());
        if self.catalog.manifest(name, &by_digest).await?.is_none() {
            return Ok(false);
        }
        for (tag, _) in &manifest.tags {
            let held = self.catalog.manifest(name, &ManifestReference::Tag(tag.clone())).await?;
            if held.is_none_or(|held| held.digest != manifest.digest) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
