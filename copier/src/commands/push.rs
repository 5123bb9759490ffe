//! `push`: files become an artifact.

use std::path::{Path, PathBuf};

use berth_copier::{
    Error, ImageName, Result,
    artifact::{self, Annotations, Artifact, FileArgument, Pushed},
};
use berth_oci::Platform;
use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::Process;
use crate::{
    cli::{ImageOptions, RetryOptions},
    output::Output,
};

/// Push files and folders as an OCI artifact
///
/// Each file is a layer with its path as title; folders are packed. `oras pull` and `berth-copier pull` bring them back.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Push {
    /// Files and folders, each with :MEDIA-TYPE behind it if need be, and last (or first) where they go
    #[arg(value_name = "FILE[:MEDIA-TYPE]… REF", required = true)]
    arguments: Vec<String>,

    #[command(flatten)]
    content: ContentOptions,

    /// The platform that the artifact is for
    #[arg(
        long,
        visible_alias = "artifact-platform",
        value_name = "OS/ARCH[/VARIANT]",
        help_heading = "The artifact"
    )]
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
  berth-copier push report.pdf:application/pdf docker://registry.example.org/docs:1.0
  berth-copier push --artifact-type application/vnd.example.model weights/ card.md docker://registry.example.org/model:2
  berth-copier push --annotation org.opencontainers.image.source=https://example.org notes.txt oci:layout:notes
  berth-copier push registry.example.org/docs:1.0 a.txt b.txt";

/// What an artifact is made of besides its files.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "The artifact")]
pub(crate) struct ContentOptions {
    /// Type of the artifact
    #[arg(long, value_name = "MEDIA-TYPE")]
    artifact_type: Option<String>,

    /// Annotation of the manifest; may be repeated
    #[arg(long, short, value_name = "KEY=VALUE")]
    annotation: Vec<String>,

    /// File with annotations, as oras has it: {"$manifest": {…}, "$config": {…}, "FILE": {…}}
    #[arg(long, value_name = "PATH")]
    annotation_file: Option<PathBuf>,

    /// The configuration in place of the empty one
    #[arg(long, value_name = "FILE[:MEDIA-TYPE]")]
    config: Option<String>,
}

impl ContentOptions {
    /// The artifact of these files.
    pub(crate) fn artifact(&self, files: &[String], platform: Option<Platform>) -> Result<Artifact> {
        let mut annotations = match &self.annotation_file {
            Some(path) => Annotations::read(path)?,
            None => Annotations::default(),
        };
        for text in &self.annotation {
            annotations.add(text)?;
        }
        let epoch = std::env::var("SOURCE_DATE_EPOCH").ok();
        Ok(Artifact {
            files: files.iter().map(|text| FileArgument::parse(text)).collect::<Result<_>>()?,
            artifact_type: self.artifact_type.clone(),
            annotations,
            config: self.config.as_deref().map(FileArgument::parse).transpose()?,
            platform,
            ..Artifact::new(epoch.as_deref(), Timestamp::now())?
        })
    }
}

/// What is told of what was pushed.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "What to tell")]
pub(crate) struct ToldOptions {
    /// Write the manifest into this file
    #[arg(long, value_name = "PATH")]
    export_manifest: Option<PathBuf>,

    /// Print what was done as JSON
    #[arg(long, value_name = "FORMAT")]
    report: Option<ReportFormat>,
}

/// Forms of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// One JSON object.
    Json,
}

impl ToldOptions {
    /// Tells it.
    pub(crate) fn tell(&self, output: &Output, word: &str, name: &ImageName, pushed: &Pushed) -> Result<()> {
        if let Some(path) = &self.export_manifest {
            std::fs::write(path, &pushed.manifest).map_err(Error::file(path))?;
        }
        if self.report.is_some() {
            return output.json(pushed);
        }
        output.line(format!("{word} {name}"))?;
        if let Some(artifact_type) = &pushed.artifact_type {
            output.line(format!("ArtifactType: {artifact_type}"))?;
        }
        output.line(format!("Digest: {}", pushed.digest))
    }
}

impl Push {
    pub(crate) async fn run(self, process: &Process) -> Result<()> {
        let (reference, files) = split(&self.arguments)?;
        let name = reference_of(reference)?;
        let artifact = self.content.artifact(files, self.platform.clone())?;
        let session = process.session(&self.retry)?;
        let pushed = artifact::push(&session, &name, &self.image.side()?, &artifact).await?;
        self.told.tell(&process.output, "Pushed", &name, &pushed)
    }
}

/// The reference is the last argument, or the first, as oras has it: whichever says its transport, or is no file.
pub(crate) fn split(arguments: &[String]) -> Result<(&str, &[String])> {
    let [first, rest @ ..] = arguments else {
        return Err(Error::Usage("where to push to is missing: FILE… docker://HOST/NAME:TAG".to_owned()));
    };
    let Some((last, before)) = arguments.split_last() else { return Ok((first, rest)) };
    let rank = |text: &str| (has_transport(text), !Path::new(text).exists());
    Ok(if rank(first) > rank(last) { (first, rest) } else { (last, before) })
}

fn has_transport(text: &str) -> bool {
    text.starts_with("docker://") || text.starts_with("oci:") || text.starts_with("dir:")
}

/// An image's name; one without a transport is a registry's, as oras has it.
pub(crate) fn reference_of(text: &str) -> Result<ImageName> {
    match text.split_once(':') {
        Some(("docker" | "dir" | "oci" | "oci-archive" | "docker-archive" | "docker-daemon", _)) => {
            text.parse()
        }
        _ => format!("docker://{text}").parse(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_the_last_argument_or_the_first() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("a.txt").display().to_string();
        std::fs::write(&file, "").unwrap();
        for (arguments, expected) in [
            (vec![file.as_str(), "docker://h.io/x:1"], "docker://h.io/x:1"),
            (vec!["docker://h.io/x:1", "missing.txt"], "docker://h.io/x:1"),
            (vec!["h.io/x:1", &file], "h.io/x:1"),
            (vec![&file, "h.io/x:1"], "h.io/x:1"),
            (vec!["oci:layout:x"], "oci:layout:x"),
            (vec!["missing.txt:text/plain", "h.io/x:1"], "h.io/x:1"),
        ] {
            let arguments: Vec<_> = arguments.into_iter().map(str::to_owned).collect();
            let (reference, files) = split(&arguments).unwrap();
            assert_eq!(reference, expected);
            assert_eq!(files.len() + 1, arguments.len());
        }
        assert!(split(&[]).is_err());
    }

    #[test]
    fn a_bare_reference_is_a_registrys() {
        assert_eq!(reference_of("localhost:5000/a:1").unwrap().to_string(), "docker://localhost:5000/a:1");
        assert_eq!(reference_of("oci:a:b").unwrap().to_string(), "oci:a:b");
    }
}
