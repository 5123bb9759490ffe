//! The rules of blobs and upload sessions. No axum, no sqlx here.
//!
//! The order of every push is: bytes hashed and staged, object durable, row written, answer given.
//! A crash between two of them leaves something to sweep, never something that was promised and
//! is not there.

use std::{ops::Range, sync::Arc, time::Duration};

use berth_oci::{Digest, RepoName};
use prometheus_client::metrics::counter::Counter;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::{
    catalog::{BlobRow, Catalog, CatalogError, Lease, ObjectKey, Refusal},
    clock::{Clock, Timestamp},
    storage::{BlobBody, BlobStore, StorageError, lane::Budget},
};

mod chunk;
mod claim;
mod error;
mod expiry;
mod hash;
mod intake;
mod lost;
mod outgoing;
mod seal;
mod seen;
mod sessions;
#[cfg(test)]
mod tests;
mod upload;

pub use chunk::{Chunk, ContentRange};
pub use error::UploadError;
pub use intake::Body;
pub use sessions::Session;

/// Bytes that may wait for their hash, of all uploads together; storage has as much for the disk,
/// mostly for the same bytes.
const WAITING: u32 = 24 << 20;

/// What the configuration says about blobs and uploads.
#[derive(Clone, Debug)]
pub struct Settings {
    /// An upload that nobody wrote to for so long is thrown away.
    pub upload_expiry: Duration,
    /// For so long a request may hold an upload without a sign of life. A third of it is the
    /// time between two signs.
    pub claim: Duration,
    /// For so long collection leaves a blob alone that somebody pushed, mounted or asked for.
    pub lease: Duration,
    /// Blobs of more bytes are refused.
    pub max_blob_bytes: Option<u64>,
    /// The smallest chunk that clients are asked to send; 0 asks for nothing. Not enforced.
    pub min_chunk_bytes: u64,
    /// Uploads that may be open at a time, give or take those of the last moment.
    pub max_uploads: u32,
    /// As `max_uploads`, for one user; 0 is no limit.
    pub max_uploads_per_user: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            upload_expiry: Duration::from_secs(24 * 3600),
            // So long an upload waits whose replica died in the middle of a request.
            claim: Duration::from_secs(15),
            lease: Duration::from_secs(24 * 3600),
            max_blob_bytes: None,
            min_chunk_bytes: 0,
            max_uploads: 10_000,
            max_uploads_per_user: 500,
        }
    }
}

/// A failure in serving a blob; that it is not there is an answer, not a failure.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The namespace's limits say no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The catalog knows the blob, and storage has lost its bytes. Logged and counted.
    #[error("storage has lost the bytes of blob {0}")]
    Lost(Digest),
}

/// Blobs and uploads, by their rules. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Blobs {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    catalog: Arc<dyn Catalog>,
    store: Arc<dyn BlobStore>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    // Requests that write go on to their end by themselves, also when their connection is gone.
    tasks: TaskTracker,
    cap: sessions::Cap,
    // Bytes that may wait for their hash, of all uploads together.
    budget: Budget,
    // Answers that were broken off since storage sent other bytes.
    wrong: Counter,
    lost: lost::Lost,
    seen: seen::Seen,
}

