//! A session's bytes on their way into a bucket, by the parts of a multipart upload.

use async_trait::async_trait;
use berth_oci::{Digest, Verifier};
use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::{ObjectStoreExt, PutPayload, multipart::PartId, path::Path};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{
    BlobBody, BlobStore, Result, StageWriter, Staging, StorageError,
    key::Key,
    lane::{Budget, Lane},
    object::{ObjectBackend, object_error},
};
use crate::catalog::{ObjectKey, UploadId};

/// The smallest part but the last that S3 takes.
const MIN_PART: u64 = 5 * 1024 * 1024;

/// The first parts' size; what an upload keeps in memory is a few of these.
const FIRST_PART: u64 = 8 * 1024 * 1024;

/// Parts of one upload that are on their way at a time, beside the one that fills.
const PARALLEL: usize = 2;

/// Bytes that may wait for their hash when an object is read again.
const REREAD: u32 = 512 * 1024;

/// The size of part `index`. It doubles every thousand parts: 8 GiB in parts of 8 MiB, 24 GiB with
/// those of 16, and so on; the 10,000 parts of an upload hold more than S3's 5 TiB.
const fn part_size(index: usize) -> u64 {
    let doublings = if index < 10_000 { index / 1000 } else { 9 };
    FIRST_PART << doublings
}

/// What is written down about a session between requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    /// The multipart upload's id, once there is one.
    pub(super) multipart: Option<String>,
    /// Its parts, in order.
    parts: Vec<Part>,
    /// The bytes behind the last part.
    tail: Option<Tail>,
    /// Tails that were followed by others: to be deleted by the next request, when the catalog
    /// is sure not to count on them.
    old_tails: Vec<Uuid>,
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
    path: Path,
    session: Session,
    // Bytes written, and those of them that are in no part yet.
    end: u64,
    filling: Vec<Bytes>,
    filled: u64,
    // Parts that are on their way. Their places in `session.parts` are taken; their ids come later.
    running: JoinSet<object_store::Result<(usize, PartId)>>,
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
        let path = backend.path(&Key::Object(id).object())?;
        let (filling, filled, running) = (Vec::new(), 0, JoinSet::new());
        let mut this = Self { backend, id, path, session, end: offset, filling, filled, running };
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
            BlobBody::Stream(bytes) => self.filling = bytes.try_collect().await?,
            BlobBody::File { .. } => return Err(StorageError::Corrupt(format!("{key} is a file"))),
        }
        self.filled = tail.size;
        // Still counted on until this request has saved.
        self.session.old_tails.push(tail.name);
        Ok(())
    }

    /// Sends what has filled up as the next part.
    async fn send_part(&mut self) -> Result<()> {
        while self.running.len() >= PARALLEL {
            self.part_done().await?;
        }
        let multipart = match &self.session.multipart {
            Some(multipart) => multipart.clone(),
            None => {
                let started = self.backend.parts.create_multipart(&self.path).await.map_err(object_error)?;
                self.session.multipart.insert(started).clone()
            }
        };
        let index = self.session.parts.len();
        let size = std::mem::take(&mut self.filled);
        self.session.parts.push(Part { id: String::new(), size });
        let payload: PutPayload = std::mem::take(&mut self.filling).into_iter().collect();
        let (parts, path) = (self.backend.parts.clone(), self.path.clone());
        self.running
            .spawn(async move { Ok((index, parts.put_part(&path, &multipart, index, payload).await?)) });
        Ok(())
    }

    async fn part_done(&mut self) -> Result<()> {
        let Some(done) = self.running.join_next().await else { return Ok(()) };
        let (index, part) = done.map_err(|e| StorageError::Unavailable(e.into()))?.map_err(object_error)?;
        self.session.parts[index].id = part.content_id;
        Ok(())
    }

    async fn all_parts_done(&mut self) -> Result<()> {
        while !self.running.is_empty() {
            self.part_done().await?;
        }
        Ok(())
    }

    async fn try_flush(&mut self) -> Result<Staging> {
        if self.filled >= MIN_PART {
            self.send_part().await?;
        }
        if self.filled > 0 {
            let tail = Tail { name: Uuid::new_v4(), size: self.filled };
            let path = self.backend.path(&Key::Tail(self.id, tail.name).object())?;
            let payload: PutPayload = std::mem::take(&mut self.filling).into_iter().collect();
            self.backend.objects.put(&path, payload).await.map_err(object_error)?;
            self.session.tail = Some(tail);
        }
        self.all_parts_done().await?;
        serde_json::to_vec(&self.session).map_err(|e| StorageError::Unavailable(e.into()))
    }

    async fn try_finish(&mut self, digest: &Digest) -> Result<ObjectKey> {
        let key = if self.session.multipart.is_none() {
            // Not under the session's name: a request that lost the session to another, and that is
            // only slow, must not put its bytes in the place of the other's.
            let key = Key::Object(UploadId(Uuid::new_v4())).object();
            let payload: PutPayload = std::mem::take(&mut self.filling).into_iter().collect();
            self.backend.objects.put(&self.backend.path(&key)?, payload).await.map_err(object_error)?;
            key
        } else {
            if self.filled > 0 {
                self.send_part().await?;
            }
            self.all_parts_done().await?;
            self.complete(digest).await?;
            Key::Object(self.id).object()
        };
        for name in std::mem::take(&mut self.session.old_tails) {
            self.backend.tidy(&Key::Tail(self.id, name).object()).await;
        }
        Ok(key)
    }

    async fn complete(&self, digest: &Digest) -> Result<()> {
        let Some(multipart) = &self.session.multipart else { return Ok(()) };
        let parts = self.session.parts.iter().map(|part| PartId { content_id: part.id.clone() }).collect();
        let Err(error) = self.backend.parts.complete_multipart(&self.path, multipart, parts).await else {
            return Ok(());
        };
        // The answer may have been lost after the deed, and the retry then finds no upload. Or
        // another request has taken the session over and completed it with other bytes: what is
        // there now tells.
        match self.is_there(digest).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(object_error(error)),
        }
    }

    /// Whether the object is there with the content of `digest`.
    async fn is_there(&self, digest: &Digest) -> Result<bool> {
        let key = Key::Object(self.id).object();
        let Some(BlobBody::Stream(mut bytes)) = self.backend.open(&key, self.end, 0..self.end).await? else {
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
            let room = part_size(self.session.parts.len()).saturating_sub(self.filled);
            let piece = bytes.split_to(bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
            self.filled += piece.len() as u64;
            self.filling.push(piece);
            if self.filled >= part_size(self.session.parts.len()) {
                self.send_part().await?;
            }
        }
        Ok(())
    }

    async fn flush(mut self: Box<Self>) -> Result<Staging> {
        match self.try_flush().await {
            Ok(staging) => Ok(staging),
            Err(error) => {
                self.abandon().await.ok(); // The upload's own error is the one to report.
                Err(error)
            }
        }
    }

    async fn finish(mut self: Box<Self>, digest: &Digest) -> Result<ObjectKey> {
        match self.try_finish(digest).await {
            Ok(key) => Ok(key),
            Err(error) => {
                self.abandon().await.ok(); // The upload's own error is the one to report.
                Err(error)
            }
        }
    }

    async fn abandon(mut self: Box<Self>) -> Result<()> {
        // S3 keeps parts that arrive after an abort.
        self.running.shutdown().await;
        self.backend.forget(self.id, &self.session).await
    }
}

#[cfg(test)]
mod tests;
