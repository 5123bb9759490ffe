//! Media types of manifests, configurations and layers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A media type as a manifest or a header gives it, without parameters, and never empty where a
/// constructor of this crate made it. Any type may be stored; the constants are those that Berth
/// looks into.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MediaType(String);

impl MediaType {
    /// OCI image manifest (image-spec, manifest.md).
    pub const OCI_MANIFEST: &'static str = "application/vnd.oci.image.manifest.v1+json";
    /// OCI image index (image-spec, image-index.md).
    pub const OCI_INDEX: &'static str = "application/vnd.oci.image.index.v1+json";
    /// OCI image configuration.
    pub const OCI_CONFIG: &'static str = "application/vnd.oci.image.config.v1+json";
    /// The empty descriptor's type; its content is `{}`.
    pub const OCI_EMPTY: &'static str = "application/vnd.oci.empty.v1+json";
    /// OCI layer, uncompressed tar.
    pub const OCI_LAYER: &'static str = "application/vnd.oci.image.layer.v1.tar";
    /// OCI layer, gzip.
    pub const OCI_LAYER_GZIP: &'static str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// OCI layer, zstd.
    pub const OCI_LAYER_ZSTD: &'static str = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// Docker image manifest, schema 2.
    pub const DOCKER_MANIFEST: &'static str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker manifest list.
    pub const DOCKER_LIST: &'static str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker image configuration.
    pub const DOCKER_CONFIG: &'static str = "application/vnd.docker.container.image.v1+json";
    /// Docker layer, gzip.
    pub const DOCKER_LAYER_GZIP: &'static str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    /// Docker layer that is fetched from elsewhere.
    pub const DOCKER_FOREIGN_LAYER: &'static str =
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    /// Docker schema 1, unsigned: refused everywhere.
    pub const DOCKER_SCHEMA1: &'static str = "application/vnd.docker.distribution.manifest.v1+json";
    /// Docker schema 1, signed: refused everywhere.
    pub const DOCKER_SCHEMA1_SIGNED: &'static str =
        "application/vnd.docker.distribution.manifest.v1+prettyjws";

    /// Takes a header's or a manifest's text; parameters behind `;` are dropped.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let essence = text.split(';').next().unwrap_or(text);
        Self(essence.trim().to_owned())
    }

    /// The type without parameters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether content of this type may lie elsewhere than in the registry that holds the
    /// manifest: OCI's non-distributable layers (deprecated) and Docker's foreign ones.
    #[must_use]
    pub fn is_non_distributable(&self) -> bool {
        self.0.starts_with("application/vnd.oci.image.layer.nondistributable.v1.tar")
            || self.0.starts_with("application/vnd.docker.image.rootfs.foreign.diff.tar")
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for MediaType {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}
