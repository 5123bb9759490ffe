//! `sync`: many images at once.

use std::{path::PathBuf, time::Duration};

use berth_copier::{
    Error, Result, Session, Side,
    copy::Options,
    error::ResultExt,
    source::Instances,
    sync::{self, Destination, From, PARALLEL, Pattern, Prune, Report, Request, SystemClock, Transport},
};
use berth_oci::Platform;
use clap::{Args, ValueEnum};

use super::Process;
use crate::cli::{
    DeprecatedTls, DestinationAccessOptions, ManifestOptions, PlatformOptions, RetryOptions, SharedOptions,
    SourceAccessOptions, duration,
};

/// Copy all images of a repository, a folder, a layout or a list to one place
///
/// What is there already costs one HEAD on each side. A sync that was interrupted is simply run again.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = LIST)]
pub(crate) struct Sync {
    /// A repository or image, a folder, a layout, or a list in YAML
    #[arg(value_name = "SOURCE")]
    source: String,

    /// A registry or a path in one, a folder, or a layout
    #[arg(value_name = "DESTINATION")]
    destination: String,

    /// What the source is: docker, dir, oci or yaml
    #[arg(long, short, value_name = "TRANSPORT", default_value = "", hide_default_value = true)]
    src: String,

    /// What the destination is: docker, dir or oci
    #[arg(long, short, value_name = "TRANSPORT", default_value = "", hide_default_value = true)]
    dest: String,

    /// Keep the source's whole path in names at the destination, so that equal names do not clash
    #[arg(long, help_heading = "Names at the destination")]
    scoped: bool,

    /// Append this to tags at the destination
    #[arg(
        long,
        value_name = "SUFFIX",
        default_value = "",
        hide_default_value = true,
        help_heading = "Names at the destination"
    )]
    append_suffix: String,

    #[command(flatten)]
    platforms: PlatformOptions,

    /// Copy these platforms of multi-platform images, like linux/amd64; may be repeated
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_delimiter = ',', conflicts_with_all = ["all", "multi_arch"], help_heading = "What to copy")]
    platform: Vec<Platform>,

    /// Copy referrers too: signatures, SBOMs and attestations that name the image as their subject
    #[arg(long, help_heading = "What to copy")]
    referrers: bool,

    /// Of listed tags take those that a glob fits whole, or `re:` and a regular expression anywhere; may be repeated
    #[arg(long, value_name = "PATTERN", help_heading = "What to copy")]
    include: Vec<String>,

    /// Of listed tags leave those out that a pattern fits; may be repeated
    #[arg(long, value_name = "PATTERN", help_heading = "What to copy")]
    exclude: Vec<String>,

    /// Of each repository take so many tags: the highest versions, then names from the end of the alphabet
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "What to copy")]
    latest: Option<u32>,

    /// Delete tags that the selection covers and the source has no more; =empty-ok even if it has none any more
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "gone", help_heading = "What to delete")]
    prune: Option<String>,

    /// Replace a folder that holds another image, where the destination is dir
    #[arg(long, help_heading = "What to delete")]
    overwrite: bool,

    #[command(flatten)]
    manifests: ManifestOptions,

    /// Print the plan and do nothing
    #[arg(long, help_heading = "What to tell")]
    dry_run: bool,

    /// Write digest and name of each image at the destination into this file
    #[arg(long, value_name = "PATH", help_heading = "What to tell")]
    digestfile: Option<PathBuf>,

    /// Print what was done as JSON
    #[arg(long, value_name = "FORMAT", help_heading = "What to tell")]
    report: Option<ReportFormat>,

    /// Images at once
    #[arg(long, value_name = "N", default_value_t = PARALLEL, help_heading = "How to copy")]
    parallel: usize,

    /// Sync again after this time, and again, until SIGTERM
    #[arg(long, value_name = "INTERVAL", value_parser = duration, conflicts_with = "dry_run", help_heading = "How to copy")]
    watch: Option<Duration>,

    /// Go on with the other images when one fails, and fail in the end
    #[arg(long, help_heading = "When something fails")]
    keep_going: bool,

    #[command(flatten)]
    retry: RetryOptions,

    #[command(flatten)]
    shared: SharedOptions,

    #[command(flatten)]
    source_access: SourceAccessOptions,

    #[command(flatten)]
    destination_access: DestinationAccessOptions,

    #[command(flatten)]
    deprecated_tls: DeprecatedTls,
}

macro_rules! examples {
    () => {
        "\
Examples:
  berth-copier sync --all -s docker -d docker a.example.org/team/app b.example.org/mirror
  berth-copier sync -s docker -d dir --scoped registry.example.org/app /media/usb
  berth-copier sync -s dir -d docker /media/usb registry.example.org/mirror
  berth-copier sync -s yaml -d docker --all --keep-going --prune --dry-run list.yml registry.example.org
  berth-copier sync -s yaml -d docker --all --watch 15m list.yml registry.example.org"
    };
}

