//! Sessions that nobody comes back to.

use tracing::warn;

use super::{Blobs, Session, UploadError};
use crate::storage::StorageError;

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
}
