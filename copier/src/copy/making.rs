//! What is made of a layer on its way: unpacked, packed otherwise.

use std::sync::Arc;

use async_trait::async_trait;
use berth_oci::{Descriptor, Manifest, MediaType};

use super::{
    convert,
    layer_type::{LayerType, Packing},
    options::{Compression, CompressionFormat, ManifestFormat},
    verified::Verified,
};
use crate::{
    ByteStream, Content, Result,
    compression::{Level, Recipe, Recompressed, Unpack},
    sink::LayerForm,
};

/// Annotation of zstd layers in frames: the digest of their table of contents.
const CHUNKED: &str = "io.github.containers.zstd-chunked.manifest-checksum";
/// What all annotations about such tables begin with. They speak of one blob's bytes, and of no other's.
const OF_CHUNKS: &str = "io.github.containers.zstd-chunked.";

/// What is made of one layer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Making {
    /// How it is packed then; `None` is plain.
    pub(super) pack: Option<CompressionFormat>,
    /// Whether it stays as it is where the destination has it so.
    pub(super) unless_there: bool,
    /// What the layer's type says then.
    pub(super) layer: LayerType,
}

impl Making {
    /// Words that tell makings apart.
    pub(super) fn key(&self, level: Option<i32>, media_type: &MediaType) -> String {
        format!("{:?} {level:?} {} {media_type}", self.pack, self.unless_there)
    }

    /// The type that the layer gets in `format`.
    ///
    /// # Errors
    /// If it has none there.
    pub(super) fn media_type(&self, format: ManifestFormat) -> Result<MediaType> {
        LayerType { format, ..self.layer }.media_type()
    }

    /// The content that is made of `source`.
    ///
    /// # Errors
    /// `Error::Usage` for a level that the format has not.
    pub(super) fn content(&self, source: Arc<Verified>, level: Option<i32>) -> Result<Made> {
        let pack = self
            .pack
            .map(|format| Ok::<_, crate::Error>((format, Level::new(format, level)?)))
            .transpose()?;
        let recipe = Recipe { unpack: Unpack::Detect, pack, ..Recipe::default() };
        Ok(Made(Arc::new(Recompressed::new(Box::new(Shared(source)), recipe))))
    }
}

/// Content that is made on the way.
pub(super) struct Made(Arc<Recompressed>);

impl Made {
    /// The descriptor of what was made of `was`: its own annotations, and those that its packing has.
    pub(super) fn described(
        &self,
        was: &Descriptor,
        stored: Descriptor,
        media_type: MediaType,
    ) -> Descriptor {
        let own = was.annotations.iter().filter(|(key, _)| !key.starts_with(OF_CHUNKS));
        let mut annotations: std::collections::BTreeMap<_, _> =
            own.map(|(key, value)| (key.clone(), value.clone())).collect();
        annotations.extend(self.0.facts().map(|facts| facts.annotations).unwrap_or_default());
        Descriptor { annotations, ..Descriptor::new(media_type, stored.digest, stored.size) }
    }

    /// Another handle on the same content.
    pub(super) fn handle(&self) -> Box<dyn Content> {
        Box::new(Shared(Arc::clone(&self.0)))
    }
}

#[async_trait]
impl Content for Made {
    async fn open(&self, from: u64) -> Result<ByteStream> {
        self.0.open(from).await
    }
}

struct Shared<T>(Arc<T>);

#[async_trait]
impl<T: Content> Content for Shared<T> {
    async fn open(&self, from: u64) -> Result<ByteStream> {
        self.0.open(from).await
    }
}

/// What is made of each layer of a manifest: what was asked for, or else what the destination wants of plain layers.
pub(super) fn makings(manifest: &Manifest, asked: &Compression, wants: LayerForm) -> Vec<Option<Making>> {
    let wants = match asked {
        Compression { compress: true, .. } => LayerForm::Compress,
        Compression { decompress: true, .. } => LayerForm::Decompress,
        _ => wants,
    };
    let image = convert::is_image(manifest);
    manifest
        .layers
        .iter()
        .map(|blob| {
            let layer = LayerType::parse(&blob.media_type).filter(|layer| image && !layer.encrypted)?;
            making(blob, layer, asked, wants)
        })
        .collect()
}

fn making(blob: &Descriptor, layer: LayerType, asked: &Compression, wants: LayerForm) -> Option<Making> {
    let (pack, packing) = match (wants, asked.format) {
        (LayerForm::Preserve, _) => return None,
        (LayerForm::Decompress, _) => (None, Packing::Plain),
        (LayerForm::Compress, None) if layer.packing == Packing::Plain => {
            (Some(CompressionFormat::Gzip), Packing::Gzip)
        }
        (LayerForm::Compress, None) => return None,
        (LayerForm::Compress, Some(format @ CompressionFormat::Gzip)) => (Some(format), Packing::Gzip),
        (LayerForm::Compress, Some(format @ (CompressionFormat::Zstd | CompressionFormat::ZstdChunked))) => {
            (Some(format), Packing::Zstd)
        }
    };
    let chunked = blob.annotations.contains_key(CHUNKED);
    let is_so = packing == layer.packing && (pack != Some(CompressionFormat::ZstdChunked) || chunked);
    // A layer that may lie elsewhere is not ours to change.
    if is_so || (layer.foreign && !blob.urls.is_empty()) {
        return None;
    }
    let unless_there = wants == LayerForm::Compress && !asked.force;
    Some(Making { pack, unless_there, layer: LayerType { packing, ..layer } })
}
