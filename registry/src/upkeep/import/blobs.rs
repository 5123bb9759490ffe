//! Blobs on their way out of another registry's tree.

use std::{path::Path, time::Duration};

use berth_oci::{Digest, RepoName};
use serde_json::json;
use uuid::Uuid;

use super::{Import, Imported, Tree};
use crate::{
    catalog::{BlobRow, CatalogError, Refusal, UploadId, UploadProgress, UploadRow},
    storage::Adopted,
    upkeep::{
        Restore, Teller, UpkeepError,
        read::{Pace, State, file_state, state},
    },
};

/// No blob is copied for longer: the session that it has for as long is then thrown away with what it brought.
const LONGEST_COPY: Duration = Duration::from_hours(7 * 24);

impl Import {
    /// Links a blob into the repository; from here where it is here already. Why not, if it may not.
    ///
    /// Collection may run beside, with no grace at all. So an object has a session from before it is there until its row
    /// is, as that of a push, and what is here already is linked by the catalog's own step.
    pub(super) async fn blob(
        &self,
        tree: &Tree,
        restore: &Restore<'_>,
        name: &RepoName,
        digest: &Digest,
        imported: &mut Imported,
        teller: &Teller,
    ) -> Result<Option<Refusal>, UpkeepError> {
        if let Some(linked) = restore.known_blob(name, digest).await? {
            return Ok(linked.err());
        }
        // Links outlive what they point at: a garbage collection leaves them.
        let Some(size) = tree.size(digest).await? else { return Ok(None) };
        if self.verify && !self.is_whole(tree, digest, size).await? {
            imported.skipped += 1;
            let why = "its bytes are not those of its digest";
            teller.tell(&json!({ "skipped": digest, "why": why })).await;
            return Ok(None);
        }
        match (tree.key(digest), tree.file(digest)) {
            (Some(key), _) => {
                imported.in_place += 1;
                let row = BlobRow { digest: digest.clone(), size, key };
                Ok(restore.blob(name, &row, None).await?.err())
            }
            (None, Some(file)) => {
                // A name that was never used, as every object's: of one that was used before, collection
                // may just be deleting the object.
                let id = self.announce(name).await?;
                let adopted = self.adopt(restore, name, (digest, size), id, &file, imported).await;
                if !matches!(adopted, Ok(None)) {
                    self.catalog.delete_upload(name, id).await.ok(); // Or it expires.
                }
                adopted
            }
            (None, None) => Ok(None),
        }
    }

    /// Writes a session down, for collection to leave alone the object that it brings.
    async fn announce(&self, repo: &RepoName) -> Result<UploadId, CatalogError> {
        let (id, now) = (UploadId(Uuid::new_v4()), self.clock.now());
        let (hash, staging, expires_at) = (Vec::new(), Vec::new(), now + LONGEST_COPY);
        let progress = UploadProgress { offset: 0, hash, staging, expires_at };
        let row = UploadRow { id, repo: repo.clone(), principal: String::new(), created_at: now, progress };
        self.catalog.create_upload(&row).await?;
        Ok(id)
    }

    /// Makes the other registry's file an object and a blob of `name`, and ends the session.
    async fn adopt(
        &self,
        restore: &Restore<'_>,
        name: &RepoName,
        (digest, size): (&Digest, u64),
        id: UploadId,
        file: &Path,
        imported: &mut Imported,
    ) -> Result<Option<Refusal>, UpkeepError> {
        let (key, how) = self.store.adopt(digest, id, file).await?;
        let row = BlobRow { digest: digest.clone(), size, key };
        let (surplus, refusal) = match restore.blob(name, &row, Some(id)).await? {
            Ok(committed) => (committed.surplus, None),
            Err(refusal) => (true, Some(refusal)),
        };
        if surplus {
            // Somebody pushed it meanwhile, or it may not be: no row names the object, and none will.
            self.store.delete(&row.key).await?;
            return Ok(refusal);
        }
        match how {
            Adopted::Linked => imported.in_place += 1,
            Adopted::Copied => imported.copied += 1,
        }
        Ok(None)
    }

    async fn is_whole(&self, tree: &Tree, digest: &Digest, size: u64) -> Result<bool, UpkeepError> {
        let mut pace = Pace::new(None);
        let state = match (tree.opened(), tree.key(digest), tree.file(digest)) {
            (Some(_), Some(key), _) => {
                let row = BlobRow { digest: digest.clone(), size, key };
                state(&*self.store, &row, &mut pace).await?
            }
            (_, _, Some(file)) => file_state(&file, digest, size, &mut pace).await?,
            _ => State::Gone,
        };
        Ok(state == State::Whole)
    }
}
