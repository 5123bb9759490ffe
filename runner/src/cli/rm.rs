//! `rm`.

use clap::Args;

use super::{Context, Globals, select::Selection};
use crate::{
    error::{Result, RunnerError},
    record::Desired,
    supervisor::{claim, live::snapshot, pass, remote},
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    selection: Selection,

    /// One that runs too: it is stopped, and killed where it does not end
    #[arg(long, short)]
    force: bool,

    /// Its unnamed volumes too; they always go with it
    #[arg(long, short)]
    volumes: bool,

    /// What is not there is no failure
    #[arg(long, short)]
    ignore: bool,

    /// Seconds until it is killed, with --force
    #[arg(long, short, value_name = "SECONDS")]
    time: Option<u32>,

    /// Not needed: containers that share another's namespaces are removed on their own
    #[arg(long, hide = true)]
    depend: bool,
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    let _always = (arguments.volumes, arguments.depend);
    let ignore = arguments.ignore || arguments.force;
    if arguments.force {
        arguments.selection.stop_together(&context, arguments.time)?;
    }
    arguments
        .selection
        .each(&context, ignore, |desired| remove(&context, desired, arguments.force, arguments.time))
}

/// Removes a container.
///
/// # Errors
/// [`RunnerError::Conflict`] where it runs and `force` is not said.
pub(super) fn remove(context: &Context, desired: &Desired, force: bool, time: Option<u32>) -> Result<()> {
    let records = &context.records;
    for _ in 0..16 {
        let seen = snapshot(records, desired)?;
        if seen.supervisor.is_some() || seen.condition.is_up() {
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
        let turn = match claim::Turn::take(&context.folders, &desired.id) {
            Ok(turn) => turn,
            // With `--rm` its supervisor removed it, or somebody else did.
            Err(RunnerError::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        // Started again meanwhile by somebody else.
        if claim::supervisor(&context.folders, &desired.id)?.is_some() {
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
    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

    use crate::error::While;
    let Some(pid) = supervisor.and_then(Pid::from_raw) else { return Ok(()) };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error).doing("ending", "the supervisor"),
        Ok(pidfd) => {
            let _ended = pidfd_send_signal(&pidfd, Signal::KILL);
            let soon = Some(std::time::Instant::now() + std::time::Duration::from_secs(10));
            remote::gone(&pidfd, soon)
        }
    }
}
