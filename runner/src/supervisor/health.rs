//! Checks of health: when they run is the supervisor's matter; one check is a process of its own, which reads and
//! writes `running/health.json` and says by its number what came of it.

use std::{
    io::Read,
    os::fd::{AsFd, OwnedFd},
    process::{Child, ExitCode},
    time::{Duration, Instant},
};

use berth_runtime::ContainerId;
use jiff::Timestamp;
use rustix::{
    event::PollFlags,
    process::{Pid, Signal, WaitId, WaitIdOptions, WaitStatus, kill_process, pidfd_send_signal, waitid},
};
use serde::{Deserialize, Serialize};

use super::{
    engine::{Ends, Engine},
    live::Live,
    order::{Mode, Order},
    parcel, program,
};
use crate::{
    error::{Result, While},
    folders::Folders,
    record::{Desired, Health, Records, files},
};

/// Results that are kept, and bytes of output of each.
const KEPT: usize = 5;
const OUTPUT: usize = 500;

/// What a check's process ends with.
const HEALTHY: u8 = 0;
const FAILING: u8 = 1;
const UNHEALTHY: u8 = 2;
/// It became unhealthy by this very check.
const TURNED: u8 = 3;

/// What checks found, as `inspect` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Found {
    /// `starting`, `healthy`, `unhealthy`.
    pub(crate) status: String,
    /// Failures in a row.
    pub(crate) failing_streak: u32,
    /// The last ones, oldest first.
    pub(crate) log: Vec<Checked>,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Checked {
    start: Timestamp,
    end: Timestamp,
    exit_code: u8,
    output: String,
}

/// What a check that makes a container unhealthy leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnFailure {
    None,
    Kill,
    Restart,
    Stop,
}

/// A check that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The clients that asked for it.
    pub(crate) asked_by: Vec<u64>,
    /// 0 where it was well, else 1.
    pub(crate) code: u8,
    /// What the container is now.
    pub(crate) state: &'static str,
    /// What is to be done.
    pub(crate) action: OnFailure,
}

#[derive(Debug)]
struct Running {
    child: Child,
    asked_by: Vec<u64>,
}

/// When checks run.
#[derive(Debug)]
pub(crate) struct Checks {
    interval: Option<Duration>,
    on_failure: OnFailure,
    next: Option<Instant>,
    running: Option<Running>,
}

/// Whether a record asks for checks.
fn wanted(desired: &Desired) -> Option<&Health> {
    desired.health.as_ref().filter(|health| health.test.first().is_some_and(|first| first != "NONE"))
}

impl Checks {
    /// Those of a container that begins now.
    pub(crate) fn of(desired: &Desired) -> Option<Self> {
        let health = wanted(desired)?;
        // 0 is podman's "only when somebody asks".
        let interval = Some(Duration::from_millis(health.interval_ms)).filter(|interval| !interval.is_zero());
        let on_failure = match health.on_failure.as_str() {
            "kill" => OnFailure::Kill,
            "restart" => OnFailure::Restart,
            "stop" => OnFailure::Stop,
            _ => OnFailure::None,
        };
        let next = interval.map(|interval| Instant::now() + interval);
        Some(Self { interval, on_failure, next, running: None })
    }

    /// When the loop has to look at it again.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.next.filter(|_| self.running.is_none())
    }

    /// Runs one, where it is time.
    pub(crate) fn on_time(&mut self, records: &Records, desired: &Desired, now: Instant) {
        if self.due().is_some_and(|due| now >= due) {
            self.start(records, desired, None);
        }
    }

    /// Runs one, or waits for the one that runs; `false` where none can be started.
    pub(crate) fn start(&mut self, records: &Records, desired: &Desired, asked_by: Option<u64>) -> bool {
        if let Some(running) = &mut self.running {
            running.asked_by.extend(asked_by);
            return true;
        }
        self.next = self.interval.map(|interval| Instant::now() + interval);
        match spawn(records.folders(), &desired.id) {
            Ok(child) => {
                self.running = Some(Running { child, asked_by: asked_by.into_iter().collect() });
                true
            }
            Err(_no_process_now) => false,
        }
    }

    /// What a child that ended found, where it was a check.
    pub(crate) fn ended(&mut self, pid: i32, status: WaitStatus) -> Option<Outcome> {
        let is = |running: &Running| i32::try_from(running.child.id()) == Ok(pid);
        let running = self.running.take_if(|running| is(running))?;
        self.next = self.interval.map(|interval| Instant::now() + interval);
        let code = status.exit_status().and_then(|code| u8::try_from(code).ok()).unwrap_or(FAILING);
        let (state, action) = match code {
            HEALTHY => ("healthy", OnFailure::None),
            UNHEALTHY => ("unhealthy", OnFailure::None),
            TURNED => ("unhealthy", self.on_failure),
            _ => ("starting", OnFailure::None),
        };
        Some(Outcome { asked_by: running.asked_by, code: u8::from(code != HEALTHY), state, action })
    }

    /// Ends a check that runs; its container has ended.
    pub(crate) fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ended_meanwhile = running.child.kill();
            let _status_is_of_no_use = running.child.wait();
        }
    }
}

fn spawn(folders: &Folders, id: &ContainerId) -> Result<Child> {
    let order = Order::plain(folders, id);
    let (ours, theirs) = parcel::pair().doing("starting", "a check")?;
    order.send(&ours, &[])?;
    super::spawn_self(Mode::Check, 0, id, theirs)
}

fn path(folders: &Folders, id: &ContainerId) -> std::path::PathBuf {
    folders.running(id).join("health.json")
}

