//! The rules of uploads on a SQLite catalog and on storage in a folder or in memory.

mod faults;
mod quotas;
mod rules;
mod sessions;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use berth_oci::{Algorithm, Digest, RepoName};
use bytes::Bytes;
use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};

use super::{hash::Hash, *};
use crate::{
    catalog::{SqliteCatalog, SqliteOptions, UploadId},
    clock::Timestamp,
    storage::{Filesystem, Listed, StageWriter, Staged, Staging, memory},
};

#[derive(Debug, Default)]
struct ManualClock(AtomicI64);

impl ManualClock {
    fn pass(&self, time: Duration) {
        self.0.fetch_add(i64::try_from(time.as_micros()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// How a store is to fail.
#[derive(Debug, Default)]
struct Faults {
    write_full: AtomicBool,
    flush: AtomicBool,
    finish: AtomicBool,
    // Whether the maker of an object waits, when it is made, until the test lets it go on.
    hold: AtomicBool,
    made: tokio::sync::Notify,
    go_on: tokio::sync::Notify,
    // Looks at objects.
    looks: AtomicUsize,
    // Objects made and not deleted.
    objects: Mutex<Vec<ObjectKey>>,
}

/// Storage that fails when told to.
#[derive(Debug)]
struct Faulty {
    inner: Arc<dyn BlobStore>,
    faults: Arc<Faults>,
}

struct FaultyWriter {
    inner: Box<dyn StageWriter>,
    faults: Arc<Faults>,
}

fn eio() -> StorageError {
    StorageError::Unavailable(std::io::Error::from_raw_os_error(5).into())
}

type StoreResult<T> = std::result::Result<T, StorageError>;

#[async_trait]
impl BlobStore for Faulty {
    async fn stage(&self, id: UploadId, staging: &[u8], offset: u64) -> StoreResult<Box<dyn StageWriter>> {
        let inner = self.inner.stage(id, staging, offset).await?;
        Ok(Box::new(FaultyWriter { inner, faults: self.faults.clone() }))
    }

    async fn discard(&self, id: UploadId, staging: &[u8]) -> StoreResult<()> {
        self.inner.discard(id, staging).await
    }

    async fn open(&self, key: &ObjectKey, size: u64, range: Range<u64>) -> StoreResult<Option<BlobBody>> {
        self.inner.open(key, size, range).await
    }

    async fn put(&self, key: &ObjectKey, bytes: Bytes) -> StoreResult<()> {
        self.inner.put(key, bytes).await
    }

    async fn delete(&self, key: &ObjectKey) -> StoreResult<()> {
        self.faults.objects.lock().unwrap().retain(|known| known != key);
        self.inner.delete(key).await
    }

    async fn delete_many(&self, keys: &[ObjectKey]) -> Vec<StoreResult<()>> {
        self.faults.objects.lock().unwrap().retain(|known| !keys.contains(known));
        self.inner.delete_many(keys).await
    }

    fn list(&self, below: &str) -> BoxStream<'static, StoreResult<Listed>> {
        self.inner.list(below)
    }

    fn is_far(&self) -> bool {
        self.inner.is_far()
    }

    async fn size(&self, key: &ObjectKey) -> StoreResult<Option<u64>> {
        self.faults.looks.fetch_add(1, Ordering::SeqCst);
        self.inner.size(key).await
    }

    async fn begun(&self, before: Timestamp) -> StoreResult<Option<Vec<Staged>>> {
        self.inner.begun(before).await
    }

    async fn abort(&self, staged: &Staged) -> StoreResult<()> {
        self.inner.abort(staged).await
    }

    async fn ping(&self) -> StoreResult<()> {
        self.inner.ping().await
    }
}

#[async_trait]
impl StageWriter for FaultyWriter {
    async fn write(&mut self, bytes: Bytes) -> StoreResult<()> {
        if self.faults.write_full.load(Ordering::SeqCst) {
            return Err(StorageError::Full);
        }
        self.inner.write(bytes).await
    }

    async fn flush(self: Box<Self>) -> StoreResult<Staging> {
        if self.faults.flush.load(Ordering::SeqCst) {
            self.inner.abandon().await?;
            return Err(eio());
        }
        self.inner.flush().await
    }

    async fn finish(self: Box<Self>, digest: &Digest) -> StoreResult<ObjectKey> {
        if self.faults.finish.load(Ordering::SeqCst) {
            self.inner.abandon().await?;
            return Err(eio());
        }
        let key = self.inner.finish(digest).await?;
        self.faults.objects.lock().unwrap().push(key.clone());
        if self.faults.hold.load(Ordering::SeqCst) {
            self.faults.made.notify_one();
            self.faults.go_on.notified().await;
        }
        Ok(key)
    }

    async fn abandon(self: Box<Self>) -> StoreResult<()> {
        self.inner.abandon().await
    }
}

struct Fixture {
    folder: tempfile::TempDir,
    catalog: Arc<dyn Catalog>,
    faults: Arc<Faults>,
    store: Arc<dyn BlobStore>,
    clock: Arc<ManualClock>,
    blobs: Blobs,
}

impl Fixture {
    async fn on_disk() -> Self {
        Self::with(Settings::default(), true).await
    }

    async fn with(settings: Settings, on_disk: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalog = SqliteCatalog::open(folder.path(), SqliteOptions::default()).await.unwrap();
        let catalog: Arc<dyn Catalog> = Arc::new(catalog);
        let inner: Arc<dyn BlobStore> =
            if on_disk { Arc::new(Filesystem::open(folder.path(), 0).unwrap()) } else { Arc::new(memory()) };
        let faults = Arc::new(Faults::default());
        let store: Arc<dyn BlobStore> = Arc::new(Faulty { inner, faults: faults.clone() });
        let clock = Arc::new(ManualClock::default());
        let blobs = Blobs::new(catalog.clone(), store.clone(), clock.clone(), settings);
        Self { folder, catalog, faults, store, clock, blobs }
    }

    /// Another process on the same catalog and storage.
    fn restarted(&self) -> Blobs {
        let settings = self.blobs.settings().clone();
        Blobs::new(self.catalog.clone(), self.store.clone(), self.clock.clone(), settings)
    }

    /// Names in the staging folder.
    fn staged(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("uploads")).unwrap().count()
    }

    fn objects(&self) -> usize {
        self.faults.objects.lock().unwrap().len()
    }

    async fn start(&self) -> Session {
        self.blobs.start(&repo("a"), "", Algorithm::Sha256).await.unwrap()
    }

    async fn holds(&self, digest: &Digest) -> bool {
        self.blobs.stat(&repo("a"), digest).await.unwrap().is_some()
    }

    async fn content_of(&self, digest: &Digest) -> Vec<u8> {
        let blob = self.blobs.stat(&repo("a"), digest).await.unwrap().expect("the blob is there");
        match self.blobs.open(&repo("a"), &blob, 0..blob.size).await.unwrap().expect("its object is there") {
            BlobBody::File { file, range } => {
                let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap()];
                std::os::unix::fs::FileExt::read_exact_at(&*file, &mut bytes, range.start).unwrap();
                bytes
            }
            BlobBody::Stream(stream) => stream.try_collect::<Vec<Bytes>>().await.unwrap().concat(),
        }
    }
}

fn repo(name: &str) -> RepoName {
    name.parse().unwrap()
}

fn digest_of(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    let mut hash = Hash::new(algorithm);
    hash.update(bytes);
    hash.digest()
}

fn sha256(bytes: &[u8]) -> Digest {
    digest_of(Algorithm::Sha256, bytes)
}

/// A body in pieces of a few sizes.
fn body(bytes: &[u8]) -> Body {
    let sizes = [1, 7, 8192, 100_000, 300_000];
    let mut pieces = Vec::new();
    let mut rest = Bytes::copy_from_slice(bytes);
    while !rest.is_empty() {
        let size = sizes[pieces.len() % sizes.len()];
        pieces.push(Ok(rest.split_to(rest.len().min(size))));
    }
    stream::iter(pieces).boxed()
}

/// A body that breaks off.
fn broken(bytes: &[u8]) -> Body {
    body(bytes).chain(stream::iter([Err("cut".into())])).boxed()
}

fn nothing() -> Body {
    stream::empty().boxed()
}

fn chunk(first: u64, bytes: &[u8]) -> Chunk {
    let last = first + bytes.len() as u64 - 1;
    Chunk { range: Some(format!("{first}-{last}").parse().unwrap()), length: Some(bytes.len() as u64) }
}

fn length(bytes: &[u8]) -> Chunk {
    Chunk { range: None, length: Some(bytes.len() as u64) }
}

/// Content that no other call gives.
fn content(len: usize) -> Vec<u8> {
    let mut seed = u64::from_le_bytes(uuid::Uuid::new_v4().as_bytes()[..8].try_into().unwrap());
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&seed.to_be_bytes());
    }
    bytes.truncate(len);
    bytes
}
