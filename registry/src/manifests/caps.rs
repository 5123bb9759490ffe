//! How many manifests and tags a repository may have.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use berth_oci::{Digest, ManifestReference, RepoName, Tag};

use super::PutError;
use crate::catalog::{Catalog, CatalogError};

/// Repositories whose count is remembered.
const REMEMBERED: usize = 4096;

/// How many a repository may have; 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerRepository {
    /// Manifests.
    pub manifests: u32,
    /// Tags.
    pub tags: u32,
}

/// What may be pushed to a repository until it must be counted again.
#[derive(Clone, Copy, Debug, Default)]
struct Left {
    manifests: u32,
    tags: u32,
}

/// Holds repositories to their caps. Counting costs as much as there is to count, so a repository is
/// counted once, and again when a quarter of what was free can have been used: other replicas have a
/// quarter each as well. The caps hold give or take what is under way at that moment.
#[derive(Debug)]
pub(super) struct Caps {
    most: PerRepository,
    left: Mutex<HashMap<RepoName, Left>>,
}

impl Caps {
    pub(super) fn new(most: PerRepository) -> Self {
        Self { most, left: Mutex::default() }
    }

    fn left(&self) -> MutexGuard<'_, HashMap<RepoName, Left>> {
        // Only whole entries are put in and taken out.
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a push of `digest` under `tags` may be. What is there already may be pushed again.
    pub(super) async fn admit(
        &self,
        catalog: &Arc<dyn Catalog>,
        repo: &RepoName,
        digest: &Digest,
        tags: &[Tag],
    ) -> Result<(), PutError> {
        let PerRepository { manifests, tags: most_tags } = self.most;
        if (manifests, most_tags) == (0, 0) {
            return Ok(());
        }
        let wanted = u32::try_from(tags.len()).unwrap_or(u32::MAX);
        if let Some(left) = self.left().get_mut(repo)
            && left.manifests > 0
            && left.tags >= wanted
        {
            left.manifests -= 1;
            left.tags -= wanted;
            return Ok(());
        }
        let mut left = Left { manifests: u32::MAX, tags: u32::MAX };
        if manifests > 0 {
            let free = manifests - catalog.count_manifests(repo, manifests).await?.min(manifests);
            let digest = ManifestReference::Digest(digest.clone());
            if free == 0 && catalog.manifest(repo, &digest).await?.is_none() {
                return Err(PutError::RepositoryFull { what: "manifests", limit: manifests });
            }
            left.manifests = (free / 4).saturating_sub(1);
        }
        if most_tags > 0 {
            let free = most_tags - catalog.count_tags(repo, most_tags).await?.min(most_tags);
            if free < wanted && free < absent(catalog, repo, tags).await? {
                return Err(PutError::RepositoryFull { what: "tags", limit: most_tags });
            }
            left.tags = (free / 4).saturating_sub(wanted);
        }
        let mut all = self.left();
        if all.len() >= REMEMBERED {
            all.clear();
        }
        all.insert(repo.clone(), left);
        Ok(())
    }
}

/// How many of the tags are not there.
async fn absent(catalog: &Arc<dyn Catalog>, repo: &RepoName, tags: &[Tag]) -> Result<u32, CatalogError> {
    let mut absent = 0;
    for tag in tags.iter().collect::<HashSet<_>>() {
        if catalog.manifest(repo, &ManifestReference::Tag(tag.clone())).await?.is_none() {
            absent += 1;
        }
    }
    Ok(absent)
}
