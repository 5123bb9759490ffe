//! `run`: a new container, started.

use std::io::Write;

use berth_runtime::block_signals;
use clap::{ArgAction, Args};

use super::{Context, Globals, container_flags::ContainerFlags, create, output};
use crate::{
    error::{Result, RunnerError, While},
    record::{Desired, parse},
    stop::ENDING,
    supervisor,
};

/// Its arguments.
#[derive(Args, Clone, Debug)]
pub(crate) struct Arguments {
    /// Run in the background and print the id
    #[arg(short = 'd', long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch, value_name = "BOOL", action = ArgAction::Set, default_value = "false", hide_default_value = true, hide_possible_values = true)]
    pub(crate) detach: bool,
    #[command(flatten)]
    flags: ContainerFlags,
}

fn switch(text: &str) -> Result<bool, String> {
    parse::truth(text)
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    if !arguments.detach {
        // From here on whoever starts the container hears what would end this, and takes it away again.
        let hold_back = || block_signals(&ENDING).doing("holding back", "signals");
        let desired = create::create(&context, &arguments.flags, hold_back)?;
        return supervisor::run_foreground(&context.folders, &desired).map_err(|error| match error {
            stopped @ RunnerError::Interrupted(_) => {
                taken_away(&context, &desired);
                stopped
            }
            error => error,
        });
    }
    let desired = create::create(&context, &arguments.flags, || Ok(()))?;
    if let Err(error) = supervisor::start_detached(&context.folders, &desired) {
        if desired.auto_remove {
            taken_away(&context, &desired);
        }
        return Err(error);
    }
    output::line(desired.id.as_str())?;
    Ok(0)
}

fn taken_away(context: &Context, desired: &Desired) {
    if let Err(left) = super::replace::take_away(context, &desired.name) {
        let _told = writeln!(std::io::stderr(), "berth-runner: container {} stays: {left}", desired.name);
    }
}
