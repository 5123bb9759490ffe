//! What a copy tells while it runs.

use berth_oci::{Descriptor, Digest, RepoName};

/// One thing that happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The source's manifest was read, and this much is to do at most.
    Planned {
        /// Manifests.
        manifests: usize,
        /// Distinct blobs.
        blobs: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// A line for people, as Skopeo prints it off a terminal ("Getting image source signatures").
    Step(String),
    /// A blob's transfer begins.
    BlobBegun {
        /// The blob as the source has it.
        blob: Box<Descriptor>,
        /// Whether it is a configuration.
        config: bool,
    },
    /// Bytes of a blob went by.
    BlobBytes {
        /// The blob.
        digest: Digest,
        /// How many since the last such event.
        bytes: u64,
    },
    /// A blob is at the destination.
    BlobDone {
        /// The blob.
        digest: Digest,
        /// How it got there.
        how: Outcome,
    },
    /// A manifest is at the destination.
    ManifestDone {
        /// Its digest there.
        digest: Digest,
        /// The digest that it had at the source, where that differs.
        was: Option<Digest>,
    },
    /// Something that people should know, and that is no error.
    Warning(String),
}

/// How a blob got to its destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its bytes were sent.
    Copied,
    /// It was there.
    Present,
    /// The registry took it from another of its repositories.
    Mounted(RepoName),
}

/// Listens to a copy. Called from many tasks; must not block.
pub trait Progress: Send + Sync {
    /// Takes one event.
    fn event(&self, event: Event);
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _event: Event) {}
}
