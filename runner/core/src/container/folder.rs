//! A container's folder below the runtime's root: `state.json`, `config.json` as it was at the creation, the socket for
//! the start; and its lock.

use std::{
    fs, io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::{DirBuilderExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, FlockOperation, Mode, OFlags, flock, fstat, openat, renameat, unlinkat},
    io::Errno,
};
use serde::{Serialize, de::DeserializeOwned};

use super::ContainerId;
use crate::{During, RuntimeError};

const STATE: &str = "state.json";
const CONFIG: &str = "config.json";

/// The folder, open. Files are reached through the handle, so that they are this container's even when another one of
/// the same name is made meanwhile.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    handle: OwnedFd,
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

fn open(path: &Path) -> Result<Option<OwnedFd>, RuntimeError> {
    match rustix::fs::open(
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW,
        Mode::empty(),
    ) {
        Ok(handle) => Ok(Some(handle)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error).during(|| format!("opening the state folder {}", path.display())),
    }
}

impl Folder {
    /// Makes the folder of a new container and locks it; [`RuntimeError::Exists`] where there is one.
    pub(super) fn make(root: &Path, id: &ContainerId) -> Result<Self, RuntimeError> {
        let path = root.join(id.as_str());
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o700);
        builder
            .recursive(true)
            .create(root)
            .during(|| format!("making the folder of states {}", root.display()))?;
        loop {
            match builder.recursive(false).create(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(RuntimeError::Exists(id.clone()));
                }
                Err(error) => {
                    return Err(error).during(|| format!("making the state folder {}", path.display()));
                }
            }
            // Somebody who deletes by force may take it before it is locked; then it is made again.
            let Some(handle) = open(&path)? else { continue };
            let folder = Self { path: path.clone(), handle };
            folder.lock(FlockOperation::LockExclusive)?;
            if folder.is_current()? {
                return Ok(folder);
            }
        }
    }

    /// Opens the folder of a container, unlocked.
    pub(super) fn open(root: &Path, id: &ContainerId) -> Result<Option<Self>, RuntimeError> {
        let path = root.join(id.as_str());
        Ok(open(&path)?.map(|handle| Self { path, handle }))
    }

    /// The names of all containers below a root.
    pub(super) fn names(root: &Path) -> Result<Vec<ContainerId>, RuntimeError> {
        let step = || format!("reading the folder of states {}", root.display());
        let entries = match fs::read_dir(root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).during(step),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.during(step)?;
            if entry.file_type().during(step)?.is_dir()
                // What has another name is nothing of ours.
                && let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok())
            {
                names.push(id);
            }
        }
        names.sort();
        Ok(names)
    }

    pub(super) fn handle(&self) -> &OwnedFd {
        &self.handle
    }

    /// Waits for the lock. It is let go with the last handle; children of the runtime close theirs.
    pub(super) fn lock(&self, operation: FlockOperation) -> Result<(), RuntimeError> {
        rustix::io::retry_on_intr(|| flock(&self.handle, operation))
            .during(|| format!("locking the state folder {}", self.path.display()))
    }

    /// Whether somebody else holds the lock alone.
    pub(super) fn is_locked(&self) -> Result<bool, RuntimeError> {
        let step = || format!("asking for the lock of {}", self.path.display());
        match flock(&self.handle, FlockOperation::NonBlockingLockShared) {
            Ok(()) => flock(&self.handle, FlockOperation::Unlock).map(|()| false).during(step),
            Err(Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(error).during(step),
        }
    }

    /// Whether the folder at the path is still this one.
    pub(super) fn is_current(&self) -> Result<bool, RuntimeError> {
        let step = || format!("looking at the state folder {}", self.path.display());
        let own = fstat(&self.handle).during(step)?;
        match fs::symlink_metadata(&self.path) {
            Ok(found) => Ok(found.ino() == own.st_ino && found.dev() == own.st_dev),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).during(step),
        }
    }

    fn write(&self, name: &str, value: &impl Serialize) -> Result<(), RuntimeError> {
        let step = || format!("writing {}", self.path.join(name).display());
        let text = serde_json::to_vec(value).map_err(io::Error::other).during(step)?;
        let new = format!(".{name}.new");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let file = openat(&self.handle, new.as_str(), flags, Mode::from_raw_mode(0o600)).during(step)?;
        io::Write::write_all(&mut fs::File::from(file), &text).during(step)?;
        renameat(&self.handle, new.as_str(), &self.handle, name).during(step)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, RuntimeError> {
        let step = || format!("reading {}", self.path.join(name).display());
        let file = match openat(&self.handle, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error).during(step),
        };
        let mut text = Vec::new();
        io::Read::read_to_end(&mut fs::File::from(file), &mut text).during(step)?;
        serde_json::from_slice(&text).map(Some).map_err(io::Error::from).during(step)
    }

    pub(super) fn write_record(&self, record: &super::record::Record) -> Result<(), RuntimeError> {
        self.write(STATE, record)
    }

    /// `None` where the runtime was ended before it wrote one: nothing was made then but the folder.
    pub(super) fn read_record(&self) -> Result<Option<super::record::Record>, RuntimeError> {
        self.read(STATE)
    }

    pub(super) fn write_spec(&self, spec: &oci_spec::runtime::Spec) -> Result<(), RuntimeError> {
        self.write(CONFIG, spec)
    }

    pub(super) fn read_spec(&self) -> Result<Option<oci_spec::runtime::Spec>, RuntimeError> {
        self.read(CONFIG)
    }

    /// Takes a file of it away; that it is not there is fine.
    pub(super) fn remove_file(&self, name: &str) -> Result<(), RuntimeError> {
        match unlinkat(&self.handle, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error).during(|| format!("removing {}", self.path.join(name).display())),
        }
    }

    /// Takes it away with all that is in it. The record goes last of the files: until then the rest can be cleaned up.
    pub(super) fn remove(&self) -> Result<(), RuntimeError> {
        let step = || format!("removing the state folder {}", self.path.display());
        for name in [crate::process::SOCKET, CONFIG, ".config.json.new", ".state.json.new", STATE] {
            self.remove_file(name)?;
        }
        match fs::remove_dir(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).during(step),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
