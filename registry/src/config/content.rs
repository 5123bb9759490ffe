//! `[uploads]`, `[manifests]`, `[tags]` and `[delete]`: what may be stored and what may go.

use std::time::Duration;

use super::{
    faults::Faults,
    human::Size,
    section::{Keys, Section},
};

/// Upload sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uploads {
    /// How long a session is kept after its last request.
    pub expiry: Duration,
    /// Least bytes of a chunk but the last, as `OCI-Chunk-Min-Length` announces.
    pub min_chunk: Option<Size>,
    /// Largest blob.
    pub max_blob_size: Option<Size>,
    /// Sessions that may be open, of all users together.
    pub max_sessions: u32,
}

impl Default for Uploads {
    fn default() -> Self {
        Self { expiry: Duration::from_hours(24), min_chunk: None, max_blob_size: None, max_sessions: 10_000 }
    }
}

impl Section for Uploads {
    fn name(&self) -> &'static str {
        "uploads"
    }

    fn about(&self) -> &'static str {
        "Upload sessions."
    }

    fn keys(&mut self, keys: &mut dyn Keys) {
        keys.key("expiry", "How long a session is kept after its last request.", &mut self.expiry);
        keys.key(
            "min_chunk",
            "Smallest chunk (but the last) that clients are asked for by OCI-Chunk-Min-Length, as \"5MiB\".",
            &mut self.min_chunk,
        );
        keys.key(
            "max_blob_size",
            "Largest blob, as \"20GiB\". There is no limit unless set.",
            &mut self.max_blob_size,
        );
        keys.key(
            "max_sessions",
            "Sessions that may be open at a time, of all users together.",
            &mut self.max_sessions,
        );
    }

    fn check(&mut self, faults: &mut Faults) {
        if self.expiry < Duration::from_mins(1) {
            faults.add("uploads.expiry", "must be at least 1m: a client could not finish");
        }
        if self.max_sessions == 0 {
            faults.add("uploads.max_sessions", "0 would let nobody push");
        }
    }
}

/// Manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifests {
    /// Largest manifest.
    pub max_size: Size,
    /// Whether an index may lack some of its children.
    pub sparse_indexes: bool,
    /// Whether an image may lack some of its layers.
    pub sparse_images: bool,
}

impl Default for Manifests {
    fn default() -> Self {
        Self { max_size: Size(4 << 20), sparse_indexes: false, sparse_images: false }
    }
}

impl Section for Manifests {
    fn name(&self) -> &'static str {
        "manifests"
    }

    fn about(&self) -> &'static str {
        "What manifests may be."
    }

    fn keys(&mut self, keys: &mut dyn Keys) {
        keys.key("max_size", "Largest manifest.", &mut self.max_size);
        keys.key(
            "sparse_indexes",
            "Take indexes whose children are not all there: for mirrors of a few platforms.",
            &mut self.sparse_indexes,
        );
        keys.key(
            "sparse_images",
            "Take images whose layers are not all there: whoever pulls one must find them elsewhere.",
            &mut self.sparse_images,
        );
    }

    fn check(&mut self, faults: &mut Faults) {
        if !(Size(1 << 10)..=Size(4 << 20)).contains(&self.max_size) {
            faults.add("manifests.max_size", "must be from 1KiB to 4MiB");
        }
    }
}

/// Tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    /// Patterns of tags that neither move nor go.
    pub immutable: Vec<String>,
}

impl Section for Tags {
    fn name(&self) -> &'static str {
        "tags"
    }

    fn about(&self) -> &'static str {
        "What tags may do."
    }

    fn keys(&mut self, keys: &mut dyn Keys) {
        keys.key(
            "immutable",
            "Tags that neither move nor go once they are set, as \"v*\", or \"team/*:v*\" for the tags of some\n\
             repositories. * stands for any characters, / among them; ? for one.",
            &mut self.immutable,
        );
    }

    fn check(&mut self, faults: &mut Faults) {
        for pattern in &self.immutable {
            let parts: Vec<_> = pattern.split(':').collect();
            if parts.len() > 2 || parts.contains(&"") {
                faults.add(
                    "tags.immutable",
                    format!("{pattern:?} is not a pattern like \"v*\" or \"team/*:v*\""),
                );
            }
        }
    }
}

/// Deleting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// Whether clients may delete at all.
    pub enabled: bool,
}

impl Default for Delete {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl Section for Delete {
    fn name(&self) -> &'static str {
        "delete"
    }

    fn about(&self) -> &'static str {
        "What may be deleted."
    }

    fn keys(&mut self, keys: &mut dyn Keys) {
        keys.key("enabled", "Serve DELETE of manifests, tags and blobs.", &mut self.enabled);
    }
}
