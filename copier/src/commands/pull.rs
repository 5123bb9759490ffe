//! `pull`: an artifact's files are written to a folder.

use std::path::PathBuf;

use berth_copier::{
    Result,
    artifact::{self, Pull as How},
};
use berth_oci::Platform;
use clap::Args;

use super::{
    Process,
    push::{ReportFormat, reference_of},
};
use crate::cli::{ImageOptions, RetryOptions};

/// Pull an artifact's files
///
/// Files are called by their titles, below the output folder and never outside of it; packed folders are unpacked.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Pull {
    /// The artifact
    #[arg(value_name = "REF")]
    reference: String,

    /// Where files go
    #[arg(long, short, value_name = "DIR", default_value = ".", help_heading = "What to write")]
    output: PathBuf,

    /// Replace files that are there
    #[arg(long, help_heading = "What to write")]
    overwrite: bool,

    /// Unpack every tar+gzip layer, also one that does not ask for it (as oras's Python library pushes folders)
    #[arg(long, help_heading = "What to write")]
    unpack: bool,

    /// Pull what the artifact is attached to, too
    #[arg(long, help_heading = "What to write")]
    include_subject: bool,

    /// The platform, where the name means an index [default: this machine's]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", help_heading = "What to write")]
    platform: Option<Platform>,

    /// Print what was written as JSON
    #[arg(long, value_name = "FORMAT", help_heading = "What to tell")]
    report: Option<ReportFormat>,

    #[command(flatten)]
    image: ImageOptions,

    #[command(flatten)]
    retry: RetryOptions,
}

const EXAMPLES: &str = "\
Examples:
  berth-copier pull docker://registry.example.org/docs:1.0
  berth-copier pull -o out --overwrite docker://registry.example.org/model:2
  berth-copier pull -o out oci:layout:notes";

impl Pull {
    pub(crate) async fn run(self, process: &Process) -> Result<()> {
        let name = reference_of(&self.reference)?;
        let how = How {
            output: self.output.clone(),
            overwrite: self.overwrite,
            unpack: self.unpack,
            platform: self.platform.clone(),
            include_subject: self.include_subject,
        };
        let session = process.session(&self.retry)?;
        let pulled = artifact::pull(&session, &name, &self.image.side()?, &how).await?;
        if self.report.is_some() {
            return process.output.json(&pulled);
        }
        for file in &pulled.files {
            process.output.line(format!("Pulled {} {}", file.digest, file.path.display()))?;
        }
        for digest in &pulled.skipped {
            process.output.warning(&format!(
                "{digest} has no name (org.opencontainers.image.title) and was not pulled"
            ));
        }
        process.output.line(format!("Digest: {}", pulled.digest))
    }
}
