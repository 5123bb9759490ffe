//! Content that is in memory: what a descriptor embeds.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};

use crate::{ByteStream, Content, Result};

/// A few bytes that are there already.
pub(super) struct Embedded(pub(super) Bytes);

#[async_trait]
impl Content for Embedded {
    async fn open(&self, from: u64) -> Result<ByteStream> {
        let from = usize::try_from(from).unwrap_or(usize::MAX).min(self.0.len());
        let rest = self.0.slice(from..);
        Ok(stream::iter((!rest.is_empty()).then_some(Ok(rest))).boxed())
    }
}
