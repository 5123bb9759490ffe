//! The bytes of uploads: appended, verified, made durable, made visible.

use std::future::Future;

use berth_oci::{Digest, RepoName};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};
use uuid::Uuid;

use super::{
    Blobs, Body, Chunk, Session, UploadError,
    claim::Held,
    hash::Hash,
    intake::{self, Cut, Intake, Limits},
};
use crate::{
    catalog::{BlobRow, Room, UploadId, UploadProgress, UploadRow},
    storage::StorageError,
};

/// A blob of so many bytes is taken without asking first whether it fits.
const LITTLE: u64 = 1 << 20;

impl Blobs {
    /// Appends a chunk to a session, and says how many bytes are stored now.
    ///
    /// # Errors
    /// See [`UploadError`].
    pub async fn append(&self, session: Session, chunk: Chunk, mut body: Body) -> Result<u64, UploadError> {
        let this = self.clone();
        self.detached(async move {
            let result = this.append_to_end(&session, chunk, &mut body).await;
            if result.is_err() {
                intake::discard(&mut body).await;
            }
            result
        })
        .await
    }

    /// Appends the last chunk to a session, which may be empty, and makes its bytes a blob.
    ///
    /// # Errors
    /// See [`UploadError`].
    pub async fn finish(
        &self,
        session: Session,
        chunk: Chunk,
        mut body: Body,
        digest: Digest,
    ) -> Result<BlobRow, UploadError> {
        let this = self.clone();
        self.detached(async move {
            let result = this.finish_to_end(&session, chunk, &mut body, &digest).await;
            if result.is_err() {
                intake::discard(&mut body).await;
            }
            result
        })
        .await
    }

    /// Makes the body of one request a blob, without a session.
    ///
    /// # Errors
    /// See [`UploadError`]; nothing is kept after any of them.
    pub async fn monolithic(
        &self,
        repo: RepoName,
        digest: Digest,
        length: Option<u64>,
        mut body: Body,
    ) -> Result<BlobRow, UploadError> {
        let this = self.clone();
        self.detached(async move {
            let result = this.monolithic_to_end(&repo, &digest, length, &mut body).await;
            if result.is_err() {
                intake::discard(&mut body).await;
            }
            result
        })
        .await
    }

