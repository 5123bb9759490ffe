//! The command line: one file per command. A command parses, calls one function, prints.

mod access;
mod doctor;
mod globals;
mod history;
mod image;
mod image_inspect;
mod images;
mod import;
mod load;
mod login;
mod network;
pub(crate) mod output;
mod pull;
mod push;
mod rmi;
mod save;
mod tag;

use std::{io::Write, process::ExitCode};

use clap::{Parser, Subcommand};

pub(crate) use access::{AccessOptions, PlatformOptions};
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
    /// Say what this kernel offers to containers, and what is missing
    Doctor(doctor::Arguments),
    /// Show the steps by which an image was made
    History(history::Arguments),
    /// Do something to images
    Image(image::Arguments),
    /// List images
    Images(images::Arguments),
    /// Make an image of the files in a tar
    Import(import::Arguments),
    /// Bring images here out of an archive
    Load(load::Arguments),
    /// Log in to a registry
    Login(login::Arguments),
    /// Log out of a registry
    Logout(login::Logout),
    /// Make, list and remove networks
    Network(network::Arguments),
    /// Bring images here from a registry
    Pull(pull::Arguments),
    /// Copy an image to a registry
    Push(push::Arguments),
    /// Remove images
    Rmi(rmi::Arguments),
    /// Write images into an archive
    Save(save::Arguments),
    /// Give an image more names
    Tag(tag::Arguments),
    /// Take names of an image away
    Untag(tag::Untag),
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
        Command::Doctor(arguments) => doctor::run(globals, &arguments).map_err(own),
        Command::History(arguments) => history::run(globals, &arguments).map_err(own),
        Command::Image(arguments) => image::run(globals, &arguments).map_err(own),
        Command::Images(arguments) => images::run(globals, &arguments).map_err(own),
        Command::Import(arguments) => import::run(globals, &arguments).map_err(own),
        Command::Load(arguments) => load::run(globals, &arguments).map_err(own),
        Command::Login(arguments) => login::run(globals, &arguments).map_err(own),
        Command::Logout(arguments) => login::logout(globals, &arguments).map_err(own),
        Command::Network(arguments) => network::run(globals, &arguments).map_err(own),
        Command::Pull(arguments) => pull::run(globals, &arguments).map_err(own),
        Command::Push(arguments) => push::run(globals, &arguments).map_err(own),
        Command::Rmi(arguments) => rmi::run(globals, &arguments).map_err(own),
        Command::Save(arguments) => save::run(globals, &arguments).map_err(own),
        Command::Tag(arguments) => tag::run(globals, &arguments).map_err(own),
        Command::Untag(arguments) => tag::untag(globals, &arguments).map_err(own),
    }
}
