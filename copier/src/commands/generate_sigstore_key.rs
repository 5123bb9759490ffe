//! `generate-sigstore-key`: a pair of keys to sign images with.

use std::path::PathBuf;

use berth_copier::{Result, signature::standalone};
use clap::Args;

use super::Process;
use crate::cli;

/// Make a pair of sigstore keys
///
/// PREFIX.private is encrypted under a passphrase and signs (`copy --sign-by-sigstore-private-key`), PREFIX.pub verifies
/// (`keyPath` in policy.json).
#[derive(Args)]
#[command(after_help = "Examples:\n  berth-copier generate-sigstore-key --output-prefix my-key")]
pub(crate) struct GenerateSigstoreKey {
    /// Write PREFIX.pub and PREFIX.private; neither may exist
    #[arg(long, value_name = "PREFIX", required = true)]
    output_prefix: PathBuf,

    /// Read the private key's passphrase from the first line of this file; without it you are asked
    #[arg(long, value_name = "PATH")]
    passphrase_file: Option<PathBuf>,
}

impl GenerateSigstoreKey {
    pub(crate) fn run(self, process: &Process) -> Result<()> {
        let mut private = self.output_prefix.clone().into_os_string();
        private.push(".private");
        let passphrase = cli::passphrase(self.passphrase_file.as_deref(), private.as_ref())?;
        let files = standalone::generate_key_files(&self.output_prefix, &passphrase)?;
        process.output.line(format!(
            "Key written to \"{}\" and \"{}\"",
            files.private.display(),
            files.public.display()
        ))
    }
}
