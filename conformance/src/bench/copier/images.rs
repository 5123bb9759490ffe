//! What is copied: layers of noise in gzip, as registries hold them.

use std::io::Write;

use berth_oci::{Digest, MediaType};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use crate::bench::peer::{Peer, network, push_blob};
use crate::bench::wire::Connection;
use crate::clients::digest_of;
use crate::harness::{HarnessError, Result};

/// An image's or an index's measures.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    platforms: usize,
    /// Layers of one image, without the one that all platforms share.
    layers: usize,
    /// Bytes of a layer before gzip, which can do nothing about noise.
    size: u64,
    shared: bool,
}

impl Shape {
    /// Ten platforms of a configuration and three layers each, and a layer that all share.
    pub(super) const PLATFORMS: Self = Self { platforms: 10, layers: 3, size: 256 << 10, shared: true };
    /// One image of ten layers of 8 MiB.
    pub(super) const LAYERS: Self = Self { platforms: 1, layers: 10, size: 8 << 20, shared: false };

    /// One image of ten layers of this size.
    pub(super) const fn large(size: u64) -> Self {
        Self { platforms: 1, layers: 10, size, shared: false }
    }

    pub(super) fn blobs(&self) -> usize {
        self.platforms * (self.layers + 1) + usize::from(self.shared)
    }
}

/// Pushes an image of one platform under a tag; its descriptor.
pub(super) async fn push_image(peer: &Peer, repository: &str, tag: &str, shape: &Shape) -> Result<Value> {
    let mut connection = peer.connect().await?;
    let shared = match shape.shared {
        true => Some(layer(&mut connection, repository, shape.size, 0).await?),
        false => None,
    };
    image(&mut connection, repository, tag, shape, 0, shared.as_ref()).await
}

/// Pushes an index as `latest`.
pub(super) async fn push_index(peer: &Peer, repository: &str, shape: &Shape) -> Result<()> {
    let mut connection = peer.connect().await?;
    let shared = layer(&mut connection, repository, shape.size, 0).await?;
    let mut entries = Vec::new();
    for platform in 0..shape.platforms {
        let tag = format!("platform-{platform}");
        let mut entry = image(&mut connection, repository, &tag, shape, platform, Some(&shared)).await?;
        entry["platform"] = json!({"os": "linux", "architecture": architecture(platform)});
        entries.push(entry);
    }
    let index = json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": entries});
    put(&mut connection, repository, "latest", MediaType::OCI_INDEX, &index).await.map(drop)
}

/// Pushes images of one small layer, each with a configuration and a tag of its own.
pub(super) async fn push_tags(peer: &Peer, repository: &str, tags: usize) -> Result<()> {
    let mut connection = peer.connect().await?;
    let shape = Shape { platforms: 1, layers: 1, size: 4 << 10, shared: false };
    for tag in 0..tags {
        image(&mut connection, repository, &format!("v1.{tag}"), &shape, tag, None).await?;
    }
    Ok(())
}

/// The host's own first, so that every copier finds it.
fn architecture(platform: usize) -> String {
    let names =
        ["amd64", "arm64", "386", "ppc64le", "s390x", "riscv64", "mips64le", "loong64", "mips", "ppc64"];
    names[platform % names.len()].to_owned()
}

async fn image(
    connection: &mut Connection,
    repository: &str,
    tag: &str,
    shape: &Shape,
    platform: usize,
    shared: Option<&Value>,
) -> Result<Value> {
    let mut layers: Vec<Value> = shared.cloned().into_iter().collect();
    for place in 0..shape.layers {
        let seed = 1 + platform as u64 * 1_000 + place as u64;
        layers.push(layer(connection, repository, shape.size, seed).await?);
    }
    let diff_ids: Vec<&Value> = layers.iter().map(|layer| &layer["diffId"]).collect();
    let config = json!({"architecture": architecture(platform), "os": "linux", "created": "2026-01-01T00:00:00Z",
        "rootfs": {"type": "layers", "diff_ids": diff_ids}, "config": {"Labels": {"tag": tag}}});
    let config = config.to_string().into_bytes();
    let digest = digest_of(&config);
    push_blob(connection, repository, digest.as_str(), std::iter::once(&config[..])).await?;
    for layer in &mut layers {
        if let Some(fields) = layer.as_object_mut() {
            fields.remove("diffId");
        }
    }
    let manifest = json!({"schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "layers": layers,
        "config": {"mediaType": MediaType::OCI_CONFIG, "digest": digest.as_str(), "size": config.len()}});
    put(connection, repository, tag, MediaType::OCI_MANIFEST, &manifest).await
}

async fn layer(connection: &mut Connection, repository: &str, size: u64, seed: u64) -> Result<Value> {
    let (plain, packed) = noise(seed, size).map_err(HarnessError::file("a layer in memory"))?;
    let digest = digest_of(&packed);
    push_blob(connection, repository, digest.as_str(), std::iter::once(&packed[..])).await?;
    Ok(json!({"mediaType": MediaType::OCI_LAYER_GZIP, "digest": digest.as_str(), "size": packed.len(),
        "diffId": plain.as_str()}))
}

/// Noise in gzip without compression, and the digest of the noise.
fn noise(seed: u64, size: u64) -> std::io::Result<(Digest, Vec<u8>)> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = usize::try_from(size / 8).unwrap_or(usize::MAX);
    let mut plain = Vec::with_capacity(words * 8);
    for _ in 0..words {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        plain.extend_from_slice(&state.to_le_bytes());
    }
    let mut packed = GzEncoder::new(Vec::with_capacity(plain.len() + 1024), Compression::none());
    packed.write_all(&plain)?;
    Ok((digest_of(&plain), packed.finish()?))
}

async fn put(
    connection: &mut Connection,
    repository: &str,
    reference: &str,
    media_type: &str,
    manifest: &Value,
) -> Result<Value> {
    let body = manifest.to_string().into_bytes();
    let path = format!("/v2/{repository}/manifests/{reference}");
    let headers = format!("Content-Type: {media_type}\r\n");
    let answer =
        connection.send("PUT", &path, &headers, std::iter::once(&body[..])).await.map_err(network)?;
    crate::bench::peer::expect(answer, 201, "PUT of a manifest")?;
    Ok(json!({"mediaType": media_type, "digest": digest_of(&body).as_str(), "size": body.len()}))
}
