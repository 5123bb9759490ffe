//! `kill`.

use clap::Args;

use super::{Globals, select::Selection};
use crate::{
    error::{Result, RunnerError},
    record::parse,
    supervisor::{clients::Request, remote},
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    selection: Selection,

    /// The signal, by name or number
    #[arg(long, short, default_value = "KILL")]
    signal: String,
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let signal =
        parse::signal(&arguments.signal).map_err(|rule| RunnerError::Usage(format!("--signal: {rule}")))?;
    let context = globals.open()?;
    let all = arguments.selection.all;
    arguments.selection.each(&context, false, |desired| match remote::reach(&context.records, desired)? {
        Some(session) => remote::done(&session, &Request::Kill { signal, person: true }).map(drop),
        None if all => Ok(()),
        None => {
            Err(RunnerError::Conflict(format!("container {} does not run: nothing to kill", desired.name)))
        }
    })
}
