//! One big blob in, and out again.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use berth_hash::{Hasher, Kind};
use berth_oci::{Algorithm, Digest};

use super::peer::{Peer, network, push_blob};
use super::report::Report;
use super::{Bench, Section};
use crate::harness::{CpuTime, HarnessError, Nginx, ProcessStats, Result, Scratch, require};

const BLOCK: usize = 1 << 20;
const GB: f64 = 1e9;
const MB: f64 = 1e6;
const REPOSITORY: &str = "bench/large";
const TAIL: usize = 16;
/// Column of what a push cannot outrun.
const MACHINE: &str = "this machine";
const PULL: &str = "1 GiB from page cache";

/// A blob of one repeated block and a tail of its own, so that each push is of something new and yet the digest is
/// there at once.
struct Source {
    block: Vec<u8>,
    blocks: usize,
    prefix: Vec<u8>,
}

impl Source {
    fn new(size: usize) -> Self {
        let block: Vec<u8> = (0..BLOCK).map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect();
        let blocks = (size / BLOCK).max(1);
        let mut hasher = Hasher::new(Kind::Sha256);
        for _ in 0..blocks {
            hasher.update(&block);
        }
        let prefix = hasher.save();
        Self { block, blocks, prefix }
    }

    fn size(&self) -> usize {
        self.blocks * BLOCK + TAIL
    }

    fn digest(&self, tail: &[u8]) -> Result<Digest> {
        let hasher = Hasher::restore(Kind::Sha256, &self.prefix);
        let mut hasher = hasher.map_err(|error| HarnessError::Unexpected(error.to_string()))?;
        hasher.update(tail);
        Ok(Digest::from_hash(Algorithm::Sha256, &hasher.finish()))
    }

    fn parts<'a>(&'a self, tail: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + Clone {
        std::iter::repeat_n(&self.block[..], self.blocks).chain(std::iter::once(tail))
    }

    fn write_to(&self, path: &Path, tail: &[u8]) -> Result<()> {
        let mut file = std::fs::File::create(path).map_err(HarnessError::file(path))?;
        self.parts(tail).try_for_each(|part| file.write_all(part)).map_err(HarnessError::file(path))
    }
}

/// Pushes and pulls in interleaved rounds, beside the speed of the hash and of nginx.
pub(super) fn run(bench: &mut Bench, report: &mut Report) -> Result<()> {
    let source = Source::new(bench.args.size_mib << 20);
    let gigabytes = source.size() as f64 / GB;
    let nginx =
        if bench.wants(Section::Pull) && require(Nginx::TOOLS) { Some(Nginx::start()?) } else { None };
    for round in 0..bench.args.rounds {
        let tail = rand::random::<[u8; TAIL]>();
        let digest = source.digest(&tail)?;
        if bench.wants(Section::Push) {
            let speed = hash_speed(&source.block);
            report.add("push", "SHA-256, one thread", "MB/s", MACHINE, speed);
            let speed = disk_speed(&source, &tail)?;
            report.add("push", "write and fsync of the same bytes", "MB/s", MACHINE, speed);
        }
        // Each server is first in its turn: the first push finds the disk at rest, the second does not.
        let first = round % bench.peers.len();
        bench.peers.rotate_left(first);
        for peer in &mut bench.peers {
            let _settled = peer.stats().map(ProcessStats::reset_peak);
            let (cpu, begun) = (peer.cpu(), Instant::now());
            bench.runtime.block_on(async {
                let mut connection = peer.connect().await?;
                push_blob(&mut connection, REPOSITORY, digest.as_str(), source.parts(&tail)).await
            })?;
            let seconds = begun.elapsed().as_secs_f64();
            if bench.args.wants(Section::Push) {
                report.add("push", "1 GiB, with fsync", "MB/s", &peer.name, gigabytes * GB / MB / seconds);
                costs(report, "push", peer, cpu, gigabytes);
            }
        }
        if bench.wants(Section::Pull) {
            pulls(bench, report, nginx.as_ref(), &source, (&tail, &digest))?;
        }
        bench.peers.sort_by_key(|peer| !peer.is_subject());
    }
    if bench.args.size_mib != 1024 {
        report.note(format!("The blob was {} MiB, not 1 GiB.", bench.args.size_mib));
    }
    Ok(())
}

