//! What is made of a layer on its way: decrypted, packed otherwise, encrypted; in this order.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use berth_oci::{Descriptor, Manifest, MediaType};

use super::{
    Options, convert,
    layer_type::{LayerType, Packing},
    options::{Compression, CompressionFormat, ManifestFormat},
    verified::Verified,
};
use crate::{
    ByteStream, Content, Error, Result,
    compression::{Level, Recipe, Recompressed, Unpack},
    encryption::{Decrypted, Encrypted, without_encryption},
    sink::LayerForm,
};

/// Annotation of zstd layers in frames: the digest of their table of contents.
const CHUNKED: &str = "io.github.containers.zstd-chunked.manifest-checksum";
/// What all annotations about such tables begin with. They speak of one blob's bytes, and of no other's.
const OF_CHUNKS: &str = "io.github.containers.zstd-chunked.";

/// What is made of one layer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Making {
    /// Whether it is decrypted first.
    pub(super) decrypt: bool,
    /// How it is packed anew, if it is; the inner `None` is plain.
    pub(super) pack: Option<Option<CompressionFormat>>,
    /// Whether it is encrypted at the end.
    pub(super) encrypt: bool,
    /// Whether it stays as it is where the destination has it so.
    pub(super) unless_there: bool,
    /// What the layer's type says then.
    pub(super) layer: LayerType,
}

impl Making {
    /// Words that tell makings apart.
    pub(super) fn key(&self, level: Option<i32>, media_type: &MediaType) -> String {
        format!("{} {:?} {level:?} {} {media_type}", self.decrypt, self.pack, self.unless_there)
    }

    /// Whether it is a matter of secrets, which must not fail to be done.
    pub(super) const fn is_secret(&self) -> bool {
        self.decrypt || self.encrypt
    }

    /// The type that the layer gets in `format`.
    ///
    /// # Errors
    /// If it has none there.
    pub(super) fn media_type(&self, format: ManifestFormat) -> Result<MediaType> {
        LayerType { format, ..self.layer }.media_type()
    }

    /// The content that is made of `source`, the content of `blob`.
    ///
    /// # Errors
    /// `Error::Usage` for a level that the format has not, or no recipients; if no key decrypts the layer.
    pub(super) fn content(
        &self,
        blob: &Descriptor,
        source: Arc<Verified>,
        options: &Options,
    ) -> Result<Made> {
        let mut content: Arc<dyn Content> = source;
        if self.decrypt {
            content =
                Arc::new(Decrypted::new(Box::new(Shared(content)), &blob.annotations, &options.decrypt)?);
        }
        let recompressed = match self.pack {
            Some(pack) => {
                let level =
                    |format| Ok::<_, crate::Error>((format, Level::new(format, options.compression.level)?));
                let pack = pack.map(level).transpose()?;
                let recipe = Recipe { unpack: Unpack::Detect, pack, ..Recipe::default() };
                let recompressed = Arc::new(Recompressed::new(Box::new(Shared(content)), recipe));
                content = Arc::clone(&recompressed) as Arc<dyn Content>;
                Some(recompressed)
            }
            None => None,
        };
        let encrypted = match options.encrypt.as_ref().filter(|_| self.encrypt) {
            Some(encrypt) => {
                let recipients = encrypt.recipients.clone();
                let encrypted = Arc::new(Encrypted::new(Box::new(Shared(content)), recipients)?);
                content = Arc::clone(&encrypted) as Arc<dyn Content>;
                Some(encrypted)
            }
            None => None,
        };
        Ok(Made { content, recompressed, encrypted })
    }
}

/// Content that is made on the way.
pub(super) struct Made {
    content: Arc<dyn Content>,
    recompressed: Option<Arc<Recompressed>>,
    encrypted: Option<Arc<Encrypted>>,
}

impl Made {
    /// The descriptor of what was made of `was`: its own annotations, without those that spoke of its bytes, and those
    /// that its new bytes have.
    pub(super) fn described(
        &self,
        was: &Descriptor,
        stored: Descriptor,
        media_type: MediaType,
    ) -> Descriptor {
        let mut annotations: BTreeMap<_, _> = without_encryption(&was.annotations);
        annotations.retain(|key, _| !key.starts_with(OF_CHUNKS));
        let packed = self.recompressed.as_ref().and_then(|made| made.facts()).map(|facts| facts.annotations);
        let encrypted = self.encrypted.as_ref().and_then(|made| made.annotations());
        annotations.extend(packed.into_iter().chain(encrypted).flatten());
        Descriptor { annotations, ..Descriptor::new(media_type, stored.digest, stored.size) }
    }

