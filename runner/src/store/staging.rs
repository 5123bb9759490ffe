//! Where a layer is until it is whole, and who fills it.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use super::lock;
use crate::{
    error::{Result, While},
    record::{files, remove_tree},
};

/// What another process fills.
#[derive(Debug)]
pub(crate) struct Busy {
    path: PathBuf,
    folder: File,
}

impl Busy {
    /// Waits until the other one has it whole, or gives it up. Holds nothing meanwhile that anybody could wait for, so
    /// that whoever is asked to end need not wait for this.
    ///
    /// # Errors
    /// Where it cannot be locked.
    pub(crate) fn wait(self) -> Result<()> {
        lock::wait(&self.folder, FlockOperation::LockExclusive, &self.path)
    }
}

/// What became of a staging folder that was asked for.
pub(super) enum Staged {
    /// The layer was there.
    Present,
    /// It is ours to fill.
    Ours(Staging),
    /// Another fills it.
    Busy(Busy),
}

/// A folder that goes when this is dropped. Its lock says that somebody fills it.
#[derive(Debug)]
pub(super) struct Staging {
    pub(super) path: PathBuf,
    pub(super) folder: File,
    /// It has its own name now, and stays.
    pub(super) done: bool,
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.done {
            // What stays is removed by the next who wants this layer, and by a sweep.
            let _next = remove_tree(&self.path);
        }
    }
}

impl Staging {
    /// Makes and locks it, unless `layer` is there or another has it.
    pub(super) fn claim(path: PathBuf, layer: Option<&Path>) -> Result<Staged> {
        let there = || layer.is_some_and(Path::exists);
        loop {
            if there() {
                return Ok(Staged::Present);
            }
            files::private_folder(&path)?;
            let folder = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.doing("opening", &path)?,
            };
            match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Ok(Staged::Busy(Busy { path, folder })),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error).doing("locking", path),
            }
            // Whoever had it may have renamed or removed it.
            if !lock::is_at(&folder, &path)? {
                continue;
            }
            let staging = Self { path, folder, done: false };
            if there() {
                return Ok(Staged::Present);
            }
            staging.empty()?;
            return Ok(Staged::Ours(staging));
        }
    }

    /// Removes what one left who was killed.
    fn empty(&self) -> Result<()> {
        for entry in fs::read_dir(&self.path).doing("reading", &self.path)? {
            let entry = entry.doing("reading", &self.path)?;
            let path = entry.path();
            let folder = entry.file_type().doing("looking at", &path)?.is_dir();
            let removed = if folder { remove_tree(&path) } else { fs::remove_file(&path) };
            removed.doing("removing", &path)?;
        }
        Ok(())
    }
}
