//! The store as the source of a copy: manifests and configurations as they came, layers as the tars that they were.

use std::{collections::HashMap, io::Read};

use async_trait::async_trait;
use berth_copier::{ByteStream, Content, Error, ImageName, RawManifest, Source, compression::packed_type};
use berth_oci::{Descriptor, Digest, Manifest};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc::{Receiver, channel};

use super::config::Outline;
use crate::{
    error::{Result, RunnerError},
    store::{Image, Store},
};

const PIECE: usize = 256 << 10;
const PIECES: usize = 2;

/// An image of the store, as one manifest describes it: some layers by the digests that they have at the destination,
/// the others as plain tars.
pub(super) struct StoreSource {
    place: ImageName,
    store: Store,
    manifest: RawManifest,
    config: (Digest, Bytes),
    /// Plain layers whose tar this can give.
    tars: HashMap<Digest, u64>,
}

/// An image of the store with what it takes to describe it anew.
pub(super) struct Stored {
    pub(super) manifest: RawManifest,
    pub(super) parsed: Manifest,
    pub(super) config: Bytes,
    pub(super) diff_ids: Vec<Digest>,
}

impl Stored {
    /// Reads it.
    ///
    /// # Errors
    /// [`RunnerError::Content`] where its parts do not fit each other.
    pub(super) fn read(store: &Store, image: &Image) -> Result<Self> {
        let manifest = RawManifest::new(store.blob(&image.manifest)?.into(), None);
        let parsed = manifest.parse()?;
        let config: Bytes = store.blob(&image.id)?.into();
        let diff_ids = Outline::parse(&config)?.diff_ids().to_vec();
        if diff_ids.len() != parsed.layers.len() {
            return Err(RunnerError::Content(format!(
                "image {}: its manifest has {} layers and its configuration {}",
                image.id,
                parsed.layers.len(),
                diff_ids.len()
            )));
        }
        Ok(Self { manifest, parsed, config, diff_ids })
    }

    /// The same image with a manifest whose layers are plain, but those that are `kept` as they came. With all of them
    /// kept it is the manifest that came, byte for byte.
    ///
    /// # Errors
    /// Where a layer cannot be read.
    pub(super) fn source(self, store: &Store, kept: impl Fn(&Descriptor) -> bool) -> Result<StoreSource> {
        let place = ImageName::Dir(store.folders().images());
        let mut tars = HashMap::new();
        let mut layers = Vec::with_capacity(self.diff_ids.len());
        for (layer, diff_id) in self.parsed.layers.iter().zip(&self.diff_ids) {
            if kept(layer) && layer.digest != *diff_id {
                layers.push(layer.clone());
                continue;
            }
            let size = match tars.get(diff_id) {
                Some(size) => *size,
                None => store.layer_tar_size(diff_id)?,
            };
            tars.insert(diff_id.clone(), size);
            layers.push(Descriptor {
                annotations: layer.annotations.clone(),
                ..Descriptor::new(packed_type(&layer.media_type, None)?, diff_id.clone(), size)
            });
        }
        let manifest =
            if layers == self.parsed.layers { self.manifest } else { with_layers(&self.manifest, &layers)? };
        let digest = match &self.parsed.config {
            Some(config) => config.digest.clone(),
            None => return Err(RunnerError::Content("an image without a configuration".into())),
        };
        Ok(StoreSource { place, store: store.clone(), manifest, config: (digest, self.config), tars })
    }
}

pub(super) fn reading(diff_id: &Digest, error: std::io::Error) -> RunnerError {
    crate::store::layer_error(error, &format!("reading layer {diff_id}"))
}

fn with_layers(manifest: &RawManifest, layers: &[Descriptor]) -> Result<RawManifest> {
    let broken = |fault: serde_json::Error| RunnerError::Content(format!("writing a manifest: {fault}"));
    let mut document: serde_json::Value = serde_json::from_slice(&manifest.raw).map_err(broken)?;
    document["layers"] = serde_json::to_value(layers).map_err(broken)?;
    let raw = serde_json::to_vec(&document).map_err(broken)?;
    Ok(RawManifest::new(raw.into(), None))
}

#[async_trait]
impl Source for StoreSource {
    fn name(&self) -> &ImageName {
        &self.place
    }

    async fn manifest(&self, instance: Option<&Digest>) -> Result<RawManifest, Error> {
        match instance {
            Some(digest) if *digest != self.manifest.digest => {
                Err(self.absent(format!("reading manifest {digest}")))
            }
            Some(_) | None => Ok(self.manifest.clone()),
        }
    }

    async fn blob(&self, blob: &Descriptor) -> Result<Box<dyn Content>, Error> {
        if blob.digest == self.config.0 {
            return Ok(Box::new(Memory(self.config.1.clone())));
        }
        if self.tars.contains_key(&blob.digest) {
            return Ok(Box::new(Tar { store: self.store.clone(), diff_id: blob.digest.clone() }));
        }
        Err(self.absent(format!("reading blob {}", blob.digest)))
    }
}

impl StoreSource {
    fn absent(&self, what: String) -> Error {
        Error::NotFound {
            what,
            place: self.place.to_string(),
            reason: "layers are kept here unpacked".into(),
        }
    }
}

struct Memory(Bytes);

#[async_trait]
impl Content for Memory {
    async fn open(&self, from: u64) -> Result<ByteStream, Error> {
        let from = usize::try_from(from).unwrap_or(usize::MAX).min(self.0.len());
        let rest = self.0.slice(from..);
        Ok(stream::iter((!rest.is_empty()).then_some(Ok(rest))).boxed())
    }
}

/// A layer's tar, made again from what was unpacked.
struct Tar {
    store: Store,
    diff_id: Digest,
}

#[async_trait]
impl Content for Tar {
    async fn open(&self, from: u64) -> Result<ByteStream, Error> {
        if from != 0 {
            return Err(Error::NotSeekable);
        }
        let (store, diff_id) = (self.store.clone(), self.diff_id.clone());
        let (send, pieces) = channel(PIECES);
        tokio::task::spawn_blocking(move || {
            let read = read_all(&store, &diff_id, |piece| send.blocking_send(Some(Ok(piece))).is_ok());
            // Who listens no more needs no more.
            let _gone = match read {
                Ok(()) => send.blocking_send(None),
                Err(error) => send.blocking_send(Some(Err(Error::Integrity(error.to_string())))),
            };
        });
        Ok(stream::unfold(Some(pieces), next).boxed())
    }
}

/// Reads a layer's tar to its end, where its digest is compared, or until nobody takes its pieces.
fn read_all(store: &Store, diff_id: &Digest, take: impl Fn(Bytes) -> bool) -> Result<()> {
    let mut tar = store.layer_tar(diff_id)?;
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let bytes = tar.by_ref().take(PIECE as u64).read_to_end(&mut piece);
        if bytes.map_err(|error| reading(diff_id, error))? == 0 || !take(piece.into()) {
            return Ok(());
        }
    }
}

type Pieces = Receiver<Option<Result<Bytes, Error>>>;

/// The stream ends well only where the thread said so.
async fn next(pieces: Option<Pieces>) -> Option<(Result<Bytes, Error>, Option<Pieces>)> {
    let mut pieces = pieces?;
    match pieces.recv().await {
        Some(Some(Ok(piece))) => Some((Ok(piece), Some(pieces))),
        Some(Some(Err(error))) => Some((Err(error), None)),
        Some(None) => None,
        None => {
            let source = "it ended before its end".into();
            Some((Err(Error::Other { what: "reading a layer".to_owned(), source }), None))
        }
    }
}
