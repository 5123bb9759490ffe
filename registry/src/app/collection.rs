//! Collection as the process runs it: counted, and in its time.

use std::sync::{Arc, atomic::AtomicU64};

use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use tokio_util::sync::CancellationToken;

use super::{Periodic, Round, Services};
use crate::{
    gc::{Collector, GcError, Report},
    telemetry::Metrics,
};

/// The collector, and what is counted of its runs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Collection {
    /// Collects.
    pub collector: Collector,
    counts: Counts,
}

#[derive(Clone, Debug, Default)]
struct Counts {
    manifests: Counter,
    blobs: Counter,
    orphans: Counter,
    tags: Counter,
    bytes: Counter,
    failed: Counter,
    seconds: Gauge<f64, AtomicU64>,
    success: Gauge<f64, AtomicU64>,
}

impl Collection {
    /// Counts what `collector` does in `metrics`.
    #[must_use]
    pub fn new(collector: Collector, metrics: &Metrics) -> Self {
        let counts = Counts::default();
        metrics.register("gc_manifests", "Manifests collected", counts.manifests.clone());
        metrics.register("gc_blobs", "Blobs collected", counts.blobs.clone());
        metrics.register("gc_orphans", "Objects collected that belonged to no blob", counts.orphans.clone());
        metrics.register("gc_tags", "Tags that retention let go", counts.tags.clone());
        metrics.register("gc_freed_bytes", "Bytes freed in storage", counts.bytes.clone());
        metrics.register("gc_failed_objects", "Objects that could not be deleted yet", counts.failed.clone());
        metrics.register("gc_last_duration_seconds", "How long the last run took", counts.seconds.clone());
        metrics.register(
            "gc_last_success_timestamp_seconds",
            "When the last run that came to its end began",
            counts.success.clone(),
        );
        Self { collector, counts }
    }

    /// Collects once, and counts while it goes.
    ///
    /// # Errors
    /// As [`Collector::run`].
    pub async fn run(
        &self,
        stop: &CancellationToken,
        progress: &mut (dyn FnMut(&Report) + Send),
    ) -> Result<Report, GcError> {
        let mut counted = Report::default();
        let outcome = self
            .collector
            .run(stop, &mut |report| {
                self.counts.add(&counted, report);
                counted = report.clone();
                progress(report);
            })
            .await;
        if let Ok(report) = &outcome
            && report.finished
        {
            self.counts.seconds.set(report.milliseconds as f64 / 1e3);
            self.counts.success.set(report.started_at as f64 / 1e6);
        }
        outcome
    }
}

impl Counts {
    fn add(&self, before: &Report, now: &Report) {
        self.manifests.inc_by(now.manifests - before.manifests);
        self.blobs.inc_by(now.blobs - before.blobs);
        self.orphans.inc_by(now.orphans - before.orphans);
        self.tags.inc_by(now.tags - before.tags);
        self.bytes.inc_by(now.bytes - before.bytes);
        self.failed.inc_by(now.failed - before.failed);
    }
}

/// Collection in its time, on one replica; nothing where it is off.
pub(super) fn task(services: &Services) -> Option<Periodic> {
    let every = services.config.gc.every;
    if every.is_zero() {
        return None;
    }
    let collection = services.collection.clone();
    let round: Round = Arc::new(move |stop| {
        let collection = collection.clone();
        Box::pin(async move {
            match collection.run(&stop, &mut |_| ()).await {
                // Somebody asked for a run a moment ago.
                Err(GcError::Busy) => Ok(()),
                Err(error) => Err(error.into()),
                Ok(report) => {
                    let Report { tags, manifests, blobs, orphans, bytes, .. } = report;
                    if tags + manifests + blobs + orphans > 0 {
                        tracing::info!(
                            tags,
                            manifests,
                            blobs,
                            orphans,
                            bytes,
                            "Collected {tags} tags, {manifests} manifests, {blobs} blobs and {orphans} orphans: {bytes} bytes"
                        );
                    }
                    Ok(())
                }
            }
        })
    });
    Some(Periodic { name: "collection", every, alone: true, round })
}
