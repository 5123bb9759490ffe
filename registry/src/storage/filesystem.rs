//! Blobs in a folder.
//!
//! A session's bytes are staged in a private file, which is fsynced, renamed to its final name
//! and made durable there by an fsync of the folder. What is under `blobs/` is therefore always
//! whole; what is under `uploads/` nobody but its session reads.

use std::{
    collections::HashSet,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Write},
    ops::Range,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use berth_oci::Digest;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use rustix::{fs::OFlags, io::Errno};

use super::{
    Adopted, BlobBody, BlobStore, Listed, Result, StageWriter, StorageError, copy, each_failed, folder, key,
    key::Key,
    lane::{Broken, Budget},
    patience::Patience,
    staged::StagedFile,
};
use crate::catalog::{ObjectKey, UploadId};

/// How many folders' durability is remembered; more cost an fsync again.
const REMEMBERED: usize = 4096;

/// Bytes that may wait for the disk, of all uploads together.
const WAITING: u32 = 24 << 20;

/// A folder that holds blobs.
#[derive(Clone, Debug)]
pub struct Filesystem {
    root: Arc<Root>,
}

/// The folder, for code that blocks.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    // No upload starts, and none goes on, with less than this many bytes free: a catalog on the
    // same disk must be able to go on.
    reserve: u64,
    // Tells the temporary names of one process apart.
    names: AtomicU64,
    // Bytes that may wait for the disk, of all uploads together.
    pub(super) budget: Budget,
    // How long is waited for the disk.
    pub(super) patience: Patience,
    // Folders whose own entries are known to be durable.
    durable: Mutex<HashSet<PathBuf>>,
}

/// What an error of the system means to whoever pushes or pulls.
pub(super) fn storage_error(error: io::Error) -> StorageError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StorageError::Full,
        _ => StorageError::Unavailable(error.into()),
    }
}

impl From<Broken> for StorageError {
    fn from(broken: Broken) -> Self {
        Self::Unavailable(broken.into())
    }
}

/// Runs what blocks where it may.
pub(super) async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R> + Send + 'static,
) -> Result<R> {
    tokio::task::spawn_blocking(work).await.map_err(|e| StorageError::Unavailable(e.into()))?
}

impl Root {
    fn new(path: PathBuf, reserve: u64) -> Self {
        let budget = Budget::new(WAITING);
        let (patience, durable) = (Patience::default(), Mutex::default());
        Self { path, reserve, names: AtomicU64::new(0), budget, patience, durable }
    }

