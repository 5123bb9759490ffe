//! The end of a container for good.

use std::time::{Duration, Instant};

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use super::{
    claim,
    clients::Request,
    live::{Condition, snapshot},
    pass, remote,
};
use crate::{
    error::{Result, RunnerError, While},
    record::{Desired, Records},
};

/// Removes a container; with `force` also one that runs, which is stopped first, and killed after `time` seconds (its
/// own number of them where none is said).
///
/// # Errors
/// [`RunnerError::Conflict`] where it runs and `force` is not said.
pub(crate) fn remove(records: &Records, desired: &Desired, force: bool, time: Option<u32>) -> Result<()> {
    let folders = records.folders();
    for _ in 0..16 {
        let seen = snapshot(records, desired)?;
        if seen.supervisor.is_some() || seen.condition.is_up() {
            if !force && seen.condition == Condition::Stopped {
                // It will have ended this moment, or start again, which the next look tells.
                if let Some(session) = remote::reach(records, desired)?
                    && remote::ask(&session, &Request::Wait).is_ok()
                {
                    remote::ended(&session, Some(Instant::now() + Duration::from_secs(10)))?;
                }
                continue;
            }
            if !force {
                return Err(RunnerError::Conflict(format!(
                    "container {} is {}: stop it first, or say --force",
                    desired.name,
                    seen.condition.name()
                )));
            }
            let seconds = time.unwrap_or(desired.stop_timeout);
            match remote::stop(records, desired, seconds, false) {
                Ok(_) => {}
                Err(RunnerError::NotFound(_)) => return Ok(()),
                // It does not do its work any more: what it supervises is ended without it.
                Err(_) => end_supervisor(seen.supervisor)?,
            }
        }
        let turn = match claim::Turn::take(folders, &desired.id) {
            Ok(turn) => turn,
            // With `--rm` its supervisor removed it, or somebody else did.
            Err(RunnerError::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        // Started again meanwhile by somebody else.
        if claim::supervisor(folders, &desired.id)?.is_some() {
            drop(turn);
            continue;
        }
        pass::settle(records, desired)?;
        return pass::remove(records, desired);
    }
    Err(RunnerError::Conflict(format!(
        "container {} is started all the time: stop what starts it",
        desired.name
    )))
}

fn end_supervisor(supervisor: Option<i32>) -> Result<()> {
    let Some(pid) = supervisor.and_then(Pid::from_raw) else { return Ok(()) };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error).doing("ending", "the supervisor"),
        Ok(pidfd) => {
            let _ended = pidfd_send_signal(&pidfd, Signal::KILL);
            let soon = Some(Instant::now() + Duration::from_secs(10));
            remote::gone(&pidfd, soon)
        }
    }
}
