//! Of the store as a whole. What writes owners and devices needs root.

mod born;
mod differential;
mod hostile;
mod kill;
mod layers;
mod mounts;
mod named;
mod passed;

use std::path::PathBuf;

use berth_oci::{Algorithm, Digest};

use super::*;
use crate::unpack::builder::Archive;

/// A store in a folder of its own.
pub(super) struct Shed {
    pub(super) folder: tempfile::TempDir,
    pub(super) store: Store,
}

impl Shed {
    pub(super) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("berth-store-").tempdir().unwrap();
        let folders = Folders { store: folder.path().join("store"), run: folder.path().join("run") };
        let store = Store::open(&folders).unwrap();
        Self { folder, store }
    }

    /// Adds a layer in pieces of `piece` bytes.
    pub(super) fn add(&self, tar: &[u8], piece: usize) -> Result<Digest> {
        let diff_id = digest(tar);
        let Claim::New(mut writer) = self.store.begin_layer(&diff_id)? else { return Ok(diff_id) };
        for piece in tar.chunks(piece) {
            writer.take(piece)?;
        }
        writer.finish()
    }

    pub(super) fn tree(&self, diff_id: &Digest) -> PathBuf {
        self.store.layer_folder(diff_id).join(key::TREE)
    }

    pub(super) fn tar(&self, diff_id: &Digest) -> Vec<u8> {
        let mut tar = Vec::new();
        self.store.layer_tar(diff_id).unwrap().read_to_end(&mut tar).unwrap();
        tar
    }

    /// What lies in the folder of layers.
    pub(super) fn layers(&self) -> Vec<String> {
        let entries = images::entries(&self.store.folders.layers()).unwrap();
        entries.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    /// An image of these layers.
    pub(super) fn image(&self, layers: &[Digest], names: &[&str]) -> Image {
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":{}}}}}"#,
            serde_json::to_string(layers).unwrap()
        );
        let config_digest = self.store.put_blob(config.as_bytes()).unwrap();
        let layer = |digest: &Digest| {
            format!(
                r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{digest}","size":1}}"#
            )
        };
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config_digest}","size":{}}},"layers":[{}]}}"#,
            config.len(),
            layers.iter().map(layer).collect::<Vec<_>>().join(",")
        );
        let manifest = self.store.put_blob(manifest.as_bytes()).unwrap();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        self.store.add_image(&manifest, &names).unwrap()
    }
}

pub(super) fn digest(bytes: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, bytes)
}

/// Content that does not repeat, the same for the same seed.
pub(super) fn content(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A layer with some of everything.
pub(super) fn assorted() -> Vec<u8> {
    Archive::new()
        .folder("./")
        .folder("usr/")
        .folder("usr/bin")
        .with(crate::unpack::builder::Member::new(b'0', "usr/bin/su").mode(0o4755).owner(0, 7), b"small")
        .file("usr/bin/large", &content(200_000, 1))
        .hard_link("usr/bin/link", "usr/bin/large")
        .symlink("bin", "usr/bin")
        .file("empty", b"")
        .pax(&[("mtime", b"1500000000.123456789"), ("SCHILY.xattr.user.note", b"kept")])
        .file("noted", b"x")
        .file("implied/by/this", b"y")
        .end()
}
