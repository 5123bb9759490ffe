//! One run, step by step.

use std::{pin::pin, time::Instant};

use berth_oci::Digest;
use futures_util::{StreamExt, TryStreamExt};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{Collector, GcError, Report, aside::Aside, pace::Pace, retention};
use crate::{
    catalog::{Burial, Collectable, DoomedObject, ObjectKey, RemovedManifest},
    records, storage,
};

/// Rows of a table that are looked at together.
const WINDOW: u32 = 2000;
/// Blobs that are looked at together: what is found in one look goes in transactions that are as long as they may be.
const BLOBS: u32 = 8000;
/// Manifests that are gathered at most before any of them goes. Sixteen bytes each.
const GATHERED: usize = 200_000;
/// Doomed objects that are taken up together.
const DOOMED: u32 = 500;
/// Objects that are asked about together.
const LISTED: usize = 500;

/// One run.
pub(super) struct Run<'r> {
    collector: &'r Collector,
    report: Report,
    pace: Pace,
    aside: Aside,
    begun: Instant,
    stop: &'r CancellationToken,
    progress: &'r mut (dyn FnMut(&Report) + Send),
}

impl<'r> Run<'r> {
    pub(super) fn new(
        collector: &'r Collector,
        report: Report,
        stop: &'r CancellationToken,
        progress: &'r mut (dyn FnMut(&Report) + Send),
    ) -> Self {
        let (pace, aside) = (Pace::new(collector.catalog.clone()), Aside::new(collector));
        Self { collector, report, pace, aside, begun: Instant::now(), stop, progress }
    }

    /// Does all there is to do. What was done, and how it ended.
    pub(super) async fn go(mut self) -> (Report, Result<(), GcError>) {
        let outcome = self.all().await;
        // Also after a failure: what is under way comes to its end.
        let settled = self.aside.settle(&mut self.report).await;
        let outcome = outcome.and(settled);
        self.report.finished = outcome.is_ok() && !self.stop.is_cancelled();
        self.say();
        (self.report, outcome)
    }

    async fn all(&mut self) -> Result<(), GcError> {
        self.delete_doomed().await?;
        self.retire_tags().await?;
        self.expire().await?;
        self.released().await?;
        self.manifests().await?;
        self.released().await?;
        self.blobs().await?;
        self.repositories().await?;
        // An object whose row has just gone is in storage until then, and nobody's orphan.
        self.aside.settle(&mut self.report).await?;
        self.orphans().await?;
        self.aside.settle(&mut self.report).await
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
                    let burial = Burial { now: clock.now(), keep: !settings.undelete.is_zero() };
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
                self.removed(collected.removed).await?;
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
        let mut found = Vec::new();
        while !self.over() {
            let horizon = self.collector.horizon();
            let looked = self.collector.catalog.collectable_manifests(after, WINDOW, horizon);
            let looked = self.pace.look(looked).await?;
            found.extend(looked.found);
            if looked.next.is_none() || found.len() >= GATHERED {
                self.remove_manifests(std::mem::take(&mut found)).await?;
            }
            match looked.next {
                Some(next) => after = next,
                None => break,
            }
        }
        Ok(())
    }

    /// Neighbours in the indexes together: what a transaction changes is written page by page.
    async fn remove_manifests(&mut self, mut found: Vec<Collectable>) -> Result<(), GcError> {
        found.sort_unstable_by_key(|manifest| manifest.place);
        let mut ahead = found.as_slice();
        while !ahead.is_empty() && !self.over() {
            let most = self.pace.batch();
            let (some, rest) = ahead.split_at(ahead.len().min(most as usize));
            ahead = rest;
            let ids: Vec<_> = some.iter().map(|manifest| manifest.id).collect();
            let horizon = self.collector.horizon();
            let removed = self.collector.catalog.collect_manifests(&ids, horizon, most);
            let removed = self.pace.step(ids.len(), removed).await?;
            self.removed(removed).await?;
        }
        Ok(())
    }

    /// Manifests went; so do their records.
    async fn removed(&mut self, removed: Vec<RemovedManifest>) -> Result<(), GcError> {
        self.report.manifests += removed.len() as u64;
        self.aside.manifests(removed, &mut self.report).await?;
        self.say();
        Ok(())
    }

    async fn blobs(&mut self) -> Result<(), GcError> {
        let catalog = self.collector.catalog.clone();
        let collector = self.collector;
        let look = async |after: String| catalog.collectable_blobs(&after, BLOBS, collector.horizon()).await;
        let mut found = look(String::new()).await?;
        while !self.over() {
            let Some(next) = found.next else { return self.sweep(&found.found).await };
            // The next ones are looked for meanwhile.
            let (ahead, swept) = tokio::join!(look(next), self.sweep(&found.found));
            swept?;
            found = ahead?;
        }
        Ok(())
    }

    async fn sweep(&mut self, found: &[Digest]) -> Result<(), GcError> {
        let mut ahead = found;
        while !ahead.is_empty() && !self.over() {
            let (some, rest) = ahead.split_at(ahead.len().min(self.pace.batch() as usize));
            ahead = rest;
            let horizon = self.collector.horizon();
            let swept = self.collector.catalog.sweep_blobs(some, horizon);
            let swept = self.pace.step(some.len(), swept).await?;
            self.report.links += swept.links;
            self.report.blobs += swept.objects.len() as u64;
            self.aside.objects(swept.objects, &mut self.report).await?;
            self.say();
        }
        Ok(())
    }

    /// What a run that did not come to its end has left.
    async fn delete_doomed(&mut self) -> Result<(), GcError> {
        while !self.over() {
            let doomed = self.collector.catalog.doomed_objects(DOOMED).await?;
            let (failed, last) = (self.report.failed, doomed.len() < DOOMED as usize);
            self.aside.objects(doomed, &mut self.report).await?;
            self.aside.settle(&mut self.report).await?;
            self.say();
            // What cannot be deleted now is not asked for in a circle.
            if last || self.report.failed > failed {
                break;
            }
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
            let mut old = pin!(old.try_chunks(LISTED));
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
                self.aside.objects(objects, &mut self.report).await?;
                // At once: what was nobody's when it was asked about is deleted before anything else.
                self.aside.settle(&mut self.report).await?;
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
