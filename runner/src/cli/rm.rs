//! `rm`.

use clap::Args;

use super::{Globals, select::Selection};
use crate::{error::Result, supervisor::removal::remove};

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
        .each(&context, ignore, |desired| remove(&context.records, desired, arguments.force, arguments.time))
}
