//! Storage: the bytes of blobs, in a folder or an S3-compatible bucket. It knows nothing of
//! repositories; which object holds which blob is the catalog's to say.

use std::{
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use berth_oci::Digest;
use bytes::Bytes;
use futures_util::{TryStreamExt, stream::BoxStream};

use crate::{
    catalog::{BoxError, ObjectKey, UploadId},
    clock::Timestamp,
};

mod azure;
mod begun;
mod connection;
mod filesystem;
mod filling;
mod folder;
mod gcs;
mod key;
pub(crate) mod lane;
mod memory;
mod multipart;
mod object;
mod patience;
mod s3;
mod staged;
#[cfg(test)]
mod suite;
#[cfg(test)]
mod testing;

pub use azure::{AzureCredentials, AzureOptions, azure};
pub use connection::Connection;
pub use filesystem::Filesystem;
pub use gcs::{GcsOptions, gcs};
pub use key::{Key, blob_digest, foreign, is_foreign, manifest_of, session_of};
pub use memory::memory;
pub use object::ObjectBackend;
pub use s3::{Encryption, S3Credentials, S3Options, s3};

/// A failure of storage.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// No space is left: 507.
    #[error("storage is full")]
    Full,
    /// Storage does not answer, or answered with an error after retries: 503.
    #[error("storage failed: {0}")]
    Unavailable(#[source] BoxError),
    /// What is stored is not what was stored: an object has another size, or is gone. 500.
    #[error("storage holds other bytes than the catalog says: {0}")]
    Corrupt(String),
}

/// Storage's answer.
pub type Result<T> = std::result::Result<T, StorageError>;

/// Blob bytes on their way out.
pub enum BlobBody {
    /// A range of an open file: the server sends it with sendfile(2) where it can, else by pread.
    File {
        /// The open file; immutable, its size was checked when it was opened.
        file: Arc<std::fs::File>,
        /// Which bytes of it.
        range: Range<u64>,
    },
    /// Bytes from elsewhere.
    Stream(BoxStream<'static, Result<Bytes>>),
}

/// An object, as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: ObjectKey,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last written, by the store's clock.
    pub modified: Timestamp,
}

/// A multipart upload that was begun and not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    /// The session, or the single request, that began it.
    pub session: UploadId,
    /// The object that it was to become.
    pub key: ObjectKey,
    /// The store's name for it.
    pub multipart: String,
}

/// What storage wrote down about a session's bytes, to go on in another request or process.
pub type Staging = Vec<u8>;

/// Where blobs live.
#[async_trait]
pub trait BlobStore: Send + Sync + std::fmt::Debug + 'static {
    /// Opens the staged bytes of a session for appending at `offset`. `staging` is what the last
    /// flush gave, empty for a new session. Bytes staged after `offset` (of a request that died
    /// before it saved) are thrown away.
    async fn stage(&self, id: UploadId, staging: &[u8], offset: u64) -> Result<Box<dyn StageWriter>>;

    /// Throws the staged bytes of a session away. Safe to repeat.
    async fn discard(&self, id: UploadId, staging: &[u8]) -> Result<()>;

    /// Opens `range` of an object that has `size` bytes. `None` when there is no such object.
    async fn open(&self, key: &ObjectKey, size: u64, range: Range<u64>) -> Result<Option<BlobBody>>;

    /// Writes a whole small object, durably, under a key of the caller's.
    async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<()>;

    /// Deletes an object. Safe to repeat.
    async fn delete(&self, key: &ObjectKey) -> Result<()>;

    /// Deletes objects, in bulk where the store can; safe to repeat. One result per key, in the
    /// order of the keys: what failed is still there, or may be.
    async fn delete_many(&self, keys: &[ObjectKey]) -> Vec<Result<()>>;

    /// Lists the objects below a folder such as `blobs` or `manifests` (empty: all of them), in no
    /// order that can be relied on. Each that is there from beginning to end is listed once; what comes and goes
    /// meanwhile may be or not. Staged bytes and what a readiness probe wrote are listed as well,
    /// below `uploads`. A folder that is not there lists nothing.
    fn list(&self, below: &str) -> BoxStream<'static, Result<Listed>>;

    /// The size of an object in bytes; `None` when there is no such object.
    async fn size(&self, key: &ObjectKey) -> Result<Option<u64>>;

    /// Multipart uploads that were begun before `before` and have neither become an object nor been thrown away, those of
    /// living sessions among them. `None` where there are no such things, or the store cannot list them.
    async fn begun(&self, _before: Timestamp) -> Result<Option<Vec<Staged>>> {
        Ok(None)
    }

    /// Throws away what [`Self::begun`] found. Safe to repeat; an object that it has become stays.
    async fn abort(&self, _staged: &Staged) -> Result<()> {
        Ok(())
    }

    /// An address under which anybody may GET this object alone, and for this long. `None` where the store has
    /// no such thing.
    async fn signed_url(&self, _key: &ObjectKey, _life: Duration) -> Result<Option<String>> {
        Ok(None)
    }

    /// Makes the content of a file of this machine an object, durably: the file itself under another
    /// name where that can be, else a copy. Safe to repeat with the same `id`. That the file has this
    /// digest, and does not change, is the caller's to know.
    async fn adopt(&self, digest: &Digest, id: UploadId, file: &Path) -> Result<(ObjectKey, Adopted)> {
        let copied = copy(self.stage(id, &[], 0).await?, file, digest).await?;
        Ok((copied, Adopted::Copied))
    }

    /// The same bucket below another root, to read from. `None` where there is no bucket.
    fn beside(&self, _root: &str) -> Option<Arc<dyn BlobStore>> {
        None
    }

    /// Whether each look at an object is a way over a network and back.
    fn is_far(&self) -> bool {
        false
    }

    /// Answers when storage can be written to; for readiness.
    async fn ping(&self) -> Result<()>;
}