    /// Runs work to its end, also when nobody waits for it any more: a client that hangs up must
    /// not keep what it sent from being written down.
    pub(super) async fn detached<R: Send + 'static>(
        &self,
        work: impl Future<Output = Result<R, UploadError>> + Send + 'static,
    ) -> Result<R, UploadError> {
        match self.inner.tasks.spawn(work).await {
            Ok(result) => result,
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(StorageError::Unavailable("the registry is stopping".into()).into()),
            },
        }
    }

    async fn append_to_end(
        &self,
        session: &Session,
        chunk: Chunk,
        body: &mut Body,
    ) -> Result<u64, UploadError> {
        let announced = chunk.size()?;
        let held = self.claim(session).await?;
        let limits = self.in_order(&held, chunk, announced, None).await?;
        let mut intake = self.open_intake(&held, None).await?;
        match intake.drain(body, &limits, &held.lost).await {
            Ok(None) => self.keep(&held, intake).await,
            Ok(Some(cut)) => Err(self.cut_short(&held, intake, cut).await),
            Err(error) => Err(self.give_up(&held, intake, error).await),
        }
    }

    async fn finish_to_end(
        &self,
        session: &Session,
        chunk: Chunk,
        body: &mut Body,
        digest: &Digest,
    ) -> Result<BlobRow, UploadError> {
        let announced = chunk.size()?;
        let held = self.claim(session).await?;
        let limits = self.in_order(&held, chunk, announced, Some(digest)).await?;
        let mut intake = self.open_intake(&held, Some(digest)).await?;
        match intake.drain(body, &limits, &held.lost).await {
            Ok(None) => {}
            Ok(Some(cut)) => return Err(self.cut_short(&held, intake, cut).await),
            Err(error) => return Err(self.give_up(&held, intake, error).await),
        }
        let size = limits.stored + intake.received();
        let sealed = match intake.end().await {
            Ok(_) if held.lost.is_cancelled() => return Err(self.lost(&held, None).await),
            Ok((hash, writer)) => self.seal(hash, writer, digest, size).await,
            Err(error) => Err(error.into()),
        };
        match sealed {
            Ok(key) => self.commit(&session.repo, digest, size, key, Some(session.id)).await,
            Err(error) => {
                self.end_session(&held).await;
                Err(error)
            }
        }
    }

    async fn monolithic_to_end(
        &self,
        repo: &RepoName,
        digest: &Digest,
        length: Option<u64>,
        body: &mut Body,
    ) -> Result<BlobRow, UploadError> {
        let room = self.room(repo, Some(digest), 0, length).await?;
        let max = self.inner.settings.max_blob_bytes;
        let limits = Limits { announced: length, stored: 0, max, room };
        if let Some(max) = limits.broken_by(length.unwrap_or(0)) {
            return Err(UploadError::TooLarge(max));
        }
        if let Some(refusal) = limits.refuses(length.unwrap_or(0)) {
            return Err(refusal.into());
        }
        let id = UploadId(Uuid::new_v4());
        let writer = self.inner.store.stage(id, &[], 0).await?;
        let mut intake = Intake::new(Hash::new(digest.algorithm()), writer, &self.inner.budget);
        let failed = match intake.drain(body, &limits, &CancellationToken::new()).await {
            Ok(None) => None,
            Ok(Some(cut)) => Some(cut.into()),
            Err(error) => Some(error.into()),
        };
        if let Some(failed) = failed {
            if let Err(error) = intake.abandon().await {
                warn!("Bytes of an upload that broke off stay until a sweep: {error}");
            }
            return Err(failed);
        }
        let size = intake.received();
        let (hash, writer) = intake.end().await?;
        // From here on there may be an object, and collection must not take it for nobody's.
        if let Err(error) = self.announce(repo, id).await {
            if let Err(error) = writer.abandon().await {
                warn!("Bytes of an upload that could not be written down stay until a sweep: {error}");
            }
            return Err(error);
        }
        match self.seal(hash, writer, digest, size).await {
            Ok(key) => self.commit(repo, digest, size, key, Some(id)).await,
            Err(error) => {
                self.inner.catalog.delete_upload(repo, id).await.ok(); // Or it expires.
                Err(error)
            }
        }
    }

    /// Writes a session down for what came without one.
    async fn announce(&self, repo: &RepoName, id: UploadId) -> Result<(), UploadError> {
        let now = self.inner.clock.now();
        let progress = UploadProgress {
            offset: 0,
            hash: Vec::new(),
            staging: Vec::new(),
            expires_at: now + self.inner.settings.upload_expiry,
        };
        let row = UploadRow { id, repo: repo.clone(), principal: String::new(), created_at: now, progress };
        Ok(self.inner.catalog.create_upload(&row).await?)
    }

    /// Checks that a chunk is the next one, and how much may come.
    async fn in_order(
        &self,
        held: &Held,
        chunk: Chunk,
        announced: Option<u64>,
        digest: Option<&Digest>,
    ) -> Result<Limits, UploadError> {
        let offset = held.row.progress.offset;
        if chunk.range.is_some_and(|range| range.first() != offset) {
            self.release(held).await;
            return Err(UploadError::OutOfOrder { offset });
        }
        let room = match self.room(&held.row.repo, digest, offset, announced).await {
            Ok(room) => room,
            Err(error) => {
                self.release(held).await;
                return Err(error);
            }
        };
        let limits = Limits { announced, stored: offset, max: self.inner.settings.max_blob_bytes, room };
        if let Some(max) = limits.broken_by(announced.unwrap_or(0)) {
            self.end_session(held).await;
            return Err(UploadError::TooLarge(max));
        }
        if let Some(refusal) = limits.refuses(announced.unwrap_or(0)) {
            self.end_session(held).await;
            return Err(refusal.into());
        }
        Ok(limits)
    }

    /// What is free in the namespace, so that whoever brings more is told before it is sent and not
    /// after. A blob that is not named yet counts as new. Of little is not asked: the commit decides.
    async fn room(
        &self,
        repo: &RepoName,
        digest: Option<&Digest>,
        stored: u64,
        announced: Option<u64>,
    ) -> Result<Option<Room>, UploadError> {
        if announced.is_some_and(|announced| stored.saturating_add(announced) <= LITTLE) {
            return Ok(None);
        }
        Ok(self.inner.catalog.room(repo, digest).await?)
    }

    /// Opens hash and storage where the last request left them.
    async fn open_intake(&self, held: &Held, digest: Option<&Digest>) -> Result<Intake, UploadError> {
        let progress = &held.row.progress;
        let hash = match digest.filter(|_| progress.offset == 0) {
            // The client says only at the end which algorithm it wants. If that is also the
            // beginning, nothing is lost.
            Some(digest) => Hash::new(digest.algorithm()),
            None => Hash::restore(&progress.hash, progress.offset)?,
        };
        match self.inner.store.stage(held.row.id, &progress.staging, progress.offset).await {
            Ok(writer) => Ok(Intake::new(hash, writer, &self.inner.budget)),
            Err(StorageError::Corrupt(why)) => {
                // After a power failure, say. The session was no promise: its client starts again.
                error!(upload = %held.row.id, "Upload {} cannot go on: {why}", held.row.id);
                self.end_session(held).await;
                Err(UploadError::Unknown)
            }
            Err(error) => {
                self.release(held).await;
                Err(error.into())
            }
        }
    }

    /// Writes down what came, and says how far the session is.
    async fn keep(&self, held: &Held, intake: Intake) -> Result<u64, UploadError> {
        let offset = held.row.progress.offset + intake.received();
        let saved = async {
            let (hash, writer) = intake.end().await?;
            Ok::<_, StorageError>((hash.save(), writer.flush().await?))
        };
        let (hash, staging) = match saved.await {
            Ok(saved) => saved,
            Err(error) => {
                self.end_session(held).await;
                return Err(error.into());
            }
        };
        let expires_at = self.inner.clock.now() + self.inner.settings.upload_expiry;
        let progress = UploadProgress { offset, hash, staging, expires_at };
        if self.save(held, &progress).await? {
            return Ok(offset);
        }
        let said = self.lost(held, None).await;
        if matches!(said, UploadError::Unknown) {
            // Only this request knows what it staged.
            self.discard(&UploadRow { progress, ..held.row.clone() }).await;
        }
        Err(said)
    }

    /// Ends a request whose body did not come in as announced, and says why. What came is kept.
    async fn cut_short(&self, held: &Held, intake: Intake, cut: Cut) -> UploadError {
        match cut {
            Cut::Lost => self.lost(held, Some(intake)).await,
            Cut::TooLarge(_) | Cut::Refused(_) => {
                intake.abandon().await.ok(); // Discarded again with the session, and logged there.
                self.end_session(held).await;
                cut.into()
            }
            Cut::Size { .. } | Cut::Broken(_) => match self.keep(held, intake).await {
                Ok(_) => cut.into(),
                Err(error) => error,
            },
        }
    }

    /// Ends a session that storage failed in writing to. What is staged is void: a failed write
    /// is never called well later (F4).
    async fn give_up(&self, held: &Held, intake: Intake, error: StorageError) -> UploadError {
        intake.abandon().await.ok(); // Discarded again with the session, and logged there.
        self.end_session(held).await;
        error.into()
    }

    /// What to say when another request has taken the session over, or ended it.
    async fn lost(&self, held: &Held, intake: Option<Intake>) -> UploadError {
        match self.inner.catalog.upload(&held.row.repo, held.row.id).await {
            // It is somebody else's now; what they count on must not be touched.
            Ok(Some(row)) => UploadError::OutOfOrder { offset: row.progress.offset },
            Ok(None) => {
                if let Some(intake) = intake {
                    intake.abandon().await.ok(); // As good as can be: a sweep finds the rest.
                }
                UploadError::Unknown
            }
            Err(error) => error.into(),
        }
    }

    /// Ends a session that cannot go on, as far as that can be done: its expiry does the rest.
    async fn end_session(&self, held: &Held) {
        match self.inner.catalog.delete_upload(&held.row.repo, held.row.id).await {
            Ok(Some(row)) => self.discard(&row).await,
            Ok(None) => {}
            Err(error) => {
                warn!(upload = %held.row.id, "Upload {} stays until it expires: {error}", held.row.id);
            }
        }
    }
}
