//! `delete`: an image of a registry.

use berth_copier::{Error, ImageName, Result, copy::retry::retry, error::ResultExt};
use berth_oci::ManifestReference;
use clap::Args;

use super::Process;
use crate::cli::{ImageOptions, RetryOptions};

/// Delete an image of a registry
///
/// The manifest is deleted by its digest, and every tag that means it with it; the registry's collection frees the space. With
/// --tag-only the tag goes and the manifest stays, where the registry can do that.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Delete {
    /// The image
    #[arg(value_name = "IMAGE-NAME")]
    image: String,

    /// Delete the tag and leave the manifest
    #[arg(long)]
    tag_only: bool,

    #[command(flatten)]
    retry: RetryOptions,

    #[command(flatten)]
    options: ImageOptions,
}

const EXAMPLES: &str = "\
Examples:
  berth-copier delete docker://registry.example.org/app:1.0
  berth-copier delete --tag-only docker://registry.example.org/app:latest";

impl Delete {
    pub(crate) async fn run(self, process: &Process) -> Result<()> {
        let name: ImageName = self.image.parse().context(format!("Invalid source name {}", self.image))?;
        let side = self.options.side()?;
        let ImageName::Docker { reference, .. } = &name else {
            return Err(Error::Unsupported(format!(
                "Deleting images not implemented for {}: images",
                name.transport()
            )));
        };
        let Some(target) = reference.target() else {
            return Err(Error::Usage(format!("{name} names no image: give a tag or a digest")));
        };
        if self.tag_only && matches!(target, ManifestReference::Digest(_)) {
            return Err(Error::Usage(format!("--tag-only needs a tag, and {name} has a digest")));
        }
        let session = process.session(&self.retry)?;
        let repository = session.remote().repository(reference, &side)?.for_writing();
        retry(session.settings().retry, async || {
            if self.tag_only {
                return repository.delete_manifest(&target).await;
            }
            let Some(found) = repository.head_manifest(&target).await? else {
                let absent = Error::NotFound {
                    what: format!("reading manifest {target}"),
                    place: repository.reference().to_string(),
                    reason: "manifest unknown".to_owned(),
                };
                return Err(absent.context(format!(
                    "Unable to delete {}. Image may not exist or is not stored with a v2 Schema in a v2 registry",
                    reference.familiar()
                )));
            };
            repository.delete_manifest(&ManifestReference::Digest(found.digest)).await
        })
        .await
    }
}
