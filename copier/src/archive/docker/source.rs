//! An image of an archive, to read.
//!
//! The archive has no manifest: one is made of the configuration and of the layers as they lie there. A plain layer's
//! digest is its diff_id, which whoever copies it verifies; a compressed one's is computed, and what comes out of it is
//! held against its diff_id here, since nobody who copies it would.

use std::{collections::BTreeMap, fs::File, os::unix::fs::FileExt, sync::Arc};

use async_trait::async_trait;
use berth_oci::{Descriptor, Digest, Hasher, MediaType};
use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use super::{
    super::TarIndex,
    items::{self, Item},
};
use crate::{
    ByteStream, Content, Error, ImageName, RawManifest, Result, Source,
    compression::{Form, Recipe, Recompressed, detect},
    disk::{FileContent, OWN_ALGORITHM, Opener, blocking},
    name::ArchiveImage,
};

/// Docker's type of layers that are not compressed.
const LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
/// Docker's type of layers in zstd.
const LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";
/// Most bytes of a configuration.
const MAX_CONFIG: u64 = 4 * 1024 * 1024;

/// An image of an archive.
#[derive(Debug)]
pub(crate) struct DockerSource {
    name: ImageName,
    tar: TarIndex,
    item: Item,
    image: OnceCell<Arc<Image>>,
}

/// What was found out of it.
#[derive(Debug)]
struct Image {
    manifest: RawManifest,
    config: (Digest, Bytes),
    layers: BTreeMap<Digest, Opener>,
    /// Layers that lie there compressed, with the digests of what must come out of them.
    packed: Vec<(Descriptor, Digest)>,
}

impl DockerSource {
    pub(crate) fn open(name: ImageName, tar: TarIndex, image: &ArchiveImage) -> Result<Self> {
        let item = items::choose(items::read(&tar)?, image, &tar)?;
        Ok(Self { name, tar, item, image: OnceCell::new() })
    }

    async fn image(&self) -> Result<Arc<Image>> {
        let read = || {
            let (tar, item) = (self.tar.clone(), self.item.clone());
            async {
                let image = blocking(move || Image::read(&tar, &item)).await?;
                image.check_packed().await?;
                Ok(Arc::new(image))
            }
        };
        self.image.get_or_try_init(read).await.cloned()
    }

    fn absent(&self, what: String) -> Error {
        Error::NotFound {
            what,
            place: self.tar.path().display().to_string(),
            reason: "the archive's image has none".to_owned(),
        }
    }
}

#[derive(Deserialize)]
struct Config {
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Option<Vec<Digest>>,
}

/// In the order of fields that Docker and Skopeo write.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Schema2<'a> {
    schema_version: u8,
    media_type: &'a str,
    config: Part,
    layers: Vec<Part>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    media_type: &'static str,
    size: u64,
    digest: Digest,
}

impl Image {
    fn read(tar: &TarIndex, item: &Item) -> Result<Self> {
        let place = || tar.path().display();
        let missing =
            |name: &str| Error::Integrity(format!("{}: \"{}\" is not in it", place(), name.escape_debug()));
        let find = |name: &str| -> Result<String> { super::super::index::clean(name.as_bytes()) };
        let raw = tar.read_file(&find(&item.config)?, MAX_CONFIG)?.ok_or_else(|| missing(&item.config))?;
        let config: Config = serde_json::from_slice(&raw).map_err(|fault| {
            Error::Integrity(format!("{}: {}: {fault}", place(), item.config.escape_debug()))
        })?;
        let diff_ids = config.rootfs.diff_ids.unwrap_or_default();
        let names = item.layers.as_deref().unwrap_or_default();
        if names.len() != diff_ids.len() {
            return Err(Error::Integrity(format!(
                "{}: Inconsistent layer count: {} in manifest, {} in config",
                place(),
                names.len(),
                diff_ids.len()
            )));
        }
        let mut known: BTreeMap<&Digest, Part> = BTreeMap::new();
        let mut layers = BTreeMap::new();
        let mut parts = Vec::new();
        let mut packed = Vec::new();
        for (name, diff_id) in names.iter().zip(&diff_ids) {
            // One layer may be there several times, as links or as copies.
            if !known.contains_key(diff_id) {
                let opener = tar.open(&find(name)?)?.ok_or_else(|| missing(name))?;
                let part = layer(&opener, diff_id)?;
                layers.insert(part.digest.clone(), opener);
                if part.media_type != LAYER {
                    let blob = Descriptor::new(part.media_type.into(), part.digest.clone(), part.size);
                    packed.push((blob, diff_id.clone()));
                }
                known.insert(diff_id, part);
            }
            parts.extend(known.get(diff_id).cloned());
        }
        let digest = Digest::of(OWN_ALGORITHM, &raw);
        let config =
            Part { media_type: MediaType::DOCKER_CONFIG, size: raw.len() as u64, digest: digest.clone() };
        let manifest =
            Schema2 { schema_version: 2, media_type: MediaType::DOCKER_MANIFEST, config, layers: parts };
        let manifest = serde_json::to_vec(&manifest)
            .map_err(|fault| Error::Other { what: "writing a manifest".to_owned(), source: fault.into() })?;
        let manifest = RawManifest::new(manifest.into(), Some(MediaType::DOCKER_MANIFEST.into()));
        Ok(Self { manifest, config: (digest, raw), layers, packed })
    }

