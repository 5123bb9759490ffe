//! `export`.

use std::{
    fs::File,
    io::{self, IsTerminal},
    path::PathBuf,
    process::Stdio,
};

use clap::Args;

use super::{Globals, save};
use crate::{
    error::{Result, RunnerError, While},
    stop::Stop,
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
    let stop = Stop::collect()?;
    let wants = Wants::Pack { path: "/".into(), follow: true, bare: true };
    let export =
        |to: Stdio| Helper::start(&context.folders, &container, &wants, Stdio::null(), to)?.finish(&stop);
    match output {
        // A pipe or a device is written as it is; a file gets its name when it is whole.
        Some(path) if std::fs::metadata(path).is_ok_and(|about| !about.is_file()) => {
            export(File::options().write(true).open(path).doing("opening", path)?.into())?;
        }
        Some(path) => {
            let file = save::begun(path)?;
            export(file.as_file().try_clone().doing("writing", path)?.into())?;
            save::whole(file, path)?;
        }
        None if io::stdout().is_terminal() => {
            return Err(RunnerError::Usage(
                "a tar is not for a terminal: write it to a file with --output, or into a pipe".into(),
            ));
        }
        None => export(Stdio::inherit())?,
    }
    Ok(0)
}
