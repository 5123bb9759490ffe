//! `standalone-verify`: a simple signature in a file.

use std::path::PathBuf;

use berth_copier::{
    Error, Result,
    error::ResultExt,
    signature::standalone::{self, Fingerprints},
};
use clap::Args;

use super::{Process, local_file};

/// Verify the signature of a manifest in a file
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StandaloneVerify {
    /// The manifest's file
    #[arg(value_name = "MANIFEST")]
    manifest: PathBuf,

    /// The name that the signature has to speak of
    #[arg(value_name = "DOCKER-REFERENCE")]
    reference: String,

    /// Keys of which one has to have signed, with commas between; `any` means any of --public-key-file
    #[arg(value_name = "KEY-FINGERPRINTS")]
    fingerprints: String,

    /// The signature's file
    #[arg(value_name = "SIGNATURE")]
    signature: PathBuf,

    /// Public keys, as `gpg --export` writes them [default: those of gpg's keyring]
    #[arg(long, value_name = "PATH")]
    public_key_file: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  berth-copier standalone-verify manifest.json registry.example.org/app:1.0 any app.signature --public-key-file team.gpg";

impl StandaloneVerify {
    pub(crate) async fn run(self, process: &Process) -> Result<()> {
        let any = self.fingerprints == "any";
        if any && self.public_key_file.is_none() {
            return Err(Error::Usage("Cannot use any fingerprint without a public key file".to_owned()));
        }
        let fingerprints: Fingerprints = self.fingerprints.parse()?;
        let manifest = local_file(&self.manifest, "manifest")?;
        let signature = local_file(&self.signature, "signature")?;
        let reference = super::full_reference(&self.reference)?;
        let keys = match &self.public_key_file {
            Some(file) => local_file(file, "public keys")?,
            None => exported(&self.fingerprints).await?,
        };
        let verified = standalone::verify(&manifest, &reference, &fingerprints, &signature, &keys)
            .context("Error verifying signature")?;
        process.output.line(format!(
            "Signature verified using fingerprint {}, digest {}",
            verified.fingerprint, verified.digest
        ))
    }
}

/// Public keys from gpg's own keyring.
async fn exported(fingerprints: &str) -> Result<Vec<u8>> {
    let what = "Error initializing GPG";
    let output = tokio::process::Command::new("gpg")
        .args(["--batch", "--export", "--"])
        .args(fingerprints.split(','))
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|source| Error::Other { what: what.to_owned(), source: source.into() })?;
    if output.stdout.is_empty() {
        return Err(Error::Usage(format!(
            "{what}: gpg has no public key {fingerprints}; import it, or give --public-key-file"
        )));
    }
    Ok(output.stdout)
}
