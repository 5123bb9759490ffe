//! F15, F17 and the death of a collection: what is removed beside pushes and pulls.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{
    Client, FaultError, Result, Way,
    client::random_blob,
    steps::{comes_true, moment, recover, runtime},
};
use crate::{
    data::Blob,
    harness::{Berth, BerthBuilder, HarnessError, Stack},
};

const WORKERS: usize = 8;
/// Tags that each worker moves.
const TAGS: usize = 3;
const LIMIT: Duration = Duration::from_secs(60);

/// A push must come to its manifest in half of a lease (`gc.lease`). One that took longer, on a machine that is busy
/// with something else, was promised nothing.
pub(super) fn is_late(begun: Instant, lease: u64) -> bool {
    begun.elapsed() > Duration::from_secs(lease) / 2
}

/// A registry that gives nothing any grace but leases of so many seconds, and collects when told.
pub(super) fn merciless(stack: Stack, lease: u64) -> BerthBuilder {
    Berth::builder()
        .stack(stack)
        .set("gc.every", "\"0s\"")
        .set("gc.lease", &format!("\"{lease}s\""))
        .set("gc.untagged", "\"0s\"")
        .set("gc.grace", "\"0s\"")
        .set("gc.clock_skew", "\"0s\"")
        .set("gc.undelete", "\"0s\"")
}

pub(super) fn image(blobs: &[&Blob], salt: u64) -> Bytes {
    let descriptor = |blob: &Blob| json!({"mediaType": "application/octet-stream", "digest": blob.digest.as_str(), "size": blob.bytes.len()});
    let layers: Vec<_> = blobs.iter().skip(1).map(|blob| descriptor(blob)).collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": berth_oci::MediaType::OCI_MANIFEST,
        "config": blobs.first().map(|blob| descriptor(blob)),
        "layers": layers,
        "annotations": {"salt": salt.to_string()},
    });
    manifest.to_string().into()
}

/// Collects in a loop until `stop`; how many runs, and what they removed.
pub(super) async fn collect_in_a_loop(client: Client, stop: Arc<AtomicBool>) -> Result<(usize, u64)> {
    let (mut runs, mut removed) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        let report = client.collect().await?;
        let count = |key: &str| report[key].as_u64().unwrap_or_default();
        removed += count("blobs") + count("manifests");
        runs += 1;
    }
    Ok((runs, removed))
}

pub(super) fn broken(when: &str, found: impl Into<String>) -> FaultError {
    FaultError::broken(when, found.into())
}

/// Pushes a blob as clients do: not where HEAD says that it is there. Whether it had to be sent.
pub(super) async fn blob(client: &Client, repo: &str, blob: &Blob) -> Result<bool> {
    if client.head(&format!("/v2/{repo}/blobs/{}", blob.digest)).await? == 200 {
        return Ok(false);
    }
    let pushed = client.push(repo, blob, Way::PostPut, || Ok(())).await?;
    if pushed.is_acknowledged() { Ok(true) } else { Err(broken("F15", format!("a blob: {}", pushed.status))) }
}

