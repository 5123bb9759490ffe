//! F11: the database goes away under the registry, and comes back.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use reqwest::Method;
use tokio::runtime::Runtime;

use super::{
    Client, Expect, FaultError, History, Recorder, Result,
    client::random_blob,
    error::clean,
    pusher::manifest_of,
    steps::{comes_true, moment, replay, runtime},
};
use crate::{
    data::Blob,
    harness::{Durability, Hop, OutsideStack, Postgres, Replicas, fair},
};

/// Pushers at a time.
const WORKERS: usize = 4;
/// At least so much is acknowledged before each round.
const AT_LEAST: usize = 4;
const LIMIT: Duration = Duration::from_secs(60);
/// So soon a request is answered, whatever the database does.
const ANSWERED: Duration = Duration::from_secs(30);
/// So soon after the database is back all is well.
const WELL: Duration = Duration::from_secs(10);
/// In one round of so many it is asked what is said while the database is down; in the others it is back at once.
const PROBED: usize = 4;
const REPO: &str = "faults/database";

/// The cluster, two replicas on it, and something that was pushed.
struct Scene {
    runtime: Runtime,
    postgres: Arc<Postgres>,
    replicas: Replicas,
    blob: Blob,
    manifest: Bytes,
}

impl Scene {
    fn set() -> Result<Self> {
        let runtime = runtime()?;
        let postgres = Arc::new(Postgres::start(Durability::Full)?);
        let stack = OutsideStack::on(postgres.clone())?;
        let replicas = Replicas::with(stack, 2, Hop::Connection, |_, builder| builder)?;
        let blob = random_blob(5000);
        let manifest = manifest_of(std::slice::from_ref(&blob));
        let client = Client::new(&replicas.url())?;
        runtime.block_on(async {
            client.post(REPO, blob.digest.as_str(), blob.bytes.clone()).await?;
            client.put_manifest(REPO, "latest", manifest.clone()).await
        })?;
        Ok(Self { runtime, postgres, replicas, blob, manifest })
    }

    /// What every kind of request says while nothing comes from the database: 503, when to come again, and soon.
    fn probe(&self, when: &str) -> Result<Duration> {
        let (client, digest) = (Client::new(&self.replicas.url())?, self.blob.digest.as_str());
        let uploads = format!("/v2/{REPO}/blobs/uploads/");
        let requests = [
            (Method::GET, format!("/v2/{REPO}/manifests/latest"), Bytes::new()),
            (Method::HEAD, format!("/v2/{REPO}/manifests/never-there"), Bytes::new()),
            (Method::HEAD, format!("/v2/{REPO}/blobs/{digest}"), Bytes::new()),
            (Method::GET, format!("/v2/{REPO}/blobs/{digest}"), Bytes::new()),
            (Method::GET, format!("/v2/{REPO}/tags/list"), Bytes::new()),
            (Method::GET, format!("/v2/{REPO}/referrers/{digest}"), Bytes::new()),
            (Method::GET, "/v2/_catalog".to_owned(), Bytes::new()),
            (Method::POST, uploads.clone(), Bytes::new()),
            (Method::POST, format!("{uploads}?digest={digest}"), self.blob.bytes.clone()),
            (Method::POST, format!("{uploads}?mount={digest}&from={REPO}"), Bytes::new()),
            (
                Method::PATCH,
                format!("{uploads}00000000-0000-4000-8000-000000000000"),
                self.blob.bytes.clone(),
            ),
            (Method::PUT, format!("/v2/{REPO}/manifests/next"), self.manifest.clone()),
            (Method::DELETE, format!("/v2/{REPO}/manifests/latest"), Bytes::new()),
            (Method::DELETE, format!("/v2/{REPO}/blobs/{digest}"), Bytes::new()),
        ];
        let asked = requests.iter().map(async |(method, path, body)| {
            let asked = client.ask(method.clone(), path, body.clone()).await?;
            Ok::<_, FaultError>((format!("{method} {path}"), asked))
        });
        let (mut found, mut slowest) = (Vec::new(), Duration::ZERO);
        for answer in self.runtime.block_on(join_all(asked)) {
            let (what, asked) = answer?;
            slowest = slowest.max(asked.took);
            if asked.status != 503 || !asked.retry_after || asked.took > fair(ANSWERED) {
                found.push(format!("{what}: {asked:?}"));
            }
        }
        clean(when, found)?;
        Ok(slowest)
    }

