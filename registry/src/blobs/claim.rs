//! The claim of one request on one session, kept up while the request lives.

use std::{sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::debug;
use uuid::Uuid;

use super::{Blobs, Session, UploadError};
use crate::{
    catalog::{Catalog, Claim, UploadId, UploadProgress, UploadRow, WriterId},
    clock::Clock,
};

/// A claim that is held, and renewed until it is dropped.
pub(super) struct Held {
    /// The session as it stood when it was claimed.
    pub(super) row: UploadRow,
    /// Cancelled when somebody else has taken the session over, or ended it.
    pub(super) lost: CancellationToken,
    writer: WriterId,
    _renewal: AbortOnDropHandle<()>,
}

struct Renewal {
    catalog: Arc<dyn Catalog>,
    clock: Arc<dyn Clock>,
    id: UploadId,
    writer: WriterId,
    length: Duration,
    lost: CancellationToken,
}

impl Renewal {
    async fn run(self) {
        loop {
            tokio::time::sleep(self.length / 3).await;
            let until = self.clock.now() + self.length;
            match self.catalog.renew_claim(self.id, self.writer, until).await {
                Ok(true) => {}
                Ok(false) => return self.lost.cancel(),
                // The claim may live on for two more tries. If it does not, saving will tell.
                Err(error) => debug!(upload = %self.id, "Claim on upload {} not renewed: {error}", self.id),
            }
        }
    }
}

impl Blobs {
    /// Claims a session for one request.
    ///
    /// # Errors
    /// [`UploadError::Unknown`] when it is not the caller's, in this repository, or at all;
    /// [`UploadError::OutOfOrder`] when another request is writing to it.
    pub(super) async fn claim(&self, session: &Session) -> Result<Held, UploadError> {
        let (catalog, length) = (&self.inner.catalog, self.inner.settings.claim);
        let writer = WriterId(Uuid::new_v4());
        let now = self.inner.clock.now();
        let row = match catalog.claim_upload(&session.repo, session.id, writer, now, now + length).await? {
            Claim::Unknown => return Err(UploadError::Unknown),
            Claim::Busy(row) if row.principal != session.principal => return Err(UploadError::Unknown),
            Claim::Busy(row) => return Err(UploadError::OutOfOrder { offset: row.progress.offset }),
            Claim::Held(row) => row,
        };
        if row.principal != session.principal {
            catalog.save_upload(session.id, writer, &row.progress).await?;
            return Err(UploadError::Unknown);
        }
        let lost = CancellationToken::new();
        let renewal = Renewal {
            catalog: catalog.clone(),
            clock: self.inner.clock.clone(),
            id: session.id,
            writer,
            length,
            lost: lost.clone(),
        };
        let renewal = AbortOnDropHandle::new(tokio::spawn(renewal.run()));
        Ok(Held { row, lost, writer, _renewal: renewal })
    }

    /// Saves how far a session has come, and gives the claim on it back. `false`, and nothing
    /// saved, when the claim was lost.
    pub(super) async fn save(&self, held: &Held, progress: &UploadProgress) -> Result<bool, UploadError> {
        Ok(self.inner.catalog.save_upload(held.row.id, held.writer, progress).await?)
    }

    /// Gives a claim back without having written anything. Whether the claim was still held does
    /// not matter: the session is as it was.
    pub(super) async fn release(&self, held: &Held) {
        if let Err(error) = self.save(held, &held.row.progress).await {
            debug!(upload = %held.row.id, "Claim on upload {} runs out by itself: {error}", held.row.id);
        }
    }
}
