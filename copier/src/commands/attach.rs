//! `attach`: files become an artifact whose subject is an image.

use berth_copier::{
    Result,
    artifact::{self, Attachment},
};
use berth_oci::Platform;
use clap::Args;

use super::{
    Process,
    push::{ContentOptions, ToldOptions, reference_of, split},
};
use crate::cli::{ImageOptions, RetryOptions};

/// Attach files to an image: an SBOM, a report, a signature
///
/// What is attached has no tag; `discover` finds it by its subject.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Attach {
    /// The image, and the files and folders, each with :MEDIA-TYPE behind it if need be; the image may also stand last
    #[arg(value_name = "REF FILE[:MEDIA-TYPE]…", required = true)]
    arguments: Vec<String>,

    #[command(flatten)]
    content: ContentOptions,

    /// Attach to this platform's image of an index, not to the index
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", help_heading = "The artifact")]
    platform: Option<Platform>,

    #[command(flatten)]
    told: ToldOptions,

    #[command(flatten)]
    image: ImageOptions,

    #[command(flatten)]
    retry: RetryOptions,
}

const EXAMPLES: &str = "\
Examples:
  berth-copier attach --artifact-type application/spdx+json docker://registry.example.org/app:1.0 sbom.json:application/spdx+json
  berth-copier attach --artifact-type application/vnd.example.note --annotation by=me docker://registry.example.org/app:1.0
  berth-copier attach --artifact-type application/vnd.example.doc oci:layout:app docs/";

impl Attach {
    pub(crate) async fn run(self, process: &Process) -> Result<()> {
        let (reference, files) = split(&self.arguments)?;
        let name = reference_of(reference)?;
        let artifact = self.content.artifact(files, None)?;
        let session = process.session(&self.retry)?;
        let attachment = Attachment { platform: self.platform.clone() };
        let pushed = artifact::attach(&session, &name, &self.image.side()?, &artifact, &attachment).await?;
        self.told.tell(&process.output, "Attached to", &name, &pushed)
    }
}
