//! Where everything of the store lies: the one place that knows.

use std::path::{Path, PathBuf};

use berth_oci::{Algorithm, Digest};

use super::Store;

/// Begins the names of layers that are not whole.
pub(super) const STAGING: &str = ".staging-";

/// Parts of a layer's folder.
pub(super) const TREE: &str = "tree";
pub(super) const KEPT: &str = "kept";
pub(super) const RECIPE: &str = "recipe";
pub(super) const OBJECTS: &str = "objects";
pub(super) const FACTS: &str = "layer.json";

impl Store {
    /// A layer's folder. SHA-256 and SHA-512 differ in length.
    pub(super) fn layer_folder(&self, diff_id: &Digest) -> PathBuf {
        self.folders.layers().join(diff_id.hex())
    }

    pub(super) fn staging(&self, name: &str) -> PathBuf {
        self.folders.layers().join(format!("{STAGING}{name}"))
    }

    /// A manifest or configuration.
    pub(super) fn blob_file(&self, digest: &Digest) -> PathBuf {
        self.folders.images().join("blobs").join(digest.algorithm().as_str()).join(digest.hex())
    }

    /// One file per image, by its manifest.
    pub(super) fn records(&self) -> PathBuf {
        self.folders.images().join("all")
    }

    pub(super) fn record_file(&self, manifest: &Digest) -> PathBuf {
        self.records().join(format!("{}-{}.json", manifest.algorithm(), manifest.hex()))
    }

    /// One file per name. A name may be longer than a file's may.
    pub(super) fn names(&self) -> PathBuf {
        self.folders.images().join("names")
    }

    pub(super) fn name_file(&self, name: &str) -> PathBuf {
        let digest = Digest::of(Algorithm::Sha256, name.as_bytes());
        self.names().join(format!("{}.json", digest.hex()))
    }
}

/// The digest of a layer's folder.
pub(super) fn diff_id_of(folder: &Path) -> Option<Digest> {
    let hex = folder.file_name()?.to_str()?;
    let algorithm = if hex.len() == Algorithm::Sha256.hex_len() { "sha256" } else { "sha512" };
    format!("{algorithm}:{hex}").parse().ok()
}
