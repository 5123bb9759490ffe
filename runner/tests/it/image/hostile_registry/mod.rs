//! Pulls from a registry that lies, cuts, floods and sends elsewhere: each ends in time, in bounded memory, with a number
//! and a reason, and leaves nothing.

mod layers;
mod manifests;
mod policy;
mod server;
mod users;

use std::{
    process::{Command, Output},
    time::{Duration, Instant},
};

use self::server::Registry;
use super::{assert_empty, done, stderr};
use crate::program::Runner;

/// Most seconds of one pull: a gibibyte is inflated by a program that is not optimised, beside other tests.
const SECONDS: u32 = 240;
/// Most bytes of data, stacks of threads included. The largest window of zstd that is taken is half of it.
const DATA: u32 = 256 << 20;

/// A command that is killed after that time, and can have so much memory.
fn bounded(command: &Command) -> Command {
    let mut bounded = Command::new("timeout");
    bounded.args(["--signal=KILL", &SECONDS.to_string(), "prlimit", &format!("--data={DATA}")]);
    bounded.arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => bounded.env(key, value),
            None => bounded.env_remove(key),
        };
    }
    bounded
}

fn pull(runner: &Runner, name: &str) -> Output {
    let words = ["pull", "--tls-verify=false", "--retry", "0", name];
    bounded(&runner.command(&words)).output().unwrap()
}

/// Pulls: it ends with this number and these words, in time, and nothing is left of it.
fn refuses(registry: &Registry, code: i32, part: &str) {
    let runner = Runner::new();
    let begun = Instant::now();
    let output = pull(&runner, &registry.name());
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert!(told.contains(part), "{told}");
    assert!(!told.contains("panicked"), "{told}");
    assert!(told.len() < 8192, "{} bytes of words", told.len());
    assert!(begun.elapsed() < Duration::from_secs(u64::from(SECONDS)));
    assert_empty(&runner);
    assert!(done(&runner, &["check"]).ends_with("0 damaged, 0 unused"));
}
