//! A folder tree in which paths are resolved as if it were the root of everything.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, mkdirat, openat},
    io::Errno,
};

use crate::error::{Result, RunnerError, While};

/// A root: the machine's, or a container's.
#[derive(Debug)]
pub(crate) struct Place {
    root: OwnedFd,
    /// What is mounted in it is not of it.
    alone: bool,
}

/// What a path says besides where it is.
#[derive(Debug)]
pub(crate) struct Named {
    /// Without a slash or `/.` behind it.
    pub(crate) path: PathBuf,
    /// `/.` stands behind it: what is in it, and not itself.
    pub(crate) contents: bool,
    /// A slash stands behind it: it is meant to be a folder.
    pub(crate) folder: bool,
}

impl Named {
    pub(crate) fn of(text: &str) -> Self {
        let contents = text == "." || text.ends_with("/.");
        let bare = if contents { text.trim_end_matches('.') } else { text };
        let folder = contents || bare.ends_with('/');
        Self { path: Path::new("/").join(bare.trim_end_matches('/')), contents, folder }
    }

    /// The last name, or nothing for the root.
    pub(crate) fn name(&self) -> Option<&OsStr> {
        self.path.file_name()
    }
}

impl Place {
    /// The root at a path of the machine.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, path, flags, Mode::empty()).doing("opening", path)?;
        Ok(Self { root, alone: false })
    }

    /// The same without what is mounted in it.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(crate) fn alone(path: &Path) -> Result<Self> {
        Ok(Self { alone: true, ..Self::open(path)? })
    }

    /// Whether what is mounted in it is left out.
    pub(super) const fn is_alone(&self) -> bool {
        self.alone
    }

    /// Opens a path in it; `None` where there is nothing.
    ///
    /// # Errors
    /// Where it may not be opened.
    pub(crate) fn at(&self, path: &Path, flags: OFlags) -> Result<Option<OwnedFd>> {
        let name = path.strip_prefix("/").unwrap_or(path);
        let name = if name.as_os_str().is_empty() { Path::new(".") } else { name };
        let mut resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        resolve.set(ResolveFlags::NO_XDEV, self.alone);
        loop {
            match rustix::fs::openat2(&self.root, name, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                Ok(file) => return Ok(Some(file)),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
                Err(Errno::XDEV) => {
                    return Err(RunnerError::Unsupported(format!(
                        "{} is something that is mounted in the running container: `berth-runner exec` reads and \
                         writes there",
                        path.display()
                    )));
                }
                Err(error) => return Err(error).doing("opening", path),
            }
        }
    }
}

impl AsFd for Place {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

/// The file or folder of a path, made where it is not there, as it would be for a mount: what is missing of its folders,
/// too. Links on the way end in the root.
///
/// # Errors
/// Where something on the way is no folder.
pub(super) fn make_place(place: &Place, path: &Path, is_folder: bool) -> Result<OwnedFd> {
    if let Some(found) = place.at(path, OFlags::PATH)? {
        return Ok(found);
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(RunnerError::NotFound(format!("{}: no such folder", path.display())));
    };
    let folder = make_place(place, parent, true)?;
    if is_folder {
        mkdirat(&folder, name, Mode::from_raw_mode(0o755)).doing("making", path)?;
    } else {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        drop(openat(&folder, name, flags, Mode::from_raw_mode(0o644)).doing("making", path)?);
    }
    let missing = || RunnerError::NotFound(format!("{}: no such file or folder", path.display()));
    place.at(path, OFlags::PATH)?.ok_or_else(missing)
}

/// A folder below another, reached by names alone: no link on the way, whoever made it.
///
/// # Errors
/// [`RunnerError::Content`] for a link on the way.
pub(super) fn folder_below(base: impl AsFd, path: &Path) -> Result<OwnedFd> {
    let name = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    loop {
        match rustix::fs::openat2(&base, name, flags, Mode::empty(), resolve) {
            Ok(folder) => return Ok(folder),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::LOOP | Errno::XDEV) => {
                return Err(RunnerError::Content(format!(
                    "{}: a link stands in the way, and nothing is written through one",
                    path.display()
                )));
            }
            Err(error) => return Err(error).doing("opening", path),
        }
    }
}

/// The names of a tar's entry: neither `..` nor an absolute path is one.
///
/// # Errors
/// [`RunnerError::Content`].
pub(super) fn names(path: &Path) -> Result<Vec<OsString>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.to_owned()),
            Component::CurDir => {}
            Component::RootDir | Component::ParentDir | Component::Prefix(_) => {
                return Err(RunnerError::Content(format!(
                    "the tar names {}, which leads out of it",
                    path.display()
                )));
            }
        }
    }
    Ok(names)
}

/// A descriptor as a file.
pub(super) fn file(descriptor: OwnedFd) -> File {
    File::from(descriptor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_a_path_says_what_is_meant() {
        for (text, path, contents, folder) in [
            ("/a/b", "/a/b", false, false),
            ("a", "/a", false, false),
            ("/a/", "/a", false, true),
            ("/a/.", "/a", true, true),
            ("/", "/", false, true),
            (".", "/", true, true),
            ("/a..", "/a..", false, false),
        ] {
            let named = Named::of(text);
            assert_eq!(
                (named.path.as_path(), named.contents, named.folder),
                (Path::new(path), contents, folder),
                "{text}"
            );
        }
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        assert_eq!(names(Path::new("./a/b")).unwrap(), ["a", "b"]);
        for text in ["/etc", "../x", "a/../../x"] {
            assert_eq!(names(Path::new(text)).unwrap_err().exit_code(), 4, "{text}");
        }
    }
}
