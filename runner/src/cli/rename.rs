//! `rename`.

use clap::Args;

use super::Globals;
use crate::{
    error::Result,
    supervisor::{claim::Turn, events},
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The container
    container: String,

    /// Its new name
    name: String,
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    let id = context.records.find(&arguments.container)?.id;
    let _turn = Turn::take(&context.folders, &id)?;
    let mut desired = context.records.find(id.as_str())?;
    desired.name.clone_from(&arguments.name);
    context.records.replace(&desired)?;
    events::note(&context.folders, &desired, "rename");
    Ok(0)
}
