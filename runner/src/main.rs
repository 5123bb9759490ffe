//! `berth-runner`: runs containers. So far it tells whether this machine could.

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use berth_runtime::{CgroupVersion, Features};
use clap::{Parser, Subcommand};

/// Runs containers without a daemon.
#[derive(Parser)]
#[command(name = "berth-runner", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Say what this kernel offers to containers, and what is missing.
    Doctor,
}

fn report(features: &Features, out: &mut impl Write) -> io::Result<()> {
    let answer = |there: bool| if there { "yes" } else { "no" };
    let cgroups = match features.cgroups {
        CgroupVersion::Absent => "none mounted: no limit can be set",
        CgroupVersion::V1 => "version 1",
        CgroupVersion::Hybrid => "version 1 with version 2 beside it",
        CgroupVersion::V2 => "version 2",
    };
    writeln!(out, "kernel           {}", features.kernel)?;
    writeln!(out, "control groups   {cgroups}")?;
    writeln!(out, "controllers      {}", features.controllers.join(" "))?;
    writeln!(out, "user namespaces  {}", answer(features.user_namespaces))?;
    writeln!(out, "overlay          {}", answer(features.overlay))?;
    writeln!(out, "seccomp          {}", answer(features.seccomp))
}

fn main() -> ExitCode {
    let Command::Doctor = Cli::parse().command;
    let done = Features::probe(Path::new("/")).and_then(|features| report(&features, &mut io::stdout()));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _told = writeln!(io::stderr(), "berth-runner: {error}");
            ExitCode::FAILURE
        }
    }
}
