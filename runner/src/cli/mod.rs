//! The command line: one file per command. A command parses, calls one function, prints.

mod access;
mod attach;
mod boot;
mod check;
mod commit;
mod completion;
mod container;
mod container_flags;
mod cp;
mod create;
mod diff;
mod doctor;
mod events;
mod exec;
mod export;
pub(crate) mod fuzzing;
mod globals;
mod healthcheck;
mod help;
mod history;
mod image;
mod image_inspect;
mod image_prune;
mod images;
mod import;
mod info;
mod inspect;
mod kill;
mod load;
mod login;
mod logs;
mod man;
mod network;
pub(crate) mod output;
mod pause;
mod port;
mod ps;
mod pull;
mod push;
mod rename;
mod replace;
mod rm;
mod rmi;
mod run;
mod save;
mod secret;
mod select;
mod start;
mod stats;
mod stop;
mod system;
mod tag;
mod top;
mod unshare;
mod update;
mod version;
mod volume;
mod wait;

use std::{io::Write, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};

pub(crate) use access::{AccessOptions, PlatformOptions, PullOptions};
pub(crate) use globals::{Context, Globals};

use crate::error::Result;

/// Runs containers without a daemon
///
/// Pulls images and runs containers, as root or as an ordinary user. There is no daemon: each command does its work and
/// ends, and a container in the background has one small supervisor beside it. Commands and flags are podman's and
/// docker's, so that `alias docker=berth-runner` does for most.
#[derive(Parser)]
#[command(
    name = "berth-runner",
    version,
    subcommand_help_heading = "Commands",
    // What is said twice is what was said last, as with podman and docker: an alias has flags of its own.
    args_override_self = true,
    after_help = help::AFTER_SHORT,
    after_long_help = help::AFTER
)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// What to do. Each variant is one file; its arguments and its `run` are there.
#[derive(Subcommand)]
enum Command {
    /// Attach to a running container
    Attach(attach::Arguments),
    /// Start what is to run after the machine was started
    Boot(boot::Arguments),
    /// Read the whole store again and say what is damaged, or left over
    Check(check::Arguments),
    /// Make an image of what a container changed
    Commit(commit::Arguments),
    /// Write completions for a shell to standard output
    Completion(completion::Arguments),
    /// Copy files into a container and out of it
    Cp(cp::Arguments),
    /// Show what a container changed of its image
    Diff(diff::Arguments),
    /// Say what this kernel offers to containers, and what is missing
    Doctor(doctor::Arguments),
    /// Write a container's files as a tar
    Export(export::Arguments),
    /// Do something to containers
    Container(container::Arguments),
    /// Make a container that is started later
    #[command(
        disable_help_flag = true,
        override_usage = "berth-runner create [OPTIONS] <IMAGE> [COMMAND]..."
    )]
    Create(Box<create::Arguments>),
    /// Show what happened
    Events(events::Arguments),
    /// Run a program in a running container
    #[command(override_usage = "berth-runner exec [OPTIONS] <CONTAINER> <COMMAND>...")]
    Exec(exec::Arguments),
    /// Check the health of a container
    Healthcheck(healthcheck::Arguments),
    /// Show the steps by which an image was made
    History(history::Arguments),
    /// Do something to images
    Image(image::Arguments),
    /// List images
    Images(images::Arguments),
    /// Make an image of the files in a tar
    Import(import::Arguments),
    /// Show the machine, the store and this program
    Info(info::Arguments),
    /// Show everything about containers
    Inspect(inspect::Arguments),
    /// Send a signal to containers
    Kill(kill::Arguments),
    /// Bring images here out of an archive
    Load(load::Arguments),
    /// Log in to a registry
    Login(login::Arguments),
    /// Log out of a registry
    Logout(login::Logout),
    /// Show what containers wrote
    Logs(logs::Arguments),
    /// Write the manual pages
    Man(man::Arguments),
    /// Make, list and remove networks
    Network(network::Arguments),
    /// Freeze containers
    Pause(pause::Arguments),
    /// Show published ports of containers
    Port(port::Arguments),
    /// List containers
    Ps(ps::Arguments),
    /// Bring images here from a registry
    Pull(pull::Arguments),
    /// Copy an image to a registry
    Push(push::Arguments),
    /// Give a container another name
    Rename(rename::Arguments),
    /// Stop containers and start them again
    Restart(stop::RestartArguments),
    /// Remove containers
    Rm(rm::Arguments),
    /// Remove images
    Rmi(rmi::Arguments),
    /// Make a container and start it
    #[command(disable_help_flag = true, override_usage = "berth-runner run [OPTIONS] <IMAGE> [COMMAND]...")]
    Run(Box<run::Arguments>),
    /// Write images into an archive
    Save(save::Arguments),
    /// Make, list and remove secrets
    Secret(secret::Arguments),
    /// Start containers
    Start(start::Arguments),
    /// Show what containers use
    Stats(stats::Arguments),
    /// Stop containers
    Stop(stop::Arguments),
    /// Show and clean up what is kept: images, containers, networks, volumes
    System(system::Arguments),
    /// Give an image more names
    Tag(tag::Arguments),
    /// Show processes of a container
    Top(top::Arguments),
    /// Let frozen containers go on
    Unpause(pause::Arguments),
    /// Run a command in the user's own namespace
    Unshare(unshare::Arguments),
    /// Take names of an image away
    Untag(tag::Untag),
    /// Change limits of a container
    Update(update::Arguments),
    /// Show the version of this program
    Version(version::Arguments),
    /// Make, list and remove volumes
    Volume(volume::Arguments),
    /// Wait for containers and print their numbers
    Wait(wait::Arguments),
}

