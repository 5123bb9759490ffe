//! `stop` and `restart`.

use clap::Args;

use super::{Context, Globals, select::Selection};
use crate::{
    error::Result,
    record::Desired,
    supervisor::{
        self, events,
        live::{remember_stop, snapshot},
        remote,
    },
};

/// Arguments of `stop`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    selection: Selection,

    /// Seconds until it is killed, in place of the container's own
    #[arg(long, short, visible_alias = "timeout", value_name = "SECONDS")]
    time: Option<u32>,

    /// What is not there is no failure
    #[arg(long, short)]
    ignore: bool,
}

/// Arguments of `restart`.
#[derive(Args, Debug)]
pub(crate) struct RestartArguments {
    #[command(flatten)]
    selection: Selection,

    /// Seconds until it is killed, in place of the container's own
    #[arg(long, short, visible_alias = "timeout", value_name = "SECONDS")]
    time: Option<u32>,

    /// Only those that run
    #[arg(long)]
    running: bool,
}

/// Stops, and remembers that a person did.
pub(super) fn stop(context: &Context, desired: &Desired, time: Option<u32>) -> Result<()> {
    let seconds = time.unwrap_or(desired.stop_timeout);
    if !remote::stop(&context.records, desired, seconds, true)?
        && context.folders.container(&desired.id).exists()
    {
        // One that rests between two starts, or comes back with the machine, is to stay ended too.
        remember_stop(&context.folders, &desired.id, true)?;
    }
    Ok(())
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    arguments.selection.stop_together(&context, arguments.time)?;
    arguments.selection.each(&context, arguments.ignore, |desired| stop(&context, desired, arguments.time))
}

pub(super) fn restart(globals: &Globals, arguments: &RestartArguments) -> Result<u8> {
    let context = globals.open()?;
    let selection = match arguments.running {
        true if arguments.selection.containers.is_empty() => {
            Selection { all: true, ..arguments.selection.clone() }
        }
        _ => arguments.selection.clone(),
    };
    if !arguments.running {
        selection.stop_together(&context, arguments.time)?;
    }
    selection.each(&context, false, |desired| {
        if arguments.running && !snapshot(&context.records, desired)?.condition.is_up() {
            return Ok(());
        }
        let seconds = arguments.time.unwrap_or(desired.stop_timeout);
        remote::stop(&context.records, desired, seconds, false)?;
        supervisor::start_detached(&context.folders, desired)?;
        events::note(&context.folders, desired, "restart");
        Ok(())
    })
}
