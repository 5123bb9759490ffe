//! `export`.

use std::{
    fs::File,
    io::{self, IsTerminal},
    path::PathBuf,
    process::Stdio,
};

use clap::Args;

use super::Globals;
use crate::{
    error::{Result, RunnerError, While},
    transfer::{Helper, Wants},
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The container: a name or an id
    #[arg(value_name = "CONTAINER")]
    container: String,

    /// The file to write [default: standard output]
    #[arg(long, short, value_name = "PATH")]
    output: Option<PathBuf>,
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    let container = context.records.find(&arguments.container)?;
    let output = arguments.output.as_deref().filter(|path| path.as_os_str() != "-");
    let stdout = match output {
        Some(path) => File::create(path).doing("making", path)?.into(),
        None if io::stdout().is_terminal() => {
            return Err(RunnerError::Usage(
                "a tar is not for a terminal: write it to a file with --output, or into a pipe".into(),
            ));
        }
        None => Stdio::inherit(),
    };
    let wants = Wants::Pack { path: "/".into(), follow: true, bare: true };
    Helper::start(&context.folders, &container, &wants, Stdio::null(), stdout)?.finish()?;
    Ok(0)
}
