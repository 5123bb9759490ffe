//! `discover`: what is attached to an image.

use berth_copier::{Error, Result, artifact};
use berth_oci::Platform;
use clap::{Args, ValueEnum};

use super::{Process, push::reference_of};
use crate::cli::{ImageOptions, RetryOptions};

/// Show what is attached to an image, and to that, and so on
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Discover {
    /// The image
    #[arg(value_name = "REF")]
    reference: String,

    /// Show what is of this type only
    #[arg(long, value_name = "MEDIA-TYPE", help_heading = "What to show")]
    artifact_type: Option<String>,

    /// Show so many levels [default: all]
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true,
        help_heading = "What to show"
    )]
    depth: usize,

    /// This platform's image of an index, not the index
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", help_heading = "What to show")]
    platform: Option<Platform>,

    /// Show annotations in the tree
    #[arg(long, short, help_heading = "What to show")]
    verbose: bool,

    /// The form
    #[arg(long, short, value_name = "FORM", default_value = "tree", help_heading = "What to show")]
    format: Form,

    #[command(flatten)]
    image: ImageOptions,

    #[command(flatten)]
    retry: RetryOptions,
}

const EXAMPLES: &str = "\
Examples:
  berth-copier discover docker://registry.example.org/app:1.0
  berth-copier discover --format json --artifact-type application/spdx+json docker://registry.example.org/app:1.0
  berth-copier discover --depth 1 --format table oci:layout:app";

/// How it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A tree: types, and under them digests.
    Tree,
    /// A line per artifact.
    Table,
    /// One JSON object.
    Json,
}

impl Discover {
    pub(crate) async fn run(self, process: &Process) -> Result<()> {
        let name = reference_of(&self.reference)?;
        let session = process.session(&self.retry)?;
        let found = artifact::discover(
            &session,
            &name,
            &self.image.side()?,
            self.artifact_type.as_deref(),
            self.platform.as_ref(),
            self.depth,
        )
        .await?;
        let mut text = Vec::new();
        match self.format {
            Form::Json => return process.output.json(&found),
            Form::Tree => found.write_tree(&mut text, self.verbose),
            Form::Table => found.write_table(&mut text),
        }
        .map_err(Error::file("standard output"))?;
        process.output.raw(&text)
    }
}
