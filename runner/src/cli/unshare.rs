//! `unshare`: a command in the user's own namespace, where files of containers have their owners.

use std::{os::unix::process::CommandExt, process::Command};

use clap::Args;

use super::Globals;
use crate::{
    error::{Result, RunnerError, While},
    rootless,
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Command; the user's shell where none is given
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    if rustix::process::getuid().is_root() && !rootless::is_inside() {
        return Err(RunnerError::Usage("unshare is for ordinary users: root has every id already".into()));
    }
    globals.enter()?;
    let shell = || std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".into());
    let (program, words) = match arguments.command.split_first() {
        Some((program, words)) => (program.clone(), words),
        None => (shell(), &[][..]),
    };
    // It never returns where it went well; the command keeps this process.
    Err(Command::new(&program).args(words).exec()).doing("starting", &program)
}
