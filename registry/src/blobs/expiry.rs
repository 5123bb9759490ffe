//! Sessions that nobody comes back to.

use futures_util::TryStreamExt;
use tracing::warn;

use super::{Blobs, Session, UploadError};
use crate::storage::{Key, StorageError, session_of};

impl Blobs {
    /// Throws away sessions that have expired, `limit` at most, and says how many.
    ///
    /// Bytes go before the row: a crash between leaves a session without bytes, which the next
    /// round ends. Nobody writes to it meanwhile, for it is claimed.
    ///
    /// # Errors
    /// When the catalog or storage fails; the rest is left to the next round.
    pub async fn purge_expired(&self, limit: u32) -> Result<u32, UploadError> {
        let mut purged = 0;
        for row in self.inner.catalog.expired_uploads(self.inner.clock.now(), limit).await? {
            let session = Session { repo: row.repo, id: row.id, principal: row.principal };
            let held = match self.claim(&session).await {
                Ok(held) => held,
                // Ended, or woken up, since it was listed.
                Err(UploadError::Unknown | UploadError::OutOfOrder { .. }) => continue,
                Err(error) => return Err(error),
            };
            if held.row.progress.expires_at > self.inner.clock.now() {
                self.release(&held).await;
                continue;
            }
            match self.inner.store.discard(session.id, &held.row.progress.staging).await {
                // Of another storage, say, from before the configuration changed. It will not be
                // readable in the next round either, and must not keep all others from their end.
                Err(StorageError::Corrupt(why)) => {
                    warn!(upload = %session.id, "Bytes of upload {} may stay: {why}", session.id);
                }
                discarded => discarded?,
            }
            self.inner.catalog.delete_upload(&session.repo, session.id).await?;
            purged += 1;
        }
        Ok(purged)
    }

    /// Throws away what no session can go on with: multipart uploads and staged bytes older than sessions live
    /// (counted from the last write to them, and for multipart uploads from their beginning) that no row
    /// names. A process that is killed between making one and writing it down leaves such. Says how many there were.
    ///
    /// # Errors
    /// When the catalog or storage fails; the rest is left to the next round.
    pub async fn purge_interrupted(&self) -> Result<u64, UploadError> {
        let (catalog, store) = (&self.inner.catalog, &self.inner.store);
        let before = self.inner.clock.now() - self.inner.settings.upload_expiry;
        let mut purged = 0;
        for staged in store.begun(before).await?.unwrap_or_default() {
            if !catalog.has_upload(staged.session).await? {
                store.abort(&staged).await?;
                purged += 1;
            }
        }
        let mut staged = store.list("uploads");
        while let Some(object) = staged.try_next().await? {
            if object.modified >= before || object.key == Key::Probe.object() {
                continue;
            }
            // What is no session's is a small object that was not moved to its place.
            let lives = match session_of(&object.key) {
                Some(id) => catalog.has_upload(id).await?,
                None => false,
            };
            if !lives {
                store.delete(&object.key).await?;
                purged += 1;
            }
        }
        Ok(purged)
    }
}
