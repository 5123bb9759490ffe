//! Records: small objects beside the blobs that say which manifests and tags there are, so that a
//! lost catalog can be rebuilt from storage alone.
//!
//! One object holds one manifest of one repository, its bytes and where its blobs are; another holds
//! what one tag points at. Each says what *is*, and not what happened: there is no history to
//! replay, a tag that moved is in one place, and a tag that was deleted is nowhere.
//!
//! The catalog commits first, and notes in the same transaction what storage does not know yet (its
//! triggers do, so that no way of changing a row can forget). Then the record is written from what
//! the catalog says, and only then is a push or delete answered. A crash in between leaves the note,
//! from which [`Records::catch_up`] goes on; nothing that was refused or never committed is ever in
//! a record.
//!
//! Two writers of one record take turns within a process. Of two replicas, one could overwrite the
//! other's newer record; it finds out when it takes its note back, and writes again. Until then,
//! which of two pushes at the same time was the last is open anyhow.

mod format;
mod strangers;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use futures_util::{StreamExt, future::join_all, stream};
use tokio_util::sync::CancellationToken;

pub use self::{
    format::{Unreadable, read},
    strangers::{forgotten, recorded, strangers},
};
use crate::{
    catalog::{Catalog, CatalogError, RecordName, RemovedManifest},
    storage::{BlobStore, Key, StorageError},
};

/// Records take turns by the hash of their name. Collection takes some dozens at a time, and pushes should rarely
/// meet it.
const TURNS: usize = 4096;
/// Records of removed manifests whose turns are taken together.
const REMOVED: usize = 64;
/// Notes that are taken out together: pushes wait for the transaction.
const TAKEN: usize = 200;
/// Notes that are read at a time.
const PAGE: u32 = 256;
/// Records that are written at a time when nobody waits for them.
const ABREAST: usize = 8;

/// Why a record could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Keeps records as the catalog says. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Records {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    catalog: Arc<dyn Catalog>,
    store: Arc<dyn BlobStore>,
    turns: Vec<tokio::sync::Mutex<()>>,
    hasher: RandomState,
    // Notes to take out: written down one by one they would cost a transaction each.
    told: Mutex<HashMap<RecordName, i64>>,
    // Notes up to this number were there a round ago: whoever made them had time to settle them.
    settled_by_others: AtomicI64,
}

/// Where the record of `name` lies.
#[must_use]
pub fn key(name: &RecordName) -> Key<'_> {
    match name {
        RecordName::Manifest(repo, digest) => Key::Manifest(repo, digest),
        RecordName::Tag(repo, tag) => Key::Tag(repo, tag),
    }
}

