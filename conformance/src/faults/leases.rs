//! F16: what HEAD has said of a blob holds until the manifest comes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::{
    Client, Result,
    client::random_blob,
    collection::{blob, broken, collect_in_a_loop, image, is_late, merciless},
    steps::{moment, runtime},
};
use crate::{
    data::digest_of,
    harness::{HarnessError, Stack},
};

/// A blob's lease, in seconds.
const LEASE: u64 = 3;
const LIMIT: Duration = Duration::from_secs(60);

/// F16: a blob is pushed and left until its lease is about to run out, then asked for by HEAD. Where that says 200,
/// a manifest of it must be taken. So many rounds, many at a time, while collection runs in a loop.
pub fn head_then_manifest(stack: Stack, rounds: usize) -> Result<String> {
    let runtime = runtime()?;
    let berth = merciless(stack, LEASE).start()?;
    let (url, stop) = (berth.url(), Arc::new(AtomicBool::new(false)));
    runtime.block_on(async {
        let collecting = tokio::spawn(collect_in_a_loop(Client::new(&url)?, stop.clone()));
        let begun = Instant::now();
        let mut ends = Ends::default();
        let mut tried = 0;
        // On a busy machine a whole pass may come too late, or too early.
        while ends.gone == 0 || ends.taken == 0 {
            if tried > 0 && begun.elapsed() > LIMIT {
                let why = format!("{tried} rounds and {ends:?}: nothing was close");
                return Err(HarnessError::Unexpected(why).into());
            }
            ends.add(around_the_end_of_leases(&url, rounds).await?);
            tried += rounds;
        }
        stop.store(true, Ordering::Relaxed);
        collecting.await.map_err(|error| broken("F16", error.to_string()))??;
        let Ends { gone, late, .. } = ends;
        Ok(format!("{tried} rounds, {gone} collected before they were asked for, {late} too late, 0 after"))
    })
}

/// How rounds ended.
#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    /// The manifest was taken.
    taken: usize,
    /// The blob was collected before it was asked for.
    gone: usize,
    /// The manifest came after half a lease.
    late: usize,
}

impl Ends {
    fn add(&mut self, more: Self) {
        self.taken += more.taken;
        self.gone += more.gone;
        self.late += more.late;
    }
}

async fn around_the_end_of_leases(url: &str, rounds: usize) -> Result<Ends> {
    let left = Arc::new(AtomicUsize::new(rounds));
    let mut workers = JoinSet::new();
    for _ in 0..64 {
        let (client, left) = (Client::new(url)?, left.clone());
        workers.spawn(async move {
            let mut ends = Ends::default();
            let take = |left: usize| left.checked_sub(1);
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
                let own = random_blob(64);
                blob(&client, "faults/head", &own).await?;
                // Around the moment at which the lease ends, which is what this is about.
                tokio::time::sleep(moment(LEASE * 500, LEASE * 1200)).await;
                let asked = Instant::now();
                if client.head(&format!("/v2/faults/head/blobs/{}", own.digest)).await? != 200 {
                    ends.gone += 1;
                    continue;
                }
                let manifest = image(&[&own], 0);
                let digest = digest_of(berth_oci::Algorithm::Sha256, &manifest);
                match client.put_manifest("faults/head", digest.as_str(), manifest).await? {
                    201 => ends.taken += 1,
                    400 if is_late(asked, LEASE) => ends.late += 1,
                    status => {
                        return Err(broken("F16", format!("HEAD said 200, and then the manifest: {status}")));
                    }
                }
            }
            Ok(ends)
        });
    }
    let mut ends = Ends::default();
    while let Some(done) = workers.join_next().await {
        ends.add(done.map_err(|error| broken("F16", error.to_string()))??);
    }
    Ok(ends)
}
