//! Where a name leads in the folder, without ever leaving it.

use std::{
    collections::{BTreeSet, VecDeque},
    ffi::{OsStr, OsString},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, fsetxattr, fstat, major, minor, mkdirat, openat,
        openat2, readlinkat, statat, unlinkat,
    },
    io::Errno,
};

use super::{Fault, MAX_IMPLIED, OverlayNames};
use crate::error::{Result, RunnerError, While};

/// How often a name may go on through a symbolic link: the system's own limit.
const MAX_LINKS: usize = 40;

/// A folder that is being filled, or read, by names from outside. Every look-up is the kernel's, confined to it.
#[derive(Debug)]
pub(crate) struct Root {
    folder: OwnedFd,
    path: PathBuf,
    overlay: OverlayNames,
    /// The last parent: entries come folder by folder.
    last: Option<Parent>,
    /// Folders that no entry described.
    pub(super) implied: BTreeSet<PathBuf>,
}

#[derive(Debug)]
struct Parent {
    /// As an entry named it.
    asked: PathBuf,
    folder: OwnedFd,
    /// Where that is.
    real: PathBuf,
    gid: u32,
}

/// Where an entry goes: no component of `folder` is a symbolic link.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    /// The parent.
    pub(super) parent: BorrowedFd<'a>,
    /// The entry's path in the layer.
    pub(super) path: PathBuf,
    /// The parent's group.
    pub(super) gid: u32,
}

impl Place<'_> {
    pub(super) fn name(&self) -> &OsStr {
        self.path.file_name().unwrap_or_default()
    }
}

/// Whether this is what hides an entry of lower layers.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && major(stat.st_rdev) == 0
        && minor(stat.st_rdev) == 0
}

const CONFINED: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// Opens a path of normal components beneath a folder, no symbolic link anywhere.
pub(crate) fn open_beneath(folder: impl AsFd, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    loop {
        match openat2(&folder, path, flags, Mode::empty(), CONFINED) {
            // A rename elsewhere disturbed the walk.
            Err(Errno::AGAIN) => {}
            answer => return answer,
        }
    }
}