impl Records {
    /// Keeps the records of `catalog` in `store`.
    #[must_use]
    pub fn new(catalog: Arc<dyn Catalog>, store: Arc<dyn BlobStore>) -> Self {
        let inner = Inner {
            catalog,
            store,
            turns: (0..TURNS).map(|_| tokio::sync::Mutex::default()).collect(),
            hasher: RandomState::new(),
            told: Mutex::default(),
            settled_by_others: AtomicI64::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Brings the records of manifests and tags up to date with the catalog, whatever happened to
    /// them: written where they are there, deleted where they are not. Durable when it returns.
    ///
    /// # Errors
    /// When catalog or storage fails. The catalog's notes stay, and [`Self::catch_up`] goes on.
    pub async fn settle(&self, names: impl IntoIterator<Item = RecordName>) -> Result<(), RecordError> {
        let outcomes = join_all(names.into_iter().map(|name| self.settle_one(name))).await;
        outcomes.into_iter().collect()
    }

    async fn settle_one(&self, name: RecordName) -> Result<(), RecordError> {
        let inner = &*self.inner;
        // Read after the turn has come, so that the last to write has read the last state.
        let _turn = inner.turns[self.turn(&name)].lock().await;
        let now = inner.catalog.record(&name).await?;
        match &now.content {
            Some(record) => inner.store.put(&key(&name).object(), format::write(record)?).await?,
            None => inner.store.delete(&key(&name).object()).await?,
        }
        if let Some(sequence) = now.sequence {
            self.told().insert(name, sequence);
        }
        Ok(())
    }

    fn turn(&self, name: &RecordName) -> usize {
        usize::try_from(self.inner.hasher.hash_one(name) % TURNS as u64).unwrap_or_default()
    }

    /// Takes away the records of manifests that collection removed, as long as they are gone. As
    /// [`Self::settle`], but many at a time.
    ///
    /// # Errors
    /// When catalog or storage fails. The catalog's notes stay, and [`Self::catch_up`] goes on.
    pub async fn settle_removed(&self, removed: &[RemovedManifest]) -> Result<(), RecordError> {
        let mut gone = HashMap::new();
        for some in removed.chunks(REMOVED) {
            gone.extend(self.take_away(some).await?);
        }
        // All notes at once: each time costs a turn at the catalog.
        let sequences: Vec<_> = gone.keys().copied().collect();
        if !sequences.is_empty() {
            for taken in self.inner.catalog.recorded(&sequences).await? {
                gone.remove(&taken);
            }
        }
        // What changed meanwhile.
        self.settle(gone.into_values()).await
    }

    /// Takes away those records that are to go; their names by the numbers of their notes.
    async fn take_away(&self, removed: &[RemovedManifest]) -> Result<HashMap<i64, RecordName>, RecordError> {
        let inner = &*self.inner;
        let named = |gone: &RemovedManifest| RecordName::Manifest(gone.repo.clone(), gone.digest.clone());
        let mut turns: Vec<_> = removed.iter().map(|gone| self.turn(&named(gone))).collect();
        // All who take several take them in this order, so that nobody waits in a circle.
        turns.sort_unstable();
        turns.dedup();
        let mut held = Vec::with_capacity(turns.len());
        for turn in turns {
            held.push(inner.turns[turn].lock().await);
        }
        let mut gone = HashMap::new();
        for note in inner.catalog.unrecorded_removals(removed).await? {
            gone.insert(note.sequence, note.name);
        }
        let keys: Vec<_> = gone.values().map(|name| key(name).object()).collect();
        let outcomes = inner.store.delete_many(&keys).await;
        outcomes.into_iter().collect::<Result<Vec<()>, _>>()?;
        Ok(gone)
    }

    fn told(&self) -> MutexGuard<'_, HashMap<RecordName, i64>> {
        self.inner.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the notes of settled records out of the catalog, and settles those again that changed
    /// while they were settled.
    ///
    /// # Errors
    /// When catalog or storage fails; what is noted is settled again.
    pub async fn flush(&self) -> Result<(), RecordError> {
        let told = mem::take(&mut *self.told());
        if told.is_empty() {
            return Ok(());
        }
        let sequences: Vec<i64> = told.values().copied().collect();
        let mut overtaken: HashMap<i64, RecordName> = told.into_iter().map(|(name, n)| (n, name)).collect();
        for some in sequences.chunks(TAKEN) {
            for taken in self.inner.catalog.recorded(some).await? {
                overtaken.remove(&taken);
            }
        }
        // Of another replica, or of a push that is being settled by itself.
        self.settle(overtaken.into_values()).await
    }

    /// Settles what a process that died, or storage that failed, left behind, and what was there
    /// before there were records. What changed since the last round is left to whoever changed it.
    ///
    /// # Errors
    /// When catalog or storage fails; the rest is left to the next round.
    pub async fn catch_up(&self, stop: &CancellationToken) -> Result<u64, RecordError> {
        let inner = &*self.inner;
        self.flush().await?;
        let last = inner.catalog.last_unrecorded().await?;
        let upto = inner.settled_by_others.swap(last, Ordering::Relaxed).min(last);
        self.catch_up_to(upto, stop).await
    }

    /// Settles everything that the catalog has noted until now.
    ///
    /// # Errors
    /// When catalog or storage fails.
    pub async fn settle_all(&self) -> Result<u64, RecordError> {
        let last = self.inner.catalog.last_unrecorded().await?;
        self.catch_up_to(last, &CancellationToken::new()).await
    }

    async fn catch_up_to(&self, upto: i64, stop: &CancellationToken) -> Result<u64, RecordError> {
        let mut settled = 0;
        while !stop.is_cancelled() {
            let page = self.inner.catalog.unrecorded(upto, PAGE).await?;
            if page.is_empty() {
                break;
            }
            let count = page.len() as u64;
            let each = page.into_iter().map(|note| self.settle_one(note.name));
            let outcomes: Vec<_> = stream::iter(each).buffer_unordered(ABREAST).collect().await;
            // Those that were settled count, whatever happened to others.
            self.flush().await?;
            outcomes.into_iter().collect::<Result<(), _>>()?;
            settled += count;
        }
        Ok(settled)
    }
}
