//! `healthcheck run`.

use clap::{Args, Subcommand};

use super::Globals;
use crate::{
    error::{Result, RunnerError},
    supervisor::{clients::Request, remote},
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check the health of a container now; the number is 1 where it is not well
    Run {
        /// The container
        container: String,
    },
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let Command::Run { container } = &arguments.command;
    let context = globals.open()?;
    let desired = context.records.find(container)?;
    let health =
        desired.health.as_ref().filter(|health| health.test.first().is_some_and(|first| first != "NONE"));
    let Some(health) = health else {
        return Err(RunnerError::Usage(format!(
            "container {} has no check of health: create it with --health-cmd",
            desired.name
        )));
    };
    let session = remote::reach(&context.records, &desired)?
        .ok_or_else(|| RunnerError::Conflict(format!("container {} does not run", desired.name)))?;
    let patience = std::time::Duration::from_millis(health.timeout_ms);
    let answer = remote::done_within(&session, &Request::Check, patience)?;
    let code = answer.first().copied().unwrap_or(1);
    if code != 0 {
        super::output::line("unhealthy")?;
    }
    Ok(code)
}
