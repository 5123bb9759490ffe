//! Online collection: removes what nothing needs while people push, without a lock on the whole and
//! without a read-only mode.
//!
//! The catalog knows what refers to what, so nothing is walked from the roots: a stretch of a table is
//! looked at, what nothing holds is found by an index, and a small transaction looks again and removes
//! it. What was uploaded, mounted, asked for or referred to has a lease, which its users renew before
//! they look; nothing goes before its lease is over.
//!
//! The order of each removal is: the row, durably, with the object written down as doomed in the same
//! transaction; the object; the note. From the first step on no push can come to refer to the object,
//! since object keys are unique to an upload and the same content comes back under another. A crash
//! leaves a note, with which the next run begins.

use std::{sync::Arc, time::Duration};

use berth_oci::{ManifestReference, RepoName};
use futures_util::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    catalog::{Catalog, CatalogError, Deleted, DoomedObject, Estimate, Horizon, ObjectKey, Undeleted},
    clock::Clock,
    records::{self, RecordError},
    storage::{self, BlobStore, StorageError},
    tags::Immutable,
};

mod pace;
pub mod retention;
#[cfg(test)]
mod tests;

use pace::Pace;

/// Rows of a table that are looked at together.
const WINDOW: u32 = 2000;
/// Doomed objects that are taken up together.
const DOOMED: u32 = 500;
/// Deletions of objects under way at a time.
const AT_ONCE: usize = 8;
/// Objects that are asked about together.
const LISTED: usize = 500;

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
    clock: Arc<dyn Clock>,
    settings: Arc<Settings>,
    turn: Arc<Mutex<()>>,
}

/// One run.
struct Run<'r> {
    collector: &'r Collector,
    report: Report,
    pace: Pace,
    begun: std::time::Instant,
    stop: &'r CancellationToken,
    progress: &'r mut (dyn FnMut(&Report) + Send),
}

