//! A runtime that is killed at any step leaves nothing that a delete by force does not take away.

use std::{
    fs,
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    bundle::Bundle,
    driver,
    harness::{Test, tests, until},
};

pub(crate) const TESTS: &[Test] = tests![
    f24_a_creation_killed_at_any_moment_leaves_nothing_after_a_delete_by_force,
    f24_a_start_killed_at_any_moment_leaves_nothing_after_a_delete_by_force,
    f24_a_delete_killed_at_any_moment_is_finished_by_the_next,
];

/// `make soak` asks for more.
fn rounds() -> u32 {
    std::env::var("BERTH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(200)
}

/// Moments that are spread evenly over a time, in an order that jumps.
fn moment(round: u32, all: Duration) -> Duration {
    all.mul_f64(f64::from(round * 7919 % 1000) / 1000.0)
}

/// How long a verb takes that nobody kills.
fn time_of(verb: &str, bundle: &Bundle) -> Duration {
    let begin = Instant::now();
    let status = driver::command(verb, bundle).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(status.success());
    begin.elapsed()
}

fn bundle(round: u32) -> Bundle {
    let mut bundle = Bundle::new("sleep 100").with("/linux/resources", json!({"pids": {"limit": 20}}));
    if round.is_multiple_of(2) {
        bundle.add_namespace(json!({"type": "user"}));
        let ids = json!([{"containerID": 0, "hostID": 300_000, "size": 1000}]);
        bundle.set("/linux/uidMappings", ids.clone());
        bundle.set("/linux/gidMappings", ids);
    }
    bundle.write();
    bundle
}

/// What of it runs, has a group or a state.
fn left(bundle: &Bundle) -> Option<String> {
    let id = bundle.id.as_str();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let read = |name: &str| {
            String::from_utf8_lossy(&fs::read(entry.path().join(name)).unwrap_or_default()).into_owned()
        };
        // Processes that were not put into the group yet are known by the id, which they were given as an argument.
        let ours = read("cgroup").contains(id) || read("cmdline").contains(id);
        // A dead orphan waits for the machine's first process to take note of it.
        if ours && !read("status").contains("State:\tZ") {
            return Some(entry.path().display().to_string());
        }
    }
    let states = bundle.path("states");
    let state = states.exists() && fs::read_dir(states).unwrap().next().is_some();
    state.then(|| "a state".to_owned())
}

fn killed(verb: &str, bundle: &Bundle, after: Duration) -> bool {
    let mut caller =
        driver::command(verb, bundle).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(after);
    caller.kill().unwrap();
    !caller.wait().unwrap().success()
}

/// What a child of the killed runtime may still do is end: it hears that the channel is closed.
fn clean_up(bundle: &Bundle, round: u32) {
    if let Ok(container) = bundle.runtime().open(&bundle.id) {
        container.delete(true).unwrap();
    }
    until(&format!("round {round}: something is left"), || left(bundle).is_none());
}

fn f24_a_creation_killed_at_any_moment_leaves_nothing_after_a_delete_by_force() {
    let whole = time_of("create", &bundle(1)).max(time_of("create", &bundle(0)));
    let mut interrupted = 0;
    for round in 0..rounds() {
        let bundle = bundle(round);
        interrupted += u32::from(killed("create", &bundle, moment(round, whole)));
        clean_up(&bundle, round);
    }
    // Otherwise the moments were too late, and nothing was tried.
    assert!(interrupted * 2 > rounds(), "{interrupted} of {} were interrupted", rounds());
}

fn f24_a_start_killed_at_any_moment_leaves_nothing_after_a_delete_by_force() {
    let first = bundle(1);
    let (container, _started) = first.create().unwrap();
    let whole = time_of("start", &first);
    container.delete(true).unwrap();
    for round in 0..rounds() / 4 {
        let bundle = bundle(1);
        let (container, started) = bundle.create().unwrap();
        killed("start", &bundle, moment(round, whole));
        let status = container.status().unwrap().to_string();
        assert!(status == "created" || status == "running", "round {round}: {status}");
        container.delete(true).unwrap();
        crate::bundle::wait(&started);
        clean_up(&bundle, round);
    }
}

fn f24_a_delete_killed_at_any_moment_is_finished_by_the_next() {
    let first = bundle(1);
    let (_container, _started) = first.start();
    let whole = time_of("delete", &first);
    for round in 0..rounds() / 4 {
        let bundle = bundle(1);
        let (_container, started) = bundle.start();
        killed("delete", &bundle, moment(round, whole));
        if let Ok(container) = bundle.runtime().open(&bundle.id) {
            container.delete(true).unwrap();
        }
        crate::bundle::wait(&started);
        clean_up(&bundle, round);
    }
}
