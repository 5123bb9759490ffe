//! Steps that scenarios share.

use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::{Client, Expect, FaultError, History, Result, check, error::clean};
use crate::harness::{Berth, fair};

/// How soon the registry must be ready after its death.
const READY: Duration = Duration::from_secs(5);

/// A runtime for requests; the harness blocks and stands outside.
pub(super) fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// Starts the registry again after its death, in time.
pub(super) fn recover(berth: &mut Berth, when: &str) -> Result<Duration> {
    let took = berth.start()?;
    if took > fair(READY) {
        return Err(FaultError::broken(when, format!("it was ready after {took:?} only")));
    }
    Ok(took)
}

/// Asks for all that the journal knows.
pub(super) fn replay(
    runtime: &Runtime,
    url: &str,
    history: &History,
    expect: Expect,
    when: &str,
) -> Result<()> {
    // New connections: those of before the death are dead.
    clean(when, runtime.block_on(check(&Client::new(url)?, history, expect))?)
}

/// A random time between two.
pub(super) fn moment(from: u64, to: u64) -> Duration {
    Duration::from_millis(rand::random_range(from..=to))
}

/// Whether `what` came true within `limit`; asked again and again.
pub(super) async fn comes_true(limit: Duration, mut what: impl AsyncFnMut() -> Result<bool>) -> Result<bool> {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        if what().await? {
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    what().await
}