const EXAMPLES: &str = concat!(examples!(), "\n\n`--help` shows the form of lists.");

const LIST: &str = concat!(include_str!("sync_list.txt"), examples!());

/// Forms of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// One JSON object.
    Json,
}

impl Sync {
    pub(crate) async fn run(self, process: &Process) -> Result<()> {
        if self.deprecated_tls.tls_verify.is_some() {
            process
                .output
                .warning("'--tls-verify' is deprecated, instead use: --src-tls-verify, --dest-tls-verify");
        }
        let request = self.request()?;
        let session = process.session(&self.retry)?;
        if self.dry_run {
            process.output.warning("Running in dry-run mode");
            let report = sync::dry_run(&session, &request).await?;
            if self.report.is_none() {
                let mut plan = Vec::new();
                report.write_plan(&mut plan).map_err(Error::file("standard output"))?;
                process.output.raw(&plan)?;
            }
            return self.tell(process, report);
        }
        if let Some(path) = &self.digestfile {
            // Before the first byte is copied: a path that cannot be written is known at once.
            std::fs::write(path, "").map_err(Error::file(path)).context("Error creating digest file")?;
        }
        match self.watch {
            None => self.once(process, &session, &request).await,
            Some(interval) => {
                let round = async || {
                    if let Err(error) = self.once(process, &session, &request).await {
                        tracing::error!("{error}");
                    }
                };
                // The signal ends the process, whatever it is at.
                sync::watch(&SystemClock, interval, std::future::pending(), round).await;
                Ok(())
            }
        }
    }

    async fn once(&self, process: &Process, session: &Session, request: &Request) -> Result<()> {
        let report = sync::run(session, request).await?;
        if let Some(path) = &self.digestfile {
            std::fs::write(path, report.digest_lines())
                .map_err(Error::file(path))
                .context(format!("Failed to write digest to file \"{}\"", path.display()))?;
        }
        self.tell(process, report)
    }

    /// Prints what was asked for, lists what failed, and fails if anything did.
    fn tell(&self, process: &Process, report: Report) -> Result<()> {
        if self.report.is_some() {
            process.output.json(&report)?;
        }
        if report.failures.len() > 1 {
            for failure in &report.failures {
                tracing::error!("Failed: {}: {}", failure.what, failure.error);
            }
        }
        report.into_result()
    }

    fn request(&self) -> Result<Request> {
        if self.src.is_empty() {
            return Err(Error::Usage("A source transport must be specified".to_owned()));
        }
        if self.dest.is_empty() {
            return Err(Error::Usage("A destination transport must be specified".to_owned()));
        }
        let from = From::parse(&self.src, &self.source)?;
        let transport: Transport = self.dest.parse()?;
        if matches!(from, From::Dir(_)) && transport == Transport::Dir {
            return Err(Error::Usage(
                "sync from 'dir' to 'dir' not implemented, consider using rsync instead".to_owned(),
            ));
        }
        let prune: Prune = self.prune.as_deref().map(str::parse).transpose()?.unwrap_or_default();
        if prune != Prune::Never && transport == Transport::Oci {
            return Err(Error::Unsupported(
                "--prune: images are not deleted from an OCI layout; sync to a new one".to_owned(),
            ));
        }
        let root = match transport {
            Transport::Docker => self.destination.strip_prefix("docker://").unwrap_or(&self.destination),
            Transport::Dir | Transport::Oci => &self.destination,
        };
        let (source, destination) = self.sides()?;
        Ok(Request {
            from,
            to: Destination {
                transport,
                root: root.to_owned(),
                scoped: self.scoped,
                suffix: self.append_suffix.clone(),
            },
            source,
            destination,
            include: patterns("--include", &self.include)?,
            exclude: patterns("--exclude", &self.exclude)?,
            latest: self.latest.and_then(|latest| usize::try_from(latest).ok()),
            prune,
            overwrite: self.overwrite,
            keep_going: self.keep_going,
            options: self.options()?,
            parallel: self.parallel.max(1),
        })
    }

    fn sides(&self) -> Result<(Side, Side)> {
        let tls = self.deprecated_tls.tls_verify;
        let source = self.source_access.access(tls).side(&self.shared)?;
        let destination = self.destination_access.access(tls).side(&self.shared)?;
        Ok((source, destination))
    }

    fn options(&self) -> Result<Options> {
        let instances = match &self.platform[..] {
            [] => self.platforms.instances()?,
            platforms => Instances::Platforms(platforms.to_vec()),
        };
        let mut options = Options { instances, referrers: self.referrers, ..Options::default() };
        self.manifests.add_to(&mut options)?;
        Ok(options)
    }
}

fn patterns(flag: &str, texts: &[String]) -> Result<Vec<Pattern>> {
    let parse = |text: &String| text.parse().map_err(|fault| Error::Usage(format!("{flag}: {fault}")));
    texts.iter().map(parse).collect()
}
