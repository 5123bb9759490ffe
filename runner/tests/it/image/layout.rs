//! OCI layouts made by hand, so that they may lie.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use berth_oci::{Algorithm, Digest};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A layer as it lies in a layout.
#[derive(Clone)]
pub(super) struct Layer {
    pub(super) media_type: &'static str,
    pub(super) bytes: Vec<u8>,
    pub(super) diff_id: Digest,
}

pub(super) const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
pub(super) const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(super) const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

pub(super) fn digest(bytes: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, bytes)
}

/// A tar of regular files.
pub(super) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *content).unwrap();
    }
    tar.into_inner().unwrap()
}

pub(super) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(plain).unwrap();
    out.finish().unwrap()
}

impl Layer {
    pub(super) fn gzip(plain: &[u8]) -> Self {
        Self { media_type: GZIP, bytes: gzip(plain), diff_id: digest(plain) }
    }

    pub(super) fn plain(plain: &[u8]) -> Self {
        Self { media_type: TAR, bytes: plain.to_vec(), diff_id: digest(plain) }
    }

    pub(super) fn zstd(plain: &[u8]) -> Self {
        Self { media_type: ZSTD, bytes: zstd::encode_all(plain, 1).unwrap(), diff_id: digest(plain) }
    }
}

/// A layout with one image.
pub(super) struct Layout {
    folder: TempDir,
    pub(super) manifest: Vec<u8>,
    pub(super) config: Vec<u8>,
}

impl Layout {
    /// An image of these layers for this machine.
    pub(super) fn of(layers: &[Layer]) -> Self {
        Self::with(layers, |_| {}, |_| {})
    }

    /// An image whose configuration and manifest are changed before they are written.
    pub(super) fn with(
        layers: &[Layer],
        configure: impl FnOnce(&mut Value),
        manifest: impl FnOnce(&mut Value),
    ) -> Self {
        let folder = tempfile::Builder::new().prefix("berth-layout-").tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("blobs/sha256")).unwrap();
        std::fs::write(folder.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let mut config = json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "config": {"Cmd": ["/bin/sh"], "Labels": {"kind": "test"}},
            "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|layer| &layer.diff_id).collect::<Vec<_>>()},
            "history": [],
        });
        configure(&mut config);
        let mut made = Self { folder, manifest: Vec::new(), config: serde_json::to_vec(&config).unwrap() };
        for layer in layers {
            made.blob(&layer.bytes);
        }
        let described = |layer: &Layer| json!({"mediaType": layer.media_type, "digest": digest(&layer.bytes), "size": layer.bytes.len()});
        let mut document = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(&made.config), "size": made.config.len()},
            "layers": layers.iter().map(described).collect::<Vec<_>>(),
        });
        manifest(&mut document);
        made.manifest = serde_json::to_vec(&document).unwrap();
        made.blob(&made.config);
        made.blob(&made.manifest);
        made.index(&json!([{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest(&made.manifest), "size": made.manifest.len(),
            "annotations": {"org.opencontainers.image.ref.name": "test.example/image:1"},
        }]));
        made
    }

    pub(super) fn index(&self, manifests: &Value) {
        let index = json!({"schemaVersion": 2, "manifests": manifests});
        std::fs::write(self.path().join("index.json"), index.to_string()).unwrap();
    }

    pub(super) fn blob(&self, bytes: &[u8]) {
        std::fs::write(self.file(&digest(bytes)), bytes).unwrap();
    }

    pub(super) fn file(&self, digest: &Digest) -> PathBuf {
        self.path().join("blobs/sha256").join(digest.hex())
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// `oci:PATH:test.example/image:1`.
    pub(super) fn name(&self) -> String {
        format!("oci:{}:test.example/image:1", self.path().display())
    }

    pub(super) fn digest(&self) -> Digest {
        digest(&self.manifest)
    }
}
