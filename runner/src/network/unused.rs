//! Bridges that no container is on any more, taken away behind a container that ran in the foreground: whoever waits
//! for it does not wait for that too. The kernel takes some 40 ms to remove one, and the next container of a row of
//! them finds the bridge of the one before.
//!
//! This program again, for a second. If it is killed the bridge stays until the next operation on networks, as after
//! every crash.

use std::{
    env,
    ffi::OsString,
    fs::File,
    io::Write,
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use rustix::{
    event::{Timespec, poll},
    fs::{FlockOperation, flock},
    io::Errno,
};

use super::{bridge, lease::Leases};
use crate::{
    error::{OWN_FAILURE, Result, RunnerError, While},
    folders::Folders,
};

/// The argument; never typed by a person.
pub(crate) const ARGUMENT: &str = "__unused-networks";

/// How long a bridge waits for another container.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether what is left running lives on behind this process. A service manager ends all of a service with its first
/// process.
pub(super) fn lives_on() -> bool {
    env::var_os("INVOCATION_ID").is_none()
}

/// Starts the process that takes unused bridges away.
pub(super) fn take_away_later(folders: &Folders) -> Result<()> {
    Command::new("/proc/self/exe")
        .arg(ARGUMENT)
        .args([folders.store.as_os_str(), folders.run.as_os_str()])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(drop)
        .doing("starting", "the process that removes unused bridges")
}

/// Its `main`, with what follows: store and run folder.
pub(crate) fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match run(&arguments.collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _nobody_reads = writeln!(std::io::stderr(), "berth-runner: {error}");
            ExitCode::from(OWN_FAILURE)
        }
    }
}

fn run(arguments: &[OsString]) -> Result<()> {
    let [store, run] = arguments else {
        return Err(RunnerError::Usage(format!("{ARGUMENT} is for the program itself")));
    };
    let folders = Folders { store: store.into(), run: run.into() };
    // What the caller was handed down, and keys typed for what comes after it, are not for this process.
    berth_runtime::close_inherited(3).doing("closing", "inherited descriptors")?;
    rustix::process::setsid().doing("leaving", "the session")?;
    let Some(turn) = waits(&folders)? else { return Ok(()) };
    let patience = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
    match poll(&mut [], Some(&patience)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error).doing("waiting for", "another container"),
    }
    // Given up before the leases are read: a container that ends from here on starts a process of its own.
    drop(turn);
    // Opening makes folders that are not there, and these may have been taken away meanwhile.
    if !folders.run.join("network").join("leases").exists() {
        return Ok(());
    }
    bridge::settle_unused(&folders, &Leases::open(&folders)?)
}

/// One process waits at a time; nothing where another one does, or the folders are gone.
fn waits(folders: &Folders) -> Result<Option<File>> {
    let path = folders.run.join("network").join("unused");
    let file = match File::options().create(true).append(true).open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.doing("opening", &path)?,
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::AGAIN) => Ok(None),
        Err(error) => Err(error).doing("locking", &path),
    }
}
