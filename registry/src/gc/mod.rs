//! Online collection: removes what nothing needs while people push, without a lock on the whole and
//! without a read-only mode.
//!
//! The catalog knows what refers to what, so nothing is walked from the roots: a stretch of a table is
//! looked at, what nothing holds is found by an index, and a small transaction looks again and removes
//! it. What was uploaded, mounted, asked for or referred to has a lease, which its users renew before
//! they look; nothing goes before its lease is over.
//!
//! The order of each removal is: the row, with the object written down as doomed in the same transaction; the
//! object, once that survives a power failure; the note. Objects go beside the next rows (`aside`). From the first
//! step on no push can come to refer to the object, since object keys are unique to an upload and the same content
//! comes back under another. A crash leaves a note, with which the next run begins.

use std::{sync::Arc, time::Duration};

use berth_oci::{ManifestReference, RepoName};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::{
    catalog::{Catalog, CatalogError, Deleted, Estimate, Horizon, ObjectKey, Undeleted},
    clock::Clock,
    records::{RecordError, Records},
    storage::{BlobStore, StorageError},
    tags::Immutable,
};

mod aside;
mod pace;
pub mod retention;
mod run;
#[cfg(test)]
mod tests;

use run::Run;

/// What the configuration says about collection.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Objects that no row names go when they are so old.
    pub grace: Duration,
    /// Manifests without a tag that nothing refers to go so long after they were pushed or lost their last
    /// tag; `None` keeps them.
    pub untagged: Option<Duration>,
    /// How long whoever pushed, mounted or asked for a blob may count on it.
    pub lease: Duration,
    /// By so much the clocks of two replicas may differ: everything waits for so much longer.
    pub clock_skew: Duration,
    /// What was deleted can be brought back for so long.
    pub undelete: Duration,
    /// What retention keeps.
    pub rules: Vec<retention::Rule>,
    /// Tags that never go.
    pub immutable: Immutable,
}

/// Why a run did not come to its end. What was done is done, and the next goes on.
#[derive(Debug, thiserror::Error)]
pub enum GcError {
    /// One is going on in this process.
    #[error("a collection is going on; ask again when it has ended")]
    Busy,
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Storage holds what this catalog has never heard of.
    #[error(
        "objects that belong to no blob were left alone, since storage has the record {0} of a manifest that the \
         catalog knows nothing of: is this the right catalog? If one was lost or is an older copy, stop the \
         registry and run `recover`, with --merge where the catalog is not empty"
    )]
    Stranger(ObjectKey),
}

impl From<RecordError> for GcError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Catalog(error) => Self::Catalog(error),
            RecordError::Storage(error) => Self::Storage(error),
        }
    }
}

/// What a run did, or how far it has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// When it began, in microseconds since 1970.
    pub started_at: i64,
    /// How long it took so far.
    pub milliseconds: u64,
    /// Whether it came to its end.
    pub finished: bool,
    /// Tags that retention let go.
    pub tags: u64,
    /// Manifests that went.
    pub manifests: u64,
    /// Links of blobs that went.
    pub links: u64,
    /// Blobs that went.
    pub blobs: u64,
    /// Objects that nothing named and that went.
    pub orphans: u64,
    /// Bytes that were freed in storage.
    pub bytes: u64,
    /// Objects that could not be deleted and are left to the next run.
    pub failed: u64,
    /// Repositories that had nothing left.
    pub repositories: u64,
    /// Tags and manifests whose time to be brought back is over.
    pub expired: u64,
}

/// Collection over a catalog and storage. Cheap to clone; clones share their turn.
#[derive(Clone, Debug)]
pub struct Collector {
    catalog: Arc<dyn Catalog>,
    store: Arc<dyn BlobStore>,
    records: Records,
    clock: Arc<dyn Clock>,
    settings: Arc<Settings>,
    turn: Arc<Mutex<()>>,
}

impl Collector {
    /// Puts the parts together.
    #[must_use]
    pub fn new(
        catalog: Arc<dyn Catalog>,
        store: Arc<dyn BlobStore>,
        records: Records,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Self {
        Self { catalog, store, records, clock, settings: Arc::new(settings), turn: Arc::default() }
    }

    /// Behind which moments things are old enough. All of them lie back by as much as clocks may differ.
    fn horizon(&self) -> Horizon {
        let now = self.clock.now() - self.settings.clock_skew;
        Horizon {
            now,
            untagged: self.settings.untagged.map(|age| now - age),
            released: now - self.settings.lease,
            deleted: now - self.settings.undelete,
        }
    }

    /// Collects, until there is nothing left that may go or `stop` is cancelled. `progress` hears how far
    /// it has come.
    ///
    /// # Errors
    /// [`GcError::Busy`] when another run of this process is going on; when catalog or storage fail.
    pub async fn run(
        &self,
        stop: &CancellationToken,
        progress: &mut (dyn FnMut(&Report) + Send),
    ) -> Result<Report, GcError> {
        let _turn = self.turn.try_lock().map_err(|_| GcError::Busy)?;
        let report = Report { started_at: self.clock.now().0, ..Report::default() };
        let (report, outcome) = Run::new(self, report, stop, progress).go().await;
        self.catalog.save_report(&json(&report)?).await?;
        outcome.map(|()| report)
    }

    /// Waits until no run is under way.
    pub async fn settled(&self) {
        drop(self.turn.lock().await);
    }

    /// What a run would do now.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn estimate(&self) -> Result<Estimate, GcError> {
        let plan = self.plan().await?;
        Ok(self.catalog.estimate(&plan, self.horizon(), false).await?)
    }

    /// How the last run ended, in whichever replica.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn last_report(&self) -> Result<Option<Report>, GcError> {
        let saved = self.catalog.last_report().await?;
        saved.map(|text| serde_json::from_str(&text).map_err(corrupt)).transpose()
    }

    /// What can be brought back of `repo`, or of all, after an entry.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn deleted(
        &self,
        repo: Option<&RepoName>,
        after: Option<(&RepoName, &ManifestReference)>,
        limit: u32,
    ) -> Result<Vec<Deleted>, GcError> {
        Ok(self.catalog.deleted(repo, after, limit, self.horizon()).await?)
    }

    /// Brings a tag or manifest back.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn undelete(
        &self,
        repo: &RepoName,
        reference: &ManifestReference,
    ) -> Result<Undeleted, GcError> {
        let mut horizon = self.horizon();
        // What comes back comes back now.
        horizon.now = self.clock.now();
        Ok(self.catalog.undelete(repo, reference, horizon).await?)
    }
}

fn corrupt(error: serde_json::Error) -> GcError {
    GcError::Catalog(CatalogError::Corrupt(error.into()))
}

fn json(report: &Report) -> Result<String, GcError> {
    serde_json::to_string(report).map_err(corrupt)
}
