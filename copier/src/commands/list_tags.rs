//! `list-tags`: the tags of a repository, or the names in an archive.

use berth_copier::{Error, ImageName, Result, copy::retry::retry, error::ResultExt, inspect::archive_names};
use clap::Args;
use serde::Serialize;

use super::Process;
use crate::cli::{AccessOptions, RetryOptions, SharedOptions};

/// List the tags of a repository, or the names in a docker-archive
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ListTags {
    /// docker://HOST/REPOSITORY or docker-archive:PATH
    #[arg(value_name = "REPOSITORY-NAME")]
    repository: String,

    #[command(flatten)]
    retry: RetryOptions,

    #[command(flatten)]
    shared: SharedOptions,

    #[command(flatten)]
    access: AccessOptions,
}

const EXAMPLES: &str = "\
Examples:
  berth-copier list-tags docker://registry.example.org/app
  berth-copier list-tags docker-archive:images.tar";

/// What is printed.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TagList {
    #[serde(skip_serializing_if = "Option::is_none")]
    repository: Option<String>,
    tags: Vec<String>,
}

impl ListTags {
    pub(crate) async fn run(self, process: &Process) -> Result<()> {
        let side = self.access.access(None).side(&self.shared)?;
        let Some((transport, rest)) = self.repository.split_once(':') else {
            return Err(Error::Usage(format!(
                "Invalid \"{}\": does not specify a transport",
                self.repository
            )));
        };
        if !matches!(transport, "docker" | "docker-archive") {
            return Err(Error::Usage(format!(
                "Unsupported transport '{transport}' for tag listing. Only supported: docker, docker-archive"
            )));
        }
        let session = process.session(&self.retry)?;
        let name: ImageName = self.repository.parse()?;
        let list = match &name {
            ImageName::Docker { reference, .. } => {
                // `latest` is filled in by the parser; here nothing but a bare name is meant.
                let bare = rest
                    .trim_start_matches("//")
                    .parse()
                    .ok()
                    .filter(|r: &berth_oci::Reference| r.tag().is_none() && r.digest().is_none());
                if bare.is_none() {
                    return Err(Error::Usage(format!(
                        "No tag or digest allowed in reference \"{}\"; write docker://{}/{}",
                        self.repository,
                        reference.host(),
                        reference.name()
                    )));
                }
                let repository = session.remote().repository(reference, &side)?;
                let tags = retry(session.settings().retry, async || repository.tags().await)
                    .await
                    .context("Error listing repository tags")?;
                TagList {
                    repository: Some(format!("{}/{}", reference.host(), reference.name())),
                    tags: tags.iter().map(ToString::to_string).collect(),
                }
            }
            ImageName::DockerArchive { path, .. } => {
                TagList { repository: None, tags: archive_names(path, session.settings()).await? }
            }
            other => return Err(Error::Unsupported(format!("{other}: a list of tags of no registry"))),
        };
        process.output.json(&list)
    }
}
