//! The network of a process that somebody else started: `__network RECORD PID` does for it what a supervisor does for
//! its container, and takes all back when its standard input ends. Not for people.

use std::{
    ffi::OsString,
    io::{Read, Write, stdin, stdout},
    path::Path,
    process::ExitCode,
};

use super::{attach, detach, prepare};
use crate::{
    error::{OWN_FAILURE, Result, RunnerError, While},
    folders::Folders,
    record::{Desired, files},
};

/// The argument.
pub(crate) const ARGUMENT: &str = "__network";

/// Its `main`, with what follows: store and run folder, record, process.
pub(crate) fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match run(&arguments.collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _told = writeln!(std::io::stderr(), "berth-runner: {error}");
            ExitCode::from(OWN_FAILURE)
        }
    }
}

fn run(arguments: &[OsString]) -> Result<()> {
    let usage = || RunnerError::Usage(format!("{ARGUMENT} STORE RUN RECORD PID is for the program itself"));
    let [store, run, record, pid] = arguments else { return Err(usage()) };
    let folders = Folders::of(0, Some(store.into()), Some(run.into()))?;
    let record = Path::new(record);
    let desired: Desired = files::read_json(record)?.ok_or_else(usage)?;
    let pid: i32 = pid.to_str().and_then(|pid| pid.parse().ok()).ok_or_else(usage)?;
    let attachment = prepare(&folders, &desired)?;
    let done = attach(&folders, &desired, &attachment, pid).and_then(|()| {
        let text = serde_json::to_string(&attachment)
            .map_err(std::io::Error::from)
            .doing("writing", "the answer")?;
        let mut out = stdout().lock();
        writeln!(out, "{text}").and_then(|()| out.flush()).doing("writing", "standard output")?;
        stdin().read_to_end(&mut Vec::new()).doing("reading", "standard input").map(drop)
    });
    done.and(detach(&folders, &desired, false))
}
