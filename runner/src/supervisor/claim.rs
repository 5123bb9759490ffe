//! Who may change a container, and who supervises it.
//!
//! Both are process locks of the kernel (`F_SETLK`): they end with their process, whatever kills it; a child between
//! clone and exec does not hold them as it would an `flock`; they stay over exec; and the kernel tells who holds one.

use std::{
    fs::File,
    io,
    os::{fd::IntoRawFd, unix::fs::MetadataExt},
    path::Path,
};

use berth_runtime::ContainerId;
use rustix::{
    fs::{FlockOperation, fcntl_lock},
    io::{Errno, FdFlags, fcntl_setfd},
    process::{Flock, FlockOffsetType, FlockType, fcntl_getlk},
};

use crate::{
    error::{Result, RunnerError, While},
    folders::Folders,
    record::files,
};

/// The right to change a container's state: to start it, to note its end, to remove it. Free when dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _file: File,
}

impl Turn {
    /// Waits for it.
    ///
    /// # Errors
    /// [`RunnerError::NotFound`] where the container was removed meanwhile.
    pub(crate) fn take(folders: &Folders, id: &ContainerId) -> Result<Self> {
        let folder = folders.container(id);
        let path = folder.join("lock");
        loop {
            let file = match files::open_lock(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(RunnerError::NotFound(format!("container {id} was removed meanwhile")));
                }
                Err(error) => return Err(error).doing("opening", &path),
            };
            match fcntl_lock(&file, FlockOperation::LockExclusive) {
                Err(Errno::INTR) => continue,
                done => done.doing("locking", &path)?,
            }
            if is_at(&file, &path)? {
                return Ok(Self { _file: file });
            }
        }
    }
}

/// Whether a file still has its name: whoever removed the container took the name away.
fn is_at(file: &File, path: &Path) -> Result<bool> {
    let held = file.metadata().doing("reading", path)?;
    match std::fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).doing("reading", path),
    }
}

/// Becomes the supervisor of a container, until this process ends (over exec too). `false`: another one is.
///
/// The descriptor stays open without an owner: closing any descriptor of the file would give the lock up.
pub(crate) fn supervise(folders: &Folders, id: &ContainerId) -> Result<bool> {
    let path = folders.running(id).join("lock");
    let file = files::open_lock(&path).doing("opening", &path)?;
    match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::AGAIN | Errno::ACCESS) => return Ok(false),
        Err(error) => return Err(error).doing("locking", &path),
    }
    fcntl_setfd(&file, FdFlags::empty()).doing("keeping", &path)?;
    let _kept_open = file.into_raw_fd();
    Ok(true)
}

/// The process that supervises a container. Never asked by the supervisor itself.
pub(crate) fn supervisor(folders: &Folders, id: &ContainerId) -> Result<Option<i32>> {
    let path = folders.running(id).join("lock");
    let file = match File::options().write(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).doing("opening", &path),
    };
    let whole = Flock {
        start: 0,
        length: 0,
        pid: None,
        typ: FlockType::WriteLock,
        offset_type: FlockOffsetType::Set,
    };
    let holder = fcntl_getlk(&file, &whole).doing("reading the lock of", &path)?;
    // A holder in another pid namespace has no number here, but is there.
    Ok(holder.map(|lock| lock.pid.map_or(0, |pid| pid.as_raw_nonzero().get())))
}
