//! Files that are being written and have no name of meaning yet.

use std::{fs::File, io, os::fd::OwnedFd};

use rustix::{
    fs::{AtFlags, FlockOperation, Mode, OFlags, flock, fstat, openat, renameat, unlinkat},
    io::Errno,
};

use super::{Folder, folder::component};
use crate::{Error, Result};

const PREFIX: &str = ".berth-";

/// A file beside the one that it will become. It goes away with the value, and what a killed process left is known by
/// its lock being free.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: Folder,
    name: String,
    /// The lock is held as long as this is open.
    handle: OwnedFd,
    kept: bool,
}

impl Scratch {
    /// Makes an empty file in `folder`.
    pub(crate) fn new(folder: &Folder) -> Result<Self> {
        let fault = |fault: Errno| Error::file(folder.path())(fault.into());
        loop {
            let name = format!("{PREFIX}{:016x}", rand::random::<u64>());
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let handle = match openat(folder.handle(), &name, flags, Mode::from_raw_mode(0o644)) {
                Ok(handle) => handle,
                Err(Errno::EXIST) => continue,
                Err(other) => return Err(fault(other)),
            };
            let scratch = Self { folder: folder.clone(), name, handle, kept: false };
            flock(&scratch.handle, FlockOperation::LockExclusive).map_err(fault)?;
            // Another process may have swept it between the two calls.
            if fstat(&scratch.handle).map_err(fault)?.st_nlink > 0 {
                return Ok(scratch);
            }
        }
    }

    /// The file, to write from its beginning. All of them share one position.
    pub(crate) fn file(&self) -> Result<File> {
        let handle = self.handle.try_clone().map_err(Error::file(self.folder.path_of(&self.name)))?;
        Ok(handle.into())
    }

    /// Gives it its name in a folder of the same file system, in the place of what had it.
    pub(crate) fn keep(mut self, folder: &Folder, name: &str) -> Result<()> {
        renameat(self.folder.handle(), &self.name, folder.handle(), component(name)?)
            .map_err(|fault| Error::file(folder.path_of(name))(io::Error::from(fault)))?;
        self.kept = true;
        Ok(())
    }

    /// Removes from `folder` what processes left that are no more.
    pub(crate) fn sweep(folder: &Folder) -> Result<()> {
        for name in folder.names()? {
            let ours = name
                .strip_prefix(PREFIX)
                .is_some_and(|rest| rest.len() == 16 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
            if !ours {
                continue;
            }
            let Ok(Some(file)) = folder.open_file(&name) else { continue };
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
                folder.remove(&name)?;
            }
        }
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.kept
            && let Err(fault) = unlinkat(self.folder.handle(), &self.name, AtFlags::empty())
        {
            tracing::debug!("{} stays: {fault}", self.folder.path_of(&self.name).display());
        }
    }
}
