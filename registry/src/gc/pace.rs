//! How fast collection goes: as fast as it can while nobody writes, and slower the more it delays
//! those who do.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use crate::catalog::{Catalog, Foreground};

/// Rows that one transaction may take.
const SMALLEST: f64 = 16.0;
const LARGEST: f64 = 400.0;
/// A transaction that others wait behind takes no longer than about this.
const LONGEST: Duration = Duration::from_millis(12);
/// How often, and for how long, collection holds still to see how others fare without it.
const LISTEN_EVERY: Duration = Duration::from_secs(2);
const LISTEN: Duration = Duration::from_millis(60);
/// Writes may take so many times as long as without collection: people who push see no difference, and what
/// nobody needs is gone several times sooner than if they were not to wait at all.
const TOLERATED: f64 = 1.6;
/// Rest after a transaction, in times of its own length.
const RESTS: std::ops::RangeInclusive<f64> = 0.1..=3.0;

/// The pace of one run.
#[derive(Debug)]
pub(super) struct Pace {
    catalog: Arc<dyn Catalog>,
    rows: f64,
    rest: f64,
    /// Microseconds that a write takes while collection holds still; none while nobody writes.
    calm: Option<f64>,
    seen: Foreground,
    listened: Option<Instant>,
}

impl Pace {
    pub(super) fn new(catalog: Arc<dyn Catalog>) -> Self {
        let seen = catalog.foreground();
        Self { catalog, rows: 100.0, rest: 1.0, calm: None, seen, listened: None }
    }

    /// Rows for the next transaction.
    #[expect(clippy::cast_possible_truncation, reason = "from SMALLEST to LARGEST")]
    pub(super) fn batch(&self) -> u32 {
        self.rows.round() as u32
    }

    /// What a write has taken since the last look, and how many there were.
    fn heard(&mut self) -> Option<f64> {
        let now = self.catalog.foreground();
        let writes = now.writes.saturating_sub(self.seen.writes);
        let micros = now.micros.saturating_sub(self.seen.micros);
        self.seen = now;
        (writes > 0).then(|| micros as f64 / writes as f64)
    }

    /// Holds still for a moment where others write.
    async fn listen(&mut self) {
        if self.listened.is_some_and(|at| at.elapsed() < LISTEN_EVERY) {
            return;
        }
        // Only where somebody has written since the last time: otherwise there is nothing to hear.
        if self.seen != self.catalog.foreground() || self.listened.is_none() {
            sleep(LISTEN / 3).await;
            self.heard();
            sleep(LISTEN).await;
            self.calm = self.heard();
        }
        self.listened = Some(Instant::now());
    }

    /// Runs a transaction over `rows` rows, then rests as long as others need.
    pub(super) async fn step<T>(&mut self, rows: usize, work: impl Future<Output = T>) -> T {
        self.listen().await;
        let begun = Instant::now();
        let done = work.await;
        let took = begun.elapsed();
        // Small ones say nothing about how many rows fit.
        if took > LONGEST {
            self.rows = (self.rows * 0.7).max(SMALLEST);
        } else if took < LONGEST / 2 && rows as f64 >= self.rows * 0.9 {
            self.rows = (self.rows * 1.2).min(LARGEST);
        }
        if let Some(micros) = self.heard() {
            let slow = self.calm.is_some_and(|calm| micros > calm * TOLERATED);
            self.rest = (self.rest * if slow { 1.3 } else { 0.9 }).clamp(*RESTS.start(), *RESTS.end());
            sleep(took.mul_f64(self.rest)).await;
        }
        done
    }

    /// Runs something that only reads: nobody waits for it, but processors are shared.
    pub(super) async fn look<T>(&mut self, work: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let done = work.await;
        if self.calm.is_some() {
            sleep(begun.elapsed().mul_f64(self.rest / 2.0)).await;
        }
        done
    }
}