    /// Waits until both replicas are ready and serve.
    fn well(&self, when: &str) -> Result<()> {
        for url in self.replicas.urls() {
            let client = Client::new(&url)?;
            let well = self.runtime.block_on(comes_true(fair(WELL), async || {
                let ready = client.get("/readyz").await?.0 == 200;
                Ok(ready && client.get(&format!("/v2/{REPO}/manifests/latest")).await?.0 == 200)
            }))?;
            if !well {
                return Err(FaultError::broken(when, format!("{url} is not well after {WELL:?}")));
            }
        }
        Ok(())
    }
}

/// F11: immediate shutdown of the database while two replicas are pushed to, so many times. While it is down every
/// request is answered by 503 and `Retry-After`; when it is back all that was acknowledged is there.
///
/// Upload sessions are no promise where the database crashes: their commits do not wait for the disk.
pub fn database_restarts(rounds: usize) -> Result<String> {
    let scene = Scene::set()?;
    let mut recorder = Recorder::start(&scene.replicas.url(), WORKERS)?;
    let mut history = recorder.history()?;
    let mut slowest = Duration::ZERO;
    for round in 1..=rounds {
        let when = format!("F11, round {round}");
        recorder.go_on();
        recorder.wait_for(&history, AT_LEAST, LIMIT)?;
        std::thread::sleep(moment(0, 300));
        scene.postgres.stop();
        if round % PROBED == 1 {
            slowest = slowest.max(scene.probe(&when)?);
        }
        scene.postgres.restart()?;
        scene.well(&when)?;
        recorder.hold();
        // The last events of before are of pushes that this may have hurt.
        let from = history.lines.saturating_sub(8 * WORKERS);
        history = recorder.history()?;
        clean(when.clone(), unexpected(&history))?;
        replay(&scene.runtime, &scene.replicas.url(), &history, Expect::MACHINE.from(from), &when)?;
    }
    replay(&scene.runtime, &scene.replicas.url(), &history, Expect::MACHINE, "F11, at the end")?;
    let (acknowledged, refused) = (history.acknowledged, history.refused.len());
    Ok(format!(
        "{rounds} restarts, {acknowledged} acknowledgements, 0 lost, {refused} refused, 503 after {slowest:?} at most"
    ))
}

/// F11: the database stands still with its connections open, so many times: as when a machine hangs.
pub fn database_frozen(rounds: usize) -> Result<String> {
    let scene = Scene::set()?;
    let mut recorder = Recorder::start(&scene.replicas.url(), WORKERS)?;
    let mut history = recorder.history()?;
    let mut slowest = Duration::ZERO;
    for round in 1..=rounds {
        let when = format!("F11, frozen, round {round}");
        recorder.go_on();
        recorder.wait_for(&history, AT_LEAST, LIMIT)?;
        scene.postgres.freeze()?;
        let probed = scene.probe(&when);
        scene.postgres.thaw()?;
        slowest = slowest.max(probed?);
        scene.well(&when)?;
        recorder.hold();
        history = recorder.history()?;
        clean(when.clone(), unexpected(&history))?;
        replay(&scene.runtime, &scene.replicas.url(), &history, Expect::MACHINE, &when)?;
    }
    let acknowledged = history.acknowledged;
    Ok(format!(
        "{rounds} times frozen, {acknowledged} acknowledgements, 0 lost, 503 after {slowest:?} at most"
    ))
}

/// Refusals that a database which goes away does not explain. A session that it forgot is unknown, or not as far as
/// its client thinks: a chunk then starts in the wrong place, and an end without bytes does not match its digest.
fn unexpected(history: &History) -> Vec<String> {
    let explained = |line: &&String| {
        let words: Vec<_> = line.split(' ').collect();
        matches!(
            words[..],
            [_, _, "503"]
                | [_, "PostPut" | "Chunked" | "Streamed" | "chunk", "404" | "416"]
                | [_, "Chunked" | "Streamed", "400"]
        )
    };
    history.refused.iter().filter(|line| !explained(line)).cloned().collect()
}
