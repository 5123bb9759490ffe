//! How bytes come in: hashed in one thread and written in another, beside the socket.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream::BoxStream};
use tokio_util::sync::CancellationToken;

use super::{
    UploadError,
    hash::{Hash, IN_FLIGHT},
};
use crate::{
    catalog::{BoxError, Refusal, Room},
    storage::{
        StageWriter, StorageError,
        lane::{Budget, Lane},
    },
};

/// The body of a request.
pub type Body = BoxStream<'static, Result<Bytes, BoxError>>;

/// A body of so many bytes is hashed where it comes in: waking a thread would cost more.
const SMALL: u64 = 256 * 1024;
/// Pieces of fewer bytes are put together before they are handed on...
const PIECE: usize = 64 * 1024;
/// ...into this many.
const BATCH: usize = 128 * 1024;
/// So much of a refused body is read and dropped, for its sender to come to read the answer.
const DISCARD: usize = 8 * 1024 * 1024;
/// And for so long.
const LINGER: Duration = Duration::from_secs(2);

enum Hashing {
    Here(Hash),
    Beside(Lane<Hash>),
}

/// The bytes of an upload on their way into hash and storage.
pub(super) struct Intake {
    // `None` only while it moves to its thread.
    hashing: Option<Hashing>,
    budget: Budget,
    writer: Box<dyn StageWriter>,
    gathered: BytesMut,
    received: u64,
}

/// Why a body did not come in as announced.
#[derive(Debug)]
pub(super) enum Cut {
    /// Fewer or more bytes came than were announced.
    Size { announced: u64, received: u64 },
    /// The connection broke.
    Broken(BoxError),
    /// More bytes than a blob may have: this many.
    TooLarge(u64),
    /// More bytes than were free in the namespace when the request began.
    Refused(Refusal),
    /// Somebody else took the session over, or ended it.
    Lost,
}

/// How many bytes may come.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// Exactly these, if known.
    pub(super) announced: Option<u64>,
    /// Bytes of the blob that came before.
    pub(super) stored: u64,
    /// Bytes that a blob may have.
    pub(super) max: Option<u64>,
    /// What was free in the namespace when the request began, where that is limited.
    pub(super) room: Option<Room>,
}

impl Limits {
    /// The limit that a blob with `received` bytes more breaks.
    pub(super) fn broken_by(&self, received: u64) -> Option<u64> {
        self.max.filter(|max| self.stored.saturating_add(received) > *max)
    }

    /// Why a blob with `received` bytes more does not fit.
    pub(super) fn refuses(&self, received: u64) -> Option<Refusal> {
        self.room.as_ref()?.refuses(self.stored.saturating_add(received))
    }
}

impl Intake {
    pub(super) fn new(hash: Hash, writer: Box<dyn StageWriter>, budget: &Budget) -> Self {
        let (hashing, budget) = (Some(Hashing::Here(hash)), budget.clone());
        Self { hashing, budget, writer, gathered: BytesMut::new(), received: 0 }
    }

    /// Bytes taken in by this request.
    pub(super) const fn received(&self) -> u64 {
        self.received
    }

    /// Takes a body in, to its end; `None` when all of it came.
    ///
    /// # Errors
    /// When storage fails; the session is then void.
    pub(super) async fn drain(
        &mut self,
        body: &mut Body,
        limits: &Limits,
        lost: &CancellationToken,
    ) -> Result<Option<Cut>, StorageError> {
        loop {
            let next = tokio::select! {
                biased;
                () = lost.cancelled() => return Ok(Some(Cut::Lost)),
                next = body.next() => next,
            };
            let mut bytes = match next {
                Some(Ok(bytes)) => bytes,
                Some(Err(error)) => return Ok(Some(Cut::Broken(error))),
                None => break,
            };
            let received = self.received + bytes.len() as u64;
            if let Some(max) = limits.broken_by(received) {
                return Ok(Some(Cut::TooLarge(max)));
            }
            if let Some(refusal) = limits.refuses(received) {
                return Ok(Some(Cut::Refused(refusal)));
            }
            if let Some(announced) = limits.announced.filter(|announced| received > *announced) {
                // What was announced is taken, what follows is not.
                bytes.truncate(usize::try_from(announced - self.received).unwrap_or(usize::MAX));
                self.add(bytes).await?;
                return Ok(Some(Cut::Size { announced, received }));
            }
            self.add(bytes).await?;
        }
        let received = self.received;
        let short = limits.announced.filter(|announced| *announced != received);
        Ok(short.map(|announced| Cut::Size { announced, received }))
    }

