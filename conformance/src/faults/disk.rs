//! F4, F5 and F6: the disk answers errors, or is full.

use std::{fs, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::runtime::Runtime;

use super::{
    Action, Cell, Client, Expect, FaultError, Journal, Pusher, Result, Shim, Taste, Way,
    client::random_blob,
    error::clean,
    steps::{comes_true, recover, replay, runtime},
};
use crate::{
    data::Blob,
    harness::{Berth, HarnessError, Scratch, Stack, Tool, fair},
};

const MIB: usize = 1 << 20;
/// A push by each way makes fewer syncs.
const SYNCS: u64 = 100;
const REPO: &str = "faults/disk";
/// So soon after space was freed all is well again.
const FREED: Duration = Duration::from_secs(10);
/// So soon readiness knows that there is none.
const RED: Duration = Duration::from_secs(10);

/// Whose syncs fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failing {
    /// Blobs' files and folders: some push waits for each of them and must be refused.
    Stored,
    /// Any: the catalog may write a transaction anew, elsewhere, and then acknowledge.
    Any,
}

/// F4: for N = 1, 2, … the Nth sync of a script of pushes answers EIO, first of those of blobs, then of all; and once
/// every sync does. A push that met it is answered 5xx; its session is over, its blob is not there, and ending the
/// session again is no success. After a restart all that was acknowledged is there, and pushes do again.
pub fn failing_syncs() -> Result<String> {
    let (runtime, shim) = (runtime()?, Shim::new()?);
    let mut refused = 0;
    for failing in [Failing::Stored, Failing::Any] {
        let mut n = 1;
        while let Some(voided) = one_failing_sync(&runtime, &shim, failing, n)? {
            refused += voided;
            n += 1;
            if n > SYNCS {
                return Err(
                    HarnessError::Unexpected(format!("the script makes more than {SYNCS} syncs")).into()
                );
            }
        }
    }
    Ok(format!("{refused} pushes refused and void, none of them visible"))
}

/// How many pushes were refused; `None` when the script came through before the Nth sync.
fn one_failing_sync(runtime: &Runtime, shim: &Shim, failing: Failing, n: u64) -> Result<Option<usize>> {
    let when = format!("F4, sync {n} of {failing:?} fails");
    let [preload, control] = shim.env();
    shim.reset()?;
    let mut berth = Berth::builder().env(preload.0, preload.1).env(control.0, control.1).start()?;
    shim.must_have_met()?;
    let scratch = Scratch::new("journal")?;
    let journal = Arc::new(Journal::open(scratch.join("journal"))?);
    let client = Client::new(&berth.url())?;
    let count = || if failing == Failing::Stored { shim.stored_syncs() } else { shim.syncs() };
    let at = count()? + n;
    shim.set(if failing == Failing::Stored { Action::FailStoredSync(at) } else { Action::FailSync(at) })?;
    let voided = runtime.block_on(each_way(&client, &journal, &when))?;
    if count()? < at {
        return Ok(None);
    }
    if failing == Failing::Stored && voided == 0 {
        return Err(FaultError::broken(when, "a sync of a blob failed, and every push was acknowledged"));
    }
    if n == 1 {
        shim.set(Action::FailSyncsFrom(0))?;
        let voided = runtime.block_on(each_way(&client, &journal, &when))?;
        if voided != Way::ALL.len() {
            let finding = format!("every sync failed, and {voided} of 4 pushes were refused");
            return Err(FaultError::broken(when, finding));
        }
    }
    shim.set(Action::Count)?;
    berth.kill()?;
    recover(&mut berth, &when)?;
    let pusher = Pusher::new(Client::new(&berth.url())?, journal.clone(), REPO, Taste::Scripted);
    runtime.block_on(pusher.image())?;
    let history = journal.history()?;
    clean(when.clone(), history.refused.clone())?;
    replay(runtime, &berth.url(), &history, Expect::PROCESS, &when)?;
    Ok(Some(voided))
}

