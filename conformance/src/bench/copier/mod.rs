//! The copier beside Skopeo: the same work between the same registries, with a counting proxy before each of them.

mod images;
mod program;

use super::peer::Peer;
use super::report::{Report, SUBJECT};
use super::{Bench, Section};
use crate::harness::{Berth, CountingProxy, Counts, Result, Scratch, find_tool};
use images::Shape;
use program::{Program, Run};

const MIB: f64 = 1_048_576.0;
const TAGS: usize = 100;

/// The registry to copy from, with a proxy before it, and the programs that are compared.
struct Field {
    _source: Berth,
    from: CountingProxy,
    programs: Vec<Program>,
    scratch: Scratch,
}

/// An empty registry to copy to, with a proxy before it. Each program gets one of its own each time: in a registry that
/// another program filled before, blobs could be mounted instead of copied.
struct Destination {
    _registry: Berth,
    to: CountingProxy,
}

impl Destination {
    fn start() -> Result<Self> {
        let registry = Berth::builder().start()?;
        let to = CountingProxy::start(&registry.host())?;
        Ok(Self { _registry: registry, to })
    }
}

/// Runs every part of the comparison in interleaved rounds.
pub(super) fn run(bench: &mut Bench, report: &mut Report) -> Result<()> {
    let source = Berth::builder().start()?;
    let from = CountingProxy::start(&source.host())?;
    let mut programs = vec![Program::berth()?];
    match find_tool("skopeo") {
        Ok(path) => programs.push(Program::skopeo(path)?),
        Err(missing) => report.note(format!("Skopeo is left out: {missing}")),
    }
    for program in &programs {
        report.note(format!("{}: {}", program.name, program.version));
    }
    let fill = Peer::of(&source.host());
    let field = Field { _source: source, from, programs, scratch: Scratch::new("bench-copier")? };
    if bench.wants(Section::Copier) {
        bench.runtime.block_on(async {
            images::push_index(&fill, "bench/index", &Shape::PLATFORMS).await?;
            images::push_image(&fill, "bench/layers", "latest", &Shape::LAYERS).await?;
            images::push_tags(&fill, "bench/tags", TAGS).await
        })?;
        for round in 0..bench.args.rounds {
            for program in &field.programs {
                field.index(program, report)?;
                field.layers(program, report)?;
                field.same_registry(program, round, report)?;
                field.inspect(program, report)?;
                field.sync(program, report)?;
            }
        }
    }
    if bench.wants(Section::CopierLarge) {
        let size = (bench.args.size_mib as u64) << 20;
        bench.runtime.block_on(images::push_image(&fill, "bench/large", "latest", &Shape::large(size)))?;
        for program in &field.programs {
            field.large(program, size, report)?;
        }
    }
    Ok(())
}

impl Field {
    /// An index of 10 platforms and 41 blobs: into an empty registry, and again.
    fn index(&self, program: &Program, report: &mut Report) -> Result<()> {
        let there = Destination::start()?;
        let (from, to) =
            (format!("{}/bench/index:latest", self.from.host()), format!("{}/index:latest", there.to.host()));
        let (run, counts) = self.copy(program, &["--all"], &from, &to, &there.to)?;
        let section = "copier: 41 blobs, 10 platforms, cold";
        figures(report, section, program.name, &run, &counts);
        let per_blob = counts.total() as f64 / Shape::PLATFORMS.blobs() as f64;
        report.add(section, "requests per blob", "", program.name, per_blob);
        let (run, counts) = self.copy(program, &["--all"], &from, &to, &there.to)?;
        figures(report, "copier: the same again", program.name, &run, &counts);
        Ok(())
    }

    /// One image of ten layers of 8 MiB from one registry to another.
    fn layers(&self, program: &Program, report: &mut Report) -> Result<()> {
        let there = Destination::start()?;
        let (from, to) = (
            format!("{}/bench/layers:latest", self.from.host()),
            format!("{}/layers:latest", there.to.host()),
        );
        let (run, counts) = self.copy(program, &[], &from, &to, &there.to)?;
        figures(report, "copier: 10 layers of 8 MiB, cold", program.name, &run, &counts);
        Ok(())
    }

