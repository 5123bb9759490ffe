//! From a mounted image into a volume. The image may be hostile: each name is opened in its folder and never followed.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use berth_runtime::copy_without_holes;
use rustix::{
    fs::{
        AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags, fchmod,
        fchown, fgetxattr, flistxattr, fsetxattr, fstat, futimens, mkdirat, mknodat, openat, readlinkat,
        statat, symlinkat,
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
fn entry(from: &OwnedFd, to: &OwnedFd, name: &CStr, ids: &DiskIds) -> io::Result<Option<(OwnedFd, OwnedFd)>> {
    let about = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
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
        FileType::RegularFile => file(from, to, name, &about, ids)?,
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
    folder(&source, &target, at, ids, DEEPEST)
}

/// How many folders may lie in each other: each costs descriptors while it is copied.
const DEEPEST: u32 = 200;

/// Copies what is in a folder, then gives it its owner and times, which change while something is made in it.
fn folder(source: &OwnedFd, target: &OwnedFd, at: &Path, ids: &DiskIds, deepest: u32) -> Result<()> {
    if deepest == 0 {
        return Err(RunnerError::Content(format!(
            "{}: more than {DEEPEST} folders in each other are not copied into a volume: mount it with :nocopy",
            at.display()
        )));
    }
    for found in Dir::read_from(source).doing("reading", at)? {
        let found = found.doing("reading", at)?;
        let name = found.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let below = at.join(name.to_string_lossy().as_ref());
        match entry(source, target, name, ids) {
            Ok(None) => {}
            Ok(Some((source, target))) => folder(&source, &target, &below, ids, deepest - 1)?,
            // From a start that was cut short.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).doing("copying into the volume", below),
        }
    }
    attributes(source, target).doing("copying into the volume", at)?;
    let about = fstat(source).doing("asking", at)?;
    give(&about, target, ids).doing("copying into the volume", at)
}
