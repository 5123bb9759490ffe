//! What a sync asks of registries and folders. The rules around it are tested with fakes.

use async_trait::async_trait;
use berth_oci::{Digest, Reference, Tag};

use super::{place::Place, plan::Item};
use crate::{ImageName, Result, Side, copy};

/// What comparing an image with its destination showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Comparison {
    /// Digest of what would be at the destination; the source's, where a conversion will change it.
    pub(super) digest: Digest,
    /// Whether the destination has it.
    pub(super) present: bool,
    /// What the destination has in its place.
    pub(super) other: Option<Digest>,
    /// Bytes of its blobs, each once, where nothing is there yet; at most so many will move.
    pub(super) bytes: Option<u64>,
}

/// The two ends of a sync.
#[async_trait]
pub(super) trait Access: Send + Sync {
    /// All tags of a source's repository.
    async fn tags(&self, repository: &Reference, side: &Side) -> Result<Vec<Tag>>;

    /// The tags at a place of the destination, and none where there is nothing yet.
    async fn existing(&self, place: &Place) -> Result<Vec<Tag>>;

    /// Looks without writing anything.
    async fn compare(&self, item: &Item) -> Result<Comparison>;

    /// Copies one image.
    async fn copy(&self, item: &Item) -> Result<copy::Report>;

    /// Digest of a tag that is to be deleted.
    async fn digest(&self, image: &ImageName) -> Result<Option<Digest>>;

    /// Deletes one tag and nothing else.
    async fn delete(&self, image: &ImageName) -> Result<()>;
}
