//! `image prune`.

use clap::Args;

use super::{Globals, output};
use crate::error::Result;

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Also images that have a name but no container
    #[arg(long, short)]
    all: bool,

    /// Ask nothing, which is always so; for scripts written for other programs
    #[arg(long, short)]
    force: bool,
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let Arguments { all, force: _ } = arguments;
    let (removed, freed) = globals.open()?.store.prune_images(*all)?;
    for manifest in removed {
        output::line(manifest.as_str())?;
    }
    output::line(format!("freed {}", output::size(freed.bytes)))?;
    Ok(0)
}
