//! Many tags: listing them, and starting with them.

use std::time::Instant;

use super::peer::{CONFIG, Peer, manifest, network, push_manifest, push_tiny_image};
use super::report::Report;
use super::wire::Connection;
use super::{Bench, Section, manifests};
use crate::clients::digest_of;
use crate::harness::{ProcessStats, Result};

const SEEDERS: usize = 16;
const FEW: usize = 1_000;

/// Seeds tags, each with a manifest of its own, lists a page of them, and starts again on what is there.
pub(super) fn run(bench: &mut Bench, report: &mut Report) -> Result<()> {
    let (many, many_elsewhere) = (bench.args.tags, bench.args.peer_tags.min(bench.args.tags));
    for peer in &bench.peers {
        let count = if peer.is_subject() { many } else { many_elsewhere };
        let begun = Instant::now();
        bench.runtime.block_on(async {
            seed(peer, "bench/few", FEW).await?;
            seed(peer, "bench/many", count).await
        })?;
        let rate = (FEW + count) as f64 / begun.elapsed().as_secs_f64();
        report.add("tags", "manifests put while seeding, 16 clients", "manifests/s", &peer.name, rate);
    }
    if many_elsewhere != many && bench.peers.len() > 1 {
        report.note(format!(
            "Other servers hold {many_elsewhere} tags and manifests where Berth holds {many}: seeding them through \
             their API takes too long (--peer-tags)."
        ));
    }
    if bench.wants(Section::Tags) {
        list(bench, report, many)?;
    }
    if bench.wants(Section::Start) {
        for _ in 0..bench.args.rounds {
            for peer in &mut bench.peers {
                if let Some(time) = peer.restart()? {
                    let name = format!("start with {many} manifests");
                    report.add("start", &name, "ms", &peer.name, time.as_secs_f64() * 1e3);
                }
                if let Some(memory) = peer.stats().and_then(ProcessStats::memory) {
                    let name = format!("idle memory with {many} manifests");
                    report.add("start", &name, "MiB", &peer.name, memory as f64 / f64::from(1 << 20));
                }
            }
        }
    }
    Ok(())
}

fn list(bench: &mut Bench, report: &mut Report, many: usize) -> Result<()> {
    // Names have a fixed width, so the middle of the list is known.
    let middle = format!("/v2/bench/many/tags/list?n=1000&last={}", tag(many / 2));
    let pages = [
        ("1,000 tags, page of 1,000".to_owned(), "/v2/bench/few/tags/list?n=1000".to_owned()),
        (format!("{many} tags, first page"), "/v2/bench/many/tags/list?n=1000".to_owned()),
        (format!("{many} tags, page from the middle"), middle),
    ];
    for _ in 0..bench.args.rounds {
        for (name, path) in &pages {
            for peer in &bench.peers {
                let request = Connection::prepare(&peer.host, "GET", path, "");
                let load = manifests::load(peer, &request, false, 1, bench.args.duration());
                let load = bench.runtime.block_on(load)?;
                report.add("tags", name, "ms", &peer.name, load.p50);
                report.add("tags", &format!("{name}: p99"), "ms", &peer.name, load.p99);
            }
        }
    }
    report.note(
        "docker-registry 2.8 knows no pages of tags: each of its answers is the whole list.".to_owned(),
    );
    Ok(())
}

fn tag(number: usize) -> String {
    format!("v{number:08}")
}

async fn seed(peer: &Peer, repository: &str, count: usize) -> Result<()> {
    push_tiny_image(peer, repository, &tag(0)).await?;
    let layer = (digest_of(b"a tiny layer"), b"a tiny layer".len());
    let (repository, layer) = (&repository, &layer);
    let seeders = (0..SEEDERS).map(|seeder| async move {
        let mut connection = Connection::open(&peer.host).await.map_err(network)?;
        for number in (seeder..count).step_by(SEEDERS) {
            let body = manifest(CONFIG, (layer.0.as_str(), layer.1), &number.to_string());
            push_manifest(&mut connection, repository, &tag(number), &body).await?;
        }
        Ok(())
    });
    futures_util::future::join_all(seeders).await.into_iter().collect()
}
