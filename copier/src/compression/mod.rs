//! Layers' compression: reading what others packed, packing anew.
//!
//! [`Recompressed`] stands between a source's content and a sink: a content whose bytes are made on the way, on a
//! blocking thread, with bounded channels around it. What is known only at the end ([`Facts`]) is asked of it after the
//! stream ended.

mod chunked;
mod form;
mod gzip;
mod level;
mod media_type;
mod plain;
pub(crate) mod pump;
mod unpacked;
mod zstandard;

#[cfg(test)]
pub(crate) mod tests;

use std::{
    collections::BTreeMap,
    io::Read,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use berth_oci::Digest;
use futures_util::StreamExt;

use crate::{ByteStream, Content, Error, Result, copy::CompressionFormat};

pub use form::{Form, detect, form_of};
pub use level::Level;
pub use media_type::packed_type;
pub use unpacked::{Limits, Unpacked, unpack};

/// What is done to content on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recipe {
    /// What is undone first.
    pub unpack: Unpack,
    /// What is done then; the level was checked when it was made.
    pub pack: Option<(CompressionFormat, Level)>,
    /// How much may come out of the unpacking.
    pub limits: Limits,
}

/// Which compression is undone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unpack {
    /// The one that the first bytes show; bytes that show none are plain.
    #[default]
    Detect,
    /// This one; content that is packed otherwise is an error.
    Known(Form),
}

/// What is known of recompressed content once its stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// How the source had packed it.
    pub was: Form,
    /// SHA-256 of the plain bytes: the layer's `diff_id`.
    pub diff_id: Digest,
    /// How many plain bytes there are.
    pub plain_size: u64,
    /// Annotations of the layer's descriptor, by which clients find a zstd:chunked layer's table of contents.
    pub annotations: BTreeMap<String, String>,
}

/// Content that is unpacked and packed anew while it is read. It has no byte offsets to go on from: every opening
/// begins at the beginning, and the same bytes come out of it, whatever the number of processors.
pub struct Recompressed {
    from: Box<dyn Content>,
    recipe: Recipe,
    facts: Arc<Mutex<Option<Facts>>>,
}

impl Recompressed {
    /// Around `from`.
    #[must_use]
    pub fn new(from: Box<dyn Content>, recipe: Recipe) -> Self {
        Self { from, recipe, facts: Arc::default() }
    }

    /// What became known, after a stream ended without an error.
    #[must_use]
    pub fn facts(&self) -> Option<Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Content for Recompressed {
    async fn open(&self, from: u64) -> Result<ByteStream> {
        if from != 0 {
            return Err(Error::NotSeekable);
        }
        let stream = self.from.open(0).await?;
        let (recipe, facts) = (self.recipe, Arc::clone(&self.facts));
        Ok(pump::transform(stream, move |input, output| {
            let found = work(input, output, recipe)?;
            *facts.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
            Ok(())
        }))
    }
}

fn work(input: pump::Input, output: &mut pump::Output, recipe: Recipe) -> Result<Facts> {
    let mut plain = plain::Plain::open(input, recipe.unpack, recipe.limits)?;
    let mut annotations = BTreeMap::new();
    match recipe.pack {
        None => std::io::copy(&mut plain, output).map(|_| ()),
        Some((CompressionFormat::Gzip, level)) => gzip::write(&mut plain, output, level),
        Some((CompressionFormat::Zstd, level)) => zstandard::write(&mut plain, output, level),
        Some((CompressionFormat::ZstdChunked, level)) => {
            chunked::write(&mut plain, output, level).map(|made| annotations = made)
        }
    }
    .map_err(|error| pump::fault("packing the layer", error))?;
    // Whatever packs may stop where its format does; the digest is of everything.
    std::io::copy(&mut plain.by_ref(), &mut std::io::sink())
        .map_err(|error| pump::fault("reading the layer", error))?;
    let (was, diff_id, plain_size) = plain.finish();
    Ok(Facts { was, diff_id, plain_size, annotations })
}

/// Which compression content has, by its first bytes. The content is opened for it and closed again.
///
/// # Errors
/// As the content's.
pub async fn sniff(content: &dyn Content) -> Result<Form> {
    let mut stream = content.open(0).await?;
    let mut first = Vec::with_capacity(form::MAGIC_BYTES);
    while first.len() < form::MAGIC_BYTES {
        let Some(piece) = stream.next().await else { break };
        let piece = piece?;
        first.extend_from_slice(&piece[..piece.len().min(form::MAGIC_BYTES)]);
    }
    Ok(detect(&first))
}
