//! The database's clock, which all replicas share.
//!
//! What one replica writes down with a time, another judges by its own: claims, leases, ends of
//! sessions. So that none has to trust the other's clock, all go by the database's: the difference
//! between it and this machine's steady clock is measured when the catalog is opened and then every
//! [`EVERY`]. Between two measurements the steady clock counts, so that a step of the machine's wall
//! clock changes nothing.
//!
//! A measurement is off by half of what the question took at most; one that took longer than
//! [`LONGEST`] is thrown away. With the drift of a bad quartz in ten seconds that is half a second
//! between two replicas, where the shortest time that means anything, a claim's, is fifteen and
//! is renewed every five.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::PgConnection;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, warn};

use super::pool::Pool;
use crate::{
    catalog::{
        CatalogError, Result,
        database::{Columns, Statements},
        ops::corrupt,
    },
    clock::{Clock, Timestamp},
};

const NOW: &str = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)";
/// Between two measurements.
pub(super) const EVERY: Duration = Duration::from_secs(10);
/// A question that took longer says nothing.
pub(super) const LONGEST: Duration = Duration::from_millis(500);
/// A step of the database's clock that is worth a word.
const STEP: i64 = 5_000_000;

/// What the database's clock says, without asking it each time.
#[derive(Clone, Debug)]
pub struct DatabaseClock(Arc<Offset>);

#[derive(Debug)]
struct Offset {
    begun: Instant,
    /// The database's time when the steady clock stood at `begun`, in microseconds.
    at_begin: AtomicI64,
}

impl Clock for DatabaseClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.at_begin.load(Ordering::Relaxed)) + self.0.begun.elapsed()
    }
}

/// One measurement: the database's time at a moment of the steady clock, and how far off it may be.
struct Sample {
    at: Instant,
    says: i64,
    off: i64,
}

impl Sample {
    async fn take(db: &mut PgConnection) -> Result<Self> {
        let asked = Instant::now();
        let says = db.row(NOW, &[]).await?.ok_or_else(|| corrupt("a clock gave no row"))?.int(0)?;
        let took = asked.elapsed();
        Ok(Self { at: asked + took / 2, says, off: micros(took / 2) })
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl DatabaseClock {
    /// Measured once, however long that takes: any answer is better than none.
    pub(super) async fn new(db: &mut PgConnection) -> Result<Self> {
        let begun = Instant::now();
        let sample = Sample::take(db).await?;
        let at_begin = AtomicI64::new(sample.says - micros(sample.at - begun));
        Ok(Self(Arc::new(Offset { begun, at_begin })))
    }

    /// Measures again and again, as long as the handle lives.
    pub(super) fn keep(&self, pool: Pool) -> AbortOnDropHandle<()> {
        let clock = self.clone();
        AbortOnDropHandle::new(tokio::spawn(async move {
            let mut every = interval(EVERY);
            every.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                every.tick().await;
                match clock.measure(&pool).await {
                    Ok(sample) => clock.adjust(&sample),
                    // The steady clock goes on meanwhile.
                    Err(error) => debug!("The database's clock was not read: {error}"),
                }
            }
        }))
    }

    async fn measure(&self, pool: &Pool) -> Result<Sample> {
        let mut lent = pool.acquire().await?;
        // One that is left in the middle is not given back.
        let sample = timeout(LONGEST * 4, Sample::take(lent.connection()?)).await;
        let sample = sample.map_err(|late| CatalogError::Unavailable(late.into()))?;
        lent.after(&sample);
        sample
    }

    /// Takes what a measurement says, where it is surely not what is known already.
    fn adjust(&self, sample: &Sample) {
        if sample.off > micros(LONGEST / 2) {
            return;
        }
        let new = sample.says - micros(sample.at.saturating_duration_since(self.0.begun));
        let step = new - self.0.at_begin.load(Ordering::Relaxed);
        if step.abs() <= sample.off {
            return;
        }
        if step.abs() >= STEP {
            let seconds = step / 1_000_000;
            warn!(seconds, "The database's clock has moved by {seconds} s; leases and claims go by it");
        }
        self.0.at_begin.store(new, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(at_begin: i64) -> DatabaseClock {
        DatabaseClock(Arc::new(Offset { begun: Instant::now(), at_begin: AtomicI64::new(at_begin) }))
    }

    fn sample(clock: &DatabaseClock, says: i64, off: Duration) -> Sample {
        Sample { at: clock.0.begun, says, off: micros(off) }
    }

    #[test]
    fn f19_a_measurement_counts_only_where_it_is_surer_than_what_is_known() {
        let (short, long) = (Duration::from_millis(1), LONGEST);
        let clock = clock(1_000_000_000);
        let offset = || clock.0.at_begin.load(Ordering::Relaxed);
        clock.adjust(&sample(&clock, 1_000_000_900, short));
        assert_eq!(offset(), 1_000_000_000, "within what the measurement may be off");
        clock.adjust(&sample(&clock, 1_003_000_000, short));
        assert_eq!(offset(), 1_003_000_000);
        clock.adjust(&sample(&clock, 9_000_000_000, long));
        assert_eq!(offset(), 1_003_000_000, "a question that took too long");
        clock.adjust(&sample(&clock, 9_000_000_000, short));
        assert_eq!(offset(), 9_000_000_000, "the database's clock has moved, for all replicas alike");
        let (first, second) = (clock.now(), clock.now());
        assert!(first <= second && first.0 >= 9_000_000_000);
    }
}
