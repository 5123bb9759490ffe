//! Berth beside other registries on one machine in one run.
//!
//! Rounds are interleaved (each server in turn, then again), since a shared machine drifts; a figure is the median of
//! its rounds. Every server gets the same requests from the same load generator, and nobody's fsync is turned off.

mod blobs;
mod collection;
mod copier;
mod images;
mod manifests;
mod peer;
mod report;
mod runner;
mod tags;
mod wire;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::runtime::{Builder, Runtime};

use crate::harness::{DockerRegistry, HarnessError, ProcessStats, Result, require};
use peer::Peer;
use report::Report;

/// A part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Section {
    /// Memory after the start, before any work.
    Idle,
    /// One blob of 1 GiB in.
    Push,
    /// One blob of 1 GiB out.
    Pull,
    /// GET and HEAD of a manifest by tag.
    Manifest,
    /// Small images from 16 clients.
    Images,
    /// Lists of 1,000 and 100,000 tags.
    Tags,
    /// Start with 100,000 manifests.
    Start,
    /// Start, a page of tags, and collection beside pushes, on a catalog seeded with a million manifests.
    Collection,
    /// The copier beside Skopeo.
    Copier,
    /// The copier with ten layers of `--size-mib` each; 20 GiB of disk at a GiB each. Only when asked for.
    CopierLarge,
    /// The runner beside podman, crun and runc; root's figures.
    Runner,
}

/// `berth-conformance bench`
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// Only these parts, divided by commas.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Section>,
    /// Another registry that runs already: NAME=http://HOST:PORT. May be repeated.
    #[arg(long = "peer", value_name = "NAME=URL")]
    pub peers: Vec<String>,
    /// Leave this server out: berth or docker-registry. May be repeated.
    #[arg(long, value_name = "NAME")]
    pub without: Vec<String>,
    /// Rounds; each figure is their median.
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// Pulls a round.
    #[arg(long, default_value_t = 3)]
    pub pulls: usize,
    /// Seconds of each load of small requests.
    #[arg(long, default_value_t = 3.0)]
    pub seconds: f64,
    /// Size of the big blob in MiB.
    #[arg(long, default_value_t = 1024)]
    pub size_mib: usize,
    /// Small images a round.
    #[arg(long, default_value_t = 320)]
    pub images: usize,
    /// Tags, and manifests, of the big repository in Berth.
    #[arg(long, default_value_t = 100_000)]
    pub tags: usize,
    /// The same in other servers, which take longer to fill.
    #[arg(long, default_value_t = 10_000)]
    pub peer_tags: usize,
    /// Manifests of the catalog that is seeded for the collection; a tenth of them are collected.
    #[arg(long, default_value_t = 1_000_000)]
    pub seeded: usize,
    /// Two root file systems as tars, such as two that debootstrap made, for the runner's disk. Without them the same
    /// files of this machine are packed twice, with their times, beside a folder with other times.
    #[arg(long, value_name = "FILE", num_args = 2)]
    pub bases: Vec<PathBuf>,
    /// Write every value to this file as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl BenchArgs {
    fn wants(&self, section: Section) -> bool {
        (self.only.is_empty() && section != Section::CopierLarge) || self.only.contains(&section)
    }

    fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.max(0.1))
    }
}

/// What the parts share.
#[derive(Debug)]
struct Bench {
    args: BenchArgs,
    peers: Vec<Peer>,
    /// One thread: the load generator must not take more than one of the processors.
    runtime: Runtime,
}

impl Bench {
    fn wants(&self, section: Section) -> bool {
        self.args.wants(section)
    }
}

/// Starts the servers, measures, and writes the table to `out` and everything to the JSON file.
///
/// # Errors
/// When a server does not start or gives an answer that is not a success.
pub fn run(args: BenchArgs, out: &mut dyn Write) -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| HarnessError::Spawn { name: "a runtime".to_owned(), source })?;
    let with = |name: &str| !args.without.iter().any(|without| without == name);
    let mut peers = Vec::new();
    if with(report::SUBJECT) {
        peers.push(Peer::berth()?);
    }
    if with("docker-registry") && require(DockerRegistry::TOOLS) {
        peers.push(Peer::docker_registry()?);
    }
    for text in &args.peers {
        peers.push(Peer::elsewhere(text)?);
    }
    let own = [Section::Collection, Section::Runner];
    if peers.is_empty() && (args.only.is_empty() || !args.only.iter().all(|section| own.contains(section))) {
        return Err(HarnessError::Unexpected("no server is left to measure".to_owned()));
    }
    let mut bench = Bench { args, peers, runtime };
    let mut report = Report::default();
    let mut say = |text: &str| writeln!(out, "{text}").map_err(HarnessError::file("standard output"));
    if bench.wants(Section::Idle) {
        idle(&mut bench, &mut report);
    }
    if bench.wants(Section::Push) || bench.wants(Section::Pull) {
        say("one big blob …")?;
        blobs::run(&mut bench, &mut report)?;
    }
    if bench.wants(Section::Manifest) {
        say("manifests …")?;
        manifests::run(&mut bench, &mut report)?;
    }
    if bench.wants(Section::Images) {
        say("small images …")?;
        images::run(&mut bench, &mut report)?;
    }
    if bench.wants(Section::Tags) || bench.wants(Section::Start) {
        say("many tags …")?;
        tags::run(&mut bench, &mut report)?;
    }
    if bench.wants(Section::Collection) {
        say("collection …")?;
        collection::run(&bench, &mut report)?;
    }
    if bench.wants(Section::Copier) || bench.wants(Section::CopierLarge) {
        say("the copier …")?;
        copier::run(&mut bench, &mut report)?;
    }
    if bench.wants(Section::Runner) {
        say("the runner …")?;
        runner::run(&mut bench, &mut report)?;
    }
    say(&format!("\n{}", report.table()))?;
    if let Some(path) = &bench.args.json {
        let text = format!("{:#}\n", report.json(machine()));
        std::fs::write(path, text).map_err(HarnessError::file(path))?;
        say(&format!("All values: {}", path.display()))?;
    }
    Ok(())
}

fn idle(bench: &mut Bench, report: &mut Report) {
    for peer in &mut bench.peers {
        if let Some(memory) = peer.stats().and_then(ProcessStats::memory) {
            report.add(
                "idle",
                "memory after the start",
                "MiB",
                &peer.name,
                memory as f64 / f64::from(1 << 20),
            );
        }
    }
}

/// What the figures were taken on.
fn machine() -> serde_json::Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    serde_json::json!({
        "processor": model.trim_start_matches([' ', '\t', ':']),
        "processors": std::thread::available_parallelism().map_or(0, usize::from),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "load": read("/proc/loadavg").trim(),
    })
}
