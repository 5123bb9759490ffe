//! `berth-copier`: inspects and copies images. So far it tells the digest of a manifest.

use std::{
    fs::File,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand};

/// Inspects and copies OCI images.
#[derive(Parser)]
#[command(name = "berth-copier", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the digest of a manifest, computed over its bytes as they stand.
    ManifestDigest {
        /// The manifest's file; `-` reads standard input.
        file: PathBuf,
    },
}

fn main() -> ExitCode {
    let Command::ManifestDigest { file } = Cli::parse().command;
    let digest = if file.as_os_str() == "-" {
        berth_copier::manifest_digest(io::stdin().lock())
    } else {
        File::open(&file).map_err(Into::into).and_then(berth_copier::manifest_digest)
    };
    let written = match digest {
        Ok(digest) => writeln!(io::stdout(), "{digest}").map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _told = writeln!(io::stderr(), "berth-copier: {}: {error}", file.display());
            ExitCode::FAILURE
        }
    }
}
