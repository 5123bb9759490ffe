//! A session's bytes on their way into a bucket, by the parts of a multipart upload.

use std::time::Duration;

use async_trait::async_trait;
use berth_oci::{Digest, Verifier};
use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::{ObjectStoreExt, multipart::PartId, path::Path};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tracing::warn;
use uuid::Uuid;

use super::{
    BlobBody, BlobStore, Result, StageWriter, Staging, StorageError,
    filling::Filling,
    key::Key,
    lane::{Budget, Lane},
    object::{ObjectBackend, object_error},
};
use crate::catalog::{ObjectKey, UploadId};

/// The smallest part but the last that S3 takes.
const MIN_PART: u64 = 5 * 1024 * 1024;

/// The first parts' size; what an upload keeps in memory is a few of these.
const FIRST_PART: u64 = 8 * 1024 * 1024;

/// Putting parts together is so many times as fast as sending them.
const ASSEMBLED: u64 = 100;

/// Parts of one upload that are on their way at a time, beside the one that fills.
const PARALLEL: usize = 2;

/// Bytes that may wait for their hash when an object is read again.
const REREAD: u32 = 512 * 1024;

/// So long a request that has failed waits for its bytes to be thrown away. The purge does the rest.
const FAREWELL: Duration = Duration::from_secs(2);

/// The size of part `index`. It doubles every thousand parts: 8 GiB in parts of 8 MiB, 24 GiB with
/// those of 16, and so on; the 10,000 parts of an upload hold more than S3's 5 TiB.
const fn part_size(index: usize) -> u64 {
    let doublings = if index < 10_000 { index / 1000 } else { 9 };
    FIRST_PART << doublings
}

/// What a request that ends must have for another part, as part `index`. It grows as parts do, so that a client's small
/// chunks do not use up the numbers of parts; less is kept as a tail.
const fn least_part(index: usize) -> u64 {
    let half = part_size(index) / 2;
    if half > MIN_PART { half } else { MIN_PART }
}

/// What is written down about a session between requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    /// The multipart upload, once there is one.
    pub(super) multipart: Option<Multipart>,
    /// Its parts, in order.
    parts: Vec<Part>,
    /// The bytes behind the last part.
    tail: Option<Tail>,
    /// Tails that were followed by others: to be deleted by the next request, when the catalog
    /// is sure not to count on them.
    old_tails: Vec<Uuid>,
}

/// A multipart upload and the object that it becomes. The name is its own: of two requests that began one each in the same
/// session, neither can put its object in the place of the other's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Multipart {
    pub(super) name: Uuid,
    pub(super) id: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    id: String,
    size: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Tail {
    name: Uuid,
    size: u64,
}

impl Session {
    /// Reads what [`MultipartWriter::flush`] wrote; nothing is a new session.
    pub(super) fn parse(id: UploadId, staging: &[u8]) -> Result<Self> {
        if staging.is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_slice(staging)
            .map_err(|e| StorageError::Corrupt(format!("what is staged of upload {id} cannot be read: {e}")))
    }
}

/// The one writer of a session's parts; see [`StageWriter`].
pub(super) struct MultipartWriter {
    backend: ObjectBackend,
    id: UploadId,
    session: Session,
    // Bytes written, and those of them that are in no part yet.
    end: u64,
    filling: Filling,
    // Parts that are on their way. Their places in `session.parts` are taken; their ids come later.
    running: JoinSet<Result<(usize, PartId)>>,
}

impl MultipartWriter {
    /// Goes on at `offset` from what `staging` says.
    pub(super) async fn open(
        backend: ObjectBackend,
        id: UploadId,
        staging: &[u8],
        offset: u64,
    ) -> Result<Self> {
        let session = Session::parse(id, staging)?;
        let tail_size = session.tail.as_ref().map_or(0, |tail| tail.size);
        let staged = session.parts.iter().map(|part| part.size).sum::<u64>() + tail_size;
        if staged != offset {
            return Err(StorageError::Corrupt(format!(
                "upload {id} has {staged} staged bytes, not {offset}"
            )));
        }
        let filling = Filling::new(backend.memory.clone());
        let mut this = Self { backend, id, session, end: offset, filling, running: JoinSet::new() };
        for name in std::mem::take(&mut this.session.old_tails) {
            this.backend.tidy(&Key::Tail(id, name).object()).await;
        }
        this.load_tail().await?;
        Ok(this)
    }

