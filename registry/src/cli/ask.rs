//! What commands that ask a registry have in common. Each such command is a file beside this one: its
//! arguments, the endpoint it calls, and how the answer is printed.

use std::{
    future::Future,
    io::{self, Write},
    process::ExitCode,
};

use http::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::Source;
use crate::{
    admin::{Admin, AdminError},
    config::Config,
};

/// Reaches the registry that `source` configures and gives it to `command`.
///
/// Ends with 0, or with 2 for what was asked in a way that cannot be, 75 and 78 as `serve`, 1 for all else: what is not
/// there among it, as for every command.
pub fn ask<F: Future<Output = Result<(), AdminError>>>(
    source: Source,
    command: impl FnOnce(Admin) -> F,
) -> ExitCode {
    let config = match Config::load(&source.into()) {
        Ok(config) => config,
        Err(faults) => return fail(&faults, 78),
    };
    crate::http::serve::install_crypto_provider();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, 1),
    };
    let outcome = runtime.block_on(async {
        let admin = Admin::connect(config).await?;
        let outcome = command(admin.clone()).await;
        admin.close().await;
        outcome
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, status(&error)),
    }
}

/// A name as one segment of a path, or as a parameter.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Asks for a list page by page and gives each entry to `print`.
pub(super) async fn each_page(
    registry: &Admin,
    path: &str,
    key: &str,
    print: impl Fn(&Value) -> Result<(), AdminError>,
) -> Result<(), AdminError> {
    let mut page = format!("{path}?limit=1000");
    loop {
        let answer = registry.call(Method::GET, &page, None).await?;
        answer[key].as_array().into_iter().flatten().try_for_each(&print)?;
        match answer["next"].as_str() {
            Some(last) => page = format!("{path}?limit=1000&after={}", encoded(last)),
            None => return Ok(()),
        }
    }
}

/// Prints one line. That nobody reads any more is no failure.
pub(super) fn say(line: &str) -> Result<(), AdminError> {
    written(writeln!(io::stdout(), "{line}"))
}

/// Prints JSON, as people and programs can read it.
pub(super) fn print_json(value: &Value) -> Result<(), AdminError> {
    say(&format!("{value:#}"))
}

fn written(result: io::Result<()>) -> Result<(), AdminError> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(AdminError::Output(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn status(error: &AdminError) -> u8 {
    match error {
        AdminError::Start(error) => error.exit_status(),
        AdminError::Input(_) => 2,
        AdminError::Refused(StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY, _) => 2,
        AdminError::Refused(..)
        | AdminError::Unreachable(_)
        | AdminError::Found(_)
        | AdminError::Output(_) => 1,
    }
}

fn fail(error: &dyn std::error::Error, status: u8) -> ExitCode {
    // If standard error is gone the status still says it.
    let _nowhere = writeln!(io::stderr(), "berth-registry: {error}");
    ExitCode::from(status)
}
