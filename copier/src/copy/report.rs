//! What a copy did, for people and for scripts.

use berth_oci::{Digest, MediaType};
use serde::Serialize;

/// What a copy did (`--report json`).
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The source's name.
    pub source: String,
    /// The destination's name.
    pub destination: String,
    /// Digest of the top manifest at the destination.
    pub digest: Digest,
    /// Its type.
    pub media_type: MediaType,
    /// Its digest at the source, where that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_digest: Option<Digest>,
    /// Whether everything was there already.
    pub unchanged: bool,
    /// Manifests that were written.
    pub manifests: usize,
    /// Every distinct blob.
    pub blobs: Vec<BlobReport>,
    /// Bytes of blobs that were sent.
    pub bytes_copied: u64,
    /// The top manifest's bytes at the destination, for `--digestfile` and for the caller.
    #[serde(skip)]
    pub manifest: bytes::Bytes,
}

/// What became of one blob.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlobReport {
    /// Digest at the destination.
    pub digest: Digest,
    /// Bytes at the destination.
    pub size: u64,
    /// `copied`, `present`, `mounted`, or `skipped` for what lies elsewhere by its URLs.
    pub outcome: &'static str,
    /// The repository it was mounted from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mounted_from: Option<String>,
}
