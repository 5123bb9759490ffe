//! Manifests in memory, always as the database has them.
//!
//! Every write goes through this process, so entries need no lifetime: a write announces itself
//! before it commits ([`Cache::writing`]) and is over after ([`Writing`] dropped), and only then is
//! it answered. In between, nothing of that repository is added, and what was read before or in
//! between is not added after: readers ask the database, which orders them against the commit.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use berth_oci::{Digest, ManifestReference, RepoName, Tag};
use quick_cache::{Equivalent, Weighter, sync};

use crate::catalog::ManifestRow;

/// Bigger manifests are rare and cheap to read by comparison with sending them.
const LARGEST_BODY: usize = 64 << 10;
/// Repositories share epochs by their hash.
const SHARDS: usize = 256;

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    repo: RepoName,
    of: ManifestReference,
}

/// A [`Key`] for looking only: hashes as the key does, field by field.
#[derive(Hash)]
struct Look<'a> {
    repo: &'a RepoName,
    of: &'a ManifestReference,
}

impl Equivalent<Key> for Look<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self.repo == key.repo && *self.of == key.of
    }
}

/// What a reference stands for: a tag for a digest, a digest for a manifest.
#[derive(Clone, Debug)]
enum Entry {
    Tag(Digest),
    Manifest(Arc<ManifestRow>),
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<Key, Entry> for ByBytes {
    fn weight(&self, key: &Key, entry: &Entry) -> u64 {
        let body = match entry {
            Entry::Tag(_) => 0,
            Entry::Manifest(row) => row.body.len() + mem::size_of::<ManifestRow>() + 200,
        };
        // Names, digests and the table's own share, roughly.
        (key.repo.as_str().len() + body + 300) as u64
    }
}

#[derive(Debug, Default)]
struct Epoch {
    number: u64,
    writers: u32,
}

/// The cache of one database.
#[derive(Debug)]
pub(super) struct Cache {
    entries: sync::Cache<Key, Entry, ByBytes>,
    epochs: Vec<Mutex<Epoch>>,
    hasher: RandomState,
}

/// What a look found.
pub(super) enum Looked {
    /// The manifest.
    Here(Arc<ManifestRow>),
    /// Nothing; with this, what the database says may be added.
    Ask(Ticket),
}

/// The moment before a reader asked the database.
pub(super) struct Ticket {
    shard: usize,
    epoch: Option<u64>,
}

impl Cache {
    /// An empty cache that holds about `bytes`.
    pub(super) fn new(bytes: u64) -> Self {
        let items = usize::try_from(bytes / 2048).unwrap_or(usize::MAX).clamp(64, 1 << 16);
        Self {
            entries: sync::Cache::with_weighter(items, bytes, ByBytes),
            epochs: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }

    fn shard(&self, repo: &RepoName) -> usize {
        usize::try_from(self.hasher.hash_one(repo) % SHARDS as u64).unwrap_or_default()
    }

    fn epoch(&self, shard: usize) -> MutexGuard<'_, Epoch> {
        // No holder of the lock leaves the epoch half changed.
        self.epochs[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(&self, repo: &RepoName, of: &ManifestReference) -> Option<Entry> {
        self.entries.get(&Look { repo, of })
    }

    /// Looks for what `reference` stands for.
    pub(super) fn look(&self, repo: &RepoName, reference: &ManifestReference) -> Looked {
        let found = match self.entry(repo, reference) {
            Some(Entry::Tag(digest)) => self.entry(repo, &ManifestReference::Digest(digest)),
            other => other,
        };
        if let Some(Entry::Manifest(row)) = found {
            return Looked::Here(row);
        }
        let shard = self.shard(repo);
        let epoch = self.epoch(shard);
        Looked::Ask(Ticket { shard, epoch: (epoch.writers == 0).then_some(epoch.number) })
    }

    /// Adds what the database answered to a reader, if nothing was written since it asked.
    pub(super) fn add(
        &self,
        ticket: &Ticket,
        repo: &RepoName,
        reference: &ManifestReference,
        row: &ManifestRow,
    ) {
        if row.body.len() > LARGEST_BODY {
            return;
        }
        let epoch = self.epoch(ticket.shard);
        if epoch.writers > 0 || ticket.epoch != Some(epoch.number) {
            return;
        }
        // Under the lock: a write that begins now finds and removes these.
        let of = ManifestReference::Digest(row.digest.clone());
        self.entries.insert(Key { repo: repo.clone(), of }, Entry::Manifest(Arc::new(row.clone())));
        if let ManifestReference::Tag(_) = reference {
            let key = Key { repo: repo.clone(), of: reference.clone() };
            self.entries.insert(key, Entry::Tag(row.digest.clone()));
        }
    }

    /// Forgets everything, what is being read now included.
    pub(super) fn clear(&self) {
        for shard in 0..SHARDS {
            self.epoch(shard).number += 1;
        }
        self.entries.clear();
    }

    /// Announces a write to `repo` that changes a manifest and tags. Drop the answer once it has
    /// been committed or undone, and before anybody hears of it.
    pub(super) fn writing(
        self: &Arc<Self>,
        repo: &RepoName,
        digest: Option<&Digest>,
        tags: &[Tag],
    ) -> Writing {
        let shard = self.shard(repo);
        {
            let mut epoch = self.epoch(shard);
            epoch.writers += 1;
            epoch.number += 1;
        }
        let writing = Writing { cache: Arc::clone(self), repo: repo.clone(), shard };
        if let Some(digest) = digest {
            writing.forget(&ManifestReference::Digest(digest.clone()));
        }
        writing.forget_tags(tags);
        writing
    }
}

/// A write on its way. While there is one, nothing of its repository is added.
pub(super) struct Writing {
    cache: Arc<Cache>,
    repo: RepoName,
    shard: usize,
}

impl Writing {
    fn forget(&self, of: &ManifestReference) {
        self.cache.entries.remove(&Look { repo: &self.repo, of });
    }

    /// Removes tags that only the write itself found out about. Until then they led to a manifest
    /// that was removed when the write began, so that no reader went by them.
    pub(super) fn forget_tags(&self, tags: &[Tag]) {
        for tag in tags {
            self.forget(&ManifestReference::Tag(tag.clone()));
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let mut epoch = self.cache.epoch(self.shard);
        epoch.writers -= 1;
        epoch.number += 1;
    }
}

#[cfg(test)]
mod tests;
