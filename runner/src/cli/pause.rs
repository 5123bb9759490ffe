//! `pause` and `unpause`.

use clap::Args;

use super::{Globals, select::Selection};
use crate::{
    error::{Result, RunnerError},
    supervisor::{
        engine::Engine,
        events,
        live::{Condition, snapshot},
    },
};

/// Their arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    selection: Selection,
}

pub(super) fn run(globals: &Globals, arguments: &Arguments, pause: bool) -> Result<u8> {
    let context = globals.open()?;
    let all = arguments.selection.all;
    let (needs, verb) = if pause { (Condition::Running, "pause") } else { (Condition::Paused, "unpause") };
    arguments.selection.each(&context, false, |desired| {
        let is = snapshot(&context.records, desired)?.condition;
        if is != needs {
            if all {
                return Ok(());
            }
            return Err(RunnerError::Conflict(format!(
                "container {} is {}: only a {} one can be {verb}d",
                desired.name,
                is.name(),
                needs.name()
            )));
        }
        Engine::of(&context.folders, desired).freeze(&desired.id, pause)?;
        events::note(&context.folders, desired, verb);
        Ok(())
    })
}
