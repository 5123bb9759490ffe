//! `berth-registry`: parses, calls one function, and turns its end into an exit status.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use berth_registry::{
    app::{self, StartError},
    cli::{self, Cli, Command},
    config::{Config, Overrides},
    http::serve::{Tls, TlsFiles},
};
use clap::Parser;

/// `EX_CONFIG` of sysexits.h.
const CONFIG: u8 = 78;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(serve) => return run(&serve.into()),
        Command::Gc(args) => return cli::gc::gc(args),
        Command::Retention { command } => return cli::gc::retention(command),
        Command::Undelete(args) => return cli::gc::undelete(args),
        Command::Check(args) => return cli::check::run(args),
        Command::Doctor(args) => return cli::doctor::run(&args),
        Command::Import(args) => return cli::import::run(args),
        Command::Migrate(args) => return cli::migrate::run(&args),
        Command::Recover(args) => return cli::recover::run(&args),
        Command::Config { command: cli::Config::Check(source) } => return check(&source.into()),
        Command::Config { command: cli::Config::Print { source, defaults } } => {
            let config = if defaults { Ok(Config::default()) } else { Config::load(&source.into()) };
            match config {
                Ok(config) => io::stdout().write_all(config.print().as_bytes()),
                Err(faults) => return fail(&faults, CONFIG),
            }
        }
        Command::Audit(options) => return cli::audit::run(options),
        Command::User { command } => return cli::user::run(command),
        Command::Robot { command } => return cli::robot::run(command),
        Command::Policy { command } => return cli::policy::run(command),
        Command::Token { command } => return cli::token::run(command),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut cli::command(), "berth-registry", &mut script);
            io::stdout().write_all(&script)
        }
        Command::Quota { command } => return cli::quota::quota(command),
        Command::Usage(usage) => return cli::quota::usage(usage),
        Command::Man { output } => cli::man::write(output.as_deref()),
    };
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => fail(&error, 1),
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}

fn run(overrides: &Overrides) -> ExitCode {
    let config = match Config::load(overrides) {
        Ok(config) => config,
        Err(faults) => return fail(&faults, CONFIG),
    };
    match app::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, error.exit_status()),
    }
}

fn check(overrides: &Overrides) -> ExitCode {
    let config = Config::load(overrides);
    let files = config.map(|config| config.tls.files().map(|files| (files, config.tls.client_ca)));
    match files {
        Ok(None) => ExitCode::SUCCESS,
        // Read as a start would read them.
        Ok(Some(((cert, key), client_ca))) => match Tls::load(TlsFiles { cert, key, client_ca }) {
            Ok(_) => ExitCode::SUCCESS,
            Err(error) => fail(&StartError::Tls(error), CONFIG),
        },
        Err(faults) => fail(&faults, CONFIG),
    }
}

fn fail(error: &dyn std::error::Error, status: u8) -> ExitCode {
    // If standard error is gone the status still says it.
    let _nowhere = writeln!(io::stderr(), "berth-registry: {error}");
    ExitCode::from(status)
}