    async fn add(&mut self, bytes: Bytes) -> Result<(), StorageError> {
        self.received += bytes.len() as u64;
        if bytes.len() >= PIECE {
            self.hand_on_gathered().await?;
            return self.hand_on(bytes).await;
        }
        if self.gathered.is_empty() {
            self.gathered.reserve(if self.received > PIECE as u64 { BATCH } else { bytes.len() });
        }
        self.gathered.extend_from_slice(&bytes);
        if self.gathered.len() >= BATCH - PIECE { self.hand_on_gathered().await } else { Ok(()) }
    }

    async fn hand_on_gathered(&mut self) -> Result<(), StorageError> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.gathered).freeze();
        self.hand_on(bytes).await
    }

    async fn hand_on(&mut self, bytes: Bytes) -> Result<(), StorageError> {
        self.hashing = match self.hashing.take() {
            Some(Hashing::Here(hash)) if self.received > SMALL => {
                Some(Hashing::Beside(Lane::new(hash, IN_FLIGHT, &self.budget)))
            }
            hashing => hashing,
        };
        match &mut self.hashing {
            Some(Hashing::Here(hash)) => hash.update(&bytes),
            Some(Hashing::Beside(lane)) => {
                let bytes = bytes.clone();
                lane.push(bytes.len(), move |hash| hash.update(&bytes)).await?;
            }
            None => {}
        }
        self.writer.write(bytes).await
    }

    /// Hands on what is left, and gives back the hash of everything and the writer.
    ///
    /// # Errors
    /// When storage fails; the session is then void, and its bytes are gone.
    pub(super) async fn end(mut self) -> Result<(Hash, Box<dyn StageWriter>), StorageError> {
        let hash = match self.hand_on_gathered().await {
            Ok(()) => match self.hashing {
                Some(Hashing::Here(hash)) => Ok(hash),
                Some(Hashing::Beside(lane)) => lane.call(|hash| hash.clone()).await.map_err(Into::into),
                None => Err(StorageError::Corrupt("the hash was lost".to_owned())),
            },
            Err(error) => Err(error),
        };
        match hash {
            Ok(hash) => Ok((hash, self.writer)),
            Err(error) => {
                self.writer.abandon().await.ok(); // The first error is the one to report.
                Err(error)
            }
        }
    }

    /// Gives up, and throws the session's bytes away.
    pub(super) async fn abandon(self) -> Result<(), StorageError> {
        self.writer.abandon().await
    }
}

/// Reads on in a body that was refused, for its sender to come to read why; neither much nor long.
pub(super) async fn discard(body: &mut Body) {
    let mut dropped = 0;
    let all = async {
        while let Some(Ok(bytes)) = body.next().await {
            dropped += bytes.len();
            if dropped > DISCARD {
                return;
            }
        }
    };
    // Whether all of it came does not matter to anybody.
    tokio::time::timeout(LINGER, all).await.ok();
}

impl From<Cut> for UploadError {
    fn from(cut: Cut) -> Self {
        match cut {
            Cut::Size { announced, received } => Self::Size { announced, received },
            Cut::Broken(error) => Self::Body(error),
            Cut::TooLarge(max) => Self::TooLarge(max),
            Cut::Refused(refusal) => Self::Refused(refusal),
            Cut::Lost => Self::Unknown,
        }
    }
}
