//! Work on the whole registry: looking whether catalog and storage agree, rebuilding a catalog,
//! taking over another registry's tree. It knows neither the wire nor the configuration.

pub mod check;
pub mod import;
pub mod read;
pub mod recover;
mod restore;
pub mod scrub;

use serde::Serialize;
use tokio::sync::mpsc;

pub use restore::Restore;

use crate::{
    catalog::{BoxError, CatalogError},
    storage::StorageError,
};

/// A record has no more bytes: a manifest's 4 MiB, and ten thousand blobs.
const LARGEST_RECORD: u64 = 16 << 20;

/// Why such work ended early.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// It must not be done as things are; the sentence says why, and the way out.
    #[error("{0}")]
    Refused(String),
    /// What was to be read cannot be read.
    #[error("{0}: {1}")]
    Source(String, #[source] BoxError),
}

/// Where it tells what it finds, one JSON object after the other. Whoever listens may go away; the
/// work goes on.
#[derive(Clone, Debug)]
pub struct Teller(mpsc::Sender<serde_json::Value>);

impl Teller {
    /// A teller, and where to listen.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<serde_json::Value>) {
        let (teller, listener) = mpsc::channel(64);
        (Self(teller), listener)
    }

    /// Tells something.
    pub async fn tell(&self, what: &impl Serialize) {
        // What is told is made of text and numbers, which can always be written.
        if let Ok(line) = serde_json::to_value(what) {
            self.0.send(line).await.ok(); // Nobody may listen any more.
        }
    }
}
