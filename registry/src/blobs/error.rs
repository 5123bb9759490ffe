//! How uploads fail.

use berth_oci::Digest;

use crate::{
    catalog::{BoxError, CatalogError, Refusal},
    storage::StorageError,
};

/// Why an upload did not go on.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// No such session, as far as the caller may know.
    #[error("no such upload session")]
    Unknown,
    /// The chunk is not the next one, or another request is writing. The session lives on.
    #[error("the chunk is not the next one: {offset} bytes are stored")]
    OutOfOrder {
        /// Bytes stored.
        offset: u64,
    },
    /// A header breaks a rule, which the sentence names. Nothing was stored.
    #[error("{0}")]
    Invalid(&'static str),
    /// The body has another size than was announced. What came of it is stored.
    #[error("{announced} bytes were announced and {received} came")]
    Size {
        /// Bytes announced.
        announced: u64,
        /// Bytes that came, or that another header announced.
        received: u64,
    },
    /// The blob is over the limit. The session has ended.
    #[error("a blob may have {0} bytes")]
    TooLarge(u64),
    /// The bytes have another digest than was said. The session has ended.
    #[error("the content is {actual}, not {expected}")]
    Digest {
        /// What was said.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// Too many sessions are open, of all callers together or of this one: so many may be.
    #[error("{limit} uploads are open, and no more may be")]
    TooMany {
        /// How many.
        limit: u32,
        /// Whether they are all the caller's.
        own: bool,
    },
    /// The namespace's limits say no. The session has ended.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The body broke off. What came of it is stored.
    #[error("the body broke off: {0}")]
    Body(#[source] BoxError),
    /// Storage failed. If it failed in writing, the session has ended.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}
