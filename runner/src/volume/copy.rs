//! From a mounted image into a volume, or into a root with other owners. The image may be hostile: each name is opened in
//! its folder and never followed.

use std::{
    collections::HashMap,
    ffi::CStr,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use berth_runtime::copy_without_holes;
use rustix::{
    fs::{
        AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
        fchmod, fchown, fgetxattr, flistxattr, fsetxattr, fstat, futimens, linkat, mkdirat, mknodat, openat,
        openat2, readlinkat, statat, symlinkat,
    },
    io::Errno,
};

use crate::{
    bundle::inside::{self, Inside},
    error::{Result, RunnerError, While},
    record::IdMap,
};

/// How ids that the machine sees in a mounted root become ids on disk; empty: they are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct DiskIds {
    /// User ids.
    pub(crate) uids: Vec<IdMap>,
    /// Group ids.
    pub(crate) gids: Vec<IdMap>,
}

/// Whoever owns what nobody of the container owns.
const NOBODY: u32 = 65_534;

fn on_disk(maps: &[IdMap], id: u32) -> u32 {
    if maps.is_empty() {
        return id;
    }
    let found = maps.iter().find(|map| id >= map.host && id - map.host < map.size);
    found.map_or(NOBODY, |map| map.container + (id - map.host))
}

/// The owner, mode and times of one file given to another.
fn give(from: &Stat, to: &OwnedFd, ids: &DiskIds) -> rustix::io::Result<()> {
    let (uid, gid) = (on_disk(&ids.uids, from.st_uid), on_disk(&ids.gids, from.st_gid));
    fchown(to, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    // After the owner, which takes setuid away.
    fchmod(to, Mode::from_raw_mode(from.st_mode))?;
    futimens(to, &times(from))
}

#[expect(clippy::cast_possible_wrap, reason = "the kernel counts nanoseconds below 1e9")]
#[allow(clippy::unnecessary_cast, reason = "the type of the nanoseconds differs between architectures")]
fn times(from: &Stat) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: from.st_atime, tv_nsec: from.st_atime_nsec as _ },
        last_modification: Timespec { tv_sec: from.st_mtime, tv_nsec: from.st_mtime_nsec as _ },
    }
}

