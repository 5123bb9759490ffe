//! `berth-registry doctor`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{
    Source,
    offline::{fail, say},
};
use crate::{
    admin,
    config::Config,
    doctor::{self, Look, Verdict},
};

/// Options of `doctor`.
#[derive(Args, Clone, Debug, Default)]
pub struct Doctor {
    /// Where settings come from
    #[command(flatten)]
    pub source: Source,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
#[must_use]
pub fn run(args: &Doctor) -> ExitCode {
    let looks = match Config::load(&args.source.clone().into()) {
        Err(faults) => {
            vec![Look { about: "configuration", verdict: Verdict::Failure, says: faults.to_string() }]
        }
        Ok(config) => {
            crate::http::serve::install_crypto_provider();
            crate::http::serve::raise_descriptor_limit();
            let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return fail(&error, 1),
            };
            runtime.block_on(async {
                let running = admin::is_running(&config.data.dir).await;
                doctor::look(&config, running).await
            })
        }
    };
    if args.json {
        say(&json!({ "checks": looks }).to_string());
    } else {
        for Look { about, verdict, says } in &looks {
            let verdict = match verdict {
                Verdict::Ok => "ok",
                Verdict::Warning => "warning",
                Verdict::Failure => "FAILURE",
            };
            say(&format!("{verdict:<8} {about:<15} {says}"));
        }
    }
    let failed = looks.iter().any(|look| look.verdict == Verdict::Failure);
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
