//! Reads objects again and looks whether they are still what they were, at no more than a set rate.

use std::{fs::File, os::unix::fs::FileExt, path::Path, sync::Arc, time::Duration};

use berth_hash::{Hasher, Kind};
use berth_oci::{Algorithm, Digest};
use futures_util::TryStreamExt;
use tokio::time::{Instant, sleep_until};

use crate::{
    catalog::{BlobRow, Catalog, StoredBlob},
    clock::Clock,
    storage::{BlobBody, BlobStore, StorageError},
};

use super::UpkeepError;

/// Bytes of a file that are read at a time.
const PIECE: u64 = 1 << 20;

/// Some of all blobs: the `number`-th of `of` parts, the same ones whenever it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    number: u32,
    of: u32,
}

impl Part {
    /// All of them.
    pub const ALL: Self = Self { number: 1, of: 1 };

    /// Whether a digest is in this part. By its hash, which spreads evenly.
    #[must_use]
    pub fn has(self, digest: &Digest) -> bool {
        let first = u32::from_str_radix(digest.hex().get(..8).unwrap_or_default(), 16).unwrap_or_default();
        first % self.of == self.number - 1
    }
}

/// Why text is no [`Part`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no part like 1/7: the first of seven")]
pub struct PartError(String);

impl std::str::FromStr for Part {
    type Err = PartError;

    fn from_str(text: &str) -> Result<Self, PartError> {
        let parsed = text.split_once('/').and_then(|(number, of)| {
            let part = Self { number: number.parse().ok()?, of: of.parse().ok()? };
            (1..=part.of).contains(&part.number).then_some(part)
        });
        parsed.ok_or_else(|| PartError(text.to_owned()))
    }
}

/// Holds readers to a rate.
#[derive(Debug)]
pub struct Pace {
    rate: Option<u64>,
    begun: Instant,
    taken: u64,
}

impl Pace {
    /// So many bytes a second at most; without one, as fast as can be.
    #[must_use]
    pub fn new(rate: Option<u64>) -> Self {
        Self { rate, begun: Instant::now(), taken: 0 }
    }

    /// Waits until so many bytes more may have been read.
    async fn take(&mut self, bytes: u64) {
        self.taken += bytes;
        if let Some(rate) = self.rate.filter(|rate| *rate > 0) {
            sleep_until(self.begun + Duration::from_secs_f64(self.taken as f64 / rate as f64)).await;
        }
    }

    /// How many bytes were read.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken
    }
}

/// What an object turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// What the catalog says.
    Whole,
    /// Something else.
    Damaged(Digest),
    /// Of another size.
    Resized,
    /// Not there.
    Gone,
    /// Not readable: the system's words.
    Unreadable(String),
}

fn hasher(algorithm: Algorithm) -> Hasher {
    Hasher::new(match algorithm {
        Algorithm::Sha256 => Kind::Sha256,
        Algorithm::Sha512 => Kind::Sha512,
    })
}

/// Reads the object of a blob.
///
/// # Errors
/// When storage does not answer. What is wrong with the one object is in the answer.
pub async fn state(store: &dyn BlobStore, blob: &BlobRow, pace: &mut Pace) -> Result<State, StorageError> {
    let mut hash = hasher(blob.digest.algorithm());
    match store.open(&blob.key, blob.size, 0..blob.size).await {
        Ok(None) => return Ok(State::Gone),
        Err(StorageError::Corrupt(_)) => return Ok(State::Resized),
        Err(error) => return Err(error),
        Ok(Some(BlobBody::Stream(mut stream))) => {
            while let Some(bytes) = stream.try_next().await? {
                hash.update(&bytes);
                pace.take(bytes.len() as u64).await;
            }
        }
        Ok(Some(BlobBody::File { file, range })) => {
            return in_file(file, &blob.digest, range.end, pace).await;
        }
    }
    Ok(judged(&blob.digest, hash))
}

fn judged(digest: &Digest, hash: Hasher) -> State {
    let actual = Digest::from_hash(digest.algorithm(), &hash.finish());
    if actual == *digest { State::Whole } else { State::Damaged(actual) }
}

async fn in_file(
    file: Arc<File>,
    digest: &Digest,
    size: u64,
    pace: &mut Pace,
) -> Result<State, StorageError> {
    let mut hash = hasher(digest.algorithm());
    let mut at = 0;
    while at < size {
        let (file, length) = (file.clone(), PIECE.min(size - at));
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; usize::try_from(length).unwrap_or_default()];
            file.read_exact_at(&mut piece, at)?;
            hash.update(&piece);
            Ok::<_, std::io::Error>(hash)
        });
        hash = match read.await.map_err(|error| StorageError::Unavailable(error.into()))? {
            Ok(hash) => hash,
            Err(error) => return Ok(State::Unreadable(error.to_string())),
        };
        at += length;
        pace.take(length).await;
    }
    Ok(judged(digest, hash))
}

/// Reads a file that is to hold `size` bytes of this digest.
///
/// # Errors
/// When it cannot be opened.
pub async fn file_state(
    path: &Path,
    digest: &Digest,
    size: u64,
    pace: &mut Pace,
) -> Result<State, StorageError> {
    let path = path.to_owned();
    let opened = tokio::task::spawn_blocking(move || File::open(path)).await;
    let opened = opened.map_err(|error| StorageError::Unavailable(error.into()))?;
    let file = opened.map_err(|error| StorageError::Unavailable(error.into()))?;
    in_file(Arc::new(file), digest, size, pace).await
}

/// Reads the object of a blob, and takes the blob out of service where it is damaged, or back into
/// service where it is not. `None` when it was replaced or deleted while it was read.
///
/// Whether it is served is not left to whoever reads the report: what was read and is wrong will be
/// wrong for the next client too. What is merely not there may be a disk that is not mounted, and stays.
///
/// # Errors
/// When catalog or storage does not answer.
pub async fn verify(
    catalog: &dyn Catalog,
    store: &dyn BlobStore,
    clock: &dyn Clock,
    blob: &StoredBlob,
    pace: &mut Pace,
) -> Result<Option<State>, UpkeepError> {
    let row = &blob.row;
    let state = state(store, row, pace).await?;
    let holds = match &state {
        State::Damaged(_) | State::Resized => catalog.quarantine(&row.digest, &row.key, clock.now()).await?,
        State::Whole if blob.quarantined_at.is_some() => catalog.release(&row.digest, &row.key).await?,
        State::Whole => true,
        // Deleted by now, or it is in the catalog and nowhere else.
        State::Gone | State::Unreadable(_) => {
            let after = catalog.stored_blob(&row.digest).await?;
            after.is_some_and(|now| now.row.key == row.key)
        }
    };
    Ok(holds.then_some(state))
}
