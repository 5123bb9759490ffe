//! The command line: one file per command. A command parses, calls one function, prints.

mod check;
mod doctor;
mod globals;
mod network;
pub(crate) mod output;

use std::{io::Write, process::ExitCode};

use clap::{Parser, Subcommand};

pub(crate) use globals::{Context, Globals};

use crate::error::Result;

/// Runs containers without a daemon.
#[derive(Parser)]
#[command(name = "berth-runner", version, about, subcommand_help_heading = "Commands")]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// What to do. Each variant is one file; its arguments and its `run` are there.
#[derive(Subcommand)]
enum Command {
    /// Read the whole store again and say what is damaged, or left over
    Check(check::Arguments),
    /// Say what this kernel offers to containers, and what is missing
    Doctor(doctor::Arguments),
    /// Make, list and remove networks
    Network(network::Arguments),
}

/// The command line's `main`.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => ExitCode::from(code),
        Err((error, code)) => {
            let _told = writeln!(std::io::stderr(), "berth-runner: {error}");
            ExitCode::from(code)
        }
    }
}

/// Runs one command; an error goes with the number that this command ends with.
fn run(cli: Cli) -> Result<u8, (crate::error::RunnerError, u8)> {
    let own = |error: crate::error::RunnerError| {
        let code = error.exit_code();
        (error, code)
    };
    let globals = &cli.globals;
    match cli.command {
        Command::Check(arguments) => check::run(globals, &arguments).map_err(own),
        Command::Doctor(arguments) => doctor::run(globals, &arguments).map_err(own),
        Command::Network(arguments) => network::run(globals, &arguments).map_err(own),
    }
}
