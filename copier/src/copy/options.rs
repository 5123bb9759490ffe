//! What a copy is asked to do besides copying.

use std::{path::PathBuf, sync::Arc};

use crate::{
    encryption::{DecryptionKey, Encrypt},
    signature::Sign,
    source::Instances,
};

/// Everything that may be asked of one copy. The default copies one platform's image faithfully.
#[derive(Clone, Default)]
pub struct Options {
    /// Which children of an index.
    pub instances: Instances,
    /// Fail rather than change a digest (`--preserve-digests`).
    pub preserve_digests: bool,
    /// Convert manifests to this format (`--format`).
    pub format: Option<ManifestFormat>,
    /// What to do to layers.
    pub compression: Compression,
    /// Find out digests of made layers before the upload, so that they may be there already
    /// (`--dest-precompute-digests`).
    pub precompute_digests: bool,
    /// Copy referrers too (`--referrers`).
    pub referrers: bool,
    /// Copy tags of the form `sha256-….sig` too (`--digest-tags`).
    pub digest_tags: bool,
    /// Do not copy signatures (`--remove-signatures`).
    pub remove_signatures: bool,
    /// New signatures to make.
    pub signers: Vec<Arc<dyn Sign>>,
    /// The name that new signatures speak of, in place of the destination's (`--sign-identity`).
    pub sign_identity: Option<berth_oci::Reference>,
    /// Encrypt layers.
    pub encrypt: Option<Encrypt>,
    /// Decrypt layers.
    pub decrypt: Vec<DecryptionKey>,
    /// Blobs at once; 0 is the engine's choice (`--image-parallel-copies`).
    pub parallel: usize,
    /// Journal by which a killed copy goes on (`--resume`); a folder.
    pub resume: Option<PathBuf>,
}

/// A manifest's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ManifestFormat {
    /// OCI image-spec.
    Oci,
    /// Docker schema 2.
    V2s2,
}

/// What is done to layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compression {
    /// `--dest-compress`, and `dir:` with it: compress plain layers.
    pub compress: bool,
    /// `--dest-decompress`: unpack layers.
    pub decompress: bool,
    /// `--dest-compress-format`: the format for layers that go to a destination of compressed layers. Those in another
    /// are recompressed, unless the destination has them as they are.
    pub format: Option<CompressionFormat>,
    /// `--dest-compress-level`.
    pub level: Option<i32>,
    /// `--dest-force-compress-format`: layers in another format are recompressed even so.
    pub force: bool,
}

/// A layer's compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompressionFormat {
    /// gzip (RFC 1952).
    Gzip,
    /// zstd (RFC 8878).
    Zstd,
    /// zstd in frames that can be read one by one, with a table of contents.
    ZstdChunked,
}