/// The command line's `main`.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => {
            let _told = told.print();
            return ExitCode::from(if told.use_stderr() { usage_code() } else { 0 });
        }
    };
    match run(cli) {
        Ok(code) => ExitCode::from(code),
        Err((error, code)) => {
            let _told = writeln!(std::io::stderr(), "berth-runner: {}", output::tamed(&error.to_string()));
            ExitCode::from(code)
        }
    }
}

/// The number for words that make no sense: below 125 would be a program's of a container.
fn usage_code() -> u8 {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if runs_a_program(&words) { crate::error::OWN_FAILURE } else { 2 }
}

/// Whether the verb is one whose numbers are a container's. Before it come options alone, and `container`.
fn runs_a_program(words: &[String]) -> bool {
    let with_value: Vec<String> = Cli::command()
        .get_arguments()
        .filter(|argument| argument.get_action().takes_values())
        .filter_map(|argument| argument.get_long().map(|long| format!("--{long}")))
        .collect();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if with_value.contains(word) {
            words.next();
        } else if !word.starts_with('-') && word != "container" {
            return ["create", "exec", "run", "start"].contains(&word.as_str());
        }
    }
    false
}

/// Runs one command; an error goes with the number that this command ends with.
fn run(cli: Cli) -> Result<u8, (crate::error::RunnerError, u8)> {
    let own = |error: crate::error::RunnerError| {
        let code = error.exit_code();
        (error, code)
    };
    // Numbers below 125 are a program's of a container.
    let container = |error: crate::error::RunnerError| {
        let code = error.run_exit_code();
        (error, code)
    };
    let globals = &cli.globals;
    match cli.command {
        Command::Attach(arguments) => attach::run(globals, &arguments).map_err(container),
        Command::Boot(arguments) => boot::run(globals, &arguments).map_err(own),
        Command::Check(arguments) => check::run(globals, &arguments).map_err(own),
        Command::Commit(arguments) => commit::run(globals, &arguments).map_err(own),
        Command::Completion(arguments) => completion::run(&arguments).map_err(own),
        Command::Cp(arguments) => cp::run(globals, &arguments).map_err(own),
        Command::Diff(arguments) => diff::run(globals, &arguments).map_err(own),
        Command::Doctor(arguments) => doctor::run(globals, &arguments).map_err(own),
        Command::Export(arguments) => export::run(globals, &arguments).map_err(own),
        Command::Container(arguments) => {
            let runs = arguments.runs_a_program();
            container::run(globals, &arguments).map_err(if runs { container } else { own })
        }
        Command::Create(arguments) => create::run(globals, &arguments).map_err(container),
        Command::Events(arguments) => events::run(globals, &arguments).map_err(own),
        Command::Exec(arguments) => exec::run(globals, &arguments).map_err(container),
        Command::Healthcheck(arguments) => healthcheck::run(globals, &arguments).map_err(container),
        Command::History(arguments) => history::run(globals, &arguments).map_err(own),
        Command::Image(arguments) => image::run(globals, &arguments).map_err(own),
        Command::Images(arguments) => images::run(globals, &arguments).map_err(own),
        Command::Import(arguments) => import::run(globals, &arguments).map_err(own),
        Command::Info(arguments) => info::run(globals, &arguments).map_err(own),
        Command::Inspect(arguments) => inspect::run(globals, &arguments).map_err(own),
        Command::Kill(arguments) => kill::run(globals, &arguments).map_err(own),
        Command::Load(arguments) => load::run(globals, &arguments).map_err(own),
        Command::Login(arguments) => login::run(globals, &arguments).map_err(own),
        Command::Logout(arguments) => login::logout(globals, &arguments).map_err(own),
        Command::Logs(arguments) => logs::run(globals, &arguments).map_err(own),
        Command::Man(arguments) => man::run(&arguments).map_err(own),
        Command::Network(arguments) => network::run(globals, &arguments).map_err(own),
        Command::Pause(arguments) => pause::run(globals, &arguments, true).map_err(own),
        Command::Port(arguments) => port::run(globals, &arguments).map_err(own),
        Command::Ps(arguments) => ps::run(globals, &arguments).map_err(own),
        Command::Pull(arguments) => pull::run(globals, &arguments).map_err(own),
        Command::Push(arguments) => push::run(globals, &arguments).map_err(own),
        Command::Rename(arguments) => rename::run(globals, &arguments).map_err(own),
        Command::Restart(arguments) => stop::restart(globals, &arguments).map_err(own),
        Command::Rm(arguments) => rm::run(globals, &arguments).map_err(own),
        Command::Rmi(arguments) => rmi::run(globals, &arguments).map_err(own),
        Command::Run(arguments) => run::run(globals, &arguments).map_err(container),
        Command::Save(arguments) => save::run(globals, &arguments).map_err(own),
        Command::Secret(arguments) => secret::run(globals, &arguments).map_err(own),
        Command::Start(arguments) => start::run(globals, &arguments).map_err(container),
        Command::Stats(arguments) => stats::run(globals, &arguments).map_err(own),
        Command::Stop(arguments) => stop::run(globals, &arguments).map_err(own),
        Command::System(arguments) => system::run(globals, &arguments).map_err(own),
        Command::Tag(arguments) => tag::run(globals, &arguments).map_err(own),
        Command::Top(arguments) => top::run(globals, &arguments).map_err(own),
        Command::Unpause(arguments) => pause::run(globals, &arguments, false).map_err(own),
        Command::Unshare(arguments) => unshare::run(globals, &arguments).map_err(container),
        Command::Untag(arguments) => tag::untag(globals, &arguments).map_err(own),
        Command::Update(arguments) => update::run(globals, &arguments).map_err(own),
        Command::Version(arguments) => version::run(&arguments).map_err(own),
        Command::Volume(arguments) => volume::run(globals, &arguments).map_err(own),
        Command::Wait(arguments) => wait::run(globals, &arguments).map_err(own),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verb_alone_says_whose_numbers_they_are() {
        let runs =
            |line: &str| runs_a_program(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        for line in [
            "run --bad",
            "--root run exec x",
            "container create --bad",
            "--root=/x start",
            "--signature-policy p run",
        ] {
            assert!(runs(line), "{line}");
        }
        for line in ["network create --subnet bad", "--root exec ps", "rm run", "--help", ""] {
            assert!(!runs(line), "{line}");
        }
    }

    #[test]
    fn no_two_flags_of_a_command_are_the_same() {
        Cli::command().debug_assert();
    }
}