    async fn load_tail(&mut self) -> Result<()> {
        let Some(tail) = self.session.tail.take() else { return Ok(()) };
        let key = Key::Tail(self.id, tail.name).object();
        let gone = || StorageError::Corrupt(format!("{key}, the end of upload {}, is gone", self.id));
        match self.backend.open(&key, tail.size, 0..tail.size).await?.ok_or_else(gone)? {
            BlobBody::Stream(mut bytes) => {
                while let Some(bytes) = bytes.try_next().await? {
                    self.filling.push(bytes).await?;
                }
            }
            BlobBody::File { .. } => return Err(StorageError::Corrupt(format!("{key} is a file"))),
        }
        if self.filling.size() != tail.size {
            return Err(StorageError::Unavailable(format!("{key} broke off").into()));
        }
        // Still counted on until this request has saved.
        self.session.old_tails.push(tail.name);
        Ok(())
    }

    /// The multipart upload and where it goes; made when there is none.
    async fn multipart(&mut self) -> Result<(Path, Multipart)> {
        if let Some(multipart) = &self.session.multipart {
            let path = self.backend.path(&Key::Multipart(self.id, multipart.name).object())?;
            return Ok((path, multipart.clone()));
        }
        let name = Uuid::new_v4();
        let path = self.backend.path(&Key::Multipart(self.id, name).object())?;
        let ObjectBackend { patience, parts, .. } = &self.backend;
        // One whose answer was lost stays behind until the purge.
        let id = patience.ask(0, || parts.create_multipart(&path)).await.map_err(object_error)?;
        Ok((path, self.session.multipart.insert(Multipart { name, id }).clone()))
    }

    /// Sends what has filled up as the next part.
    async fn send_part(&mut self) -> Result<()> {
        while self.running.len() >= PARALLEL {
            self.part_done().await?;
        }
        let (path, multipart) = self.multipart().await?;
        let (index, size) = (self.session.parts.len(), self.filling.size());
        self.session.parts.push(Part { id: String::new(), size });
        let (parts, patience, filled) =
            (self.backend.parts.clone(), self.backend.patience, self.filling.take());
        self.running.spawn(async move {
            let blocks = filled.load().await?;
            let send = || parts.put_part(&path, &multipart.id, index, blocks.payload());
            Ok((index, patience.ask(size, send).await.map_err(object_error)?))
        });
        Ok(())
    }

    async fn part_done(&mut self) -> Result<()> {
        let Some(done) = self.running.join_next().await else { return Ok(()) };
        let (index, part) = done.map_err(|e| StorageError::Unavailable(e.into()))??;
        self.session.parts[index].id = part.content_id;
        Ok(())
    }

    async fn all_parts_done(&mut self) -> Result<()> {
        while !self.running.is_empty() {
            self.part_done().await?;
        }
        Ok(())
    }

    /// Writes what has filled up as an object.
    async fn put(&mut self, key: &ObjectKey) -> Result<()> {
        let (size, path) = (self.filling.size(), self.backend.path(key)?);
        let blocks = self.filling.take().load().await?;
        let ObjectBackend { patience, objects, .. } = &self.backend;
        patience.ask(size, || objects.put(&path, blocks.payload())).await.map_err(object_error)?;
        Ok(())
    }

    async fn try_flush(&mut self) -> Result<Staging> {
        if self.filling.size() >= least_part(self.session.parts.len()) {
            self.send_part().await?;
        }
        if self.filling.size() > 0 || self.backend.keeps_parts {
            let tail = Tail { name: Uuid::new_v4(), size: self.filling.size() };
            self.put(&Key::Tail(self.id, tail.name).object()).await?;
            self.session.tail = Some(tail);
        }
        self.all_parts_done().await?;
        serde_json::to_vec(&self.session).map_err(|e| StorageError::Unavailable(e.into()))
    }