/// What checks found, in a run that lives; `None` without checks.
///
/// # Errors
/// Where it cannot be read.
pub(crate) fn found(folders: &Folders, desired: &Desired) -> Result<Option<Found>> {
    if wanted(desired).is_none() {
        return Ok(None);
    }
    let none_yet = || Found { status: "starting".into(), ..Found::default() };
    Ok(Some(files::read_json(&path(folders, &desired.id))?.unwrap_or_else(none_yet)))
}

/// The process of one check.
pub(crate) fn main(order: &Order) -> ExitCode {
    ExitCode::from(check(&order.folders(), &order.id).unwrap_or(FAILING))
}

fn check(folders: &Folders, id: &ContainerId) -> Result<u8> {
    let records = Records::new(folders);
    let desired = records.find(id.as_str())?;
    let Some(health) = wanted(&desired) else { return Ok(HEALTHY) };
    let start = Timestamp::now();
    let (exit_code, output) = run(folders, &desired, health).unwrap_or_else(|error| (1, error.to_string()));
    let end = Timestamp::now();
    let mut found = found(folders, &desired)?.unwrap_or_default();
    let started = Live::read(folders, id)?.and_then(|live| live.started).unwrap_or(start);
    let starting = Duration::try_from(start.duration_since(started)).unwrap_or_default()
        < Duration::from_millis(health.start_period_ms);
    let code = judge(&mut found, exit_code == 0, starting, health.retries);
    found.log.push(Checked { start, end, exit_code, output });
    let surplus = found.log.len().saturating_sub(KEPT);
    found.log.drain(..surplus);
    files::replace_json(&path(folders, id), &found, false)?;
    Ok(code)
}

/// What one more result makes of a container.
fn judge(found: &mut Found, well: bool, starting: bool, retries: u32) -> u8 {
    if well {
        found.status = "healthy".into();
        found.failing_streak = 0;
        return HEALTHY;
    }
    if starting && found.status != "healthy" {
        return FAILING;
    }
    found.failing_streak = found.failing_streak.saturating_add(1);
    if found.failing_streak < retries.max(1) {
        return FAILING;
    }
    let turned = found.status != "unhealthy";
    found.status = "unhealthy".into();
    if turned { TURNED } else { UNHEALTHY }
}

/// Runs the command of a check, for as long as it may take: its number and the beginning of its output.
fn run(folders: &Folders, desired: &Desired, health: &Health) -> Result<(u8, String)> {
    let args = match health.test.split_first() {
        Some((first, rest)) if first == "CMD" => rest.to_vec(),
        Some((first, rest)) if first == "CMD-SHELL" => {
            vec!["/bin/sh".into(), "-c".into(), rest.join(" ")]
        }
        _ => health.test.clone(),
    };
    let process =
        program::process(folders, &desired.id, &program::Wants { args, ..program::Wants::default() })?;
    let (read, write) = std::io::pipe().doing("making", "a pipe")?;
    let null = std::fs::File::open("/dev/null").doing("opening", "/dev/null")?;
    let ends = Ends::Files([null.as_fd(), write.as_fd(), write.as_fd()]);
    let started = Engine::of(folders, desired).exec(&desired.id, &process, ends, 0)?;
    drop(write);
    let deadline = Instant::now() + Duration::from_millis(health.timeout_ms.max(1));
    if !parcel::ready(started.pidfd.as_fd(), PollFlags::IN, Some(deadline))
        .doing("waiting for", "the check")?
    {
        pidfd_send_signal(&started.pidfd, Signal::KILL).doing("ending", "a check")?;
        wait(started.pid, &started.pidfd);
        let seconds = health.timeout_ms as f64 / 1000.0;
        return Ok((1, format!("the check took longer than its {seconds} seconds")));
    }
    let code = wait(started.pid, &started.pidfd);
    Ok((code, beginning(read.into())))
}

fn wait(pid: i32, pidfd: &OwnedFd) -> u8 {
    match waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {
        Ok(Some(status)) => status.exit_status().and_then(|code| u8::try_from(code).ok()).unwrap_or(1),
        Ok(None) | Err(_) => {
            // Not waited for: at least it is not left running.
            let _gone = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL));
            1
        }
    }
}

/// What is in a pipe now; what the check's own children still hold open is not waited for.
fn beginning(read: OwnedFd) -> String {
    let mut file = std::fs::File::from(read);
    let mut text = Vec::new();
    let mut piece = [0; OUTPUT];
    while text.len() < OUTPUT
        && parcel::ready(file.as_fd(), PollFlags::IN, Some(Instant::now())).unwrap_or(false)
    {
        match file.read(&mut piece) {
            Ok(length @ 1..) => text.extend_from_slice(&piece[..length]),
            Ok(0) | Err(_) => break,
        }
    }
    text.truncate(OUTPUT);
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_unhealthy_after_so_many_failures_in_a_row() {
        let mut found = Found { status: "starting".into(), ..Found::default() };
        assert_eq!(judge(&mut found, false, true, 3), FAILING);
        assert_eq!(found.failing_streak, 0, "while it starts failures do not count");
        let codes: Vec<_> = (0..4).map(|_| judge(&mut found, false, false, 3)).collect();
        assert_eq!(codes, [FAILING, FAILING, TURNED, UNHEALTHY]);
        assert_eq!(judge(&mut found, true, false, 3), HEALTHY);
        assert_eq!((found.status.as_str(), found.failing_streak), ("healthy", 0));
        assert_eq!(judge(&mut found, false, true, 1), TURNED, "once well, it does not start any more");
    }
}
