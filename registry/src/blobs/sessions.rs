//! Upload sessions but for their bytes: start, status, cancel, and how many there may be.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use berth_oci::{Algorithm, RepoName};
use tracing::warn;
use uuid::Uuid;

use super::{Blobs, Settings, UploadError, hash::Hash};
use crate::catalog::{UploadId, UploadProgress, UploadRow};

/// So long the end of a session waits for its bytes to be thrown away.
const FAREWELL: Duration = Duration::from_secs(3);

/// Names a session as a request does: only together are the three of them a session (R9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The repository it was started in.
    pub repo: RepoName,
    /// Its id.
    pub id: UploadId,
    /// Who started it; empty for anonymous.
    pub principal: String,
}

/// A guess at how many sessions are open, never too low for those started here. Counted anew
/// when it reaches the cap, so that the sessions that ended cost nothing to keep track of.
#[derive(Debug)]
pub(super) struct Cap(AtomicU32);

impl Cap {
    /// At the cap, so that the first session counts those that an earlier process left.
    pub(super) fn new(settings: &Settings) -> Self {
        Self(AtomicU32::new(settings.max_uploads))
    }
}

impl Blobs {
    /// Starts a session.
    ///
    /// # Errors
    /// [`UploadError::TooMany`] when too many are open; when the catalog fails.
    pub async fn start(
        &self,
        repo: &RepoName,
        principal: &str,
        algorithm: Algorithm,
    ) -> Result<Session, UploadError> {
        self.own_share(principal).await?;
        self.make_room().await?;
        let now = self.inner.clock.now();
        // Random, not in order of time: who knows one id must not guess the next.
        let id = UploadId(Uuid::new_v4());
        let progress = UploadProgress {
            offset: 0,
            hash: Hash::new(algorithm).save(),
            staging: Vec::new(),
            expires_at: now + self.inner.settings.upload_expiry,
        };
        let (repo, principal) = (repo.clone(), principal.to_owned());
        let row =
            UploadRow { id, repo: repo.clone(), principal: principal.clone(), created_at: now, progress };
        self.inner.catalog.create_upload(&row).await?;
        Ok(Session { repo, id, principal })
    }

    /// Asked of the catalog each time, so that it holds over all replicas, give or take those of the
    /// last moment. Nobody in particular has no share: for them there is the cap of all together.
    async fn own_share(&self, principal: &str) -> Result<(), UploadError> {
        let limit = self.inner.settings.max_uploads_per_user;
        if limit == 0 || principal.is_empty() {
            return Ok(());
        }
        let open = self.inner.catalog.count_uploads_of(principal, limit).await?;
        if open >= limit { Err(UploadError::TooMany { limit, own: true }) } else { Ok(()) }
    }

    async fn make_room(&self) -> Result<(), UploadError> {
        let (Cap(count), max) = (&self.inner.cap, self.inner.settings.max_uploads);
        if count.fetch_add(1, Ordering::Relaxed) < max {
            return Ok(());
        }
        let open = self.inner.catalog.count_uploads(max).await?;
        if open >= max {
            count.store(max, Ordering::Relaxed);
            return Err(UploadError::TooMany { limit: max, own: false });
        }
        count.store(open + 1, Ordering::Relaxed);
        Ok(())
    }

    async fn row(&self, session: &Session) -> Result<UploadRow, UploadError> {
        let row = self.inner.catalog.upload(&session.repo, session.id).await?;
        row.filter(|row| row.principal == session.principal).ok_or(UploadError::Unknown)
    }

    /// How many bytes a session has stored.
    ///
    /// # Errors
    /// [`UploadError::Unknown`]; when the catalog fails.
    pub async fn status(&self, session: &Session) -> Result<u64, UploadError> {
        Ok(self.row(session).await?.progress.offset)
    }

    /// Ends a session and throws its bytes away. A request that is writing to it finds out.
    ///
    /// # Errors
    /// [`UploadError::Unknown`]; when the catalog fails.
    pub async fn cancel(&self, session: &Session) -> Result<(), UploadError> {
        self.row(session).await?;
        let this = self.clone();
        let session = session.clone();
        self.detached(async move {
            let ended = this.inner.catalog.delete_upload(&session.repo, session.id).await?;
            this.discard(&ended.ok_or(UploadError::Unknown)?).await;
            Ok(())
        })
        .await
    }

    /// Throws away the bytes of a session that has ended, as far as that can be done.
    pub(super) async fn discard(&self, row: &UploadRow) {
        let discarded = self.inner.store.discard(row.id, &row.progress.staging);
        // Where storage hangs, nobody is kept waiting for what a purge does as well.
        match tokio::time::timeout(FAREWELL, discarded).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                warn!(upload = %row.id, "Bytes of upload {} stay until a purge: {error}", row.id)
            }
            Err(_elapsed) => {
                warn!(upload = %row.id, "Bytes of upload {} stay until a purge: storage does not answer", row.id);
            }
        }
    }
}
