//! Who may sweep, and when.

use std::{
    fs::File,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use crate::{
    error::{Result, While},
    record::files,
};

/// While one of these lives, nothing is swept: what was added and is not yet part of an image stays. Taken by whoever
/// adds an image, for the whole of it, and by who makes a container of one, until its record is written.
#[derive(Debug)]
pub(crate) struct Hold {
    _lock: File,
}

/// Who sweeps; waits until nobody adds.
#[derive(Debug)]
pub(super) struct Sweep {
    _lock: File,
}

fn open(store: &Path) -> Result<File> {
    let path = store.join("lock");
    let open = || File::options().create(true).read(true).append(true).mode(0o600).open(&path);
    let file = match open() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            files::private_folder(store)?;
            open()
        }
        opened => opened,
    };
    file.doing("opening", path)
}

/// `flock` that a signal does not end.
pub(super) fn wait(file: &File, operation: FlockOperation, path: &Path) -> Result<()> {
    loop {
        match flock(file, operation) {
            Err(Errno::INTR) => {}
            answer => return answer.doing("locking", path),
        }
    }
}

/// Whether an open file or folder is still the one of this path.
pub(super) fn is_at(file: &File, path: &Path) -> Result<bool> {
    let own = file.metadata().doing("looking at", path)?;
    match std::fs::symlink_metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (own.dev(), own.ino())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).doing("looking at", path),
    }
}

impl Hold {
    pub(super) fn take(store: &Path) -> Result<Self> {
        let lock = open(store)?;
        wait(&lock, FlockOperation::LockShared, store)?;
        Ok(Self { _lock: lock })
    }
}

impl Sweep {
    pub(super) fn take(store: &Path) -> Result<Self> {
        let lock = open(store)?;
        wait(&lock, FlockOperation::LockExclusive, store)?;
        Ok(Self { _lock: lock })
    }

    /// Unless somebody adds at this moment.
    pub(super) fn try_take(store: &Path) -> Result<Option<Self>> {
        let lock = open(store)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _lock: lock })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error).doing("locking", store),
        }
    }
}
