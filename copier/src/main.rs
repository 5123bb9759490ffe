//! `berth-copier`: inspects, copies and signs images; a drop-in for Skopeo.

mod cli;
mod commands;
mod output;
mod process;

use std::{process::ExitCode, sync::Arc};

use cli::Stop;
use output::{Level, Log, Output};

fn main() -> ExitCode {
    let log = Arc::new(Log::new());
    let output = Output::new(Arc::clone(&log));
    match cli::parse(std::env::args_os().collect()) {
        Ok(cli) => process::run(cli, &log, output),
        Err(Stop::Told(text)) => process::ended(output.told(&text), &log),
        Err(Stop::Wrong { usage, error }) => {
            if let Some(usage) = usage {
                output.aside(&usage);
            }
            log.write(Level::Fatal, &error.to_string());
            ExitCode::from(error.exit_code())
        }
    }
}