impl Root {
    /// Opens a folder of ours.
    pub(crate) fn open(path: &Path, overlay: OverlayNames) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let folder = rustix::fs::open(path, flags, Mode::empty()).doing("opening", path)?;
        Ok(Self { folder, path: path.to_owned(), overlay, last: None, implied: BTreeSet::new() })
    }

    pub(crate) fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// The path of an entry, for messages.
    pub(crate) fn shown(&self, path: &Path) -> PathBuf {
        self.path.join(path)
    }

    /// Forgets the last parent: a folder was moved away.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }

    fn fault(&self, doing: &str, path: &Path, error: Errno) -> Fault {
        if error == Errno::NAMETOOLONG {
            return Fault::rule("its name leads to a longer path than the system takes");
        }
        Fault::Failed(RunnerError::Io {
            what: format!("{doing} {}", self.shown(path).display()),
            source: error.into(),
        })
    }

    /// Forgets the last parent if it is this one, of which something changes.
    pub(super) fn forget_parent(&mut self, real: &Path) {
        self.last.take_if(|last| last.real == real);
    }

    /// The place of an entry; folders on its way are made where nothing described them.
    pub(super) fn place(&mut self, path: &Path) -> Result<Place<'_>, Fault> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let name = path.file_name().unwrap_or_default();
        if self.last.as_ref().is_none_or(|last| last.asked != folder) {
            self.last = None;
            let opened = open_beneath(&self.folder, folder, OFlags::PATH | OFlags::DIRECTORY);
            let (opened, real) = match opened {
                Ok(opened) => (opened, folder.to_owned()),
                Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => {
                    let real = self.walk(folder)?;
                    let opened = open_beneath(&self.folder, &real, OFlags::PATH | OFlags::DIRECTORY)
                        .map_err(|error| self.fault("opening", &real, error))?;
                    (opened, real)
                }
                Err(error) => return Err(self.fault("opening", folder, error)),
            };
            let gid = fstat(&opened).map_err(|error| self.fault("looking at", &real, error))?.st_gid;
            self.last = Some(Parent { asked: folder.to_owned(), folder: opened, real, gid });
        }
        let last = self.last.as_ref().ok_or_else(|| Fault::rule("it has no parent"))?;
        Ok(Place { parent: last.folder.as_fd(), path: last.real.join(name), gid: last.gid })
    }

    /// Follows symbolic links as a process would whose root this folder is, and makes what is missing. The answer has
    /// no link in it.
    fn walk(&mut self, folder: &Path) -> Result<PathBuf, Fault> {
        let mut left: VecDeque<OsString> = folder.iter().map(OsStr::to_owned).collect();
        let mut real = PathBuf::new();
        let mut links = 0;
        while let Some(name) = left.pop_front() {
            let parent = open_beneath(&self.folder, &real, OFlags::PATH | OFlags::DIRECTORY)
                .map_err(|error| self.fault("opening", &real, error))?;
            let stat = match statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => Some(stat),
                Err(Errno::NOENT) => None,
                Err(error) => return Err(self.fault("looking at", &real.join(&name), error)),
            };
            let kind = stat.as_ref().map(|stat| FileType::from_raw_mode(stat.st_mode));
            match (kind, stat) {
                (Some(FileType::Directory), _) => real.push(name),
                (Some(FileType::Symlink), _) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Fault::rule("its name leads through more than 40 symbolic links"));
                    }
                    let target = readlinkat(&parent, &name, Vec::new())
                        .map_err(|error| self.fault("reading", &real.join(&name), error))?;
                    let target = Path::new(OsStr::from_bytes(target.as_bytes()));
                    for component in target.components().rev() {
                        match component {
                            Component::Normal(name) => left.push_front(name.to_owned()),
                            Component::ParentDir => left.push_front("..".into()),
                            Component::RootDir => left.push_front("/".into()),
                            Component::CurDir | Component::Prefix(_) => {}
                        }
                    }
                    // What begins at the root, or goes above it, stays in it.
                    while let Some(first) = left.front() {
                        match first.as_bytes() {
                            b"/" => real.clear(),
                            b".." => drop(real.pop()),
                            _ => break,
                        }
                        left.pop_front();
                    }
                }
                (None, _) => {
                    self.make_folder(&parent, &name, &real.join(&name), false)?;
                    real.push(name);
                }
                (Some(_), Some(stat)) if is_whiteout(&stat) => {
                    unlinkat(&parent, &name, AtFlags::empty())
                        .map_err(|error| self.fault("removing", &real.join(&name), error))?;
                    self.make_folder(&parent, &name, &real.join(&name), true)?;
                    real.push(name);
                }
                (Some(_), _) => {
                    return Err(Fault::rule(format!(
                        "{} in its name is no folder",
                        real.join(&name).display()
                    )));
                }
            }
            // `..` may also stand in the middle of a link's target.
            while left.front().is_some_and(|next| next == "..") {
                real.pop();
                left.pop_front();
            }
        }
        Ok(real)
    }

    fn make_folder(
        &mut self,
        parent: &OwnedFd,
        name: &OsStr,
        path: &Path,
        opaque: bool,
    ) -> Result<(), Fault> {
        mkdirat(parent, name, Mode::from_raw_mode(0o755))
            .map_err(|error| self.fault("making", path, error))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made =
            openat(parent, name, flags, Mode::empty()).map_err(|error| self.fault("opening", path, error))?;
        // Whatever the umask is.
        rustix::fs::fchmod(&made, Mode::from_raw_mode(0o755))
            .map_err(|error| self.fault("making", path, error))?;
        let epoch = super::Times { seconds: 0, nanoseconds: 0 };
        rustix::fs::futimens(&made, &epoch.stamps()).map_err(|error| self.fault("making", path, error))?;
        if opaque {
            self.hide_below(&made, path)?;
        }
        self.implied.insert(path.to_owned());
        if self.implied.len() > MAX_IMPLIED {
            return Err(Fault::rule(format!("more than {MAX_IMPLIED} folders have no entry of their own")));
        }
        Ok(())
    }

    /// Marks an open folder as one that hides what lower layers have under it.
    pub(super) fn hide_below(&self, folder: impl AsFd, path: &Path) -> Result<(), Fault> {
        fsetxattr(folder, self.overlay.opaque(), b"y", rustix::fs::XattrFlags::empty())
            .map_err(|error| self.fault("marking as opaque", path, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(folder: &Path, path: &str) -> rustix::io::Result<OwnedFd> {
        let folder = std::fs::File::open(folder).unwrap();
        open_beneath(&folder, Path::new(path), OFlags::RDONLY)
    }

    #[test]
    fn no_look_up_leaves_the_folder_by_dots_a_link_or_a_mount() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
        std::os::unix::fs::symlink("b", folder.path().join("a/link")).unwrap();
        assert!(opened(folder.path(), "a/b").is_ok() && opened(folder.path(), "").is_ok());
        for (path, error) in [
            ("..", Errno::XDEV),
            ("a/../..", Errno::XDEV),
            ("/etc", Errno::XDEV),
            ("a/link", Errno::LOOP),
            ("a/link/x", Errno::LOOP),
        ] {
            assert_eq!(opened(folder.path(), path).unwrap_err(), error, "{path}");
        }
        assert_eq!(opened(Path::new("/"), "proc").unwrap_err(), Errno::XDEV, "another file system");
    }
}
