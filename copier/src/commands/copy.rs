//! `copy`: an image from one place to another.

use std::path::{Path, PathBuf};

use berth_copier::{
    Error, ImageName, Result, Session, Side,
    copy::{self, Options, Report, retry::retry},
    encryption::{DecryptionKey, Encrypt, Recipient},
    error::ResultExt,
};
use berth_oci::Reference;
use clap::{Args, ValueEnum};

use super::Process;
use crate::cli::{
    DeprecatedTls, DestinationAccessOptions, DestinationLocalOptions, LayerOptions, ManifestOptions,
    PlatformOptions, RetryOptions, SharedOptions, SourceAccessOptions, SourceLocalOptions,
};

/// Copy an image from one place to another
///
/// Without --all and --multi-arch, of a multi-platform image the one for this machine is copied. Manifests are copied byte for
/// byte, what is at the destination is not sent again, and blobs of the same registry are mounted, not moved.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Copy {
    /// The image to read
    #[arg(value_name = "SOURCE-IMAGE")]
    source: String,

    /// Where to write it
    #[arg(value_name = "DESTINATION-IMAGE")]
    destination: String,

    #[command(flatten)]
    platforms: PlatformOptions,

    /// Copy referrers too: signatures, SBOMs and attestations that name the image as their subject
    #[arg(long, help_heading = "What to copy")]
    referrers: bool,

    /// Copy tags of the form sha256-….sig, .att and .sbom too
    #[arg(long, help_heading = "What to copy")]
    digest_tags: bool,

    /// More names for the image, where the destination is docker-archive:
    #[arg(long, value_name = "NAME:TAG", value_delimiter = ',', help_heading = "What to copy")]
    additional_tag: Vec<String>,

    #[command(flatten)]
    manifests: ManifestOptions,

    /// The name that a new signature speaks of [default: the destination's]
    #[arg(long, value_name = "REFERENCE", help_heading = "Manifests and signatures")]
    sign_identity: Option<String>,

    #[command(flatten)]
    layers: LayerOptions,

    /// Encrypt layers for this key, like jwe:/path/to/public.pem
    #[arg(long, value_name = "PROTOCOL:KEY", value_delimiter = ',', help_heading = "Encryption")]
    encryption_key: Vec<String>,

    /// Encrypt only these layers; 0 is the first, -1 the last
    #[arg(long, value_name = "N", value_delimiter = ',', help_heading = "Encryption")]
    encrypt_layer: Vec<i64>,

    /// Decrypt layers with this key
    #[arg(long, value_name = "KEY[:PASSPHRASE]", value_delimiter = ',', help_heading = "Encryption")]
    decryption_key: Vec<String>,

    /// Print nothing but errors
    #[arg(long, short, help_heading = "What to tell")]
    quiet: bool,

    /// Say what would be copied, and copy nothing
    #[arg(long, help_heading = "What to tell")]
    dry_run: bool,

    /// Write the digest of the image at the destination into this file
    #[arg(long, value_name = "PATH", help_heading = "What to tell")]
    digestfile: Option<PathBuf>,

    /// Print what was done as JSON, and nothing else
    #[arg(long, value_name = "FORMAT", help_heading = "What to tell")]
    report: Option<ReportFormat>,

    /// Layers to copy at once [default: as many as the registries take]
    #[arg(long, value_name = "N", help_heading = "How to copy")]
    image_parallel_copies: Option<usize>,

    /// Keep a journal, so that a copy that was killed goes on where it stood [default DIR: ~/.cache/berth-copier]
    #[arg(long, value_name = "DIR", require_equals = true, help_heading = "How to copy")]
    resume: Option<Option<PathBuf>>,

    #[command(flatten)]
    retry: RetryOptions,

    #[command(flatten)]
    shared: SharedOptions,

    #[command(flatten)]
    source_access: SourceAccessOptions,

    #[command(flatten)]
    source_local: SourceLocalOptions,

    #[command(flatten)]
    destination_access: DestinationAccessOptions,

    #[command(flatten)]
    destination_local: DestinationLocalOptions,

    #[command(flatten)]
    deprecated_tls: DeprecatedTls,
}

const EXAMPLES: &str = "\
Examples:
  berth-copier copy docker://docker.io/library/alpine docker://registry.example.org/alpine
  berth-copier copy --all docker://registry.example.org/app:1.0 oci:app:1.0
  berth-copier copy --multi-arch linux/amd64,linux/arm64 docker://a.example.org/app docker://b.example.org/app
  berth-copier copy docker://registry.example.org/app docker-archive:app.tar:app:latest
  berth-copier copy --dest-creds me:secret --digestfile digest.txt oci:app docker://registry.example.org/app";

/// Forms of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// One JSON object.
    Json,
}

/// A copy as it was asked for.
struct Plan {
    source: ImageName,
    source_side: Side,
    destination: ImageName,
    destination_side: Side,
    options: Options,
}

