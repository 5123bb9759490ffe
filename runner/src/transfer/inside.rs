//! The process that reads or writes a container's files.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use super::{
    Owners, Packed, Target, pack, unpack,
    view::{self, Parts},
};
use crate::{
    error::{Result, RunnerError},
    folders::Folders,
    record::Records,
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
    let root = view::open(&folders, &records, &container, parts)?;
    match (verb.as_str(), Target::of(one), Owners::of(other)) {
        ("pack", _, _) => {
            let packed = if other == "bare" { Packed::Bare } else { Packed::Named };
            let out = io::BufWriter::with_capacity(256 << 10, io::stdout().lock());
            pack(&root, path, one == "follow", packed, out)
        }
        ("unpack", Some(target), Some(owners)) => {
            let owners = match owners {
                Owners::Caller => view::user(&root, &container),
                owners @ (Owners::Kept | Owners::These(..)) => owners,
            };
            unpack(&root, path, target, owners, io::stdin().lock())
        }
        _ => Err(RunnerError::Usage("this is no command for people: `berth-runner cp`".into())),
    }
}
