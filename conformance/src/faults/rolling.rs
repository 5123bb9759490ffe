//! F21 for several: an upgrade, one replica after the other, while clients go on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use berth_oci::Algorithm;

use super::{Client, FaultError, Result, Way, client::random_blob, pusher::manifest_of};
use crate::{
    data::digest_of,
    harness::{Hop, OutsideStack, Replicas},
};

const REPLICAS: usize = 3;
const WORKERS: usize = 6;
/// As docker does: so many tries of a step, with a pause that grows.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);
const LIMIT: Duration = Duration::from_secs(120);
/// Images that each round waits for, so that each has something going on.
const AT_LEAST: usize = 12;

/// What all clients did.
#[derive(Debug, Default)]
struct Tally {
    stop: AtomicBool,
    images: AtomicUsize,
    again: AtomicUsize,
}

/// Three replicas are restarted in turn, so many times, while images are pushed and pulled through the balancer. No
/// client fails that tries again as docker and skopeo do.
pub fn rolling_restarts(rounds: usize) -> Result<String> {
    let mut replicas = Replicas::with(OutsideStack::shared()?, REPLICAS, Hop::Connection, |_, builder| {
        builder.set("server.drain", "\"2s\"")
    })?;
    let tally = Arc::new(Tally::default());
    let workers = start(&replicas.url(), &tally)?;
    let mut slowest = Duration::ZERO;
    let rolled = (|| {
        for _ in 0..rounds {
            let wanted = tally.images.load(Ordering::SeqCst) + AT_LEAST;
            let busy = crate::harness::until(LIMIT, || {
                let ended = workers.iter().any(JoinHandle::is_finished);
                (ended || tally.images.load(Ordering::SeqCst) >= wanted).then_some(())
            });
            if busy.is_none() {
                return Err(FaultError::broken(
                    "rolling restart",
                    format!("no {AT_LEAST} images in {LIMIT:?}"),
                ));
            }
            slowest = slowest.max(replicas.roll(LIMIT)?);
        }
        Ok(())
    })();
    tally.stop.store(true, Ordering::SeqCst);
    for worker in workers {
        worker.join().map_err(|_| std::io::Error::other("a client panicked"))??;
    }
    rolled?;
    let (images, again) = (tally.images.load(Ordering::SeqCst), tally.again.load(Ordering::SeqCst));
    Ok(format!(
        "{rounds} rolling restarts of {REPLICAS}, {images} images pushed and pulled, {again} steps tried again, 0 failed, ready after {slowest:?} at most"
    ))
}

fn start(url: &str, tally: &Arc<Tally>) -> Result<Vec<JoinHandle<Result<()>>>> {
    let worker = |number: usize| {
        let (client, tally, repo) = (Client::new(url)?, tally.clone(), format!("faults/rolling{number}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(std::thread::spawn(move || {
            runtime.block_on(async move {
                let mut round = number;
                while !tally.stop.load(Ordering::SeqCst) {
                    image(&client, &repo, Way::ALL[round % Way::ALL.len()], &tally).await?;
                    tally.images.fetch_add(1, Ordering::SeqCst);
                    round += 1;
                }
                Ok(())
            })
        }))
    };
    (0..WORKERS).map(worker).collect()
}

/// Pushes an image and pulls it.
async fn image(client: &Client, repo: &str, way: Way, tally: &Tally) -> Result<()> {
    let blobs = [random_blob(200), random_blob(300_000)];
    for blob in &blobs {
        again(tally, "a blob", async || Ok(client.push(repo, blob, way, || Ok(())).await?.status == 201))
            .await?;
    }
    let bytes = manifest_of(&blobs);
    let digest = digest_of(Algorithm::Sha256, &bytes);
    again(tally, "a manifest", async || Ok(client.put_manifest(repo, "latest", bytes.clone()).await? == 201))
        .await?;
    again(tally, "a pull by tag", async || {
        let (status, body) = client.get(&format!("/v2/{repo}/manifests/latest")).await?;
        known(status, digest_of(Algorithm::Sha256, &body) == digest)
    })
    .await?;
    for blob in &blobs {
        again(tally, "a pull", async || {
            let (status, body) = client.get(&format!("/v2/{repo}/blobs/{}", blob.digest)).await?;
            known(status, body == blob.bytes)
        })
        .await?;
    }
    Ok(())
}

/// What was acknowledged is there, or the server is not: it is never absent, and never another.
fn known(status: u16, right: bool) -> Result<bool> {
    match status {
        200 if right => Ok(true),
        200 => Err(FaultError::broken("rolling restart", "a pull gave something else")),
        404 => Err(FaultError::broken("rolling restart", "what was acknowledged is absent")),
        _ => Ok(false),
    }
}

/// Tries a step as a client does: a connection that broke and a refusal are the same to it.
async fn again(tally: &Tally, what: &str, step: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let mut last = String::new();
    for attempt in 1..=TRIES {
        match step().await {
            Ok(true) => return Ok(()),
            Ok(false) => last = "it was refused".to_owned(),
            Err(FaultError::Request(error)) => last = format!("{error:?}"),
            Err(error) => return Err(error),
        }
        tally.again.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(PAUSE * attempt).await;
    }
    Err(FaultError::broken("rolling restart", format!("{what} failed {TRIES} times: {last}")))
}
