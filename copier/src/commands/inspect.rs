//! `inspect`: what an image is.

use berth_copier::{
    Error, ImageName, RawManifest, Result, Session, Source,
    copy::{platform, retry::retry},
    error::ResultExt,
    inspect::{Inspected, Value, template},
};
use berth_oci::{Algorithm, Tag};
use bytes::Bytes;
use clap::{Args, ValueEnum};

use super::Process;
use crate::cli::{ImageOptions, RetryOptions};

/// Tell what an image is
///
/// Name, digest and tags are those of the image name; the rest is the image of this machine's platform (or of the one that
/// --override-os, --override-arch and --override-variant choose).
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Inspect {
    /// The image
    #[arg(value_name = "IMAGE-NAME")]
    image: String,

    /// Print the manifest as it is; with --config the configuration as it is
    #[arg(long, help_heading = "What to tell")]
    raw: bool,

    /// Print the configuration, as OCI orders it
    #[arg(long, help_heading = "What to tell")]
    config: bool,

    /// Print through a Go template, like '{{.Name}} {{.Digest}}'
    #[arg(long, short, value_name = "TEMPLATE", help_heading = "What to tell")]
    format: Option<String>,

    /// Do not ask for the repository's tags; RepoTags is empty
    #[arg(long, short, help_heading = "What to tell")]
    no_tags: bool,

    /// Compute the digest with this algorithm [default: that of the digest in the image's name, else sha256]
    #[arg(long, value_name = "ALGORITHM", help_heading = "What to tell")]
    manifest_digest: Option<DigestAlgorithm>,

    #[command(flatten)]
    retry: RetryOptions,

    #[command(flatten)]
    options: ImageOptions,
}

const EXAMPLES: &str = "\
Examples:
  berth-copier inspect docker://registry.example.org/app:1.0
  berth-copier inspect --no-tags --format '{{.Digest}}' docker://registry.example.org/app:1.0
  berth-copier inspect --config --format '{{json .Config.Labels}}' docker://registry.example.org/app:1.0
  berth-copier inspect --raw oci:app:1.0

Templates know fields, variables, if, range, with, pipelines, and the functions and, eq, ge, gt, index, join, json, le, len,
lower, lt, ne, not, or, pad, print, printf, println, split, title, truncate and upper.";

/// Digest algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DigestAlgorithm {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Inspect {
    pub(crate) async fn run(self, process: &Process) -> Result<()> {
        if self.raw && self.format.is_some() {
            return Err(Error::Usage("raw output does not support format option".to_owned()));
        }
        let session = process.session(&self.retry)?;
        let again = session.settings().retry;
        let parsing = || format!("Error parsing image name \"{}\"", self.image);
        let name: ImageName = self.image.parse().context(parsing())?;
        let side = self.options.side()?;
        let source = retry(again, async || session.source(&name, &side).await).await.context(parsing())?;
        let source = source.as_ref();
        // A registry is first asked here, and what it answers is still about the name.
        let reading = || match name {
            ImageName::Docker { .. } => parsing(),
            _ => "Error retrieving manifest for image".to_owned(),
        };
        let top = retry(again, async || source.manifest(None).await).await.context(reading())?;
        if self.raw && !self.config {
            return process.output.raw(&top.raw);
        }
        let inspected = self.find(&session, source, top).await?;
        if self.raw {
            let config = retry(again, async || inspected.raw_config(source).await).await;
            return process.output.raw(&config.context("Error reading configuration blob")?);
        }
        if self.config {
            let config = retry(again, async || inspected.config(source).await).await;
            let config = config.context("Error reading OCI-formatted configuration data")?;
            return self.show(process, &config);
        }
        let (config, tags) = tokio::join!(
            retry(again, async || inspected.raw_config(source).await),
            self.tags(&session, source, process),
        );
        let config: Bytes = config.context("Error reading configuration blob")?;
        let summary = inspected.summary(source, &config, &tags?, self.algorithm(&name))?;
        self.show(process, &summary)
    }

    async fn find(&self, session: &Session, source: &dyn Source, top: RawManifest) -> Result<Inspected> {
        let wanted = platform::wanted(&session.settings().platform, &platform::host());
        let find = async || Inspected::find(source, top.clone(), &wanted).await;
        retry(session.settings().retry, find).await.context("Error parsing manifest for image")
    }

    fn algorithm(&self, name: &ImageName) -> Algorithm {
        match self.manifest_digest {
            Some(DigestAlgorithm::Sha256) => Algorithm::Sha256,
            Some(DigestAlgorithm::Sha512) => Algorithm::Sha512,
            None => {
                let digest = name.reference().and_then(|reference| reference.digest());
                digest.map_or(Algorithm::Sha256, berth_oci::Digest::algorithm)
            }
        }
    }

    /// The repository's tags. Registries that let nobody list them (it costs a right of its own at some, others have no
    /// such interface) are no reason to tell nothing.
    async fn tags(&self, session: &Session, source: &dyn Source, process: &Process) -> Result<Vec<Tag>> {
        let Some(repository) = source.repository().filter(|_| !self.no_tags) else { return Ok(Vec::new()) };
        match retry(session.settings().retry, async || repository.tags().await).await {
            Err(error)
                if matches!(
                    error.root(),
                    Error::NotFound { .. }
                        | Error::Authentication { .. }
                        | Error::Registry { status: 403..=405, .. }
                ) =>
            {
                process.output.warning("Registry disallows tag list retrieval; skipping");
                Ok(Vec::new())
            }
            tags => tags.context("Error determining repository tags"),
        }
    }

    fn show(&self, process: &Process, value: &Value) -> Result<()> {
        let json = |format: &str| {
            let bare: String = format.split_whitespace().collect();
            matches!(bare.as_str(), "" | "json" | "{{json.}}" | "{{json}}")
        };
        match &self.format {
            Some(format) if !json(format) => process.output.raw(template::render(format, value)?.as_bytes()),
            _ => process.output.json(value),
        }
    }
}
