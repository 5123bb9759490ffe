//! Many small requests.

use std::time::{Duration, Instant};

use super::Bench;
use super::peer::{Peer, network, push_tiny_image};
use super::report::Report;
use super::wire::Connection;
use crate::harness::{HarnessError, Result};

const REPOSITORY: &str = "bench/manifest";
const TAG: &str = "latest";
const CONNECTIONS: [usize; 3] = [1, 32, 256];
const ACCEPT: &str = "Accept: application/vnd.oci.image.manifest.v1+json\r\n";

/// What one load found.
#[derive(Debug)]
pub(super) struct Load {
    /// Requests a second.
    pub(super) rate: f64,
    /// Median of the time from request to answer, in ms.
    pub(super) p50: f64,
    /// 99th percentile, in ms.
    pub(super) p99: f64,
}

impl Load {
    pub(super) fn add(&self, report: &mut Report, section: &'static str, name: &str, server: &str) {
        report.add(section, name, "requests/s", server, self.rate);
        report.add(section, &format!("{name}: p50"), "ms", server, self.p50);
        report.add(section, &format!("{name}: p99"), "ms", server, self.p99);
    }
}

/// GET and HEAD of a manifest by tag, at several numbers of connections.
pub(super) fn run(bench: &mut Bench, report: &mut Report) -> Result<()> {
    for peer in &bench.peers {
        bench.runtime.block_on(push_tiny_image(peer, REPOSITORY, TAG))?;
    }
    let path = format!("/v2/{REPOSITORY}/manifests/{TAG}");
    for _ in 0..bench.args.rounds {
        for connections in CONNECTIONS {
            for method in ["GET", "HEAD"] {
                for peer in &bench.peers {
                    let request = Connection::prepare(&peer.host, method, &path, ACCEPT);
                    let load = load(peer, &request, method == "HEAD", connections, bench.args.duration());
                    let load = bench.runtime.block_on(load)?;
                    let name = format!("{method} by tag, {connections} connections");
                    load.add(report, "manifest", &name, &peer.name);
                }
            }
        }
    }
    Ok(())
}

/// Sends one request over and over on so many connections, each waiting for its answer, for a time.
pub(super) async fn load(
    peer: &Peer,
    request: &[u8],
    is_head: bool,
    connections: usize,
    duration: Duration,
) -> Result<Load> {
    let mut open = Vec::new();
    for _ in 0..connections {
        let mut connection = peer.connect().await?;
        // The first request of a connection pays for what the server sets up; it is not what is measured.
        let (status, _) = connection.exchange(request, is_head).await.map_err(network)?;
        if status != 200 {
            return Err(HarnessError::Unexpected(format!("{}: status {status} under load", peer.name)));
        }
        open.push(connection);
    }
    let begun = Instant::now();
    let deadline = begun + duration;
    let mut tasks = tokio::task::JoinSet::new();
    for mut connection in open {
        let request = request.to_vec();
        tasks.spawn(async move {
            let mut times = Vec::with_capacity(1 << 14);
            loop {
                let start = Instant::now();
                if start >= deadline {
                    return Ok(times);
                }
                let (status, _) = connection.exchange(&request, is_head).await.map_err(network)?;
                if status != 200 {
                    return Err(HarnessError::Unexpected(format!("status {status} under load")));
                }
                times.push(start.elapsed());
            }
        });
    }
    let mut times: Vec<Duration> = Vec::new();
    while let Some(finished) = tasks.join_next().await {
        times.extend(finished.map_err(|error| HarnessError::Unexpected(error.to_string()))??);
    }
    let seconds = begun.elapsed().as_secs_f64();
    Ok(summary(times, seconds))
}

/// Rate and percentiles of what took these times, all together so many seconds.
pub(super) fn summary(mut times: Vec<Duration>, seconds: f64) -> Load {
    times.sort_unstable();
    let at = |hundredths: usize| {
        let place = (times.len() * hundredths / 100).min(times.len().saturating_sub(1));
        times.get(place).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    };
    Load { rate: times.len() as f64 / seconds, p50: at(50), p99: at(99) }
}
