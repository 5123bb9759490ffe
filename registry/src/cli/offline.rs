//! What commands have in common that need the registry to be stopped: they open catalog and storage
//! themselves, which with SQLite nobody else can have open at the same time.

use std::{
    future::Future,
    io::{self, Write},
    process::ExitCode,
};

use serde_json::Value;
use tokio::sync::mpsc;

use super::Source;
use crate::{
    admin,
    app::{Services, StartError},
    catalog::OpenError,
    config::Config,
    upkeep::{Teller, UpkeepError},
};

/// Opens what `source` configures and gives it to `work`; `show` prints what the work tells on its
/// way, and the result it ends with decides the status.
pub(super) fn offline<F>(
    source: Source,
    show: impl Fn(&Value) -> Option<String>,
    work: impl FnOnce(Services, Teller) -> F,
) -> ExitCode
where
    F: Future<Output = Result<ExitCode, UpkeepError>>,
{
    let config = match Config::load(&source.into()) {
        Ok(config) => config,
        Err(faults) => return fail(&faults, 78),
    };
    crate::http::serve::install_crypto_provider();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, 1),
    };
    runtime.block_on(async {
        if admin::is_running(&config.data.dir).await {
            return fail(&"a registry runs on this data directory; this command needs it to be stopped", 75);
        }
        let services = match Services::open(config).await {
            Ok(services) => services,
            Err(error @ StartError::Catalog(OpenError::Locked(_))) => {
                return fail(&format_args!("{error}; this command needs the registry to be stopped"), 75);
            }
            Err(error) => return fail(&error, error.exit_status()),
        };
        let (teller, lines) = Teller::new();
        let (outcome, ()) = tokio::join!(work(services.clone(), teller), print(lines, show));
        services.close().await;
        match outcome {
            Ok(status) => status,
            Err(error) => fail(&error, 1),
        }
    })
}

async fn print(mut lines: mpsc::Receiver<Value>, show: impl Fn(&Value) -> Option<String>) {
    while let Some(line) = lines.recv().await {
        if let Some(text) = show(&line) {
            say(&text);
        }
    }
}

/// Writes a line to standard output.
pub(super) fn say(line: &str) {
    // If nobody reads it the status still says it.
    let _nowhere = writeln!(io::stdout(), "{line}");
}

/// Writes why a command failed, and gives its status.
pub(super) fn fail(error: &impl std::fmt::Display, status: u8) -> ExitCode {
    // If standard error is gone the status still says it.
    let _nowhere = writeln!(io::stderr(), "berth-registry: {error}");
    ExitCode::from(status)
}
