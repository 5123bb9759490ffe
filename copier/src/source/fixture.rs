//! Images for the suites, made anew for each test.

use std::sync::atomic::{AtomicU64, Ordering};

use berth_oci::{Algorithm, Descriptor, Digest, MediaType};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::{RawManifest, content::Part};

/// The type of referrers in here.
pub(crate) const ARTIFACT: &str = "application/vnd.example.artifact";

/// An image or an index with all that belongs to it.
#[derive(Clone)]
pub(crate) struct Fixture {
    pub(crate) blobs: Vec<(Descriptor, Part, Bytes)>,
    /// Children of the top, then referrers.
    pub(crate) children: Vec<RawManifest>,
    pub(crate) top: RawManifest,
}

fn digest(content: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, content)
}

/// Bytes that no other call gives.
pub(crate) fn unique(length: usize) -> Bytes {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let seed = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let mut bytes: Vec<u8> = seed.bytes().cycle().take(length).collect();
    // Not the same in every period, so that a shifted read is another content.
    for (period, bytes) in bytes.chunks_mut(251).enumerate() {
        for byte in bytes {
            *byte = byte.wrapping_add(u8::try_from(period % 256).unwrap());
        }
    }
    bytes.into()
}

impl Fixture {
    fn new() -> Self {
        Self { blobs: Vec::new(), children: Vec::new(), top: RawManifest::new(Bytes::new(), None) }
    }

    fn blob(&mut self, kind: &str, part: Part, content: impl Into<Bytes>) -> Descriptor {
        let content = content.into();
        let blob = Descriptor::new(kind.into(), digest(&content), content.len() as u64);
        if !self.blobs.iter().any(|(known, ..)| known.digest == blob.digest) {
            self.blobs.push((blob.clone(), part, content));
        }
        blob
    }

    fn manifest(&mut self, architecture: &str, layers: &[Bytes], oci: bool) -> RawManifest {
        let (manifest_type, config_type, layer_type) = if oci {
            (MediaType::OCI_MANIFEST, MediaType::OCI_CONFIG, MediaType::OCI_LAYER)
        } else {
            let layer = "application/vnd.docker.image.rootfs.diff.tar";
            (MediaType::DOCKER_MANIFEST, MediaType::DOCKER_CONFIG, layer)
        };
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| digest(layer)).collect();
        let config = json!({
            "architecture": architecture, "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = self.blob(config_type, Part::Config, config.to_string());
        let layers: Vec<Descriptor> = layers
            .iter()
            .enumerate()
            .map(|(place, layer)| self.blob(layer_type, Part::Layer(place), layer.clone()))
            .collect();
        raw(&json!({
            "schemaVersion": 2, "mediaType": manifest_type, "config": config, "layers": layers,
        }))
    }

    /// One image of plain layers with Docker's types.
    pub(crate) fn docker_image() -> Self {
        let mut own = Self::new();
        own.top = own.manifest("amd64", &[unique(1_500_000), unique(700), unique(1)], false);
        own
    }

    /// An index of two images that share a layer, and a referrer of the index.
    pub(crate) fn index() -> Self {
        let mut own = Self::new();
        let shared = unique(1_200_000);
        let images = ["amd64", "arm64"].map(|architecture| {
            let image = own.manifest(architecture, &[shared.clone(), unique(3_000)], true);
            let mut entry = image.descriptor().unwrap();
            entry.platform = Some(format!("linux/{architecture}").parse().unwrap());
            own.children.push(image);
            entry
        });
        own.top = raw(&json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": images}));
        let empty = own.blob(MediaType::OCI_EMPTY, Part::Config, &b"{}"[..]);
        let layer = own.blob(ARTIFACT, Part::Other, unique(50));
        own.children.push(raw(&json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "artifactType": ARTIFACT,
            "config": empty, "layers": [layer], "subject": own.top.descriptor().unwrap(),
            "annotations": {"org.example.key": "value"},
        })));
        own
    }

    /// The referrer of [`Self::index`].
    pub(crate) fn referrer(&self) -> Option<&RawManifest> {
        self.children.iter().find(|child| child.parse().unwrap().subject.is_some())
    }
}

fn raw(manifest: &Value) -> RawManifest {
    RawManifest::new(manifest.to_string().into(), None)
}
