//! `berth-conformance`: judges a registry by its URL.

use std::process::ExitCode;

use berth_conformance::cli::Cli;
use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    Cli::parse().run().await
}
