//! One run of the program: the runtime, the time limit, signals, and how it ends.

use std::{io, process::ExitCode, sync::Arc, time::Duration};

use berth_copier::{Error, Result};
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    cli::{Cli, Globals},
    commands::{self, Process},
    output::{Level, Lines, Log, Output},
};

/// How long what was cancelled may take to clean up behind itself.
const CLEANING: Duration = Duration::from_secs(5);

/// Runs what the command line asks for.
pub(crate) fn run(cli: Cli, log: &Arc<Log>, output: Output) -> ExitCode {
    listen(&cli.globals, log);
    if cli.deprecated_tls_verify.is_some() {
        output.warning("'--tls-verify' is deprecated, please set this on the specific subcommand");
    }
    let Some(command) = cli.command else {
        return ended(Err(missing_command()), log);
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(source) => {
            let what = "starting threads".to_owned();
            return ended(Err(Error::Other { what, source: source.into() }), log);
        }
    };
    let limit = cli.globals.command_timeout.filter(|limit| !limit.is_zero());
    let process = Process::new(cli.globals, output);
    let end = runtime.block_on(async {
        // A limit on the size of files (`ulimit -f`) then is the writer's error, and not the end without a word.
        let _large = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()));
        let work = async {
            match limit {
                Some(limit) => tokio::time::timeout(limit, commands::run(command, &process))
                    .await
                    .unwrap_or(Err(Error::Timeout)),
                None => commands::run(command, &process).await,
            }
        };
        let end = tokio::select! {
            // Listened for before anything is done.
            biased;
            caught = stopped() => End::Stopped(caught),
            done = work => End::Done(done),
        };
        if !matches!(end, End::Done(Ok(()))) {
            cleaned(&process).await;
        }
        end
    });
    // A thread may still wait for standard input; nobody waits for it.
    runtime.shutdown_background();
    match end {
        End::Done(result) => ended(result, log),
        End::Stopped(Ok(signal)) => ExitCode::from(signal),
        End::Stopped(Err(source)) => {
            ended(Err(Error::Other { what: "listening for signals".to_owned(), source: source.into() }), log)
        }
    }
}

enum End {
    Done(Result<()>),
    Stopped(io::Result<u8>),
}

/// Waits for what was cancelled: uploads are told to their registries as given up. A second signal, or too long a time, ends
/// this as well.
async fn cleaned(process: &Process) {
    tokio::select! {
        () = process.settled() => {}
        () = tokio::time::sleep(CLEANING) => {}
        _ = stopped() => {}
    }
}

fn missing_command() -> Error {
    Error::Usage(
        "Missing command 'berth-copier COMMAND'\nTry 'berth-copier --help' for more information".to_owned(),
    )
}

/// The exit code of a shell's child that a signal ended.
async fn stopped() -> io::Result<u8> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => Ok(130),
        _ = terminate.recv() => Ok(143),
    }
}

/// Says how it ended. A reader that went away (`| head`) is no failure to speak of, and has the exit code that SIGPIPE
/// would have given.
pub(crate) fn ended(result: Result<()>, log: &Log) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    if matches!(error.root(), Error::File { source, .. } if source.kind() == io::ErrorKind::BrokenPipe) {
        return ExitCode::from(141);
    }
    log.write(Level::Fatal, &error.to_string());
    ExitCode::from(error.exit_code())
}

/// Shows the library's events: warnings, and with `--debug` everything of its own.
fn listen(globals: &Globals, log: &Arc<Log>) {
    let filter = if globals.debug {
        Targets::new().with_default(tracing::Level::INFO).with_target("berth_copier", tracing::Level::TRACE)
    } else {
        // A sync tells what it is at, as Skopeo's does.
        Targets::new()
            .with_target("berth_copier", tracing::Level::WARN)
            .with_target("berth_copier::sync", tracing::Level::INFO)
    };
    let lines = tracing_subscriber::fmt::layer().event_format(Lines(Arc::clone(log))).with_writer(io::stderr);
    // Only one run happens in a process, so that nobody else has set a subscriber before.
    let _first = tracing_subscriber::registry().with(filter).with(lines).try_init();
}
