//! The runner beside podman, and its runtime core beside crun and runc: the same image from the same registry, the same
//! bundle, in interleaved rounds.

mod bundle;
mod engine;
mod images;
mod stage;

use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Bench;
use super::peer::Peer;
use super::report::{Report, SUBJECT};
use crate::harness::{Berth, HarnessError, Result, Scratch, berth_program, find_tool, require_root};
use engine::Engine;
use stage::Stage;

const MIB: f64 = 1_048_576.0;
/// Short commands a round; a round's figure is their median.
const TIMES: usize = 11;

/// Runs every part of the comparison.
pub(super) fn run(bench: &mut Bench, report: &mut Report) -> Result<()> {
    if !require_root() {
        report.note("The runner is left out: its figures are root's.".to_owned());
        return Ok(());
    }
    let scratch = Scratch::new("bench-runner")?;
    let registry = Berth::builder().start()?;
    let fill = Peer::of(&registry.host());
    bench.runtime.block_on(images::push(&fill, &scratch, &bench.args.bases))?;
    let stage = Rc::new(Stage::set(&scratch)?);
    if stage.hybrid {
        report.note(
            "The tree of version 2 of the control groups is hidden from all: crun refuses both.".to_owned(),
        );
    }
    let mut engines = vec![Engine::berth(&stage, &scratch)?];
    match find_tool("podman") {
        Ok(path) => engines.push(Engine::podman(&stage, &scratch, path)?),
        Err(missing) => report.note(format!("podman is left out: {missing}")),
    }
    let image = |name: &str| format!("{}/bench/{name}:latest", registry.host());
    for engine in &engines {
        report.note(format!("{}: {}", engine.name, engine.version));
    }
    let program = berth_program("BERTH_RUNNER_BIN", "berth-runner")?;
    let size = std::fs::metadata(&program).map_err(HarnessError::file(&program))?.len();
    report.add("runner: its own needs", "size of the program", "MiB", SUBJECT, size as f64 / MIB);
    for _ in 0..bench.args.rounds {
        let nothing = find_tool("true")?;
        let floor = median(|| stage.tool(&nothing).run())?;
        report.add(
            "runner: its own needs",
            "what starting any program adds to each time",
            "ms",
            SUBJECT,
            floor,
        );
        for engine in &mut engines {
            cold(engine, &image("layers"), report)?;
        }
        for engine in &engines {
            warm(engine, &image("layers"), report)?;
        }
    }
    for engine in &mut engines {
        disk(engine, &image("first"), &image("second"), report)?;
        engine.empty()?;
    }
    bare(bench, &stage, &scratch, report)
}

/// From an empty store to the end of a container that does nothing.
fn cold(engine: &mut Engine, image: &str, report: &mut Report) -> Result<()> {
    engine.forget()?;
    settle();
    let begun = Instant::now();
    engine.run(&["pull", "--quiet", "--tls-verify=false", image])?;
    engine.run(&["run", "--rm", "--network", "none", image, "true"])?;
    let section = "runner: cold pull of 6 layers, run of true";
    report.add(section, "wall", "ms", engine.name, milliseconds(begun.elapsed()));
    Ok(())
}

/// Brings to disk what others wrote: nobody's time is to be that of another one's data.
fn settle() {
    rustix::fs::sync();
}

/// Containers of an image that is there.
fn warm(engine: &Engine, image: &str, report: &mut Report) -> Result<()> {
    let section = "runner: an image that is there";
    let run = ["run", "--rm", "--network", "none", image, "true"];
    settle();
    report.add(section, "run --rm of true, no network", "ms", engine.name, median(|| engine.run(&run))?);
    if engine.name == SUBJECT {
        let run = ["run", "--rm", image, "true"];
        report.add(section, "run --rm of true, own network", "ms", engine.name, median(|| engine.run(&run))?);
    }
    let id = engine.run(&["run", "--detach", "--network", "none", image, "sleep", "1000"])?.trim().to_owned();
    let exec = ["exec", id.as_str(), "true"];
    let took = median(|| engine.run(&exec));
    let memory = engine.companion(&id).map(|bytes| bytes as f64 / MIB);
    engine.run(&["rm", "--force", "--time", "0", &id])?;
    report.add(section, "exec of true", "ms", engine.name, took?);
    report.add(section, "memory per container (PSS)", "MiB", engine.name, memory?);
    Ok(())
}

/// A base that was built twice: no layer in common, nearly all content in common.
fn disk(engine: &mut Engine, first: &str, second: &str, report: &mut Report) -> Result<()> {
    let section = "runner: disk of two rebuilt bases";
    engine.forget()?;
    for (name, image) in [("the first", first), ("both", second)] {
        engine.run(&["pull", "--quiet", "--tls-verify=false", image])?;
        report.add(section, name, "MiB", engine.name, engine.disk()? as f64 / MIB);
    }
    Ok(())
}

/// One bundle under each runtime, filter of system calls included.
fn bare(bench: &Bench, stage: &Stage, scratch: &Scratch, report: &mut Report) -> Result<()> {
    let folder = scratch.subfolder("bundle")?;
    bundle::write(&folder)?;
    let berth = berth_program("BERTH_RUNNER_BIN", "berth-runner")?;
    let mut runtimes = vec![(SUBJECT, berth, vec!["oci"])];
    for name in ["crun", "runc"] {
        match find_tool(name) {
            Ok(path) => runtimes.push((name, path, Vec::new())),
            Err(missing) => report.note(format!("{name} is left out: {missing}")),
        }
    }
    for _ in 0..bench.args.rounds {
        for (name, path, first) in &runtimes {
            match median(|| once(stage, path, first, scratch.path(), &folder)) {
                Ok(took) => {
                    report.add("runner: its core alone", "run of true, 300 calls allowed", "ms", name, took)
                }
                Err(error) if *name == SUBJECT => return Err(error),
                // Another program may refuse a machine; that is its own affair.
                Err(error) => report.note(format!("{name} is left out: {error}")),
            }
        }
    }
    Ok(())
}

fn once(stage: &Stage, program: &Path, first: &[&str], scratch: &Path, bundle: &Path) -> Result<String> {
    let state = scratch.join("oci-state");
    let id = format!("bench-{}", std::process::id());
    let root = ["--root".into(), state.into_os_string()];
    let rest = ["run".into(), "--bundle".into(), bundle.as_os_str().to_owned(), id.into()];
    stage.tool(program).args(first).args(root).args(rest).run()
}

/// The median time of a command that is run again and again, in milliseconds.
fn median(mut command: impl FnMut() -> Result<String>) -> Result<f64> {
    let mut times = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let begun = Instant::now();
        command()?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    Ok(milliseconds(times[TIMES / 2]))
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
