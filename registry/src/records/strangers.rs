//! Records of what a catalog has never heard of.

use futures_util::TryStreamExt;

use super::RecordError;
use crate::{
    catalog::{Catalog, ObjectKey, RecordName},
    storage::{BlobStore, manifest_of},
};

/// What to say of a catalog that knows of no push though storage has records of some: it was lost, or is another
/// registry's. `None` where the two belong together. What an empty catalog does not know is nobody's to pull, and would be
/// there again after `recover`.
///
/// # Errors
/// When catalog or storage fails.
pub async fn forgotten(catalog: &dyn Catalog, store: &dyn BlobStore) -> Result<Option<String>, RecordError> {
    if !catalog.is_empty().await? {
        return Ok(None);
    }
    recorded(store).await
}

/// The same where the catalog is known to be empty.
///
/// # Errors
/// When storage fails.
pub async fn recorded(store: &dyn BlobStore) -> Result<Option<String>, RecordError> {
    let mut listed = store.list("manifests");
    while let Some(object) = listed.try_next().await? {
        if let Some((repo, digest)) = manifest_of(&object.key) {
            return Ok(Some(format!(
                "the catalog is empty, and storage has records of what was pushed, {repo}@{digest} among them: is this \
                 the right catalog? If it was lost, stop the registry and run `berth-registry recover` before anything \
                 is pushed"
            )));
        }
    }
    Ok(None)
}

/// Records of manifests that the catalog does not have and is not about to take away, `most` of them
/// at most. There are none, whenever a process or storage died, as long as catalog and storage belong
/// together: the catalog commits first, and notes what storage does not know yet. Where there are some, it
/// is an empty catalog, an older one from a backup, or another registry's, and what it knows
/// nothing of is not nobody's.
///
/// # Errors
/// When catalog or storage fails.
pub async fn strangers(
    catalog: &dyn Catalog,
    store: &dyn BlobStore,
    most: usize,
) -> Result<Vec<ObjectKey>, RecordError> {
    let mut found = Vec::new();
    let mut listed = store.list("manifests");
    while let Some(object) = listed.try_next().await? {
        let Some((repo, digest)) = manifest_of(&object.key) else { continue };
        let name = RecordName::Manifest(repo, digest);
        let now = catalog.record(&name).await?;
        let is_known = now.content.is_some() || now.sequence.is_some();
        // Perhaps it went since it was listed, and the note of that with it.
        if !is_known && store.size(&object.key).await?.is_some() {
            found.push(object.key);
            if found.len() >= most {
                break;
            }
        }
    }
    Ok(found)
}
