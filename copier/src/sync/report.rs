//! What a sync did, or would do.

use std::io::{self, Write};

use berth_oci::Digest;
use serde::Serialize;

use super::listing::Failure;
use crate::Error;

/// What a sync did (`--report json`), or with a dry run what it would do.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whether nothing was done.
    pub dry_run: bool,
    /// Repositories, folders and layouts that the images are of.
    pub sources: usize,
    /// Every image, in the order of the source.
    pub images: Vec<ImageReport>,
    /// Every tag that was deleted.
    pub deleted: Vec<DeletionReport>,
    /// Bytes of blobs that were sent.
    pub bytes_copied: u64,
    /// What failed, in words.
    #[serde(serialize_with = "words")]
    pub failures: Vec<Failure>,
}

/// One image.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageReport {
    /// Where it came from.
    pub source: String,
    /// Where it went.
    pub destination: String,
    /// What became of it.
    pub action: Action,
    /// Digest of its manifest at the destination.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Bytes of blobs: those that were sent, or in a dry run those that are sent at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// What becomes of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// It was, or would be, copied.
    Copy,
    /// It was there.
    Skip,
    /// It failed, or a dry run saw that it would.
    Fail,
}

/// One deleted tag.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeletionReport {
    /// Which.
    pub image: String,
    /// The manifest that it meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

fn words<S: serde::Serializer>(failures: &[Failure], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(failures.iter().map(|failure| format!("{}: {}", failure.what, failure.error)))
}

impl Report {
    /// How many images met this fate.
    #[must_use]
    pub fn count(&self, action: Action) -> usize {
        self.images.iter().filter(|image| image.action == action).count()
    }

    /// The gravest failure's exit code, 0 where there is none.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.failures.iter().map(|failure| failure.error.exit_code()).max().unwrap_or_default()
    }

    /// The gravest failure as the error of the whole.
    ///
    /// # Errors
    /// If anything failed.
    pub fn into_result(mut self) -> Result<(), Error> {
        let gravest = self.exit_code();
        let Some(place) = self.failures.iter().position(|failure| failure.error.exit_code() == gravest)
        else {
            return Ok(());
        };
        let failure = self.failures.swap_remove(place);
        Err(match self.failures.len() {
            0 => failure.error.context(failure.what),
            more => failure.error.context(format!(
                "Sync failed due to previous reported error(s) for {} images or repositories, the gravest being {}",
                more + 1,
                failure.what
            )),
        })
    }

    /// Writes one line per image and deleted tag: what, from where to where, digest, bytes.
    ///
    /// # Errors
    /// As the writer.
    pub fn write_plan(&self, to: &mut dyn Write) -> io::Result<()> {
        for image in &self.images {
            let word = match image.action {
                Action::Copy => "copy  ",
                Action::Skip => "skip  ",
                Action::Fail => "fail  ",
            };
            write!(to, "{word} {} -> {}", image.source, image.destination)?;
            if let Some(digest) = &image.digest {
                write!(to, " {digest}")?;
            }
            match image.bytes {
                Some(bytes) if image.action == Action::Copy => writeln!(to, " {bytes} bytes")?,
                _ => writeln!(to)?,
            }
        }
        for deletion in &self.deleted {
            let digest = deletion.digest.as_ref().map(|digest| format!(" {digest}")).unwrap_or_default();
            writeln!(to, "delete {}{digest}", deletion.image)?;
        }
        let bytes: u64 =
            self.images.iter().filter(|i| i.action == Action::Copy).filter_map(|i| i.bytes).sum();
        writeln!(
            to,
            "{} to copy (at most {bytes} bytes), {} unchanged, {} to delete, {} failed",
            self.count(Action::Copy),
            self.count(Action::Skip),
            self.deleted.len(),
            self.failures.len()
        )
    }

    /// The lines of `--digestfile`: digest and name of each image that is at the destination.
    #[must_use]
    pub fn digest_lines(&self) -> String {
        self.images
            .iter()
            .filter(|image| image.action != Action::Fail)
            .filter_map(|image| Some(format!("{} {}\n", image.digest.as_ref()?, image.destination)))
            .collect()
    }
}
