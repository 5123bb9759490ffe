//! Bytes on their way from a source to a sink.

use std::pin::Pin;

use async_trait::async_trait;
use berth_oci::Descriptor;
use bytes::Bytes;
use futures_util::Stream;

use crate::Result;

/// Pieces of content in order. An error ends the stream: what came before it is not the whole.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send + 'static>>;

/// Content that can be read again, so that an upload which broke can go on where the other side stands.
///
/// A stream ends without an error only if the whole content came; a source that knows the length says
/// [`crate::Error`] where fewer bytes came. Sources do not verify digests: the engine does, around them, and gives
/// sinks a content whose stream fails before its last piece is released.
#[async_trait]
pub trait Content: Send + Sync {
    /// Opens the content at byte `from` (0 is the beginning; the length itself gives an empty stream).
    ///
    /// # Errors
    /// If the content is not there, and `Error::NotSeekable` where it can only be read from its beginning.
    async fn open(&self, from: u64) -> Result<ByteStream>;
}

/// What a sink is told of a blob before its bytes.
#[derive(Clone, Debug)]
pub struct Blob {
    /// Type, and where they are known digest and size. Without a digest the content is being made on the way
    /// (recompressed, encrypted) and the sink finds out both.
    pub known: Option<Descriptor>,
    /// The type that the manifest will give it.
    pub media_type: berth_oci::MediaType,
    /// What it is in the image.
    pub part: Part,
}

/// What a blob is in an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The configuration.
    Config,
    /// A layer, by its place from the base.
    Layer(usize),
    /// Anything else: an artifact's blob, a signature.
    Other,
}
