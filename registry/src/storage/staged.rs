//! A session's bytes on their way into a folder.

use std::{
    fs::{self, File, TryLockError},
    io::{self, ErrorKind},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use berth_oci::Digest;
use bytes::Bytes;

use super::{
    Result, StageWriter, Staging, StorageError,
    filesystem::{Root, blocking, private_file, remove, storage_error},
    key::Key,
    lane::Lane,
    patience::Patience,
};
use crate::catalog::{ObjectKey, UploadId};

/// Bytes that may wait for the disk, per upload.
const IN_FLIGHT: u32 = 512 * 1024;

/// After so many bytes the disk is told to begin, so that the last fsync is short.
const WRITE_BACK: u64 = 32 * 1024 * 1024;

/// So long a request that has failed waits for its bytes to be removed.
const FAREWELL: Patience = Patience(Duration::from_secs(2));

/// The marker that tells an old session from a new one: a file needs no more than its name.
const STAGED: &[u8] = b"file";

/// The one writer of a staged file; see [`StageWriter`].
pub(super) struct StagedFile {
    id: UploadId,
    root: Arc<Root>,
    path: PathBuf,
    failed: Arc<AtomicBool>,
    // Bytes that this writer has brought.
    brought: u64,
    lane: Lane<Tail>,
}

/// The end of the file, where the blocking thread works.
struct Tail {
    root: Arc<Root>,
    file: Arc<File>,
    end: u64,
    // How far the disk was told to begin.
    begun: u64,
    early: Arc<EarlySync>,
    failed: Arc<AtomicBool>,
    error: Option<StorageError>,
}

/// A sync beside the writes. The system reports a failed write-back once, to whichever sync of the
/// open file comes first: what this one hears, the last one must be told.
#[derive(Default)]
struct EarlySync(Mutex<Option<io::Error>>);

impl EarlySync {
    fn begin(self: &Arc<Self>, file: &Arc<File>, failed: &Arc<AtomicBool>) {
        if self.0.try_lock().is_err() {
            return;
        }
        let (this, file, failed) = (self.clone(), file.clone(), failed.clone());
        tokio::task::spawn_blocking(move || {
            // The lock is held throughout: the last sync waits for it, and so for the answer.
            let mut error = this.wait();
            if let Err(e) = file.sync_data() {
                *error = Some(e);
                failed.store(true, Ordering::Release);
            }
        });
    }

    fn wait(&self) -> MutexGuard<'_, Option<io::Error>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the last sync, unless an early one has failed. None runs beside it: one that was begun
    /// and did not come to its turn yet could hear of the failure in its place, and tell too late.
    fn last(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut error = self.wait();
        error.take().map_or(Ok(()), Err)?;
        sync()
    }
}

impl Tail {
    fn write(&mut self, bytes: &[u8]) {
        if self.error.is_some() {
            return;
        }
        if let Err(error) = self.try_write(bytes) {
            self.fail(error);
        }
    }

    fn try_write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, self.end).map_err(storage_error)?;
        self.end += bytes.len() as u64;
        if self.end - self.begun >= WRITE_BACK {
            self.begun = self.end;
            self.root.check_space()?;
            self.early.begin(&self.file, &self.failed);
        }
        Ok(())
    }

    fn fail(&mut self, error: StorageError) {
        self.failed.store(true, Ordering::Release);
        self.error = Some(error);
    }

    /// The first error, once; later callers hear that there was one.
    fn check(&mut self) -> Result<()> {
        if !self.failed.load(Ordering::Acquire) {
            return Ok(());
        }
        let early = self.early.wait().take().map(storage_error);
        let later = || StorageError::Unavailable("an earlier write failed".into());
        Err(self.error.replace(later()).or(early).unwrap_or_else(later))
    }

    /// Syncs, `all` with the file's metadata. A sync that failed is never tried again: the system
    /// may have dropped the pages that it could not write, and a second sync would call that well.
    fn sync(&mut self, all: bool) -> Result<()> {
        self.check()?;
        let synced = self.early.last(|| if all { self.file.sync_all() } else { self.file.sync_data() });
        if let Err(error) = synced {
            self.fail(storage_error(error));
        }
        self.check()
    }
}

