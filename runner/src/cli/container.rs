//! `container VERB`: the commands on containers under the noun.

use clap::{Args, Subcommand};

use super::{
    Globals, attach, commit, cp, create, diff, exec, export, inspect, kill, logs, pause, port, ps, rename,
    rm, run as run_new, start, stats, stop, top, update, wait,
};
use crate::{
    error::{Result, RunnerError},
    supervisor::{
        live::{Condition, snapshot},
        removal,
    },
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Attach to a running container
    Attach(attach::Arguments),
    /// Make an image of what a container changed
    Commit(commit::Arguments),
    /// Copy files into a container and out of it
    Cp(cp::Arguments),
    /// Make a container that is started later
    #[command(disable_help_flag = true)]
    Create(Box<create::Arguments>),
    /// Show what a container changed of its image
    Diff(diff::Arguments),
    /// Run a program in a running container
    Exec(exec::Arguments),
    /// Say by the number whether there is such a container
    Exists {
        /// The container
        container: String,
    },
    /// Write a container's files as a tar
    Export(export::Arguments),
    /// Show everything about containers
    Inspect(inspect::Arguments),
    /// Send a signal to containers
    Kill(kill::Arguments),
    /// List containers
    #[command(visible_aliases = ["ls", "ps"])]
    List(ps::Arguments),
    /// Show what containers wrote
    Logs(logs::Arguments),
    /// Freeze containers
    Pause(pause::Arguments),
    /// Show published ports
    Port(port::Arguments),
    /// Remove all containers that do not run
    Prune {
        /// Do not ask
        #[arg(long, short)]
        force: bool,
        /// Only those that match, like until=24h or label=a=b
        #[arg(long, value_name = "KEY=VALUE")]
        filter: Vec<String>,
    },
    /// Give a container another name
    Rename(rename::Arguments),
    /// Stop containers and start them again
    Restart(stop::RestartArguments),
    /// Remove containers
    Rm(rm::Arguments),
    /// Make a container and start it
    #[command(disable_help_flag = true)]
    Run(Box<run_new::Arguments>),
    /// Start containers
    Start(start::Arguments),
    /// Show what containers use
    Stats(stats::Arguments),
    /// Stop containers
    Stop(stop::Arguments),
    /// Show processes of a container
    Top(top::Arguments),
    /// Let frozen containers go on
    Unpause(pause::Arguments),
    /// Change limits of a container
    Update(update::Arguments),
    /// Wait for containers and print their numbers
    Wait(wait::Arguments),
}

impl Arguments {
    /// Whether the number of an error is that of `run`.
    pub(super) fn runs_a_program(&self) -> bool {
        matches!(self.verb, Verb::Attach(_) | Verb::Create(_) | Verb::Exec(_) | Verb::Run(_) | Verb::Start(_))
    }
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    match &arguments.verb {
        Verb::Attach(arguments) => attach::run(globals, arguments),
        Verb::Commit(arguments) => commit::run(globals, arguments),
        Verb::Cp(arguments) => cp::run(globals, arguments),
        Verb::Create(arguments) => create::run(globals, arguments),
        Verb::Diff(arguments) => diff::run(globals, arguments),
        Verb::Export(arguments) => export::run(globals, arguments),
        Verb::Exec(arguments) => exec::run(globals, arguments),
        Verb::Exists { container } => match globals.open()?.records.find(container) {
            Ok(_) => Ok(0),
            Err(RunnerError::NotFound(_)) => Ok(1),
            Err(error) => Err(error),
        },
        Verb::Inspect(arguments) => inspect::run(globals, arguments),
        Verb::Kill(arguments) => kill::run(globals, arguments),
        Verb::List(arguments) => ps::run(globals, arguments),
        Verb::Logs(arguments) => logs::run(globals, arguments),
        Verb::Pause(arguments) => pause::run(globals, arguments, true),
        Verb::Port(arguments) => port::run(globals, arguments),
        Verb::Prune { force, filter } => prune(globals, *force, filter),
        Verb::Rename(arguments) => rename::run(globals, arguments),
        Verb::Restart(arguments) => stop::restart(globals, arguments),
        Verb::Rm(arguments) => rm::run(globals, arguments),
        Verb::Run(arguments) => run_new::run(globals, arguments),
        Verb::Start(arguments) => start::run(globals, arguments),
        Verb::Stats(arguments) => stats::run(globals, arguments),
        Verb::Stop(arguments) => stop::run(globals, arguments),
        Verb::Top(arguments) => top::run(globals, arguments),
        Verb::Unpause(arguments) => pause::run(globals, arguments, false),
        Verb::Update(arguments) => update::run(globals, arguments),
        Verb::Wait(arguments) => wait::run(globals, arguments),
    }
}

pub(super) fn prune(globals: &Globals, force: bool, filter: &[String]) -> Result<u8> {
    if !force && !super::volume::confirmed("This removes all containers that do not run.")? {
        return Ok(0);
    }
    let context = globals.open()?;
    let filters = super::output::Filters::parse(filter, &["label", "label!", "until"])?;
    context.records.sweep()?;
    let (found, _damaged) = context.records.all()?;
    let mut code = 0;
    for desired in found {
        let seen = snapshot(&context.records, &desired)?;
        let ended =
            matches!(seen.condition, Condition::Created | Condition::Exited) && seen.supervisor.is_none();
        if !ended || !super::select::matches(&context, &filters, &desired, &seen)? {
            continue;
        }
        match removal::remove(&context.records, &desired, false, None) {
            Ok(()) => super::output::line(desired.id.as_str())?,
            // Started meanwhile.
            Err(RunnerError::Conflict(_)) => {}
            Err(error) => code = super::select::failed(&error, code),
        }
    }
    Ok(code)
}
