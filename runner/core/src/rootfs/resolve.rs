//! Paths of the container, resolved by descriptors inside its root and nowhere else.
//!
//! What an image holds is hostile: any component may be a link to anywhere. The kernel resolves below the root
//! (`RESOLVE_IN_ROOT`: an absolute link and `..` stay inside) and refuses the links of procfs that are no paths. Where
//! something has to be made, the walk is done here, one component at a time and never through a link that the kernel
//! would follow.

use std::{
    ffi::{OsStr, OsString},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{self, CWD, FileType, Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags},
    io::{self, Errno},
};

/// Of an object that only serves as a place.
const PLACE: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);
/// The kernel's own bound on links in one path.
const LINKS: usize = 40;
/// How often the kernel may answer that something was renamed meanwhile.
const TRIES: usize = 128;

/// Whether links on the way are followed, inside the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Links {
    Followed,
    Refused,
}

/// What stands at the end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    /// All that is no directory.
    File,
}

impl Kind {
    pub(super) fn of(file: BorrowedFd<'_>) -> io::Result<Self> {
        let directory = FileType::from_raw_mode(fs::fstat(file)?.st_mode) == FileType::Directory;
        Ok(if directory { Self::Directory } else { Self::File })
    }
}

/// Opens what is at `path` inside `root`, as a place (`O_PATH`).
///
/// # Errors
/// `ELOOP` for a link where links are refused, and for a link of procfs that is no path.
pub(super) fn existing(root: BorrowedFd<'_>, path: &Path, links: Links) -> io::Result<OwnedFd> {
    open(root, path, PLACE, links)
}

/// As [`existing`], with the flags of `open(2)`.
pub(super) fn open(root: BorrowedFd<'_>, path: &Path, flags: OFlags, links: Links) -> io::Result<OwnedFd> {
    let mut confined = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    if links == Links::Refused {
        confined |= ResolveFlags::NO_SYMLINKS;
    }
    // `/a/` and `/a/.` mean `/a`, also where it is a file.
    let path: PathBuf = path.components().collect();
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { &path };
    let mut tries = 0;
    loop {
        match fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), confined) {
            // A rename anywhere on the machine while `..` was resolved.
            Err(Errno::AGAIN) if tries < TRIES => tries += 1,
            answer => return answer,
        }
    }
}

/// Opens what is at `path` inside `root` and makes what is missing on the way: directories of mode 755, at the end a
/// directory or an empty file of mode 644.
///
/// # Errors
/// `ENOTDIR` or `EISDIR` where something else stands there.
pub(super) fn made(root: BorrowedFd<'_>, path: &Path, kind: Kind, links: Links) -> io::Result<OwnedFd> {
    let place = match existing(root, path, links) {
        Err(Errno::NOENT) => walk(root, path, kind, links)?,
        answer => answer?,
    };
    match (kind, Kind::of(place.as_fd())?) {
        (Kind::Directory, Kind::File) => Err(Errno::NOTDIR),
        (Kind::File, Kind::Directory) => Err(Errno::ISDIR),
        (Kind::Directory, Kind::Directory) | (Kind::File, Kind::File) => Ok(place),
    }
}

/// The components of a path in reverse, so that the next one is popped.
fn reversed(path: &Path) -> Vec<OsString> {
    path.components()
        .rev()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

/// Follows a path by hand. Each descriptor of `down` was opened from the one before it, without a link, so all lie
/// below the root, and `..` means the one before.
fn walk(root: BorrowedFd<'_>, path: &Path, kind: Kind, links: Links) -> io::Result<OwnedFd> {
    let mut down =
        vec![root.try_clone_to_owned().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?];
    let mut rest = reversed(path);
    let mut kind = kind;
    let mut followed = 0;
    while let Some(name) = rest.pop() {
        if name == OsStr::new("..") {
            if down.len() > 1 {
                down.pop();
            }
            continue;
        }
        let here = down.last().ok_or(Errno::NOENT)?.as_fd();
        let wanted = if rest.is_empty() { kind } else { Kind::Directory };
        let next = step(here, &name, wanted)?;
        match FileType::from_raw_mode(fs::fstat(&next)?.st_mode) {
            FileType::Symlink => {
                followed += 1;
                // What a link of procfs leads to is not what it reads as.
                if links == Links::Refused || followed > LINKS || is_procfs(next.as_fd())? {
                    return Err(Errno::LOOP);
                }
                let target = OsString::from_vec(fs::readlinkat(&next, c"", Vec::new())?.into_bytes());
                if target.as_bytes().starts_with(b"/") {
                    down.truncate(1);
                }
                // `b/` and `b/.` mean a directory.
                if rest.is_empty()
                    && target.as_bytes().rsplit(|byte| *byte == b'/').next().is_some_and(is_no_name)
                {
                    kind = Kind::Directory;
                }
                rest.append(&mut reversed(Path::new(&target)));
            }
            FileType::Directory => down.push(next),
            _ if rest.is_empty() => return Ok(next),
            _ => return Err(Errno::NOTDIR),
        }
    }
    down.pop().ok_or(Errno::NOENT)
}

fn is_no_name(part: &[u8]) -> bool {
    part.is_empty() || part == b"."
}

/// Opens one name in a directory, making it where it is missing.
fn step(here: BorrowedFd<'_>, name: &OsStr, wanted: Kind) -> io::Result<OwnedFd> {
    for _ in 0..TRIES {
        match fs::openat(here, name, PLACE | OFlags::NOFOLLOW, Mode::empty()) {
            Err(Errno::NOENT) => {}
            answer => return answer,
        }
        let made = match wanted {
            Kind::Directory => fs::mkdirat(here, name, Mode::from(0o755)),
            Kind::File => {
                let new = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                fs::openat(here, name, new, Mode::from(0o644)).map(drop)
            }
        };
        match made {
            // Another process made it meanwhile: look again at what it is.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Errno::AGAIN)
}

/// Whether a file lies on procfs.
pub(super) fn is_procfs(file: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(fs::fstatfs(file)?.f_type == PROC_SUPER_MAGIC)
}

/// `/proc/self/fd` of the process that opened it, proved to be procfs: tells where a descriptor is, and is a path to
/// it for calls that know only paths.
#[derive(Debug)]
pub(super) struct Descriptors(OwnedFd);

impl Descriptors {
    pub(super) fn open() -> io::Result<Self> {
        let folder = fs::openat(CWD, "/proc/self/fd", PLACE | OFlags::DIRECTORY, Mode::empty())?;
        if is_procfs(folder.as_fd())? { Ok(Self(folder)) } else { Err(Errno::NOTSUP) }
    }

    /// The path of what a descriptor is of.
    pub(super) fn path_of(&self, file: BorrowedFd<'_>) -> io::Result<OsString> {
        let name = number(file);
        Ok(OsString::from_vec(fs::readlinkat(&self.0, name, Vec::new())?.into_bytes()))
    }

    /// The folder, in which each descriptor's number is a link to what it is of.
    pub(super) fn folder(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The name of a descriptor in `/proc/self/fd`.
pub(super) fn number(file: BorrowedFd<'_>) -> String {
    use std::os::fd::AsRawFd;
    file.as_raw_fd().to_string()
}

#[cfg(test)]
mod tests;
