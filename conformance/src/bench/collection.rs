//! Collection of a tenth of very many manifests beside pushes at a constant rate.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Bench;
use super::manifests::{Load, load, summary};
use super::peer::{CONFIG, Peer, manifest, network, push_blob, push_manifest};
use super::report::{Report, SUBJECT};
use super::wire::Connection;
use crate::clients::digest_of;
use crate::harness::{Berth, HarnessError, Result, Tool};

/// Clients that push.
const CLIENTS: usize = 8;
/// Of the most that they can push, so much is their constant rate: beyond, no rate is constant.
const SHARE: f64 = 0.5;
/// Bytes of each object that is collected.
const OBJECT: usize = 200;
/// Every so many manifests have no tag.
const GARBAGE: usize = 10;

/// The statements that fill an empty catalog with `count` images of a layer each, every tenth without a tag, pushed
/// long ago. Digests are made up, and in no order.
fn seed(count: usize) -> String {
    let last = count - 1;
    // Multiplied by what shares no divisor with 2^32, numbers come in no order and none twice.
    let hex = |i: &str, kind: u8| format!("printf('%08x%055x{kind}', ({i} * 2654435761) & 4294967295, {i})");
    let (layer, image) = (hex("i", 1), hex("i", 2));
    let each = format!("WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {last})");
    format!(
        "PRAGMA synchronous = OFF; BEGIN; INSERT INTO repositories (id, name) VALUES (1, 'bench/seeded');\n\
         {each} INSERT INTO blobs (digest, size, object_key, lease_until, created_at) SELECT 'sha256:' || {layer}, {OBJECT}, \
         'blobs/sha256/' || substr({layer}, 1, 2) || '/' || {layer} || '.' || printf('%032x', i), 0, 0 FROM n;\n\
         INSERT INTO blob_links (repo_id, digest) SELECT 1, digest FROM blobs;\n\
         {each} INSERT INTO manifest_bodies (digest, body) SELECT 'sha256:' || {image}, zeroblob(400) FROM n;\n\
         {each} INSERT INTO manifests (id, repo_id, digest, media_type, size, annotations, depth, pushed_at) SELECT i + 1, 1, \
         'sha256:' || {image}, 'application/vnd.oci.image.manifest.v1+json', 400, '{{}}', 0, 0 FROM n;\n\
         {each} INSERT INTO manifest_refs (parent, child, kind, optional, repo_id) SELECT i + 1, 'sha256:' || {layer}, 0, 0, 1 FROM n;\n\
         {each} INSERT INTO tags (repo_id, name, manifest, updated_at) SELECT 1, printf('v%08d', i), i + 1, 0 FROM n WHERE i % {GARBAGE} > 0;\n\
         DELETE FROM unrecorded; COMMIT;"
    )
}

/// Writes the objects of what will be collected.
fn objects(data: &Path, count: usize) -> Result<()> {
    let blobs = data.join("storage/blobs/sha256");
    for i in (0..count).step_by(GARBAGE) {
        let front = (i as u64).wrapping_mul(2_654_435_761) & 0xffff_ffff;
        let hex = format!("{front:08x}{i:055x}1");
        let folder = blobs.join(&hex[..2]);
        fs::create_dir_all(&folder).map_err(HarnessError::file(&folder))?;
        let file = folder.join(format!("{hex}.{i:032x}"));
        fs::write(&file, [7; OBJECT]).map_err(HarnessError::file(&file))?;
    }
    Ok(())
}

