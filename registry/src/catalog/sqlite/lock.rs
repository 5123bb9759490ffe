//! One process per data directory.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use crate::catalog::OpenError;

/// The mode of files that nobody else may read.
const OWNER_ALONE: u32 = 0o600;

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
        .mode(OWNER_ALONE)
        .open(&path)
        .map_err(|error| at(&path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(data.to_owned())),
        Err(TryLockError::Error(error)) => Err(at(&path, error)),
    }
}

/// Sees to it that nobody else reads the database: it has the keys that tokens are signed with, and the hashes of
/// passwords. Made here, it is its owner's alone, and its log is as it is. One that everybody may read, as it was
/// made before or copied, becomes so.
///
/// # Errors
/// When it cannot be made, or is another's who lets everybody read it.
pub(in crate::catalog) fn keep_private(data: &Path) -> Result<(), OpenError> {
    for name in ["berth.lock", "catalog.db", "catalog.db-wal", "catalog.db-shm"] {
        let path = data.join(name);
        let at = |source: io::Error| OpenError::Directory { path: path.clone(), source };
        if name == "catalog.db" {
            let mut options = OpenOptions::new();
            options.create(true).truncate(false).write(true).mode(OWNER_ALONE).open(&path).map_err(at)?;
        }
        match fs::metadata(&path) {
            Ok(found) if found.permissions().mode() & 0o007 != 0 => {
                fs::set_permissions(&path, fs::Permissions::from_mode(OWNER_ALONE)).map_err(at)?;
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(at(error)),
        }
    }
    Ok(())
}
