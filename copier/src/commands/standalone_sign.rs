//! `standalone-sign`: a simple signature as a file.

use std::path::PathBuf;

use berth_copier::{
    Error, Result,
    error::ResultExt,
    signature::{read_passphrase, standalone},
};
use clap::Args;

use super::{Process, local_file};

/// Sign a manifest in a file with a GPG key
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StandaloneSign {
    /// The manifest's file
    #[arg(value_name = "MANIFEST")]
    manifest: PathBuf,

    /// The name that the signature speaks of
    #[arg(value_name = "DOCKER-REFERENCE")]
    reference: String,

    /// The key, as gpg knows it
    #[arg(value_name = "KEY-FINGERPRINT")]
    fingerprint: String,

    /// Write the signature into this file
    #[arg(long, short, value_name = "SIGNATURE", required = true)]
    output: PathBuf,

    /// Read the key's passphrase from the first line of this file; without it gpg's agent asks
    #[arg(long, value_name = "PATH")]
    passphrase_file: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  berth-copier standalone-sign manifest.json registry.example.org/app:1.0 1D8230F6CDB6A06716E414C1DB72F2188BB46CC8 -o app.signature";

impl StandaloneSign {
    pub(crate) async fn run(self, _process: &Process) -> Result<()> {
        let manifest = local_file(&self.manifest, "manifest")?;
        let reference = super::full_reference(&self.reference)?;
        let passphrase = self.passphrase_file.as_deref().map(read_passphrase).transpose()?;
        let signature = standalone::sign(&manifest, &reference, &self.fingerprint, passphrase)
            .await
            .context("Error creating signature")?;
        std::fs::write(&self.output, signature)
            .map_err(Error::file(&self.output))
            .context(format!("Error writing signature to {}", self.output.display()))
    }
}
