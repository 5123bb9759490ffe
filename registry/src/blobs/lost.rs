//! Blobs that the catalog knows and storage has lost: the same answer to whoever reads and whoever asks, told once, and
//! brought back by the next upload.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use berth_oci::RepoName;
use prometheus_client::metrics::counter::Counter;
use tracing::{error, warn};

use super::{BlobError, Blobs, Inner};
use crate::{
    catalog::{BlobRow, ObjectKey},
    storage::StorageError,
};

/// So many lost objects are told of one by one; whoever looks for more runs `check`.
const TOLD: usize = 1000;

/// What is known of lost blobs.
#[derive(Debug, Default)]
pub(super) struct Lost {
    /// Requests for one.
    requests: Counter,
    /// Objects that were told of.
    told: Mutex<HashSet<ObjectKey>>,
}

impl Blobs {
    /// Asserts that the bytes of a blob that [`Self::stat`] found in `repo` are there, by their length. `false` when it
    /// was deleted since.
    ///
    /// # Errors
    /// [`BlobError::Lost`] when they are not, as [`Self::open`] would say; when catalog or storage fails.
    pub async fn is_there(&self, repo: &RepoName, blob: &BlobRow) -> Result<bool, BlobError> {
        if self.is_whole(blob).await? {
            return Ok(true);
        }
        let Some(now) = self.stat(repo, &blob.digest).await? else { return Ok(false) };
        if self.is_whole(&now).await? {
            Ok(true)
        } else {
            Err(self.tell_lost(&now, "is not there, or has another size"))
        }
    }

    async fn is_whole(&self, blob: &BlobRow) -> Result<bool, StorageError> {
        let Inner { store, seen, clock, .. } = &*self.inner;
        if store.is_far() && seen.has(blob, clock.now()) {
            return Ok(true);
        }
        let is_whole = store.size(&blob.key).await? == Some(blob.size);
        if is_whole && store.is_far() {
            seen.note(blob, clock.now());
        }
        Ok(is_whole)
    }

    /// Counts a request for a blob that is lost. It stays in service: what is merely not there may be a disk that is not
    /// mounted. Each object is told of once, however many ask for it.
    pub(super) fn tell_lost(&self, blob: &BlobRow, why: &str) -> BlobError {
        let BlobRow { digest, key, .. } = blob;
        self.inner.seen.forget(key);
        self.inner.lost.requests.inc();
        let mut told = self.inner.lost.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < TOLD && told.insert(key.clone()) {
            error!(
                %digest, %key,
                "Blob {digest} is lost: its object {key} {why}. It is unknown to clients until it is pushed again; \
                 `berth-registry check` names all such blobs"
            );
        }
        BlobError::Lost(digest.clone())
    }

    /// How many requests were for blobs whose bytes storage has lost.
    #[must_use]
    pub fn lost_blobs(&self) -> Counter {
        self.inner.lost.requests.clone()
    }

    /// Whether a new upload of a blob has to take the place of the object that the blob has: storage has lost that one,
    /// which is put out of service. Where that cannot be found out, it has not.
    pub(super) async fn replaces(&self, there: &BlobRow) -> bool {
        let BlobRow { digest, key, size } = there;
        match self.inner.store.size(key).await {
            Ok(found) if found == Some(*size) => return false,
            Ok(_) => {}
            Err(error) => {
                warn!(%digest, "Whether blob {digest} is there cannot be seen: {error}");
                return false;
            }
        }
        match self.inner.catalog.quarantine(digest, key, self.inner.clock.now()).await {
            Ok(_) => {
                warn!(%digest, %key, "Blob {digest} was lost with its object {key}; an upload of it takes its place");
                true
            }
            Err(error) => {
                warn!(%digest, "Blob {digest} is lost, and an upload of it cannot take its place: {error}");
                false
            }
        }
    }
}