/// F15: so many pushes while collection runs in a loop. Each image has a blob of its own and one of a few that
/// come and go, which is only sent where HEAD misses it. No manifest is refused, and in the end every tag is whole.
pub fn push_beside_collection(stack: Stack, pushes: usize) -> Result<String> {
    const LEASE: u64 = 6;
    let runtime = runtime()?;
    let berth = merciless(stack, LEASE).start()?;
    let (url, stop) = (berth.url(), Arc::new(AtomicBool::new(false)));
    let shared: Arc<Vec<_>> = Arc::new((0..5).map(|_| random_blob(500)).collect());
    runtime.block_on(async {
        let collecting = tokio::spawn(collect_in_a_loop(Client::new(&url)?, stop.clone()));
        let (pushed, late) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut workers = JoinSet::new();
        for worker in 0..WORKERS {
            let (client, shared) = (Client::new(&url)?, shared.clone());
            let (pushed, late) = (pushed.clone(), late.clone());
            workers.spawn(async move {
                let repo = format!("faults/gc{}", worker % 3);
                let mut last = vec![None; TAGS];
                while pushed.fetch_add(1, Ordering::Relaxed) < pushes {
                    let (own, common) = (random_blob(64), &shared[rand::random_range(0..shared.len())]);
                    let begun = Instant::now();
                    blob(&client, &repo, &own).await?;
                    blob(&client, &repo, common).await?;
                    let (at, manifest) =
                        (rand::random_range(0..TAGS), image(&[&own, common], rand::random()));
                    let status =
                        client.put_manifest(&repo, &format!("w{worker}-{at}"), manifest.clone()).await?;
                    if status == 400 && is_late(begun, LEASE) {
                        late.fetch_add(1, Ordering::Relaxed);
                        continue;
                    }
                    if status != 201 {
                        return Err(broken(
                            "F15",
                            format!("a manifest whose blobs were acknowledged: {status}"),
                        ));
                    }
                    last[at] = Some((manifest, own, common.clone()));
                }
                for (at, image) in last.into_iter().enumerate() {
                    let Some((manifest, own, common)) = image else { continue };
                    whole(&client, &repo, &format!("w{worker}-{at}"), &manifest, &[&own, &common]).await?;
                }
                Ok(())
            });
        }
        while let Some(done) = workers.join_next().await {
            done.map_err(|error| broken("F15", error.to_string()))??;
        }
        stop.store(true, Ordering::Relaxed);
        let (runs, removed) = collecting.await.map_err(|error| broken("F15", error.to_string()))??;
        if removed == 0 {
            return Err(broken("F15", "nothing was collected meanwhile, so nothing was tried"));
        }
        let late = late.load(Ordering::Relaxed);
        if late * 2 > pushes {
            let why = format!("{late} of {pushes} pushes outlasted half a lease: that proves nothing");
            return Err(HarnessError::Unexpected(why).into());
        }
        Ok(format!(
            "{pushes} pushes beside {runs} collections that removed {removed}, none refused ({late} too late), none lost"
        ))
    })
}

/// Asks for a tag and all it refers to.
async fn whole(client: &Client, repo: &str, tag: &str, manifest: &Bytes, blobs: &[&Blob]) -> Result<()> {
    let (status, body) = client.get(&format!("/v2/{repo}/manifests/{tag}")).await?;
    if status != 200 || body != *manifest {
        return Err(broken("I1", format!("{repo}:{tag} was acknowledged, and GET says {status}")));
    }
    for blob in blobs {
        let (status, body) = client.get(&format!("/v2/{repo}/blobs/{}", blob.digest)).await?;
        if status != 200 || body != blob.bytes {
            return Err(broken("I3", format!("{repo}:{tag} lacks {}: {status}", blob.digest)));
        }
    }
    Ok(())
}

/// F17: an image is deleted and collected while its layer is read slowly. The reader gets all of it, or an error.
pub fn delete_in_mid_pull(stack: Stack, rounds: usize) -> Result<String> {
    let runtime = runtime()?;
    let berth = merciless(stack, 1).start()?;
    let mut whole = 0;
    for round in 1..=rounds {
        let when = format!("F17, round {round}");
        whole += usize::from(runtime.block_on(async {
            let client = Client::new(&berth.url())?;
            let layer = random_blob(24 << 20);
            let path = format!("/v2/faults/pull/blobs/{}", layer.digest);
            blob(&client, "faults/pull", &layer).await?;
            let mut reader = client.open(&path).await?;
            let mut read = Vec::new();
            read.extend_from_slice(&reader.chunk().await?.unwrap_or_default());
            if client.delete(&path).await? != 202 {
                return Err(broken(&when, "the blob could not be deleted"));
            }
            let begun = Instant::now();
            let swept = comes_true(LIMIT, async || Ok(client.collect().await?["blobs"] == 1)).await?;
            if !swept {
                return Err(broken(&when, format!("not collected after {:?}", begun.elapsed())));
            }
            if client.head(&path).await? != 404 {
                return Err(broken(&when, "R12: a deleted blob is there after collection"));
            }
            loop {
                match reader.chunk().await {
                    Ok(Some(piece)) => read.extend_from_slice(&piece),
                    Ok(None) if read == layer.bytes => return Ok(true),
                    Ok(None) => return Err(broken(&when, "I2: other bytes, and no error")),
                    Err(_cut) => return Ok(false),
                }
            }
        })?);
    }
    Ok(format!("{rounds} deletes and collections in mid-pull: {whole} whole bodies, the others cut off"))
}