    /// The index into another repository of the registry it is in.
    fn same_registry(&self, program: &Program, round: usize, report: &mut Report) -> Result<()> {
        let from = format!("{}/bench/index:latest", self.from.host());
        let to = format!("{}/again/{}-{round}:latest", self.from.host(), program.name);
        let (run, counts) = self.copy(program, &["--all"], &from, &to, &self.from)?;
        figures(report, "copier: within one registry", program.name, &run, &counts);
        Ok(())
    }

    fn inspect(&self, program: &Program, report: &mut Report) -> Result<()> {
        drop(self.from.take());
        let image = format!("docker://{}/bench/layers:latest", self.from.host());
        let run = program.run(&["inspect", "--tls-verify=false", &image], self.scratch.path())?;
        figures(report, "copier: inspect", program.name, &run, &self.from.take());
        Ok(())
    }

    /// A repository of 100 tags: into an empty registry, and again.
    fn sync(&self, program: &Program, report: &mut Report) -> Result<()> {
        let there = Destination::start()?;
        let (from, to) = (format!("{}/bench/tags", self.from.host()), format!("{}/sync", there.to.host()));
        let flags =
            ["--src", "docker", "--dest", "docker", "--src-tls-verify=false", "--dest-tls-verify=false"];
        let args: Vec<&str> = ["sync"].into_iter().chain(flags).chain([from.as_str(), to.as_str()]).collect();
        for section in ["copier: sync of 100 tags, cold", "copier: sync of 100 tags, unchanged"] {
            drop((self.from.take(), there.to.take()));
            let run = program.run(&args, self.scratch.path())?;
            let counts = sum(&self.from.take(), &there.to.take());
            figures(report, section, program.name, &run, &counts);
            report.add(section, "requests per tag", "", program.name, counts.total() as f64 / TAGS as f64);
        }
        Ok(())
    }

    /// Ten layers of a GiB (or what was asked for), once.
    fn large(&self, program: &Program, size: u64, report: &mut Report) -> Result<()> {
        let (section, there) = ("copier: ten large layers, cold", Destination::start()?);
        let (from, to) =
            (format!("{}/bench/large:latest", self.from.host()), format!("{}/large:latest", there.to.host()));
        let (run, counts) = self.copy(program, &[], &from, &to, &there.to)?;
        figures(report, section, program.name, &run, &counts);
        let speed = 10.0 * size as f64 / run.wall.as_secs_f64() / 1e6;
        report.add(section, "speed", "MB/s", program.name, speed);
        Ok(())
    }

    fn copy(
        &self,
        program: &Program,
        flags: &[&str],
        from: &str,
        to: &str,
        there: &CountingProxy,
    ) -> Result<(Run, Counts)> {
        let (from, to) = (format!("docker://{from}"), format!("docker://{to}"));
        let mut args = vec!["copy", "--src-tls-verify=false", "--dest-tls-verify=false"];
        args.extend(flags);
        args.extend([from.as_str(), to.as_str()]);
        drop((self.from.take(), there.take()));
        let run = program.run(&args, self.scratch.path())?;
        // Where both are one proxy the second count is what is left: nothing.
        Ok((run, sum(&self.from.take(), &there.take())))
    }
}

fn sum(one: &Counts, other: &Counts) -> Counts {
    let mut requests = one.requests.clone();
    for (kind, count) in &other.requests {
        *requests.entry(kind.clone()).or_default() += count;
    }
    Counts {
        connections: one.connections + other.connections,
        used: one.used.max(other.used),
        requests,
        sent: one.sent + other.sent,
        received: one.received + other.received,
    }
}

fn figures(report: &mut Report, section: &'static str, name: &str, run: &Run, counts: &Counts) {
    let mut add = |what: &str, unit, value| report.add(section, what, unit, name, value);
    add("time", "ms", run.wall.as_secs_f64() * 1e3);
    add("processor", "ms", run.cpu.as_secs_f64() * 1e3);
    add("memory at most", "MiB", run.peak as f64 / MIB);
    add("requests", "", counts.total() as f64);
    add("connections to one registry", "", counts.used as f64);
    add("bytes both ways", "MiB", (counts.sent + counts.received) as f64 / MIB);
    for (kind, count) in &counts.requests {
        add(&format!("  {kind}"), "", *count as f64);
    }
}