    /// Runs what blocks where it may, and waits for it as long as for a disk.
    async fn blocking<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<R> + Send + 'static,
    ) -> Result<R> {
        self.patience.wait(0, blocking(work)).await
    }

    /// Where `key` lies. A key that names nothing below the root was never made here.
    pub(super) fn path(&self, key: &ObjectKey) -> Result<PathBuf> {
        let components =
            key::components(key).ok_or_else(|| StorageError::Corrupt(format!("{:?} is no key", key.0)))?;
        let mut path = self.path.clone();
        path.extend(components);
        Ok(path)
    }

    /// The same folder with another reserve.
    #[cfg(test)]
    pub(super) fn with_reserve(&self, reserve: u64) -> Self {
        Self::new(self.path.clone(), reserve)
    }

    /// [`StorageError::Full`] when less than the reserve is free.
    pub(super) fn check_space(&self) -> Result<()> {
        let stat = rustix::fs::statvfs(&self.path).map_err(|e| storage_error(e.into()))?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        if free < self.reserve { Err(StorageError::Full) } else { Ok(()) }
    }

    /// Makes the folder that `path` lies in, and each above it up to the root, durably.
    fn make_parents(&self, path: &Path) -> io::Result<()> {
        let Some(parent) = path.parent().filter(|parent| *parent != self.path) else { return Ok(()) };
        if self.durable_folders().contains(parent) {
            return Ok(());
        }
        self.make_parents(parent)?;
        match private_dir(parent) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        // Also when it is there: whoever made it may not have come as far as this.
        parent.parent().map_or(Ok(()), sync_dir)?;
        let mut durable = self.durable_folders();
        if durable.len() >= REMEMBERED {
            durable.clear();
        }
        durable.insert(parent.to_owned());
        Ok(())
    }

    fn durable_folders(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a durable file its final, durable name.
    pub(super) fn publish(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.make_parents(to)?;
        fs::rename(from, to).inspect_err(|_| self.durable_folders().clear())?;
        to.parent().map_or(Ok(()), sync_dir)
    }

    /// Gives a file a second, durable name. `false` where it cannot have one: on another file system,
    /// or where the system lets only its owner do so.
    fn link(&self, from: &Path, to: &Path) -> io::Result<bool> {
        // Readable by us, and durable: whoever wrote it may not have waited for that.
        File::open(from)?.sync_all()?;
        self.make_parents(to)?;
        match fs::hard_link(from, to) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::CrossesDevices
                        | ErrorKind::PermissionDenied
                        | ErrorKind::Unsupported
                        | ErrorKind::TooManyLinks
                ) =>
            {
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        to.parent().map_or(Ok(()), sync_dir)?;
        Ok(true)
    }

    /// Writes a whole small file. A new one is made under its own name: then the system has one
    /// change to make durable and not two, and whoever reads such a file can tell whether it is whole.
    /// One that is there is replaced at once.
    fn put(&self, key: &ObjectKey, bytes: &[u8]) -> Result<()> {
        let to = self.path(key)?;
        self.make_parents(&to).map_err(storage_error)?;
        let new = private_file().create_new(true).open(&to);
        match new {
            Ok(file) => written(file, bytes)
                .and_then(|()| to.parent().map_or(Ok(()), sync_dir))
                .map_err(|error| give_up(&to, error)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => self.replace(&to, bytes),
            Err(error) => {
                // Somebody has removed folders that were there.
                self.durable_folders().clear();
                Err(storage_error(error))
            }
        }
    }

    fn replace(&self, to: &Path, bytes: &[u8]) -> Result<()> {
        let name = self.names.fetch_add(1, Ordering::Relaxed);
        let from = self.path.join("uploads").join(format!("put-{}-{name}", std::process::id()));
        let replaced = (|| {
            written(private_file().create(true).truncate(true).open(&from)?, bytes)?;
            self.publish(&from, to)
        })();
        replaced.map_err(|error| give_up(&from, error))
    }
}

/// Writes a file and makes its content durable.
fn written(mut file: File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
}

/// Removes what was to be written, as far as that can be done: the write's error is the one to report.
fn give_up(path: &Path, error: io::Error) -> StorageError {
    remove(path).ok();
    storage_error(error)
}

/// Options for a file that nobody else may read.
pub(super) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options
}

fn private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Removes a file; well if there is none.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

impl Filesystem {
    /// Opens the folder at `root`, and makes it where it is not there. Uploads are refused with
    /// [`StorageError::Full`] while less than `reserve` bytes are free. Blocks for a moment.
    ///
    /// # Errors
    /// When the folder cannot be made or written to.
    pub fn open(root: impl Into<PathBuf>, reserve: u64) -> Result<Self> {
        Self::open_with(root, reserve, Patience::default().0)
    }

    /// As [`Self::open`]; a disk that does not answer for `timeout` is [`StorageError::Unavailable`].
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(root: impl Into<PathBuf>, reserve: u64, timeout: Duration) -> Result<Self> {
        let mut root = Root::new(root.into(), reserve);
        root.patience = Patience(timeout);
        let made = (|| {
            DirBuilder::new().recursive(true).mode(0o700).create(&root.path)?;
            for name in ["blobs", "uploads", "manifests", "blobs/sha256", "blobs/sha512"] {
                root.make_parents(&root.path.join(name).join("x"))?;
            }
            root.path.parent().filter(|p| !p.as_os_str().is_empty()).map_or(Ok(()), sync_dir)
        })();
        made.map_err(storage_error)?;
        Ok(Self { root: Arc::new(root) })
    }
}