    async fn try_finish(&mut self, digest: &Digest) -> Result<ObjectKey> {
        let key = if self.session.multipart.is_none() {
            // Under a name of its own: a request that lost the session to another, and that is only
            // slow, must not put its bytes in the place of the other's. It begins with the session's,
            // so that collection knows that a row may be to come.
            let key = Key::Multipart(self.id, Uuid::new_v4()).object();
            self.put(&key).await?;
            key
        } else {
            if self.filling.size() > 0 {
                self.send_part().await?;
            }
            self.all_parts_done().await?;
            self.complete(digest).await?
        };
        for name in std::mem::take(&mut self.session.old_tails) {
            self.backend.tidy(&Key::Tail(self.id, name).object()).await;
        }
        Ok(key)
    }

    /// Throws away what a failed request leaves.
    async fn give_up(self: Box<Self>) {
        let id = self.id;
        if let Err(error) = self.abandon().await {
            warn!(upload = %id, "Parts of upload {id} stay until a purge: {error}");
        }
    }

    async fn complete(&mut self, digest: &Digest) -> Result<ObjectKey> {
        let (path, multipart) = self.multipart().await?;
        let key = Key::Multipart(self.id, multipart.name).object();
        let named = self.session.parts.iter().map(|part| PartId { content_id: part.id.clone() }).collect();
        let ObjectBackend { patience, parts, .. } = &self.backend;
        // Once: asked again while it is still at it, the server would know of no such upload. Some put the parts together
        // before they answer, which takes its time.
        let completed = parts.complete_multipart(&path, &multipart.id, named);
        let Err(error) = patience.thirds(2).once(self.end / ASSEMBLED, completed).await else {
            return Ok(key);
        };
        // The answer may have been lost after the deed, and the retry then finds no upload. Or
        // another request has taken the session over and completed it with other bytes: what is
        // there now tells.
        match self.is_there(&key, digest).await {
            Ok(true) => Ok(key),
            Ok(false) | Err(_) => Err(object_error(error)),
        }
    }

    /// Whether the object is there with the content of `digest`.
    async fn is_there(&self, key: &ObjectKey, digest: &Digest) -> Result<bool> {
        let backend = self.backend.clone().with_patience(self.backend.patience.thirds(1));
        let Some(BlobBody::Stream(mut bytes)) = backend.open(key, self.end, 0..self.end).await? else {
            return Ok(false);
        };
        let lane = Lane::new(Verifier::new(digest.clone(), self.end), REREAD, &Budget::new(REREAD));
        while let Some(piece) = bytes.try_next().await? {
            let weight = piece.len();
            let update = move |verifier: &mut Verifier| {
                verifier.update(&piece).ok(); // It remembers, and tells at the end.
            };
            lane.push(weight, update).await?;
        }
        Ok(lane.call(|verifier| verifier.clone().finish().is_ok()).await?)
    }
}

#[async_trait]
impl StageWriter for MultipartWriter {
    async fn write(&mut self, mut bytes: Bytes) -> Result<()> {
        self.end += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = part_size(self.session.parts.len()).saturating_sub(self.filling.size());
            let piece = bytes.split_to(bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
            self.filling.push(piece).await?;
            if self.filling.size() >= part_size(self.session.parts.len()) {
                self.send_part().await?;
            }
        }
        Ok(())
    }

    async fn flush(mut self: Box<Self>) -> Result<Staging> {
        match self.try_flush().await {
            Ok(staging) => Ok(staging),
            Err(error) => {
                self.give_up().await;
                Err(error)
            }
        }
    }

    async fn finish(mut self: Box<Self>, digest: &Digest) -> Result<ObjectKey> {
        match self.try_finish(digest).await {
            Ok(key) => Ok(key),
            Err(error) => {
                self.give_up().await;
                Err(error)
            }
        }
    }

    async fn abandon(mut self: Box<Self>) -> Result<()> {
        // S3 keeps parts that arrive after an abort.
        self.running.shutdown().await;
        let forgotten = self.backend.forget(self.id, &self.session);
        // Where storage hangs, nobody is kept waiting for what a purge does as well.
        match tokio::time::timeout(FAREWELL, forgotten).await {
            Ok(forgotten) => forgotten,
            Err(_elapsed) => Err(StorageError::Unavailable("storage does not answer".into())),
        }
    }
}

#[cfg(test)]
mod tests;
