//! F1 and F2: the process is killed while it is pushed to.

use std::{sync::Arc, time::Duration};

use super::{
    Action, Client, Expect, Journal, Pusher, Recorder, Result, Shim, Taste,
    steps::{moment, recover, replay, runtime},
};
use crate::harness::{Berth, HarnessError, Scratch, Stack};

/// Pushers at a time.
const WORKERS: usize = 4;
/// At least so much is acknowledged before each kill: a round in which nothing happened proves nothing.
const AT_LEAST: usize = 4;
const LIMIT: Duration = Duration::from_secs(60);
/// Images of the script that is killed at each call.
const SCRIPT: usize = 1;
/// A script of so few images makes fewer calls.
const CALLS: u64 = 400;

/// F1: `kill -9` in mid-push after a random delay of up to `longest` milliseconds, restart, replay; so many times. All
/// that was ever acknowledged is asked for at the end. How much that was.
pub fn kill_in_mid_push(stack: Stack, rounds: usize, longest: u64) -> Result<String> {
    let runtime = runtime()?;
    let mut berth = Berth::builder().stack(stack).start()?;
    let mut recorder = Recorder::start(&berth.url(), WORKERS)?;
    let mut history = recorder.history()?;
    let mut slowest = Duration::ZERO;
    for round in 1..=rounds {
        let when = format!("F1, round {round}");
        recorder.go_on();
        recorder.wait_for(&history, AT_LEAST, LIMIT)?;
        std::thread::sleep(moment(0, longest));
        berth.kill()?;
        recorder.hold();
        slowest = slowest.max(recover(&mut berth, &when)?);
        // The last events of before are of pushes that this death may have hurt.
        let from = history.lines.saturating_sub(8 * WORKERS);
        history = recorder.history()?;
        replay(&runtime, &berth.url(), &history, Expect::PROCESS.from(from), &when)?;
    }
    replay(&runtime, &berth.url(), &history, Expect::PROCESS, "F1, at the end")?;
    let acknowledged = history.acknowledged;
    Ok(format!("{rounds} kills, {acknowledged} acknowledgements, 0 lost, ready after {slowest:?} at most"))
}

/// F2: for N = 1, 2, … the process dies at its Nth sync, rename, unlink, mkdir or truncation since it was started on an
/// empty folder, until a script of pushes comes through. After each death: restart, replay, and the script again.
pub fn kill_at_each_call() -> Result<String> {
    let (runtime, shim) = (runtime()?, Shim::new()?);
    for n in 1..=CALLS {
        let when = format!("F2, killed at call {n}");
        let [preload, control] = shim.env();
        let mut berth = Berth::builder().env(preload.0, preload.1).env(control.0, control.1).prepare()?;
        let scratch = Scratch::new("journal")?;
        let journal = Arc::new(Journal::open(scratch.join("journal"))?);
        let push = |url: &str| {
            let pusher = Pusher::new(Client::new(url)?, journal.clone(), "faults/script", Taste::Scripted);
            runtime.block_on(async {
                for _ in 0..SCRIPT {
                    pusher.image().await?;
                }
                Ok::<_, super::FaultError>(())
            })
        };
        shim.reset()?;
        shim.set(Action::KillAtCall(n))?;
        // It may die before it is ready, or while it is pushed to.
        let through = berth.start().is_ok() && push(&berth.url()).is_ok();
        let calls = shim.calls()?;
        shim.must_have_met()?;
        if through && calls < n {
            return Ok(format!("killed at each of {} calls, 0 lost", n - 1));
        }
        shim.set(Action::Count)?;
        berth.kill()?;
        recover(&mut berth, &when)?;
        replay(&runtime, &berth.url(), &journal.history()?, Expect::PROCESS, &when)?;
        push(&berth.url())?;
        let history = journal.history()?;
        if !history.refused.is_empty() {
            return Err(super::FaultError::Broken { when, findings: history.refused });
        }
        replay(&runtime, &berth.url(), &history, Expect::PROCESS, &when)?;
    }
    Err(HarnessError::Unexpected(format!("the script makes more than {CALLS} calls")).into())
}