    /// Unpacks what lies there compressed, and keeps nothing of it.
    async fn check_packed(&self) -> Result<()> {
        for (blob, diff_id) in &self.packed {
            let Some(opener) = self.layers.get(&blob.digest).cloned() else { continue };
            let content = FileContent { opener, blob: blob.clone() };
            let plain = Recompressed::new(Box::new(content), Recipe::default());
            let mut pieces = plain.open(0).await?;
            while pieces.try_next().await?.is_some() {}
            let found = plain.facts().map(|facts| facts.diff_id);
            if found.as_ref() != Some(diff_id) {
                let found = found.map_or_else(|| "nothing".to_owned(), |found| found.to_string());
                return Err(Error::Integrity(format!(
                    "layer {} unpacks to {found}, and the configuration says {diff_id}",
                    blob.digest
                )));
            }
        }
        Ok(())
    }
}

fn layer(opener: &Opener, diff_id: &Digest) -> Result<Part> {
    let Opener::Range(file, path, begin, size) = opener else {
        return Err(Error::Integrity("a layer that is no part of the archive".to_owned()));
    };
    let fault = || Error::file(path);
    let mut magic = [0; 6];
    let length = usize::try_from(*size).unwrap_or(usize::MAX).min(magic.len());
    file.read_exact_at(&mut magic[..length], *begin).map_err(fault())?;
    let media_type = match detect(&magic[..length]) {
        Form::Plain => return Ok(Part { media_type: LAYER, size: *size, digest: diff_id.clone() }),
        Form::Gzip => MediaType::DOCKER_LAYER_GZIP,
        Form::Zstd => LAYER_ZSTD,
        form @ (Form::Bzip2 | Form::Xz) => {
            return Err(Error::Unsupported(format!(
                "{}: no manifest has a type for layers in {form}; unpack them first",
                path.display()
            )));
        }
    };
    let digest = hash(file, *begin, *size).map_err(fault())?;
    Ok(Part { media_type, size: *size, digest })
}

fn hash(file: &File, mut at: u64, size: u64) -> std::io::Result<Digest> {
    let end = at + size;
    let mut hasher = Hasher::new(OWN_ALGORITHM.into());
    let mut buffer = vec![0; 512 * 1024];
    while at < end {
        let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        let length = file.read_at(&mut buffer[..wanted], at)?;
        if length == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        hasher.update(&buffer[..length]);
        at += length as u64;
    }
    Ok(Digest::from_hasher(hasher))
}

/// Content that is in memory.
struct Memory(Bytes);

#[async_trait]
impl Content for Memory {
    async fn open(&self, from: u64) -> Result<ByteStream> {
        let from = usize::try_from(from).unwrap_or(usize::MAX).min(self.0.len());
        let rest = self.0.slice(from..);
        Ok(Box::pin(stream::iter((!rest.is_empty()).then_some(Ok(rest)))))
    }
}

#[async_trait]
impl Source for DockerSource {
    fn name(&self) -> &ImageName {
        &self.name
    }

    fn identity(&self) -> Option<&berth_oci::Reference> {
        self.name.reference()
    }

    async fn manifest(&self, instance: Option<&Digest>) -> Result<RawManifest> {
        let top = self.image().await?.manifest.clone();
        match instance {
            Some(digest) if *digest != Digest::of(digest.algorithm(), &top.raw) => {
                Err(self.absent(format!("reading manifest {digest}")))
            }
            Some(digest) => Ok(RawManifest { digest: digest.clone(), ..top }),
            None => Ok(top),
        }
    }

    async fn blob(&self, blob: &Descriptor) -> Result<Box<dyn Content>> {
        let image = self.image().await?;
        if blob.digest == image.config.0 {
            return Ok(Box::new(Memory(image.config.1.clone())));
        }
        match image.layers.get(&blob.digest) {
            Some(opener) => Ok(Box::new(FileContent { opener: opener.clone(), blob: blob.clone() })),
            None => Err(self.absent(format!("reading blob {}", blob.digest))),
        }
    }
}