/// Seeds, starts, lists a page, pushes at a constant rate without and with a collection beside it.
pub(super) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let count = bench.args.seeded.max(GARBAGE);
    let mut berth = Berth::builder()
        .set("gc.every", "\"0s\"")
        .set("gc.untagged", "\"1h\"")
        .set("gc.undelete", "\"0s\"")
        .start()?;
    berth.stop();
    let sql = berth.scratch().write("seed.sql", seed(count))?;
    let seeded = Tool::new("sqlite3")?.arg(berth.data().join("catalog.db")).stdin(&sql).finish()?;
    if !seeded.status.success() || !seeded.stderr.is_empty() {
        return Err(HarnessError::Unexpected(format!("seeding: {}", seeded.stderr)));
    }
    objects(berth.data(), count)?;
    let started = berth.start()?;
    add(report, &format!("start with {count} manifests"), "ms", started.as_secs_f64() * 1e3);
    let peer = Peer::of(&berth.host());
    let page = format!("/v2/bench/seeded/tags/list?n=1000&last=v{:08}", count / 2);
    let request = Connection::prepare(&peer.host, "GET", &page, "");
    let pages = bench.runtime.block_on(load(&peer, &request, false, 1, bench.args.duration()))?;
    add(report, &format!("page of 1,000 of {} tags", count - count / GARBAGE), "ms", pages.p50);

    let push = |pause, until: &dyn Fn() -> bool| bench.runtime.block_on(pushing(&peer, pause, until));
    let for_a_time = || {
        let end = Instant::now() + bench.args.duration() * 3;
        move || Instant::now() >= end
    };
    let most = push(Duration::ZERO, &for_a_time())?;
    let pause = Duration::from_secs_f64(CLIENTS as f64 / (most.rate * SHARE));
    let alone = push(pause, &for_a_time())?;
    let host = peer.host.clone();
    let collecting = std::thread::spawn(move || collect(&host));
    let beside = push(pause, &|| collecting.is_finished())?;
    let collected =
        collecting.join().map_err(|_| HarnessError::Unexpected("the collection broke".to_owned()))??;
    let number = |key: &str| collected[key].as_f64().unwrap_or_default();
    let gone = number("manifests") + number("blobs");
    if number("manifests") < (count / GARBAGE) as f64 || number("blobs") < (count / GARBAGE) as f64 {
        return Err(HarnessError::Unexpected(format!("not all was collected: {collected}")));
    }
    add(report, "most pushes, 8 clients", "pushes/s", most.rate);
    for (name, load) in [("pushes at a constant rate, alone", alone), ("the same beside collection", beside)]
    {
        add(report, name, "pushes/s", load.rate);
        add(report, &format!("{name}: p50"), "ms", load.p50);
        add(report, &format!("{name}: p99"), "ms", load.p99);
    }
    add(report, "manifests and blobs collected", "objects/s", gone / (number("milliseconds") / 1e3));
    report.note(format!(
        "Collection removes {gone} manifests and blobs of {}; each blob is a row, a link and a file.",
        2 * count
    ));
    Ok(())
}

fn add(report: &mut Report, name: &str, unit: &'static str, value: f64) {
    report.add("collection", name, unit, SUBJECT, value);
}

/// Runs a collection; its report.
fn collect(host: &str) -> Result<Value> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| HarnessError::Spawn { name: "a runtime".to_owned(), source })?;
    runtime.block_on(async {
        let failed = |error: reqwest::Error| HarnessError::Unexpected(format!("the collection: {error}"));
        let client = reqwest::Client::builder().no_proxy().build().map_err(failed)?;
        let request =
            client.post(format!("http://{host}/api/v1/gc")).header("Content-Type", "application/json");
        let answer = request.body("{}").send().await.map_err(failed)?;
        let lines = answer.error_for_status().map_err(failed)?.text().await.map_err(failed)?;
        let last: Value = serde_json::from_str(lines.lines().last().unwrap_or_default()).unwrap_or_default();
        Ok(last["report"].clone())
    })
}

/// Pushes images of a small layer until `until`, each client one in so long as `pause`.
async fn pushing(peer: &Peer, pause: Duration, until: &dyn Fn() -> bool) -> Result<Load> {
    let begun = Instant::now();
    let clients = (0..CLIENTS).map(|client| async move {
        let repository = format!("bench/pushed{client}");
        let mut connection = Connection::open(&peer.host).await.map_err(network)?;
        push_blob(&mut connection, &repository, digest_of(CONFIG).as_str(), std::iter::once(CONFIG)).await?;
        let mut times = Vec::new();
        let mut due = Instant::now();
        while !until() {
            // Behind its time it does not hurry after: what is late is missing from the rate.
            tokio::time::sleep_until(due.into()).await;
            due = (due + pause).max(Instant::now());
            let start = Instant::now();
            let layer = rand::random::<[u8; 32]>();
            let digest = digest_of(&layer);
            push_blob(&mut connection, &repository, digest.as_str(), std::iter::once(&layer[..])).await?;
            let body = manifest(CONFIG, (digest.as_str(), layer.len()), "");
            let tag = format!("t{}", times.len() % 100);
            push_manifest(&mut connection, &repository, &tag, &body).await?;
            times.push(start.elapsed());
        }
        Ok::<_, HarnessError>(times)
    });
    let times = futures_util::future::try_join_all(clients).await?;
    Ok(summary(times.into_iter().flatten().collect(), begun.elapsed().as_secs_f64()))
}