/// Pushes one blob by each way while a sync may fail. How many pushes were refused.
async fn each_way(client: &Client, journal: &Journal, when: &str) -> Result<usize> {
    let mut refused = 0;
    for way in Way::ALL {
        let blob = random_blob(5000);
        let digest = blob.digest.as_str();
        let pushed = client.push(REPO, &blob, way, || journal.note(&["sent", "blob", REPO, digest])).await?;
        let broken = |what: String| Err(FaultError::broken(format!("{when}, {way:?}"), what));
        match pushed.status {
            201 => {
                journal.record(&["acked", "blob", REPO, digest])?;
                continue;
            }
            500..600 => refused += 1,
            status => return broken(format!("the push was answered by {status}")),
        }
        let status = client.head(&format!("/v2/{REPO}/blobs/{digest}")).await?;
        if status != 404 {
            return broken(format!("I4: the push was refused, and HEAD says {status}"));
        }
        if let Some(location) = &pushed.session {
            // A refusal may come from the catalog, which may not be able to answer at once.
            let (status, _) = client.session(location).await?;
            if !(status == 404 || (500..600).contains(&status)) {
                return broken(format!("the session is void, and GET says {status}"));
            }
            let status = client.finish(location, digest, Bytes::new()).await?;
            if !(status == 404 || (500..600).contains(&status)) {
                return broken(format!("the session is void, and its end again is {status}"));
            }
        }
    }
    Ok(refused)
}

/// F5: the data folder on 64 MiB, filled by pushes; so many times. Then: 507 and readiness red, pulls go on, and all is
/// well soon after a file is taken away.
pub fn data_disk_full(cycles: usize) -> Result<String> {
    const BALLAST: usize = 24 * MIB;
    let (runtime, cell) = (runtime()?, Cell::tmpfs(64 * MIB as u64)?);
    let berth = Berth::builder().data(cell.path().join("data")).wrapper(cell.enter()).start()?;
    let client = Client::new(&berth.url())?;
    let ballast = cell.outside(&cell.path().join("ballast"));
    let mut held: Vec<Blob> = Vec::new();
    let mut slowest = Duration::ZERO;
    for cycle in 1..=cycles {
        let when = format!("F5, cycle {cycle}");
        fs::write(&ballast, vec![1; BALLAST])?;
        slowest = slowest.max(runtime.block_on(async {
            fill(&client, &mut held, Way::ALL[cycle % Way::ALL.len()], &when).await?;
            if !comes_true(fair(RED), async || Ok(client.get("/readyz").await?.0 == 503)).await? {
                return Err(FaultError::broken(&when, "there is no space, and /readyz is not red"));
            }
            pulls_go_on(&client, &held, &when).await?;
            fs::remove_file(&ballast)?;
            let begun = std::time::Instant::now();
            let blob = random_blob(MIB);
            let well = comes_true(fair(FREED), async || {
                let pushed = client.push(REPO, &blob, Way::PostPut, || Ok(())).await?;
                Ok(pushed.is_acknowledged() && client.get("/readyz").await?.0 == 200)
            });
            if !well.await? {
                return Err(FaultError::broken(
                    &when,
                    format!("space was freed, and not well after {FREED:?}"),
                ));
            }
            let took = begun.elapsed();
            pulls_go_on(&client, &held, &when).await?;
            Ok(took)
        })?);
    }
    Ok(format!("{cycles} cycles, 507 and red each time, well {slowest:?} after space was freed at most"))
}

/// Pushes until the disk is full.
async fn fill(client: &Client, held: &mut Vec<Blob>, way: Way, when: &str) -> Result<()> {
    for _ in 0..64 {
        let blob = random_blob(MIB);
        let pushed = client.push(REPO, &blob, way, || Ok(())).await?;
        match pushed.status {
            201 => held.push(blob),
            507 => {
                let status = client.head(&format!("/v2/{REPO}/blobs/{}", blob.digest)).await?;
                if status == 404 {
                    return Ok(());
                }
                return Err(FaultError::broken(when, format!("507, and then HEAD says {status}")));
            }
            status => return Err(FaultError::broken(when, format!("a push on a full disk is {status}"))),
        }
    }
    Err(FaultError::broken(when, "64 MiB went onto a disk of 64 MiB"))
}