fn pulls(
    bench: &mut Bench,
    report: &mut Report,
    nginx: Option<&Nginx>,
    source: &Source,
    (tail, digest): (&[u8], &Digest),
) -> Result<()> {
    let gigabytes = source.size() as f64 / GB;
    let path = format!("/v2/{REPOSITORY}/blobs/{digest}");
    if let Some(nginx) = nginx {
        let file = nginx.files().join("blob");
        if !file.exists() {
            source.write_to(&file, tail)?;
        }
    }
    // What the pushes left to write would otherwise be written during the first pull, at the cost of whose it is.
    rustix::fs::sync();
    // Ticks are too coarse for one pull, and whoever goes first finds a colder processor.
    for turn in 0..bench.args.pulls {
        let first = turn % bench.peers.len();
        bench.peers.rotate_left(first);
        if let (Some(nginx), 0) = (nginx, turn % 2) {
            pull_from_nginx(report, nginx, source.size())?;
        }
        for peer in &mut bench.peers {
            let _settled = peer.stats().map(ProcessStats::reset_peak);
            let cpu = peer.cpu();
            let seconds = pull(&peer.host, &path, source.size())?;
            report.add("pull", PULL, "GB/s", &peer.name, gigabytes / seconds);
            costs(report, "pull", peer, cpu, gigabytes);
        }
        if let (Some(nginx), 1) = (nginx, turn % 2) {
            pull_from_nginx(report, nginx, source.size())?;
        }
    }
    Ok(())
}

fn pull_from_nginx(report: &mut Report, nginx: &Nginx, size: usize) -> Result<()> {
    let (gigabytes, before) = (size as f64 / GB, nginx.stats().cpu());
    let seconds = pull(&nginx.host(), "/blob", size)?;
    report.add("pull", PULL, "GB/s", "nginx", gigabytes / seconds);
    if let (Some(before), Some(after)) = (before, nginx.stats().cpu()) {
        processor(report, "pull", "nginx", before, after, gigabytes);
    }
    Ok(())
}

fn costs(
    report: &mut Report,
    section: &'static str,
    peer: &mut Peer,
    before: Option<CpuTime>,
    gigabytes: f64,
) {
    if let (Some(before), Some(after)) = (before, peer.cpu()) {
        processor(report, section, &peer.name, before, after, gigabytes);
    }
    if let Some(peak) = peer.stats().and_then(ProcessStats::peak_memory) {
        report.add(section, "server peak memory", "MiB", &peer.name, peak as f64 / f64::from(1 << 20));
    }
}

fn processor(
    report: &mut Report,
    section: &'static str,
    server: &str,
    before: CpuTime,
    after: CpuTime,
    gigabytes: f64,
) {
    let per_gb = |time: Duration| time.as_secs_f64() / gigabytes;
    report.add(section, "server CPU per GB", "s", server, per_gb(after.total() - before.total()));
    report.add(section, "of it in the kernel", "s", server, per_gb(after.system - before.system));
}

/// A plain write of what a push brings, made durable, on the disk that the servers use.
fn disk_speed(source: &Source, tail: &[u8]) -> Result<f64> {
    let scratch = Scratch::new("disk")?;
    let (path, begun) = (scratch.join("blob"), Instant::now());
    source.write_to(&path, tail)?;
    let file = std::fs::File::open(&path).and_then(|file| file.sync_all());
    file.map_err(HarnessError::file(&path))?;
    Ok(source.size() as f64 / MB / begun.elapsed().as_secs_f64())
}

fn hash_speed(block: &[u8]) -> f64 {
    const BLOCKS: usize = 256;
    let (mut hasher, begun) = (Hasher::new(Kind::Sha256), Instant::now());
    for _ in 0..BLOCKS {
        hasher.update(block);
    }
    std::hint::black_box(hasher.finish());
    (block.len() * BLOCKS) as f64 / MB / begun.elapsed().as_secs_f64()
}

/// Seconds of one GET on a connection of its own, read in blocking calls of 1 MiB.
fn pull(host: &str, path: &str, size: usize) -> Result<f64> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(host).map_err(network)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(network)?;
    let (mut buffer, mut total, mut head) = (vec![0; BLOCK], 0, None);
    loop {
        let read = stream.read(&mut buffer).map_err(network)?;
        if read == 0 {
            break;
        }
        if head.is_none() {
            if !buffer.starts_with(b"HTTP/1.1 200") {
                return Err(HarnessError::Unexpected(format!("GET {path}: {:?}", &buffer[..12.min(read)])));
            }
            let end = buffer[..read].windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
            head = Some(end.unwrap_or(read));
        }
        total += read;
    }
    let seconds = begun.elapsed().as_secs_f64();
    match total.checked_sub(head.unwrap_or(0)) {
        Some(body) if body == size => Ok(seconds),
        other => Err(HarnessError::Unexpected(format!("GET {path}: {other:?} bytes instead of {size}"))),
    }
}