/// The one writer of a session's bytes. Ended by one of its three last methods; dropped without,
/// it leaves what the last flush left.
#[async_trait]
pub trait StageWriter: Send {
    /// Appends. Waits when storage is slower than the sender. After an error the session's bytes
    /// are void: nothing but [`StageWriter::abandon`] can follow.
    async fn write(&mut self, bytes: Bytes) -> Result<()>;

    /// Makes everything written so far durable enough for another request, in this process or
    /// another, to go on from, and says how. After an error the session's bytes are gone.
    async fn flush(self: Box<Self>) -> Result<Staging>;

    /// Makes the session's bytes a durable object (its file and its folder are fsynced, or the
    /// multipart upload is complete) under a key of its own. After an error the session's bytes
    /// are gone: a failed fsync is never tried again.
    async fn finish(self: Box<Self>, digest: &Digest) -> Result<ObjectKey>;

    /// Throws the session's bytes away, what only this writer knows of included.
    async fn abandon(self: Box<Self>) -> Result<()>;
}

/// How a file became an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adopted {
    /// It has a second name.
    Linked,
    /// Its bytes are there twice.
    Copied,
}

/// Stages the bytes of a file and makes them an object.
async fn copy(mut writer: Box<dyn StageWriter>, file: &Path, digest: &Digest) -> Result<ObjectKey> {
    const PIECE: usize = 1 << 20;
    let path = file.to_owned();
    let open = move || std::fs::File::open(path).map_err(filesystem::storage_error);
    let read = async {
        let file = Arc::new(filesystem::blocking(open).await?);
        let mut at = 0;
        loop {
            let file = file.clone();
            let piece = move || {
                let mut piece = vec![0; PIECE];
                let read = file.read_at(&mut piece, at).map_err(filesystem::storage_error)?;
                piece.truncate(read);
                Ok(Bytes::from(piece))
            };
            let piece = filesystem::blocking(piece).await?;
            if piece.is_empty() {
                return Ok(());
            }
            at += piece.len() as u64;
            writer.write(piece).await?;
        }
    };
    match read.await {
        Ok(()) => writer.finish(digest).await,
        Err(error) => {
            writer.abandon().await.ok(); // The copy's own error is the one to report.
            Err(error)
        }
    }
}

/// Lists the files below a folder of another registry's tree. See [`BlobStore::list`].
pub fn list_tree(root: PathBuf, below: &str) -> BoxStream<'static, Result<Listed>> {
    folder::list_tree(root, below)
}

/// Reads a whole small object. `None` when there is no such object.
///
/// # Errors
/// [`StorageError::Corrupt`] when it has more than `max` bytes, which are then not read; when storage fails.
pub async fn read_whole(store: &dyn BlobStore, key: &ObjectKey, max: u64) -> Result<Option<Bytes>> {
    let Some(size) = store.size(key).await? else { return Ok(None) };
    if size > max {
        return Err(StorageError::Corrupt(format!("{key} has {size} bytes, more than {max}")));
    }
    match store.open(key, size, 0..size).await? {
        None => Ok(None),
        Some(BlobBody::Stream(pieces)) => {
            let pieces: Vec<Bytes> = pieces.try_collect().await?;
            Ok(Some(pieces.concat().into()))
        }
        Some(BlobBody::File { file, range }) => {
            filesystem::blocking(move || {
                let mut bytes = vec![0; usize::try_from(range.end).unwrap_or(usize::MAX)];
                file.read_exact_at(&mut bytes, 0).map_err(filesystem::storage_error)?;
                Ok(Some(bytes.into()))
            })
            .await
        }
    }
}

/// One failure for each of `count` keys that failed together.
fn each_failed(count: usize, error: &StorageError) -> Vec<Result<()>> {
    (0..count).map(|_| Err(StorageError::Unavailable(error.to_string().into()))).collect()
}