impl Copy {
    pub(crate) async fn run(self, process: &Process) -> Result<()> {
        if self.deprecated_tls.tls_verify.is_some() {
            process
                .output
                .warning("'--tls-verify' is deprecated, instead use: --src-tls-verify, --dest-tls-verify");
        }
        let plan = self.plan(process)?;
        if self.dry_run {
            process.output.warning("Running in dry-run mode");
            process.output.info(&format!("Would have copied from={} to={}", self.source, self.destination));
            return Ok(());
        }
        let session = process.session(&self.retry)?;
        // There standard output is the archive.
        let piped = matches!(
            &plan.destination,
            ImageName::OciArchive { path, .. } | ImageName::DockerArchive { path, .. } if path.as_os_str() == "-"
        );
        if piped && self.report.is_some() {
            return Err(Error::Usage(
                "--report writes to standard output, and so does this destination; give the archive a file"
                    .to_owned(),
            ));
        }
        let progress = process.output.progress(self.quiet || self.report.is_some() || piped);
        let report =
            retry(session.settings().retry, async || plan.run(&session, progress.as_ref()).await).await?;
        if let Some(path) = &self.digestfile {
            std::fs::write(path, report.digest.as_str())
                .map_err(Error::file(path))
                .context(format!("Failed to write digest to file \"{}\"", path.display()))?;
        }
        match self.report {
            Some(ReportFormat::Json) => process.output.json(&report),
            None => Ok(()),
        }
    }

    fn plan(&self, process: &Process) -> Result<Plan> {
        let source: ImageName =
            self.source.parse().context(format!("Invalid source name {}", self.source))?;
        let destination: ImageName =
            self.destination.parse().context(format!("Invalid destination name {}", self.destination))?;
        let tls = self.deprecated_tls.tls_verify;
        let mut source_side = self.source_access.access(tls).side(&self.shared)?;
        self.source_local.add_to(&mut source_side);
        let mut destination_side = self.destination_access.access(tls).side(&self.shared)?;
        self.destination_local.add_to(&mut destination_side);
        destination_side.additional_tags =
            self.additional_tag.iter().map(|text| additional_tag(text)).collect::<Result<_>>()?;

        let mut options = Options {
            encrypt: self.encrypt()?,
            decrypt: self
                .decryption_key
                .iter()
                .map(|text| DecryptionKey::parse(text))
                .collect::<Result<_>>()?,
            instances: self.platforms.instances()?,
            referrers: self.referrers,
            digest_tags: self.digest_tags,
            sign_identity: self.sign_identity.as_deref().map(identity).transpose()?,
            parallel: self.image_parallel_copies.unwrap_or_default(),
            resume: self.resume.as_ref().map(|named| journal(named.as_deref())).transpose()?,
            ..Options::default()
        };
        self.manifests.add_to(&mut options)?;
        for warning in self.layers.add_to(&mut options, &mut destination_side, &destination)? {
            process.output.warning(&warning);
        }
        Ok(Plan { source, source_side, destination, destination_side, options })
    }

    fn encrypt(&self) -> Result<Option<Encrypt>> {
        let usage = |text: &str| Err(Error::Usage(text.to_owned()));
        if !self.encryption_key.is_empty() && !self.decryption_key.is_empty() {
            return usage("--encryption-key and --decryption-key cannot be specified together");
        }
        if self.encryption_key.is_empty() {
            return if self.encrypt_layer.is_empty() {
                Ok(None)
            } else {
                usage("--encrypt-layer can only be used with --encryption-key")
            };
        }
        let recipients = self.encryption_key.iter().map(|text| Recipient::parse(text));
        let recipients = recipients.collect::<Result<_>>().context("Invalid encryption keys")?;
        Ok(Some(Encrypt { recipients, layers: self.encrypt_layer.clone() }))
    }
}

impl Plan {
    async fn run(&self, session: &Session, progress: &dyn berth_copier::Progress) -> Result<Report> {
        let sink = session
            .sink(&self.destination, &self.destination_side)
            .await
            .context(format!("initializing destination {}", self.destination))?;
        let source = session.source(&self.source, &self.source_side).await.context(match self.source {
            ImageName::Dir(_) => format!("determining manifest MIME type for {}", self.source),
            _ => format!("initializing source {}", self.source),
        })?;
        copy::run(session, source.as_ref(), sink.as_ref(), &self.options, progress).await
    }
}

/// The journal's folder; without a name it is in the user's cache.
fn journal(named: Option<&Path>) -> Result<PathBuf> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let set = |key: &str| std::env::var_os(key).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    cache.map(|cache| cache.join("berth-copier")).ok_or_else(|| {
        Error::Usage("--resume: there is no HOME to keep the journal in; give --resume=DIR".to_owned())
    })
}

fn additional_tag(text: &str) -> Result<Reference> {
    let reference: Reference = text
        .parse()
        .map_err(|fault| Error::Usage(format!("error parsing additional-tag '{text}': {fault}")))?;
    if reference.tag().is_none() || reference.digest().is_some() {
        return Err(Error::Usage(format!("additional-tag '{text}' must be a tagged reference")));
    }
    Ok(reference)
}

fn identity(text: &str) -> Result<Reference> {
    let fault = |reason: String| Error::Usage(format!("Could not parse --sign-identity: {reason}"));
    let reference: Reference = text.parse().map_err(|e| fault(format!("{e}")))?;
    // "Fully specified" is what signatures speak of: a host, a name and a tag or digest.
    if reference.target().is_none() || !text.starts_with(reference.host()) {
        return Err(fault(format!("\"{text}\" is not of the form HOST/NAME:TAG or HOST/NAME@DIGEST")));
    }
    Ok(reference)
}