#[cfg(test)]
impl Filesystem {
    pub(super) fn root(&self) -> Arc<Root> {
        self.root.clone()
    }
}

#[async_trait]
impl BlobStore for Filesystem {
    async fn stage(&self, id: UploadId, staging: &[u8], offset: u64) -> Result<Box<dyn StageWriter>> {
        let (root, is_new) = (self.root.clone(), staging.is_empty());
        self.root
            .blocking(move || {
                Ok(Box::new(StagedFile::open(root, id, is_new, offset)?) as Box<dyn StageWriter>)
            })
            .await
    }

    async fn discard(&self, id: UploadId, _staging: &[u8]) -> Result<()> {
        let path = self.root.path(&Key::Staging(id).object())?;
        self.root.blocking(move || remove(&path).map_err(storage_error)).await
    }

    async fn open(&self, key: &ObjectKey, size: u64, range: Range<u64>) -> Result<Option<BlobBody>> {
        let path = self.root.path(key)?;
        let key = key.clone();
        self.root
            .blocking(move || {
                let options = OFlags::NOFOLLOW.bits().cast_signed();
                let file = match OpenOptions::new().read(true).custom_flags(options).open(&path) {
                    Ok(file) => file,
                    Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                    Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
                        return Err(StorageError::Corrupt(format!("{key} is a symbolic link")));
                    }
                    Err(error) => return Err(storage_error(error)),
                };
                let found = file.metadata().map_err(storage_error)?;
                if !found.is_file() || found.len() != size {
                    let found = found.len();
                    return Err(StorageError::Corrupt(format!("{key} has {found} bytes, not {size}")));
                }
                Ok(Some(BlobBody::File { file: Arc::new(file), range }))
            })
            .await
    }

    async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<()> {
        let (root, key) = (self.root.clone(), key.clone());
        self.root.blocking(move || root.put(&key, &bytes)).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<()> {
        // The removal need not survive a power failure: the object is then an orphan, and swept.
        let path = self.root.path(key)?;
        self.root.blocking(move || remove(&path).map_err(storage_error)).await
    }

    async fn delete_many(&self, keys: &[ObjectKey]) -> Vec<Result<()>> {
        let paths: Vec<_> = keys.iter().map(|key| self.root.path(key)).collect();
        let removed = blocking(move || {
            Ok(paths.into_iter().map(|path| remove(&path?).map_err(storage_error)).collect())
        });
        removed.await.unwrap_or_else(|error| each_failed(keys.len(), &error))
    }

    fn list(&self, below: &str) -> BoxStream<'static, Result<Listed>> {
        folder::list(self.root.path.clone(), below)
    }

    async fn size(&self, key: &ObjectKey) -> Result<Option<u64>> {
        let path = self.root.path(key)?;
        self.root
            .blocking(move || match fs::symlink_metadata(&path) {
                Ok(found) if found.is_file() => Ok(Some(found.len())),
                Ok(_) => Ok(None),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(storage_error(error)),
            })
            .await
    }

    async fn adopt(&self, digest: &Digest, id: UploadId, file: &Path) -> Result<(ObjectKey, Adopted)> {
        let (root, key) = (self.root.clone(), Key::Blob(digest, id).object());
        let (from, to) = (file.to_owned(), self.root.path(&key)?);
        let linked = blocking(move || root.link(&from, &to).map_err(storage_error)).await?;
        if linked {
            return Ok((key, Adopted::Linked));
        }
        // Staged under the same id, so that what an earlier try left is overwritten.
        self.discard(id, &[]).await?;
        let copied = copy(self.stage(id, &[], 0).await?, file, digest).await?;
        Ok((copied, Adopted::Copied))
    }

    async fn ping(&self) -> Result<()> {
        let root = self.root.clone();
        self.root
            .blocking(move || {
                root.check_space()?;
                let path = root.path(&Key::Probe.object())?;
                let mut file =
                    private_file().create(true).truncate(true).open(path).map_err(storage_error)?;
                file.write_all(b"probe").map_err(storage_error)
            })
            .await
    }
}