impl Collector {
    /// Puts the parts together.
    #[must_use]
    pub fn new(
        catalog: Arc<dyn Catalog>,
        store: Arc<dyn BlobStore>,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Self {
        Self { catalog, store, clock, settings: Arc::new(settings), turn: Arc::default() }
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
        let pace = Pace::new(self.catalog.clone());
        let begun = std::time::Instant::now();
        let mut run = Run { collector: self, report, pace, begun, stop, progress };
        let outcome = run.all().await;
        run.report.finished = outcome.is_ok() && !stop.is_cancelled();
        run.say();
        let report = run.report;
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

impl Run<'_> {
    async fn all(&mut self) -> Result<(), GcError> {
        self.delete_doomed().await?;
        self.retire_tags().await?;
        self.expire().await?;
        self.released().await?;
        self.manifests().await?;
        self.released().await?;
        self.blobs().await?;
        self.repositories().await?;
        self.orphans().await
    }

    fn over(&self) -> bool {
        self.stop.is_cancelled()
    }

    fn say(&mut self) {
        self.report.milliseconds = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        (self.progress)(&self.report);
    }

    async fn retire_tags(&mut self) -> Result<(), GcError> {
        let Collector { catalog, settings, clock, .. } = self.collector;
        for repo in retention::repositories(catalog, &settings.rules).await? {
            let Some(rule) = retention::rule_of(&settings.rules, &repo) else { continue };
            let mut cut = rule.measure(catalog, &repo, clock.now()).await?;
            let mut after = None;
            while !self.over() {
                let (doomed, next) = cut.page(catalog, &repo, after.as_ref(), &settings.immutable).await?;
                for tags in doomed.chunks(100) {
                    let burial =
                        crate::catalog::Burial { now: clock.now(), keep: !settings.undelete.is_zero() };
                    let retired =
                        self.pace.step(tags.len(), catalog.retire_tags(&repo, tags, burial)).await?;
                    self.report.tags += retired.len() as u64;
                    self.say();
                }
                match next {
                    Some(tag) => after = Some(tag),
                    None => break,
                }
            }
        }
        Ok(())
    }

    async fn expire(&mut self) -> Result<(), GcError> {
        while !self.over() {
            let (limit, horizon) = (self.pace.batch(), self.collector.horizon());
            let expired = self.collector.catalog.expire_deleted(horizon, limit);
            let expired = self.pace.step(limit as usize, expired).await?;
            self.report.expired += expired;
            if expired == 0 {
                break;
            }
        }
        Ok(())
    }

    /// What something let go of, until no more goes.
    async fn released(&mut self) -> Result<(), GcError> {
        let mut any = true;
        while any && !self.over() {
            any = false;
            let mut after = -1;
            while !self.over() {
                let (most, horizon) = (self.pace.batch(), self.collector.horizon());
                let collected = self.collector.catalog.collect_released(after, horizon, most);
                let collected = self.pace.step(most as usize, collected).await?;
                any |= !collected.removed.is_empty();
                self.report.manifests += collected.removed.len() as u64;
                self.say();
                match collected.next {
                    Some(next) => after = next,
                    None => break,
                }
            }
        }
        Ok(())
    }

    async fn manifests(&mut self) -> Result<(), GcError> {
        let mut after = -1;
        while !self.over() {
            let horizon = self.collector.horizon();
            let found = self.collector.catalog.collectable_manifests(after, WINDOW, horizon);
            let found = self.pace.look(found).await?;
            let mut ahead = found.found.as_slice();
            while !ahead.is_empty() && !self.over() {
                let most = self.pace.batch();
                let (some, rest) = ahead.split_at(ahead.len().min(most as usize));
                ahead = rest;
                let removed = self.collector.catalog.collect_manifests(some, horizon, most);
                let removed = self.pace.step(some.len(), removed).await?;
                self.report.manifests += removed.len() as u64;
                self.say();
            }
            match found.next {
                Some(next) => after = next,
                None => break,
            }
        }
        Ok(())
    }

    async fn blobs(&mut self) -> Result<(), GcError> {
        let mut after = String::new();
        while !self.over() {
            let horizon = self.collector.horizon();
            let found = self.collector.catalog.collectable_blobs(&after, WINDOW, horizon);
            let found = self.pace.look(found).await?;
            let mut ahead = found.found.as_slice();
            while !ahead.is_empty() && !self.over() {
                let (some, rest) = ahead.split_at(ahead.len().min(self.pace.batch() as usize));
                ahead = rest;
                let swept = self.collector.catalog.sweep_blobs(some, horizon);
                let swept = self.pace.step(some.len(), swept).await?;
                self.report.links += swept.links;
                self.report.blobs += swept.objects.len() as u64;
                self.delete_objects(&swept.objects).await?;
                self.say();
            }
            match found.next {
                Some(next) => after = next,
                None => break,
            }
        }
        Ok(())
    }

    /// What a run that did not come to its end has left.
    async fn delete_doomed(&mut self) -> Result<(), GcError> {
        while !self.over() {
            let doomed = self.collector.catalog.doomed_objects(DOOMED).await?;
            let failed = self.report.failed;
            self.delete_objects(&doomed).await?;
            self.say();
            // What cannot be deleted now is not asked for in a circle.
            if doomed.len() < DOOMED as usize || self.report.failed > failed {
                break;
            }
        }
        Ok(())
    }

    /// Deletes objects that no row names, then forgets them. One that cannot be deleted stays written down.
    async fn delete_objects(&mut self, doomed: &[DoomedObject]) -> Result<(), GcError> {
        let store = &self.collector.store;
        let deletions = doomed.chunks(doomed.len().div_ceil(AT_ONCE).max(1)).map(async |some| {
            let keys: Vec<_> = some.iter().map(|object| object.key.clone()).collect();
            some.iter().zip(store.delete_many(&keys).await).collect::<Vec<_>>()
        });
        let deletions: Vec<_> = deletions.collect();
        let outcomes: Vec<_> =
            futures_util::stream::iter(deletions).buffer_unordered(AT_ONCE).collect().await;
        let mut gone = Vec::new();
        for (object, outcome) in outcomes.into_iter().flatten() {
            match outcome {
                Ok(()) => {
                    self.report.bytes += object.size;
                    gone.push(object.key.clone());
                }
                Err(error) => {
                    self.report.failed += 1;
                    warn!(key = %object.key, "Object {} stays until the next run: {error}", object.key);
                }
            }
        }
        if !gone.is_empty() {
            self.collector.catalog.forget_objects(&gone).await?;
        }
        Ok(())
    }

    /// Objects that no row names: of uploads that died between their last byte and their row.
    async fn orphans(&mut self) -> Result<(), GcError> {
        let mut is_ours = false;
        for below in ["blobs", "uploads"] {
            let before = self.collector.clock.now() - self.collector.settings.clock_skew;
            let before = before - self.collector.settings.grace;
            let old = self
                .collector
                .store
                .list(below)
                .try_filter(|listed| std::future::ready(listed.modified < before));
            let mut old = std::pin::pin!(old.try_chunks(LISTED));
            while let Some(some) = old.next().await {
                if self.over() {
                    break;
                }
                let some = some.map_err(|error| error.1)?;
                let of = |key: &ObjectKey| storage::Key::upload_of(key).map(|id| id.to_string());
                // What is named in no way of ours is nobody's to delete.
                let named = some.iter().filter_map(|listed| Some((listed.key.clone(), of(&listed.key)?)));
                let named: Vec<_> = named.collect();
                let orphans = self.pace.look(self.collector.catalog.orphans(&named)).await?;
                if !orphans.is_empty() && !is_ours {
                    self.no_strangers().await?;
                    is_ours = true;
                }
                let objects: Vec<_> = some
                    .into_iter()
                    .filter(|listed| orphans.contains(&listed.key))
                    .map(|listed| DoomedObject { key: listed.key, size: listed.size })
                    .collect();
                for object in &objects {
                    info!(key = %object.key, "Object {} belongs to no blob and goes", object.key);
                }
                self.report.orphans += objects.len() as u64;
                self.delete_objects(&objects).await?;
                self.say();
            }
        }
        Ok(())
    }

    /// Looks whether the catalog belongs to storage, before what it does not name is taken for nobody's.
    async fn no_strangers(&mut self) -> Result<(), GcError> {
        let Collector { catalog, store, .. } = self.collector;
        match records::strangers(&**catalog, &**store, 1).await?.pop() {
            Some(key) => Err(GcError::Stranger(key)),
            None => Ok(()),
        }
    }

    async fn repositories(&mut self) -> Result<(), GcError> {
        let mut after = -1;
        while !self.over() {
            let gone = self.collector.catalog.forget_empty_repositories(after, WINDOW).await?;
            self.report.repositories += gone.found.len() as u64;
            match gone.next {
                Some(next) => after = next,
                None => break,
            }
        }
        Ok(())
    }
}
