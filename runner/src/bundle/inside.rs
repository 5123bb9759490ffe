//! Files of a mounted root, read as the container would see them: nothing of the image's making leads out of it.

use std::{
    fs::File,
    io::Read,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags},
    io::Errno,
};

use crate::error::{Result, RunnerError, While};

/// The most that is read of a file of an image, bytes (U15).
const CAP: u64 = 1 << 20;

/// A container's root, mounted.
#[derive(Debug)]
pub(crate) struct Inside {
    root: OwnedFd,
    path: PathBuf,
}

impl Inside {
    /// Opens a mounted root.
    pub(crate) fn new(root: &Path) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(root, flags, Mode::empty()).doing("opening the root", root)?;
        Ok(Self { root: opened, path: root.to_owned() })
    }

    /// Opens a path of it: links end in the root, magic links (`/proc/self/fd/3`) and paths that lead nowhere are no
    /// files.
    pub(crate) fn open(&self, path: &Path, flags: OFlags) -> Result<Option<OwnedFd>> {
        let name = path.strip_prefix("/").unwrap_or(path);
        let name = if name.as_os_str().is_empty() { Path::new(".") } else { name };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        loop {
            let answer =
                rustix::fs::openat2(&self.root, name, flags | OFlags::CLOEXEC, Mode::empty(), resolve);
            match answer {
                Ok(file) => return Ok(Some(file)),
                // Somebody renamed something on the way; the kernel asks to try again.
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
                Err(error) => return Err(error).doing("opening", self.path.join(name)),
            }
        }
    }

    /// The text of a regular file of at most 1 MiB; what is no such file (a FIFO, a device) is not there.
    ///
    /// # Errors
    /// [`RunnerError::Content`] where it is larger.
    pub(crate) fn text(&self, path: &Path) -> Result<Option<String>> {
        // Without NONBLOCK a FIFO of the image's making would hold the start for ever.
        let Some(file) = self.open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)? else {
            return Ok(None);
        };
        let file = File::from(file);
        let about = file.metadata().doing("reading", path)?;
        if !about.is_file() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.take(CAP + 1).read_to_end(&mut bytes).doing("reading", path)?;
        if bytes.len() as u64 > CAP {
            return Err(RunnerError::Content(format!(
                "{} of the image is larger than the 1 MiB that is read of it: name the user by number",
                path.display()
            )));
        }
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }
}

/// The filesystem of a path (`statfs`), as its magic number.
pub(crate) fn filesystem(path: &Path) -> Result<i64> {
    #[allow(
        clippy::useless_conversion,
        clippy::unnecessary_fallible_conversions,
        reason = "the type of f_type differs between architectures"
    )]
    let kind = i64::try_from(rustix::fs::statfs(path).doing("asking the filesystem of", path)?.f_type);
    kind.map_err(|_| RunnerError::Unsupported(format!("{} has an unknown filesystem", path.display())))
}

/// Opens a folder by path, itself and no link.
pub(crate) fn folder(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty()).doing("opening", path)
}
