//! Records of what a catalog has never heard of.

use futures_util::TryStreamExt;

use super::RecordError;
use crate::{
    catalog::{Catalog, ObjectKey, RecordName},
    storage::BlobStore,
};

/// The manifest whose record lies at `key`, if that is what lies there.
#[must_use]
pub fn manifest_at(key: &ObjectKey) -> Option<RecordName> {
    let (repo, digest) = key.0.strip_prefix("manifests/")?.rsplit_once("/_")?;
    let (algorithm, hex) = digest.split_once('-')?;
    Some(RecordName::Manifest(repo.parse().ok()?, format!("{algorithm}:{hex}").parse().ok()?))
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
        let Some(name) = manifest_at(&object.key) else { continue };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::key;

    #[test]
    fn a_manifest_is_known_by_where_its_record_lies() {
        let digest = format!("sha512:{}", "ab".repeat(64)).parse().unwrap();
        let name = RecordName::Manifest("a/b_c".parse().unwrap(), digest);
        assert_eq!(manifest_at(&key(&name).object()), Some(name));
        for other in ["manifests/a/_x", "manifests/_sha256-ab", "tags/a/_v1", "blobs/x", ""] {
            assert_eq!(manifest_at(&ObjectKey(other.to_owned())), None, "{other}");
        }
    }
}
