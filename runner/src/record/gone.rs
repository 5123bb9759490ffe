//! Folders on their way out: renamed away while a lock is held, deleted when it is free again. A large tree takes long.

use std::{
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use super::remove_tree;
use crate::error::{Result, While};

/// Begins the names of what is being deleted.
const GONE: &str = ".gone-";

/// A folder under a name that nobody looks for. Its lock says that somebody deletes it.
#[derive(Debug)]
pub(crate) struct Gone {
    path: PathBuf,
    _lock: File,
}

/// Whether a path is of something that is being deleted, or was to be.
pub(crate) fn is_gone(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(GONE))
}

impl Gone {
    /// Renames a folder away; `None` where there is none. The caller holds the lock of the folder that it lies in.
    ///
    /// # Errors
    /// Where it cannot be renamed.
    pub(crate) fn rename(folder: &Path) -> Result<Option<Self>> {
        let lock = match File::open(folder) {
            Ok(lock) => lock,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).doing("opening", folder),
        };
        // Before the rename: who looks for what was left must not find it unlocked.
        flock(&lock, FlockOperation::NonBlockingLockExclusive).doing("locking", folder)?;
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        // A folder of this name may have gone before, and be on its way still.
        let free = (0_u32..).map(|number| {
            folder.with_file_name(match number {
                0 => format!("{GONE}{name}"),
                number => format!("{GONE}{name}-{number}"),
            })
        });
        for path in free {
            if fs::symlink_metadata(&path).is_err() {
                fs::rename(folder, &path).doing("removing", folder)?;
                return Ok(Some(Self { path, _lock: lock }));
            }
        }
        Ok(None)
    }

    /// What a removal left that was cut short; `None` where somebody deletes it at this moment, or it is gone.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub(crate) fn left(path: &Path) -> Result<Option<Self>> {
        let lock = match File::open(path) {
            Ok(lock) => lock,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).doing("opening", path),
        };
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { path: path.to_owned(), _lock: lock })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error).doing("locking", path),
        }
    }

    /// Where it lies until it is deleted.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Deletes it, with everything in it.
    ///
    /// # Errors
    /// Where something stays.
    pub(crate) fn delete(self) -> Result<()> {
        match remove_tree(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).doing("removing", &self.path),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_deletes_is_nobody_elses() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("layer");
        fs::create_dir(&folder).unwrap();
        let gone = Gone::rename(&folder).unwrap().unwrap();
        assert!(is_gone(gone.path()) && !folder.exists());
        assert!(Gone::left(gone.path()).unwrap().is_none());
        // Made again and gone again, while the first is on its way.
        fs::create_dir(&folder).unwrap();
        let again = Gone::rename(&folder).unwrap().unwrap();
        assert_ne!(gone.path(), again.path());
        let path = gone.path().to_owned();
        drop(gone);
        let left = Gone::left(&path).unwrap().unwrap();
        left.delete().unwrap();
        assert!(!path.exists() && Gone::left(&path).unwrap().is_none());
        again.delete().unwrap();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
        assert!(Gone::rename(&folder).unwrap().is_none());
    }
}