async fn pulls_go_on(client: &Client, held: &[Blob], when: &str) -> Result<()> {
    for blob in held {
        let (status, body) = client.get(&format!("/v2/{REPO}/blobs/{}", blob.digest)).await?;
        if status != 200 || body != blob.bytes {
            return Err(FaultError::broken(when, format!("a pull is {status} with {} bytes", body.len())));
        }
    }
    Ok(())
}

/// F6: the catalog on a disk of its own that fills up; so many times. Then: manifests are refused by 5xx, pulls go on,
/// and when space is freed pushes do again. After `kill -9` on the full disk the database is whole.
pub fn catalog_disk_full(cycles: usize) -> Result<String> {
    let (runtime, cell) = (runtime()?, Cell::tmpfs(24 * MIB as u64)?);
    let folder = cell.path().join("catalog");
    let builder = Berth::builder().stack(Stack::Embedded).wrapper(cell.enter());
    let mut berth = builder.set("catalog.dir", &format!("{:?}", folder.to_string_lossy())).start()?;
    let ballast = cell.outside(&cell.path().join("ballast"));
    let scratch = Scratch::new("journal")?;
    let journal = Arc::new(Journal::open(scratch.join("journal"))?);
    for cycle in 1..=cycles {
        let when = format!("F6, cycle {cycle}");
        let pusher = Pusher::new(Client::new(&berth.url())?, journal.clone(), REPO, Taste::Scripted);
        runtime.block_on(pusher.image())?;
        clean(when.clone(), journal.history()?.refused)?;
        // All that is left but a little, so that the pushes and not the ballast fill it.
        let left = free(&cell)?.saturating_sub(rand::random_range(0..128) * 1024);
        fs::write(&ballast, vec![1; usize::try_from(left).unwrap_or_default()])?;
        let pusher = Pusher::new(Client::new(&berth.url())?, journal.clone(), REPO, Taste::Scripted);
        let mut pushed = 0;
        while journal.history()?.refused.is_empty() {
            runtime.block_on(pusher.image())?;
            pushed += 1;
            if pushed > 400 {
                return Err(FaultError::broken(when, "400 images went into a full catalog"));
            }
        }
        let history = journal.history()?;
        let other: Vec<_> = history.refused.iter().filter(|line| !line.contains(" 50")).cloned().collect();
        clean(when.clone(), other)?;
        replay(&runtime, &berth.url(), &history, Expect::PROCESS, &when)?;
        berth.kill()?;
        fs::remove_file(&ballast)?;
        integrity(&cell.outside(&folder), &when)?;
        recover(&mut berth, &when)?;
        replay(&runtime, &berth.url(), &history, Expect::PROCESS, &when)?;
        journal.forget_refusals()?;
    }
    Ok(format!("{cycles} cycles, the database whole each time, 0 lost"))
}

fn free(cell: &Cell) -> Result<u64> {
    let stat = rustix::fs::statvfs(cell.outside(cell.path())).map_err(std::io::Error::from)?;
    Ok(stat.f_bavail * stat.f_frsize)
}

/// Checks a copy of the database and its log, so that the registry recovers from what it left itself.
fn integrity(folder: &Path, when: &str) -> Result<()> {
    const SCRIPT: &str = "import sqlite3, sys\n\
        print(sqlite3.connect(sys.argv[1]).execute('PRAGMA integrity_check').fetchone()[0])";
    let scratch = Scratch::new("integrity")?;
    for name in ["catalog.db", "catalog.db-wal"] {
        fs::copy(folder.join(name), scratch.join(name))?;
    }
    let said = Tool::new("python3")?.args(["-c", SCRIPT]).arg(scratch.join("catalog.db")).run()?;
    if said.trim() == "ok" {
        Ok(())
    } else {
        Err(FaultError::broken(when, format!("integrity_check: {said}")))
    }
}
