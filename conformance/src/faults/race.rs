//! F14: many pushers of one blob at once.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Barrier, task::JoinSet};

use super::{
    Client, FaultError, Result, Way,
    client::random_blob,
    steps::{comes_true, runtime},
};
use crate::harness::{Berth, Stack};

const SIZE: usize = 100_000;
/// Orphans are gone by then, and mostly with the last answer.
const LIMIT: Duration = Duration::from_secs(60);

/// F14: `pushers` push one blob at once through a barrier, by all ways, into `repositories` repositories; so many
/// rounds. All are told 201, and exactly one object is left.
pub fn one_blob_by_many(stack: Stack, rounds: usize, pushers: usize, repositories: usize) -> Result<String> {
    let runtime = runtime()?;
    let berth = Berth::builder().stack(stack).start()?;
    let blobs = blob_folder(&berth);
    for round in 1..=rounds {
        let when = format!("F14, round {round}");
        let held = objects(&blobs)?.len();
        let statuses = runtime.block_on(together(&berth.url(), pushers, repositories))?;
        let refused: Vec<_> = statuses.iter().filter(|status| **status != 201).collect();
        if !refused.is_empty() {
            return Err(FaultError::broken(when, format!("not all were told 201: {refused:?}")));
        }
        let one = runtime.block_on(comes_true(LIMIT, async || Ok(objects(&blobs)?.len() == held + 1)))?;
        if !one {
            let found = objects(&blobs)?.into_iter().map(|path| path.display().to_string()).collect();
            let when = format!("{when}: {held} objects were there and one was pushed");
            return Err(FaultError::Broken { when, findings: found });
        }
    }
    Ok(format!("{rounds} rounds of {pushers} pushers, all 201, one object each"))
}

async fn together(url: &str, pushers: usize, repositories: usize) -> Result<Vec<u16>> {
    let (blob, barrier) = (random_blob(SIZE), Arc::new(Barrier::new(pushers)));
    let mut tasks = JoinSet::new();
    for pusher in 0..pushers {
        let (client, blob, barrier) = (Client::new(url)?, blob.clone(), barrier.clone());
        tasks.spawn(async move {
            let repo = format!("faults/race{}", pusher % repositories);
            // The connection is there before the barrier opens.
            client.get("/v2/").await?;
            barrier.wait().await;
            let way = Way::ALL[pusher % Way::ALL.len()];
            Ok::<_, FaultError>(client.push(&repo, &blob, way, || Ok(())).await?.status)
        });
    }
    let mut statuses = Vec::new();
    while let Some(done) = tasks.join_next().await {
        statuses.push(done.map_err(std::io::Error::other)??);
    }
    Ok(statuses)
}

/// Where the objects of blobs lie.
fn blob_folder(berth: &Berth) -> PathBuf {
    match berth.stack() {
        Stack::Embedded => berth.data().join("storage/blobs"),
        Stack::Outside(stack) => stack.bucket_folder().join("blobs"),
    }
}

fn objects(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        // The first object makes the folder.
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

/// How many objects of blobs there are.
pub(super) fn blob_count(berth: &Berth) -> Result<usize> {
    Ok(objects(&blob_folder(berth))?.len())
}