/// The process is killed while it collects, so many times. Afterwards every tag is whole, and the next run leaves
/// exactly the objects that the tags need.
pub fn kill_in_mid_collection(stack: Stack, rounds: usize) -> Result<String> {
    const IMAGES: usize = 40;
    let runtime = runtime()?;
    let mut berth = merciless(stack, 1).start()?;
    let mut live: Vec<(String, Bytes, Blob)> = Vec::new();
    let mut interrupted = 0;
    for round in 1..=rounds {
        let when = format!("a collection killed, round {round}");
        runtime.block_on(async {
            let client = Client::new(&berth.url())?;
            for n in 0..IMAGES {
                let own = random_blob(200);
                blob(&client, "faults/dying", &own).await?;
                let manifest = image(&[&own], 0);
                // Each tenth keeps its tag; the others lose it to the next.
                let tag = if n % 10 == 0 { format!("r{round}-{n}") } else { "moving".to_owned() };
                if client.put_manifest("faults/dying", &tag, manifest.clone()).await? != 201 {
                    return Err(broken(&when, "a manifest was refused"));
                }
                if tag == "moving" {
                    live.retain(|(tag, ..)| tag != "moving");
                }
                live.push((tag, manifest, own));
            }
            // Leases are a second long.
            tokio::time::sleep(Duration::from_millis(1100)).await;
            let collecting = tokio::spawn(async move { client.collect().await });
            tokio::time::sleep(moment(0, 150)).await;
            interrupted += usize::from(!collecting.is_finished());
            collecting.abort();
            Ok(())
        })?;
        berth.kill()?;
        recover(&mut berth, &when)?;
        runtime.block_on(async {
            let client = Client::new(&berth.url())?;
            for (tag, manifest, own) in &live {
                whole(&client, "faults/dying", tag, manifest, &[own]).await?;
            }
            Ok::<_, FaultError>(())
        })?;
    }
    if interrupted == 0 {
        return Err(broken("a collection killed", "every run had ended before"));
    }
    runtime.block_on(async {
        let client = Client::new(&berth.url())?;
        let clean = comes_true(LIMIT, async || {
            let report = client.collect().await?;
            Ok(report["finished"] == true && report["blobs"] == 0 && report["manifests"] == 0)
        });
        if !clean.await? {
            return Err(broken("a collection killed", "collection finds something again and again"));
        }
        Ok(())
    })?;
    let objects = super::race::blob_count(&berth)?;
    if objects != live.len() {
        let found = format!("{objects} objects are left for {} blobs", live.len());
        return Err(broken("I5, after the last collection", found));
    }
    Ok(format!(
        "{rounds} kills, {interrupted} in mid-collection: {objects} objects for as many blobs, 0 lost"
    ))
}

/// The last line of a run.
pub(super) fn report(lines: &[u8]) -> Value {
    let last = lines.split(|&byte| byte == b'\n').rfind(|line| !line.is_empty()).unwrap_or_default();
    let last: Value = serde_json::from_slice(last).unwrap_or_default();
    last["report"].clone()
}
