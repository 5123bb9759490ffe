//! `untrusted-signature-dump-without-verification`: for looking at, never for deciding.

use std::path::PathBuf;

use berth_copier::{Result, error::ResultExt, signature::standalone};
use clap::Args;

use super::{Process, local_file};

/// Show what a signature says WITHOUT VERIFYING IT
#[derive(Args)]
pub(crate) struct SignatureDump {
    /// The signature's file
    #[arg(value_name = "SIGNATURE")]
    signature: PathBuf,
}

impl SignatureDump {
    pub(crate) fn run(self, process: &Process) -> Result<()> {
        let signature = local_file(&self.signature, "untrusted signature")?;
        let information = standalone::dump_without_verification(&signature)
            .context("Error decoding untrusted signature")?;
        process.output.json(&information)
    }
}