/// Attributes of users; those of the system are not the image's to give.
fn attributes(from: &OwnedFd, to: &OwnedFd) -> rustix::io::Result<()> {
    let mut names = vec![0_u8; 65_536];
    let length = match flistxattr(from, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(error) => return Err(error),
    };
    for name in names[..length].split(|byte| *byte == 0).filter(|name| name.starts_with(b"user.")) {
        let mut value = vec![0_u8; 65_536];
        let length = fgetxattr(from, name, &mut value[..])?;
        match fsetxattr(to, name, &value[..length], XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A copy on its way.
struct Copy<'a> {
    ids: &'a DiskIds,
    /// The folder that becomes the copy.
    top: &'a OwnedFd,
    /// Files that have several names, by their number, with the name below the top that came first.
    links: HashMap<(u64, u64), PathBuf>,
}

impl Copy<'_> {
    /// Gives a file that is copied already one more name; `false` where it was not, or its first name is gone.
    fn link(&mut self, to: &OwnedFd, name: &CStr, below: &Path, about: &Stat) -> io::Result<bool> {
        if about.st_nlink < 2 {
            return Ok(false);
        }
        let first = match self.links.entry((about.st_dev, about.st_ino)) {
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(below.to_owned());
                return Ok(false);
            }
            std::collections::hash_map::Entry::Occupied(first) => first.into_mut(),
        };
        let (Some(folder), Some(file)) = (first.parent(), first.file_name()) else { return Ok(false) };
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        // A container that has the volume already may have put a link on the way.
        let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let Ok(folder) = openat2(self.top, folder, FOLDER, Mode::empty(), inside) else { return Ok(false) };
        match linkat(&folder, file, to, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT | Errno::MLINK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn file(from: &OwnedFd, to: &OwnedFd, name: &CStr, about: &Stat, ids: &DiskIds) -> io::Result<()> {
    let source = openat(
        from,
        name,
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let target = openat(to, name, flags, Mode::from_raw_mode(0o600))?;
    attributes(&source, &target)?;
    copy_without_holes(source.as_fd(), target.as_fd())?;
    give(about, &target, ids)?;
    Ok(())
}

/// One entry; what is there already stays, and devices and sockets are not copied.
fn entry(
    from: &OwnedFd,
    to: &OwnedFd,
    name: &CStr,
    below: &Path,
    copy: &mut Copy<'_>,
) -> io::Result<Option<(OwnedFd, OwnedFd)>> {
    let about = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let ids = copy.ids;
    let owner = || {
        let (uid, gid) = (on_disk(&ids.uids, about.st_uid), on_disk(&ids.gids, about.st_gid));
        rustix::fs::chownat(
            to,
            name,
            Some(Uid::from_raw(uid)),
            Some(Gid::from_raw(gid)),
            AtFlags::SYMLINK_NOFOLLOW,
        )
    };
    match FileType::from_raw_mode(about.st_mode) {
        FileType::Directory => {
            match mkdirat(to, name, Mode::from_raw_mode(0o700)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            return Ok(Some((
                openat(from, name, FOLDER, Mode::empty())?,
                openat(to, name, FOLDER, Mode::empty())?,
            )));
        }
        FileType::RegularFile => {
            if !copy.link(to, name, below, &about)? {
                file(from, to, name, &about, ids)?;
            }
        }
        FileType::Symlink => {
            symlinkat(readlinkat(from, name, Vec::new())?, to, name)?;
            owner()?;
        }
        FileType::Fifo => {
            mknodat(to, name, FileType::Fifo, Mode::from_raw_mode(about.st_mode & 0o777), 0)?;
            owner()?;
        }
        FileType::CharacterDevice | FileType::BlockDevice | FileType::Socket | FileType::Unknown => {}
    }
    Ok(None)
}

/// Copies a folder of the image, where there is one and the volume is empty.
pub(super) fn fill(inside: &Inside, at: &Path, data: &Path, ids: &DiskIds) -> Result<()> {
    let Some(source) = inside.open(at, OFlags::RDONLY | OFlags::DIRECTORY)? else { return Ok(()) };
    let target = inside::folder(data)?;
    let is_empty = Dir::read_from(&target)
        .doing("reading", data)?
        .all(|entry| entry.is_ok_and(|entry| entry.file_name() == c"." || entry.file_name() == c".."));
    if !is_empty {
        return Ok(());
    }
    let mut copy = Copy { ids, top: &target, links: HashMap::new() };
    folder((&source, &target), at, Path::new(""), &mut copy, DEEPEST)
}

/// Copies a whole root into an empty folder, with other owners.
///
/// # Errors
/// Where something cannot be read or written.
pub(crate) fn whole(root: &Path, into: &Path, ids: &DiskIds) -> Result<()> {
    let (source, target) = (inside::folder(root)?, inside::folder(into)?);
    let mut copy = Copy { ids, top: &target, links: HashMap::new() };
    folder((&source, &target), Path::new("/"), Path::new(""), &mut copy, DEEPEST)
}

/// How many folders may lie in each other: each costs descriptors while it is copied.
const DEEPEST: u32 = 200;

/// Copies what is in a folder, then gives it its owner and times, which change while something is made in it.
fn folder(
    (source, target): (&OwnedFd, &OwnedFd),
    at: &Path,
    below: &Path,
    copy: &mut Copy<'_>,
    deepest: u32,
) -> Result<()> {
    if deepest == 0 {
        return Err(RunnerError::Content(format!(
            "{}: more than {DEEPEST} folders in each other are not copied: mount a volume with :nocopy",
            at.display()
        )));
    }
    for found in Dir::read_from(source).doing("reading", at)? {
        let found = found.doing("reading", at)?;
        let name = found.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let own = std::ffi::OsStr::from_bytes(name.to_bytes());
        let (shown, below) = (at.join(own), below.join(own));
        match entry(source, target, name, &below, copy) {
            Ok(None) => {}
            Ok(Some((source, target))) => folder((&source, &target), &shown, &below, copy, deepest - 1)?,
            // From a start that was cut short.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).doing("copying", shown),
        }
    }
    attributes(source, target).doing("copying", at)?;
    let about = fstat(source).doing("asking", at)?;
    give(&about, target, copy.ids).doing("copying", at)
}
