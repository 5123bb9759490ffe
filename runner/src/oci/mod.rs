//! The command that podman and containerd call in place of runc: the same commands and flags, the same words where
//! callers read them.

mod about;
mod arguments;
mod attend;
mod create;
mod enter;
mod log;
mod show;
mod update;

use std::{ffi::OsStr, io::Write, path::Path, process::ExitCode};

use berth_runtime::{Container, RuntimeError};
use clap::Parser;

use crate::error::{Result, RunnerError};
use arguments::{Cli, Command};

/// How the command ends when it is the runtime that failed; a container's own code is its own.
const FAILURE: u8 = 1;

/// Its `main`.
pub(crate) fn main() -> ExitCode {
    let mut arguments: Vec<_> = std::env::args_os().collect();
    // Called as `berth-runner oci ...`: the second word is the name then.
    let by_name =
        arguments.first().and_then(|name| Path::new(name).file_name()) == Some(OsStr::new("berth-oci"));
    if !by_name && !arguments.is_empty() {
        arguments.remove(0);
    }
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let _told = error.print();
            return ExitCode::from(if error.use_stderr() { FAILURE } else { 0 });
        }
    };
    match run(&cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            log::error(&cli.globals, &error.to_string());
            // Where the number is the program's otherwise, it says that there is none.
            let missing = matches!(error, RunnerError::Runtime(RuntimeError::Exec { .. }));
            let program = missing && matches!(cli.command, Command::Run(_) | Command::Exec(_));
            ExitCode::from(if program { error.run_exit_code() } else { FAILURE })
        }
    }
}

fn run(cli: &Cli) -> Result<u8> {
    let globals = &cli.globals;
    // What becomes a container's process must not lend it this program's file.
    if matches!(cli.command, Command::Create(_) | Command::Run(_) | Command::Exec(_)) {
        berth_runtime::protect_own_program()?;
    }
    let runtime = globals.runtime()?;
    let open = |id: &str| -> Result<Container> { Ok(runtime.open(&id.parse()?)?) };
    match &cli.command {
        Command::Create(create) => create::create(&runtime, create).map(|()| 0),
        Command::Run(run) => create::run(globals, &runtime, run),
        Command::Exec(exec) => enter::exec(&open(&exec.id)?, exec),
        Command::Start { id } => Ok(open(id)?.start().map(|()| 0)?),
        Command::State { id } => show::state(&open(id)?),
        Command::Kill { all, id, signal } => {
            let signal = signal.as_deref().unwrap_or("TERM");
            let number = crate::record::parse::signal(signal).map_err(RunnerError::Usage)?;
            Ok(open(id)?.kill(number, *all).map(|()| 0)?)
        }
        Command::Delete { force, id } => delete(globals, &runtime, id, *force),
        Command::Pause { id } => Ok(open(id)?.pause().map(|()| 0)?),
        Command::Resume { id } => Ok(open(id)?.resume().map(|()| 0)?),
        Command::List(list) => show::list(&runtime, list),
        Command::Ps(ps) => show::ps(&open(&ps.id)?, ps),
        Command::Events(events) => show::events(&open(&events.id)?, events),
        Command::Spec(spec) => about::spec(spec),
        Command::Update(update) => update::update(&open(&update.id)?, update),
        Command::Features => about::features(),
    }
}

fn delete(
    globals: &arguments::Globals,
    runtime: &berth_runtime::Runtime,
    id: &str,
    force: bool,
) -> Result<u8> {
    let container = match runtime.open(&id.parse()?) {
        Err(RuntimeError::NotFound(_)) if force => return Ok(0),
        other => other?,
    };
    for warning in container.delete(force)? {
        log::warning(globals, &warning.to_string());
    }
    Ok(0)
}

/// Prints a line, or what has lines.
fn print(text: &str) -> Result<u8> {
    writeln!(std::io::stdout(), "{text}")
        .map(|()| 0)
        .map_err(|source| RunnerError::Io { what: "writing standard output".into(), source })
}