    /// Another handle on the same content.
    pub(super) fn handle(&self) -> Box<dyn Content> {
        Box::new(Shared(Arc::clone(&self.content)))
    }
}

#[async_trait]
impl Content for Made {
    async fn open(&self, from: u64) -> Result<ByteStream> {
        self.content.open(from).await
    }
}

struct Shared(Arc<dyn Content>);

#[async_trait]
impl Content for Shared {
    async fn open(&self, from: u64) -> Result<ByteStream> {
        self.0.open(from).await
    }
}

/// What is made of each layer of a manifest: what was asked for, or else what the destination wants of plain layers.
///
/// # Errors
/// `Error::Usage` if a layer is to be encrypted that the image has not; `Error::Refused` if one is to be that cannot.
pub(super) fn makings(
    manifest: &Manifest,
    options: &Options,
    wants: LayerForm,
) -> Result<Vec<Option<Making>>> {
    if !convert::is_image(manifest) {
        return match (&options.encrypt, manifest.layers.first()) {
            (Some(_), Some(layer)) => {
                Err(unencrypted(layer, "it belongs to an artifact, and only images' layers are"))
            }
            _ => Ok(Vec::new()),
        };
    }
    let wants = match options.compression {
        Compression { compress: true, .. } => LayerForm::Compress,
        Compression { decompress: true, .. } => LayerForm::Decompress,
        _ => wants,
    };
    let encrypt = options.encrypt.as_ref().map(|encrypt| encrypt.select(manifest.layers.len()));
    let encrypt = encrypt.transpose()?.unwrap_or_default();
    let layers = manifest.layers.iter().enumerate();
    layers
        .map(|(place, blob)| {
            let encrypt = encrypt.contains(&place);
            match making(blob, options, wants, encrypt) {
                // What was to be secret must not go out as it is.
                None if encrypt => Err(unencrypted(
                    blob,
                    "layers of this type, encrypted for others, or kept elsewhere are not",
                )),
                making => Ok(making),
            }
        })
        .collect()
}

fn unencrypted(layer: &Descriptor, why: &str) -> Error {
    let (digest, media_type) = (&layer.digest, &layer.media_type);
    Error::Refused(format!(
        "layer {digest} of type {media_type} would not be encrypted: {why}; nothing was copied"
    ))
}

fn making(blob: &Descriptor, options: &Options, wants: LayerForm, encrypt: bool) -> Option<Making> {
    let layer = LayerType::parse(&blob.media_type)?;
    // A layer that may lie elsewhere is not ours to change.
    if layer.foreign && !blob.urls.is_empty() {
        return None;
    }
    let decrypt = layer.encrypted && !options.decrypt.is_empty();
    if layer.encrypted && !decrypt {
        return None;
    }
    let pack = packing(blob, layer, &options.compression, wants, encrypt);
    if pack.is_none() && !decrypt && !encrypt {
        return None;
    }
    let unless_there = wants == LayerForm::Compress && !options.compression.force && !decrypt && !encrypt;
    let packing = pack.map_or(layer.packing, |(_, packing)| packing);
    let layer = LayerType { packing, encrypted: encrypt, ..layer };
    Some(Making { decrypt, pack: pack.map(|(pack, _)| pack), encrypt, unless_there, layer })
}

/// How a layer is packed anew, if it is.
fn packing(
    blob: &Descriptor,
    layer: LayerType,
    asked: &Compression,
    wants: LayerForm,
    encrypt: bool,
) -> Option<(Option<CompressionFormat>, Packing)> {
    let (pack, packing) = match (wants, asked.format) {
        (LayerForm::Preserve, _) => return None,
        (LayerForm::Decompress, _) => (None, Packing::Plain),
        (LayerForm::Compress, None) if layer.packing == Packing::Plain => {
            (Some(CompressionFormat::Gzip), Packing::Gzip)
        }
        (LayerForm::Compress, None) => return None,
        (LayerForm::Compress, Some(CompressionFormat::Gzip)) => {
            (Some(CompressionFormat::Gzip), Packing::Gzip)
        }
        // Encrypted layers are not read in parts, so frames and a table of them would be of no use.
        (LayerForm::Compress, Some(CompressionFormat::ZstdChunked)) if !encrypt => {
            (Some(CompressionFormat::ZstdChunked), Packing::Zstd)
        }
        (LayerForm::Compress, Some(CompressionFormat::Zstd | CompressionFormat::ZstdChunked)) => {
            (Some(CompressionFormat::Zstd), Packing::Zstd)
        }
    };
    let chunked = blob.annotations.contains_key(CHUNKED);
    let is_so = packing == layer.packing && (pack != Some(CompressionFormat::ZstdChunked) || chunked);
    (!is_so).then_some((pack, packing))
}
