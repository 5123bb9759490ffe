//! `manifest-digest`: the digest of a manifest in a file.

use std::{fs::File, io, path::PathBuf};

use berth_copier::{Error, ManifestDigestError, Result};
use clap::Args;

use super::Process;

/// Print the digest of a manifest in a file, computed over its bytes as they stand
#[derive(Args)]
pub(crate) struct ManifestDigest {
    /// The manifest's file; `-` reads standard input
    #[arg(value_name = "MANIFEST-FILE")]
    manifest: PathBuf,
}

impl ManifestDigest {
    pub(crate) fn run(self, process: &Process) -> Result<()> {
        let digest = if self.manifest.as_os_str() == "-" {
            berth_copier::manifest_digest(io::stdin().lock())
        } else {
            File::open(&self.manifest).map_err(Into::into).and_then(berth_copier::manifest_digest)
        };
        let file = self.manifest.display();
        let digest = digest.map_err(|fault| match fault {
            ManifestDigestError::Read(fault) => {
                Error::file(&self.manifest)(fault).context(format!("Error reading manifest from {file}"))
            }
            fault => Error::Other { what: "Error computing digest".to_owned(), source: fault.into() },
        })?;
        process.output.line(digest.to_string())
    }
}