/// The length of a file that was opened at `path` and locked, if it still lies there. The request that
/// held the lock before may have finished meanwhile: the file is then a blob, which nobody may
/// cut or write to.
fn still_staged(file: &File, path: &Path, id: UploadId) -> Result<u64> {
    let found = file.metadata().map_err(storage_error)?;
    match fs::symlink_metadata(path) {
        Ok(there) if (there.dev(), there.ino()) == (found.dev(), found.ino()) => Ok(found.len()),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(storage_error(error)),
        Ok(_) | Err(_) => Err(StorageError::Corrupt(format!("the staged bytes of upload {id} are gone"))),
    }
}

impl StagedFile {
    /// Opens the staged file of a session at `offset`.
    pub(super) fn open(root: Arc<Root>, id: UploadId, is_new: bool, offset: u64) -> Result<Self> {
        root.check_space()?;
        let path = root.path(&Key::Staging(id).object())?;
        let file =
            private_file().create(is_new && offset == 0).open(&path).map_err(|error| match error.kind() {
                ErrorKind::NotFound => {
                    StorageError::Corrupt(format!("the staged bytes of upload {id} are gone"))
                }
                _ => storage_error(error),
            })?;
        // The catalog lets one request write at a time. This holds back what it cannot: the last
        // writes of a request that lost its claim while the disk was slow.
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let why = format!("an earlier request still writes to upload {id}");
                return Err(StorageError::Unavailable(why.into()));
            }
            // A file system that has no locks: the catalog's claim alone must do.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(storage_error(error)),
        }
        let len = still_staged(&file, &path, id)?;
        if len < offset {
            return Err(StorageError::Corrupt(format!("upload {id} has {len} staged bytes, not {offset}")));
        }
        if len > offset {
            file.set_len(offset).map_err(storage_error)?;
        }
        let failed = Arc::new(AtomicBool::new(false));
        let budget = root.budget.clone();
        let tail = Tail {
            root: root.clone(),
            file: Arc::new(file),
            end: offset,
            begun: offset,
            early: Arc::default(),
            failed: failed.clone(),
            error: None,
        };
        Ok(Self { id, root, path, failed, brought: 0, lane: Lane::new(tail, IN_FLIGHT, &budget) })
    }
}

#[async_trait]
impl StageWriter for StagedFile {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let patience = self.root.patience;
        if self.failed.load(Ordering::Acquire) {
            return patience.wait(0, async { self.lane.call(Tail::check).await? }).await;
        }
        self.brought += bytes.len() as u64;
        let push = async { Ok(self.lane.push(bytes.len(), move |tail| tail.write(&bytes)).await?) };
        patience.wait(0, push).await
    }

    async fn flush(self: Box<Self>) -> Result<Staging> {
        let flushed = self.lane.call(|tail| {
            tail.sync(false)?;
            // The next request may come before this one's thread has let the file go.
            tail.file.unlock().map_err(storage_error)
        });
        match self.root.patience.wait(self.brought, async { flushed.await? }).await {
            Ok(()) => Ok(STAGED.to_vec()),
            Err(error) => {
                self.abandon().await.ok(); // The write's own error is the one to report.
                Err(error)
            }
        }
    }

    async fn finish(self: Box<Self>, digest: &Digest) -> Result<ObjectKey> {
        let key = Key::Blob(digest, self.id).object();
        let (from, to) = (self.path.clone(), self.root.path(&key)?);
        let finished = self.lane.call(move |tail| {
            tail.sync(true)?;
            tail.root.publish(&from, &to).map_err(|error| {
                // Renamed, perhaps, but not known to be durable: nobody will refer to it.
                remove(&to).ok();
                storage_error(error)
            })
        });
        match self.root.patience.wait(self.brought, async { finished.await? }).await {
            Ok(()) => Ok(key),
            Err(error) => {
                self.abandon().await.ok(); // The upload's own error is the one to report.
                Err(error)
            }
        }
    }

    async fn abandon(self: Box<Self>) -> Result<()> {
        let path = self.path.clone();
        // A disk that hangs keeps nobody waiting; the purge finds what stays.
        FAREWELL.wait(0, blocking(move || remove(&path).map_err(storage_error))).await
    }
}

#[cfg(test)]
mod tests;
