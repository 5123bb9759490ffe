//! `berth-registry migrate`.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use serde_json::json;

use super::{
    Source,
    offline::{fail, say},
};
use crate::{
    catalog::{
        OpenError,
        transfer::{Place, TransferError, transfer},
    },
    config::{Config, Database, Overrides},
};

/// Options of `migrate`.
#[derive(Args, Clone, Debug, Default)]
pub struct Migrate {
    /// Where settings come from
    #[command(flatten)]
    pub source: Source,
    /// Move the catalog that is configured to the one of this configuration file
    #[arg(long, value_name = "FILE", required_unless_present = "from", conflicts_with = "from")]
    pub to: Option<PathBuf>,
    /// Move the catalog of this configuration file to the one that is configured
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// Print the counts as JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
#[must_use]
pub fn run(args: &Migrate) -> ExitCode {
    let load = |overrides: &Overrides| Config::load(overrides).map(|config| place(&config));
    let other = args.to.clone().or_else(|| args.from.clone());
    let other = Overrides { file: other, ..Overrides::default() };
    let (configured, other) = match (load(&args.source.clone().into()), load(&other)) {
        (Ok(configured), Ok(other)) => (configured, other),
        (Err(faults), _) | (_, Err(faults)) => return fail(&faults, 78),
    };
    let (from, to) = if args.to.is_some() { (configured, other) } else { (other, configured) };
    crate::http::serve::install_crypto_provider();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, 1),
    };
    match runtime.block_on(transfer(&from, &to)) {
        Ok(counts) => {
            let rows: u64 = counts.iter().map(|(_, rows)| rows).sum();
            if args.json {
                let tables: serde_json::Map<_, _> =
                    counts.into_iter().map(|(table, rows)| (table, json!(rows))).collect();
                say(&json!({ "rows": rows, "tables": tables }).to_string());
            } else {
                for (table, rows) in counts.iter().filter(|(_, rows)| *rows > 0) {
                    say(&format!("{rows:>10} {table}"));
                }
                say(&format!("{rows} rows moved and read back; the old catalog is as it was"));
            }
            ExitCode::SUCCESS
        }
        Err(error @ TransferError::Open(OpenError::Locked(_))) => {
            fail(&format_args!("{error}; this command needs the registry to be stopped"), 75)
        }
        Err(error @ TransferError::InUse) => fail(&error, 75),
        Err(error @ TransferError::Open(OpenError::Address(_))) => fail(&error, 78),
        Err(error) => fail(&error, 1),
    }
}

fn place(config: &Config) -> Place {
    match config.catalog.database() {
        Database::Sqlite => {
            Place::Sqlite(config.catalog.dir.clone().unwrap_or_else(|| config.data.dir.clone()))
        }
        Database::Postgres(url) => Place::Postgres(url.reveal().to_owned()),
    }
}
