//! How fast collection goes: as fast as it can while nobody writes, and slower the more it takes from
//! those who do, be it that they wait longer or that they come to less.

use std::{
    future::Future,
    ops::RangeInclusive,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep;
use tracing::debug;

use crate::catalog::{Catalog, Foreground};

/// Rows that one transaction may take.
const ROWS: RangeInclusive<f64> = 16.0..=1000.0;
/// A transaction that others wait behind takes no longer than about this...
const LONGEST: Duration = Duration::from_millis(8);
/// ...and one that nobody waits behind, since somebody may come.
const LONGEST_ALONE: Duration = Duration::from_millis(25);
/// How often, and for how long, collection holds still to see how others fare without it.
const LISTEN_EVERY: Duration = Duration::from_secs(5);
const LISTEN: Duration = Duration::from_millis(250);
/// What was under way when it began to hold still has ended after this.
const SETTLE: Duration = Duration::from_millis(20);
/// Over so long it is seen how others fare beside it.
const WINDOW: Duration = Duration::from_millis(500);
/// Writes may take so many times as long as without collection, and this much longer in any case: what is
/// three times of very little is not worth waiting for.
const TOLERATED: f64 = 3.0;
const TOLERATED_MICROS: f64 = 2000.0;
/// Of the writes that others come to without collection, so many are to be left.
const LEFT: f64 = 0.95;
/// How much the newest look counts, without collection and beside it: in so short a time a few writes more or less
/// are chance.
const NEWEST: f64 = 0.4;
/// Rest after a transaction, in times of its own length. The shortest is none.
const RESTS: RangeInclusive<f64> = 0.05..=4.0;
/// How much longer it gets where others suffer, and how much shorter where they do not.
const LONGER: f64 = 1.4;
const SHORTER: f64 = 0.75;

/// How others fare.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Fare {
    /// Writes in a second.
    rate: f64,
    /// Microseconds that one takes.
    micros: f64,
}

impl Fare {
    /// Between two looks; none where nobody wrote.
    fn between(before: Foreground, after: Foreground, time: Duration) -> Option<Self> {
        let writes = after.writes.saturating_sub(before.writes);
        let micros = after.micros.saturating_sub(before.micros);
        (writes > 0).then(|| Self {
            rate: writes as f64 / time.as_secs_f64().max(1e-6),
            micros: micros as f64 / writes as f64,
        })
    }

    /// Whether others fare too badly, if they fare like `calm` by themselves.
    fn suffers(self, calm: Self) -> bool {
        let slow = (calm.micros * TOLERATED).max(calm.micros + TOLERATED_MICROS);
        self.micros > slow || self.rate < calm.rate * LEFT
    }

    fn towards(self, newest: Self) -> Self {
        let mix = |old: f64, new: f64| old + (new - old) * NEWEST;
        Self { rate: mix(self.rate, newest.rate), micros: mix(self.micros, newest.micros) }
    }
}

/// The pace of one run.
#[derive(Debug)]
pub(super) struct Pace {
    catalog: Arc<dyn Catalog>,
    rows: f64,
    rest: f64,
    /// How others fare while collection holds still; none while nobody writes.
    calm: Option<Fare>,
    listened: Option<Instant>,
    /// How they fare beside it.
    beside: Option<Fare>,
    /// Since when that is seen, and what they had come to.
    since: (Instant, Foreground),
}

impl Pace {
    pub(super) fn new(catalog: Arc<dyn Catalog>) -> Self {
        let since = (Instant::now(), catalog.foreground());
        Self { catalog, rows: 100.0, rest: 0.5, calm: None, listened: None, beside: None, since }
    }

    /// Rows for the next transaction.
    #[expect(clippy::cast_possible_truncation, reason = "within ROWS")]
    pub(super) fn batch(&self) -> u32 {
        self.rows.round() as u32
    }

