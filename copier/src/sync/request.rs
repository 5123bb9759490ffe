//! What a sync is asked to do.

use std::{path::PathBuf, str::FromStr};

use berth_oci::Reference;

use super::{naming::Destination, tags::Pattern};
use crate::{Error, Result, Side, copy};

/// Images at once, unless the request says otherwise.
pub const PARALLEL: usize = 8;

/// Where images come from.
#[derive(Clone, Debug)]
pub enum From {
    /// A repository with all its tags, or one image of it.
    Docker(Reference),
    /// A folder with `dir:` images in it, at any depth, or one such image.
    Dir(PathBuf),
    /// The images of an OCI layout that have a name.
    Oci(PathBuf),
    /// A list, see [`super::config`].
    Yaml(PathBuf),
}

impl From {
    /// Reads `--src TRANSPORT SOURCE`.
    ///
    /// # Errors
    /// `Error::Usage`.
    pub fn parse(transport: &str, source: &str) -> Result<Self> {
        match transport {
            "docker" => source.strip_prefix("docker://").unwrap_or(source).parse().map(Self::Docker).map_err(
                |error| {
                    Error::Usage(format!("\"{source}\" is no repository or image of a registry: {error}"))
                },
            ),
            "dir" => Ok(Self::Dir(source.into())),
            "oci" => Ok(Self::Oci(source.into())),
            "yaml" => Ok(Self::Yaml(source.into())),
            _ => Err(Error::Usage(format!(
                "\"{transport}\" is not a valid source transport; known are docker, dir, oci and yaml"
            ))),
        }
    }
}

/// Whether tags are deleted at the destination.
///
/// A tag goes if the selection covers it and the source does not have it any more. Tags that stand for a digest
/// (`sha256-…`, as referrers and signatures are kept) always stay. Nothing is deleted where any list of tags could not
/// be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prune {
    /// None is.
    #[default]
    Never,
    /// Those that the source has no more, unless nothing of it is selected any more: that looks like a mistake.
    Gone,
    /// Those that the source has no more, even if that is every one.
    EmptyOk,
}

impl FromStr for Prune {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "gone" | "true" => Ok(Self::Gone),
            "empty-ok" => Ok(Self::EmptyOk),
            "false" => Ok(Self::Never),
            _ => Err(Error::Usage(format!("--prune={text}: write --prune or --prune=empty-ok"))),
        }
    }
}

/// One sync.
#[derive(Clone)]
pub struct Request {
    /// Where images come from.
    pub from: From,
    /// Where they go.
    pub to: Destination,
    /// Access to the source; a list in YAML may say otherwise for its registries.
    pub source: Side,
    /// Access to the destination.
    pub destination: Side,
    /// `--include`: one of these must fit a listed tag, where there are any.
    pub include: Vec<Pattern>,
    /// `--exclude`: none of these may fit a listed tag.
    pub exclude: Vec<Pattern>,
    /// `--latest`: at most so many tags of each listed repository.
    pub latest: Option<usize>,
    /// `--prune`.
    pub prune: Prune,
    /// `--overwrite`: folders that hold another image are replaced.
    pub overwrite: bool,
    /// `--keep-going`: one image's failure does not end the others.
    pub keep_going: bool,
    /// How each image is copied.
    pub options: copy::Options,
    /// Images at once.
    pub parallel: usize,
}
