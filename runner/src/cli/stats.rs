//! `stats`.

use std::{
    fs,
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use berth_runtime::Stats;
use clap::Args;

use super::{
    Context, Globals,
    output::{self, Columns, Field, Listing, Row, Value},
    select::Selection,
};
use crate::{
    error::{Result, RunnerError, While},
    record::Desired,
    supervisor::{engine::Engine, live::snapshot},
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Containers; all that run where none is named
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,

    /// All, those too that do not run
    #[arg(long, short)]
    all: bool,

    /// The container that was created last
    #[arg(long, short)]
    latest: bool,

    /// Once
    #[arg(long)]
    no_stream: bool,

    /// Each time below the last one, in place of over it
    #[arg(long)]
    no_reset: bool,

    /// Seconds between
    #[arg(long, short, default_value_t = 5)]
    interval: u32,

    /// `json`, or a Go template like '{{.Name}} {{.CPUPerc}}'
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,

    /// Do not shorten ids
    #[arg(long)]
    no_trunc: bool,
}

/// What one container used, at a time.
struct Sample {
    desired: Desired,
    stats: Stats,
    network: (u64, u64),
    at: Instant,
    started: Option<jiff::Timestamp>,
}

/// Bytes that came and went over its interfaces, as its first process sees them.
fn network(pid: i32) -> (u64, u64) {
    traffic(&fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default())
}

/// [`network`] in the text of its file.
pub(super) fn traffic(text: &str) -> (u64, u64) {
    let mut sum = (0_u64, 0_u64);
    for line in text.lines().skip(2) {
        let Some((name, numbers)) = line.split_once(':') else { continue };
        if name.trim() == "lo" {
            continue;
        }
        let numbers: Vec<u64> =
            numbers.split_ascii_whitespace().filter_map(|text| text.parse().ok()).collect();
        sum.0 = sum.0.saturating_add(numbers.first().copied().unwrap_or_default());
        sum.1 = sum.1.saturating_add(numbers.get(8).copied().unwrap_or_default());
    }
    sum
}

fn samples(context: &Context, arguments: &Arguments) -> Result<Vec<Sample>> {
    let named = !arguments.containers.is_empty();
    let selection = Selection {
        containers: arguments.containers.clone(),
        all: !named && !arguments.latest,
        latest: arguments.latest,
        ..Default::default()
    };
    let mut samples = Vec::new();
    for meant in selection.meant(context)? {
        let desired = meant.found?;
        let seen = snapshot(&context.records, &desired)?;
        let Some(pid) = seen.pid else {
            if named && !arguments.all {
                return Err(RunnerError::Conflict(format!(
                    "container {} does not run: it uses nothing",
                    desired.name
                )));
            }
            if arguments.all {
                let stats = Stats::default();
                samples.push(Sample { desired, stats, network: (0, 0), at: Instant::now(), started: None });
            }
            continue;
        };
        // One that ends between is left out.
        let Ok(stats) = Engine::of(&context.folders, &desired).stats(&desired.id) else { continue };
        samples.push(Sample {
            network: network(pid),
            stats,
            at: Instant::now(),
            started: seen.started,
            desired,
        });
    }
    Ok(samples)
}

#[expect(clippy::cast_precision_loss, reason = "shares are shown with two digits")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn machine_memory() -> u64 {
    let info = rustix::system::sysinfo();
    (info.totalram as u64).saturating_mul(u64::from(info.mem_unit))
}

/// A line; processor time is that since the sample before, or since the start.
fn row(sample: &Sample, before: Option<&Sample>, whole: bool) -> Row {
    let stats = &sample.stats;
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let ran = sample.started.map(|started| jiff::Timestamp::now().duration_since(started));
    let average =
        share(stats.cpu_usec, ran.map_or(0, |ran| micros(Duration::try_from(ran).unwrap_or_default())));
    let cpu = before.map_or(average, |before| {
        share(
            stats.cpu_usec.saturating_sub(before.stats.cpu_usec),
            micros(sample.at.duration_since(before.at)),
        )
    });
    let limit = stats.memory_limit_bytes.unwrap_or(u64::MAX).min(machine_memory());
    let memory = share(stats.memory_bytes, limit);
    let id = sample.desired.id.as_str();
    let pair = |a: u64, b: u64| Value::text(format!("{} / {}", output::exact_size(a), output::exact_size(b)));
    let (percent, text) = (output::percent, |text: String| Value::text(text));
    let cpu_time = Duration::from_micros(stats.cpu_usec);
    let shown = Value::fields([
        Field::new("ID", Value::text(if whole { id } else { output::short_id(id) })),
        Field::new("ContainerID", Value::text(id)),
        Field::new("Name", Value::text(&sample.desired.name)),
        Field::new("CPUPerc", text(percent(cpu))),
        Field::new("MemUsage", pair(stats.memory_bytes, limit)),
        Field::new("MemPerc", text(percent(memory))),
        Field::new("NetIO", pair(sample.network.0, sample.network.1)),
        Field::new("BlockIO", pair(stats.read_bytes, stats.write_bytes)),
        Field::new("PIDS", text(stats.pids.to_string())),
        // Docker's name for it.
        Field::new("PIDs", text(stats.pids.to_string())),
        Field::new("CPUTime", text(output::took(cpu_time))),
        Field::new("AVGCPU", text(percent(average))),
    ]);
    let json = Value::fields([
        Field::new("id", Value::text(output::short_id(id))),
        Field::new("name", Value::text(&sample.desired.name)),
        Field::new("cpu_time", text(output::took(cpu_time))),
        Field::new("cpu_percent", text(percent(cpu))),
        Field::new("avg_cpu", text(percent(average))),
        Field::new("mem_usage", pair(stats.memory_bytes, limit)),
        Field::new("mem_percent", text(percent(memory))),
        Field::new("net_io", pair(sample.network.0, sample.network.1)),
        Field::new("block_io", pair(stats.read_bytes, stats.write_bytes)),
        Field::new("pids", text(stats.pids.to_string())),
    ]);
    Row { quiet: id.to_owned(), shown, json: Some(json) }
}

const COLUMNS: Columns = Columns {
    template: "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDS}}\t{{.CPUTime}}\t{{.AVGCPU}}",
    headings: &[
        ("CPUPerc", "CPU %"),
        ("MemUsage", "MEM USAGE / LIMIT"),
        ("MemPerc", "MEM %"),
        ("NetIO", "NET IO"),
        ("BlockIO", "BLOCK IO"),
        ("CPUTime", "CPU TIME"),
        ("AVGCPU", "AVG CPU %"),
    ],
};

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    let listing =
        Listing { format: arguments.format.clone(), no_trunc: arguments.no_trunc, ..Listing::default() };
    let mut before: Vec<Sample> = Vec::new();
    loop {
        let now = samples(&context, arguments)?;
        let rows: Vec<Row> = now
            .iter()
            .map(|sample| {
                let last = before.iter().find(|last| last.desired.id == sample.desired.id);
                row(sample, last, arguments.no_trunc)
            })
            .collect();
        if !arguments.no_stream && !arguments.no_reset && std::io::stdout().is_terminal() {
            std::io::stdout().write_all(b"\x1b[2J\x1b[H").doing("writing", "standard output")?;
        }
        output::list(&listing, COLUMNS, &rows)?;
        if arguments.no_stream {
            return Ok(0);
        }
        before = now;
        std::thread::sleep(Duration::from_secs(u64::from(arguments.interval.max(1))));
    }
}
