//! One directory, held open. Everything in it is named by single components, and no symbolic link in it is followed: what
//! somebody planted in a layout leads neither a read nor a write out of it (C10).

use std::{
    fs::File,
    io::{self, Read},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use rustix::{
    fs::{
        AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, flock, fsync, mkdirat, openat, statat, unlinkat,
    },
    io::Errno,
};

use super::Scratch;
use crate::{Error, Result};

/// Most entries that are read of one directory.
const MAX_ENTRIES: usize = 1_000_000;

/// A directory that was opened once. Clones are the same directory, whatever its path means by then.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    handle: Arc<OwnedFd>,
    path: PathBuf,
}

/// Exclusive use of a directory among those who ask for it, in this process and in others; ends with the value.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "closing it is what ends the lock")] OwnedFd);

impl Folder {
    /// Opens what the user named, symbolic links and all; `None` if it is not there.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(handle) => Ok(Some(Self { handle: Arc::new(handle), path: path.to_owned() })),
            Err(Errno::NOENT) => Ok(None),
            Err(fault) => Err(Error::file(path)(fault.into())),
        }
    }

    /// Opens what the user named, and makes it if it is not there.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path).map_err(Error::file(path))?;
        Self::open(path)?.ok_or_else(|| Error::file(path)(io::ErrorKind::NotFound.into()))
    }

    /// Where it is, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where something in it is, for messages.
    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn handle(&self) -> &OwnedFd {
        &self.handle
    }

    fn fault(&self, name: &str, fault: Errno) -> Error {
        let path = self.path_of(name);
        match fault {
            Errno::LOOP => {
                escape(&path, "is a symbolic link, and links in an image's folder are not followed")
            }
            fault => Error::file(path)(fault.into()),
        }
    }

    /// A directory in it; `None` if it is not there.
    pub(crate) fn enter(&self, name: &str) -> Result<Option<Self>> {
        let name = component(name)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(&*self.handle, name, flags, Mode::empty()) {
            Ok(handle) => Ok(Some(Self { handle: Arc::new(handle), path: self.path_of(name) })),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP) => Err(escape(
                &self.path_of(name),
                "is no directory (links in an image's folder are not followed)",
            )),
            Err(fault) => Err(self.fault(name, fault)),
        }
    }

    /// A directory in it, made if it is not there.
    pub(crate) fn enter_or_create(&self, name: &str) -> Result<Self> {
        match mkdirat(&*self.handle, component(name)?, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(fault) => return Err(self.fault(name, fault)),
        }
        self.enter(name)?.ok_or_else(|| self.fault(name, Errno::NOENT))
    }

    /// A regular file in it, to read; `None` if it is not there.
    pub(crate) fn open_file(&self, name: &str) -> Result<Option<File>> {
        let name = component(name)?;
        // Without NONBLOCK, opening a pipe that somebody planted would wait for its writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&*self.handle, name, flags, Mode::empty()) {
            Ok(handle) => File::from(handle),
            Err(Errno::NOENT) => return Ok(None),
            Err(fault) => return Err(self.fault(name, fault)),
        };
        let about = file.metadata().map_err(Error::file(self.path_of(name)))?;
        if !about.is_file() {
            return Err(escape(&self.path_of(name), "is no regular file"));
        }
        Ok(Some(file))
    }

    /// Length of a regular file in it; `None` if it is not there.
    pub(crate) fn size_of(&self, name: &str) -> Result<Option<u64>> {
        match statat(&*self.handle, component(name)?, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(about) if FileType::from_raw_mode(about.st_mode) == FileType::RegularFile => {
                Ok(u64::try_from(about.st_size).ok())
            }
            Ok(_) => Err(escape(&self.path_of(name), "is no regular file")),
            Err(Errno::NOENT) => Ok(None),
            Err(fault) => Err(self.fault(name, fault)),
        }
    }

    /// Content of a small file in it; `None` if it is not there.
    ///
    /// # Errors
    /// `Error::Integrity` if it has more than `limit` bytes.
    pub(crate) fn read(&self, name: &str, limit: u64) -> Result<Option<Bytes>> {
        let Some(file) = self.open_file(name)? else { return Ok(None) };
        let mut content = Vec::new();
        file.take(limit + 1).read_to_end(&mut content).map_err(Error::file(self.path_of(name)))?;
        if content.len() as u64 > limit {
            return Err(Error::Integrity(format!(
                "{}: more than {limit} bytes, which is more than such a file may have",
                self.path_of(name).display()
            )));
        }
        Ok(Some(content.into()))
    }

    /// Names of everything in it, in order. Names that are no UTF-8 are none of ours and are left out.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let fault = |fault: Errno| Error::file(&self.path)(fault.into());
        let mut names = Vec::new();
        for entry in Dir::read_from(&*self.handle).map_err(fault)? {
            let entry = entry.map_err(fault)?;
            if let Ok(name) = entry.file_name().to_str()
                && name != "."
                && name != ".."
            {
                names.push(name.to_owned());
            }
            if names.len() > MAX_ENTRIES {
                return Err(Error::Integrity(format!(
                    "{}: more than {MAX_ENTRIES} entries",
                    self.path.display()
                )));
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Removes a file (or a link) from it, if it is there; directories stay.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        match unlinkat(&*self.handle, component(name)?, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT | Errno::ISDIR) => Ok(()),
            Err(fault) => Err(self.fault(name, fault)),
        }
    }

    /// Puts a small file in the place of what has that name, at once and durably but for [`Self::sync`].
    pub(crate) fn replace(&self, name: &str, content: &[u8]) -> Result<()> {
        let scratch = Scratch::new(self)?;
        let file = scratch.file()?;
        io::Write::write_all(&mut &file, content).map_err(Error::file(self.path_of(name)))?;
        file.sync_data().map_err(Error::file(self.path_of(name)))?;
        scratch.keep(self, name)
    }

    /// Makes names in it durable.
    pub(crate) fn sync(&self) -> Result<()> {
        fsync(&*self.handle).map_err(|fault| Error::file(&self.path)(fault.into()))
    }

    /// Waits for exclusive use. The directory itself is locked, so that no file of ours stays in it.
    pub(crate) fn lock(&self) -> Result<Lock> {
        let fault = |fault: Errno| Error::file(&self.path)(fault.into());
        // A handle of its own: locks belong to what open(2) made, and the clones of this value share one.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let own = openat(&*self.handle, ".", flags, Mode::empty()).map_err(fault)?;
        loop {
            match flock(&own, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(Lock(own)),
                Err(Errno::INTR) => {}
                Err(other) => return Err(fault(other)),
            }
        }
    }
}

/// Asserts that a name cannot lead out of a directory.
pub(super) fn component(name: &str) -> Result<&str> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        return Err(Error::Integrity(format!(
            "\"{}\" is no name of a file in a folder",
            name.escape_debug()
        )));
    }
    Ok(name)
}

fn escape(path: &Path, what: &str) -> Error {
    Error::Integrity(format!("{} {what}", path.display()))
}
