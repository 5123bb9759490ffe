//! One process per data directory.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::Path,
};

use crate::catalog::OpenError;

/// Makes the directory if need be and locks `berth.lock` in it, until the file is dropped. The
/// kernel lets go of the lock when the process dies, however it dies.
///
/// # Errors
/// [`OpenError::Locked`] when another has it.
pub(in crate::catalog) fn take(data: &Path) -> Result<File, OpenError> {
    let at = |path: &Path, source: io::Error| OpenError::Directory { path: path.to_owned(), source };
    if !data.is_dir() {
        fs::create_dir_all(data).map_err(|error| at(data, error))?;
        // The database fsyncs its own directory; that directory's name is the parent's to keep.
        let parent = data.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(|error| at(parent, error))?;
    }
    let path = data.join("berth.lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| at(&path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(data.to_owned())),
        Err(TryLockError::Error(error)) => Err(at(&path, error)),
    }
}