    /// How others have fared since the last look.
    fn heard(&mut self) -> Option<Fare> {
        let (then, before) = self.since;
        self.since = (Instant::now(), self.catalog.foreground());
        Fare::between(before, self.since.1, then.elapsed())
    }

    /// Holds still for a moment where others write.
    async fn listen(&mut self) {
        if self.listened.is_some_and(|at| at.elapsed() < LISTEN_EVERY) {
            return;
        }
        let before = self.catalog.foreground().writes;
        sleep(SETTLE).await;
        // Only where somebody writes: otherwise there is nothing to hear.
        if self.calm.is_some() || self.catalog.foreground().writes != before {
            self.heard();
            sleep(LISTEN).await;
            self.calm = match (self.calm, self.heard()) {
                (Some(calm), Some(newest)) => Some(calm.towards(newest)),
                (_, newest) => newest,
            };
        }
        self.listened = Some(Instant::now());
        self.heard();
    }

    /// Runs a transaction over `rows` rows, then rests as long as others need.
    pub(super) async fn step<T>(&mut self, rows: usize, work: impl Future<Output = T>) -> T {
        self.listen().await;
        let (begun, before) = (Instant::now(), self.catalog.foreground());
        let done = work.await;
        let after = self.catalog.foreground();
        // Without what it waited for its turn, where the catalog knows that.
        let took = match after.behind.saturating_sub(before.behind) {
            0 => begun.elapsed(),
            worked => Duration::from_micros(worked).min(begun.elapsed()),
        };
        self.size(rows, took);
        if self.since.0.elapsed() >= WINDOW {
            self.judge();
        }
        if (self.calm.is_some() || after.writes != before.writes) && self.rest > *RESTS.start() {
            sleep(took.mul_f64(self.rest)).await;
        }
        done
    }

    /// How many rows fit into a transaction, from one that had so many and took so long.
    fn size(&mut self, rows: usize, took: Duration) {
        let longest = if self.calm.is_some() { LONGEST } else { LONGEST_ALONE };
        let factor = match () {
            () if took > longest => 0.7,
            // Small ones say nothing about how many rows fit.
            () if took < longest / 2 && rows as f64 >= self.rows * 0.9 => 1.2,
            () => return,
        };
        self.rows = (self.rows * factor).clamp(*ROWS.start(), *ROWS.end());
    }

    /// Whether to rest longer or shorter from now on.
    fn judge(&mut self) {
        let heard = self.heard();
        self.beside = match (self.beside, heard) {
            (Some(beside), Some(newest)) => Some(beside.towards(newest)),
            (_, newest) => newest,
        };
        let suffers = match (self.beside, self.calm) {
            (Some(fare), Some(calm)) => fare.suffers(calm),
            // That nobody comes to anything is no proof that nobody wants to; the next listening tells.
            (None, Some(_)) => true,
            (_, None) => false,
        };
        let factor = if suffers { LONGER } else { SHORTER };
        self.rest = (self.rest * factor).clamp(*RESTS.start(), *RESTS.end());
        debug!(calm = ?self.calm, beside = ?self.beside, rest = self.rest, rows = self.rows, "The pace of collection");
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

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Fare = Fare { rate: 500.0, micros: 4000.0 };

    #[test]
    fn others_suffer_when_they_wait_three_times_as_long_or_come_to_less() {
        assert!(!CALM.suffers(CALM));
        assert!(!Fare { micros: 11_900.0, ..CALM }.suffers(CALM));
        assert!(Fare { micros: 12_100.0, ..CALM }.suffers(CALM));
        assert!(!Fare { rate: 480.0, ..CALM }.suffers(CALM));
        assert!(Fare { rate: 470.0, ..CALM }.suffers(CALM));
    }

    #[test]
    fn who_waits_for_almost_nothing_may_wait_for_little() {
        let calm = Fare { micros: 300.0, ..CALM };
        assert!(!Fare { micros: 2200.0, ..CALM }.suffers(calm));
        assert!(Fare { micros: 2400.0, ..CALM }.suffers(calm));
    }
}