impl Blobs {
    /// Puts the parts together.
    #[must_use]
    pub fn new(
        catalog: Arc<dyn Catalog>,
        store: Arc<dyn BlobStore>,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Self {
        let cap = sessions::Cap::new(&settings);
        let inner = Inner {
            catalog,
            store,
            clock,
            settings,
            tasks: TaskTracker::new(),
            cap,
            budget: Budget::new(WAITING),
            wrong: Counter::default(),
            lost: lost::Lost::default(),
            seen: seen::Seen::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// The blob, if `repo` links it. Whoever asks has it kept for a lease's length.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn stat(&self, repo: &RepoName, digest: &Digest) -> Result<Option<BlobRow>, BlobError> {
        Ok(self.inner.catalog.blob(repo, digest, self.lease()).await?)
    }

    /// As [`Self::stat`], for whoever takes its bytes now: it is found also while the catalog can only be read,
    /// because its disk is full, and then nothing is promised for later.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn stat_to_read(&self, repo: &RepoName, digest: &Digest) -> Result<Option<BlobRow>, BlobError> {
        let error = match self.inner.catalog.blob(repo, digest, self.lease()).await {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        // A lease that nobody has to renew.
        let none = Lease { now: Timestamp(i64::MIN), length: Duration::ZERO };
        let found = self.inner.catalog.blob(repo, digest, none).await?;
        warn!("Blob {digest} is read, but its lease could not be renewed: {error}");
        Ok(found)
    }

    /// Opens a range of a blob that [`Self::stat`] found in `repo`. `None` when it was deleted since.
    ///
    /// # Errors
    /// When the catalog or storage fails, and when storage has lost what the catalog promises.
    pub async fn open(
        &self,
        repo: &RepoName,
        blob: &BlobRow,
        range: Range<u64>,
    ) -> Result<Option<BlobBody>, BlobError> {
        if let Ok(body) = self.opened(blob, &range).await? {
            return Ok(Some(body));
        }
        // Deleted or replaced between the two looks, or lost.
        let Some(now) = self.stat(repo, &blob.digest).await? else { return Ok(None) };
        match self.opened(&now, &range).await? {
            Ok(body) => Ok(Some(body)),
            Err(why) => Err(self.tell_lost(&now, &why)),
        }
    }

    /// The bytes, or why there are none.
    async fn opened(
        &self,
        blob: &BlobRow,
        range: &Range<u64>,
    ) -> Result<Result<BlobBody, String>, BlobError> {
        match self.inner.store.open(&blob.key, blob.size, range.clone()).await {
            Ok(Some(body)) => Ok(Ok(self.watched(body, blob, range))),
            Ok(None) => Ok(Err("is not there".to_owned())),
            Err(StorageError::Corrupt(why)) => Ok(Err(format!("is not what it was: {why}"))),
            Err(error) => Err(error.into()),
        }
    }

    /// A stream of a whole blob, verified on its way. Part of a blob has no digest to be verified by.
    fn watched(&self, body: BlobBody, blob: &BlobRow, range: &Range<u64>) -> BlobBody {
        let whole = *range == (0..blob.size) && blob.size > 0;
        let (digest, Inner { budget, wrong, .. }) = (blob.digest.clone(), &*self.inner);
        match body {
            BlobBody::Stream(body) if whole => {
                BlobBody::Stream(outgoing::verified(body, digest, blob.size, budget, wrong.clone()))
            }
            body => body,
        }
    }

    /// How many answers were broken off since storage sent other bytes than those of the blob.
    #[must_use]
    pub fn wrong_bytes(&self) -> Counter {
        self.inner.wrong.clone()
    }

    /// An address under which anybody may read the bytes of a blob that [`Self::stat`] found, for this long. `None` where
    /// storage has no such thing.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn signed_url(&self, blob: &BlobRow, life: Duration) -> Result<Option<String>, BlobError> {
        Ok(self.inner.store.signed_url(&blob.key, life).await?)
    }

    /// Takes a blob out of `repo`; `false` when it was not in it. Its bytes are collection's.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn delete(&self, repo: &RepoName, digest: &Digest) -> Result<bool, BlobError> {
        Ok(self.inner.catalog.unlink_blob(repo, digest).await?)
    }

    /// Links a blob of another repository into `to`: of `from`, or without it of any. `None` when
    /// it is not to be had. That the caller may read there is the caller's to know.
    ///
    /// # Errors
    /// When the namespace's limits say no, or the catalog fails.
    pub async fn mount(
        &self,
        from: Option<&RepoName>,
        to: &RepoName,
        digest: &Digest,
    ) -> Result<Option<BlobRow>, BlobError> {
        let now = self.inner.clock.now();
        let mounted = self.inner.catalog.mount_blob(from, to, digest, now, self.lease()).await??;
        let Some(blob) = mounted else { return Ok(None) };
        match self.is_there(to, &blob).await {
            Ok(there) => Ok(there.then_some(blob)),
            // The client then uploads it, which brings it back for everybody.
            Err(BlobError::Lost(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits until no request writes any more. None must come in meanwhile.
    pub async fn settled(&self) {
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    fn lease(&self) -> Lease {
        Lease { now: self.inner.clock.now(), length: self.inner.settings.lease }
    }

    /// Deletes an object that nothing refers to; what cannot be deleted is swept one day.
    async fn delete_orphan(&self, key: &ObjectKey) {
        if let Err(error) = self.inner.store.delete(key).await {
            warn!(key = %key, "Object {key}, which no blob refers to, stays until a sweep: {error}");
        }
    }
}
