//! Tar to folder, for layers that may be hostile, and back again byte for byte.
//!
//! | module | what it is |
//! |---|---|
//! | [`header`] | one block of 512 bytes: names, numbers, checksum |
//! | [`pax`] | extended headers |
//! | [`sparse`] | maps of files with holes, in the forms that GNU tar writes |
//! | [`stream`] | bytes in pieces of any size → entries and their contents |
//! | [`name`] | what an entry's name may be, whiteouts |
//! | [`place`] | where a name leads in the folder, without ever leaving it |
//! | [`tree`] | entries → files |
//! | [`large`] | contents that are stored once across all layers |
//! | [`pack`], [`holes`] | files → entries; where they have holes |
//! | [`recipe`] | how the tar is put together again |
//! | [`attributes`] | owners, modes, times, extended attributes |
//!
//! What an archive means follows what Go's `archive/tar` makes of it, since that is what builds and unpacks nearly all
//! images; where readers of tar are known to disagree, the archive is refused.

mod attributes;
#[cfg(test)]
pub(crate) mod builder;
pub(crate) mod fuzzing;
mod header;
pub(crate) mod holes;
mod large;
mod name;
pub(crate) mod pack;
mod pax;
mod place;
mod recipe;
mod sparse;
mod stream;
mod tree;

pub(crate) use attributes::{OverlayNames, Times};
pub(crate) use large::{LARGE, LargeFiles};
pub(crate) use place::{Root, open_beneath};
pub(crate) use recipe::{Kept, ObjectKey, RecipeReader, RecipeWriter, Step};
pub(crate) use sparse::Segment;
pub(crate) use stream::{Content, Parser};
pub(crate) use tree::Tree;

use crate::error::RunnerError;

/// Bytes of a block of tar.
pub(crate) const BLOCK: usize = 512;
/// Entries of one layer.
pub(crate) const MAX_ENTRIES: u64 = 1_000_000;
/// Bytes of a path or of a link's target: the system's own limit.
pub(crate) const MAX_PATH: usize = 4096;
/// Folders that a path goes through. What walks a tree takes a path's length for each of its folders.
pub(crate) const MAX_DEPTH: usize = 256;
/// Folders of one layer that no entry describes: each is looked up in every layer when a container is made.
pub(crate) const MAX_IMPLIED: usize = 10_000;
/// Bytes of the extended headers of one entry.
pub(crate) const MAX_PAX: usize = 1 << 20;
/// Extended attributes of one entry: each is compared with those before it.
pub(crate) const MAX_XATTRS: usize = 1024;
/// Logical size of a file with holes.
pub(crate) const MAX_SPARSE: u64 = 1 << 40;
/// Pieces of a file with holes.
pub(crate) const MAX_SEGMENTS: usize = 65_536;
/// Bytes behind the end of an archive that are not zero.
pub(crate) const MAX_TRAILING: usize = 1 << 20;

/// Why an entry was not unpacked.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The archive breaks a rule; the text is the rule.
    Rule(String),
    /// Anything else.
    Failed(RunnerError),
}

impl Fault {
    pub(crate) fn rule(text: impl Into<String>) -> Self {
        Self::Rule(text.into())
    }
}

impl From<RunnerError> for Fault {
    fn from(error: RunnerError) -> Self {
        Self::Failed(error)
    }
}
