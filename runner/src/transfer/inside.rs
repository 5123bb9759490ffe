//! The process that reads or writes a container's files.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use super::{
    Owners, Packed, Target, pack, unpack,
    view::{self, Parts},
};
use crate::{
    error::{Result, RunnerError, While},
    folders::Folders,
    record::Records,
    stop::Stop,
};

/// Its `main`: arguments as [`super::Helper::start`] writes them.
pub(crate) fn main(arguments: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    let words: Vec<String> = arguments.map(|word| word.to_string_lossy().into_owned()).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _told = write!(io::stderr(), "{error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(words: &[String]) -> Result<()> {
    let [store, run, id, verb, path, one, other] = words else {
        return Err(RunnerError::Usage("this is no command for people: `berth-runner cp`".into()));
    };
    let folders = Folders { store: store.into(), run: run.into() };
    let records = Records::new(&folders);
    let container = records.find(id)?;
    let parts = if other == "bare" { Parts::Root } else { Parts::All };
    let parent = getppid();
    let stop = Stop::collect()?;
    let root = view::open(&folders, &records, &container, parts)?;
    // Asked for after the ids are what they stay: with them the kernel forgets it.
    set_parent_process_death_signal(Some(Signal::TERM)).doing("staying with", "the command")?;
    if getppid() != parent {
        return Err(RunnerError::Conflict("the command that asked for the files is gone".into()));
    }
    let done = match (verb.as_str(), Target::of(one), Owners::of(other)) {
        ("pack", _, _) => {
            let packed = if other == "bare" { Packed::Bare } else { Packed::Named };
            let out = io::BufWriter::with_capacity(256 << 10, stop.checked(io::stdout().lock()));
            pack(&root, path, one == "follow", packed, out)
        }
        ("unpack", Some(target), Some(owners)) => {
            let owners = match owners {
                Owners::Caller => view::user(&root, &container),
                owners @ (Owners::Kept | Owners::These(..)) => owners,
            };
            unpack(&root, path, target, owners, stop.checked(io::stdin().lock()))
        }
        _ => Err(RunnerError::Usage("this is no command for people: `berth-runner cp`".into())),
    };
    stop.or(done)
}
