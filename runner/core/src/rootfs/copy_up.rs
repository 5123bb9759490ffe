//! `tmpcopyup`: a tmpfs that starts with what the image has at its place.

use std::{
    ffi::CStr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{self, AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid},
    io::{self, Errno},
};

/// Deeper than any path the kernel resolves in one call.
const DEPTH: usize = 2048;
const READ: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Copies what is in `from` (a place, see `resolve`) into `to`: folders, files, links, with owner, mode and times. Nothing
/// is followed. What else there is (devices, sockets) is left out.
pub(super) fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let from = fs::openat(from, c".", READ | OFlags::DIRECTORY, Mode::empty())?;
    let to = fs::openat(to, c".", READ | OFlags::DIRECTORY, Mode::empty())?;
    folder(&from, &to, 0)
}

fn folder(from: &OwnedFd, to: &OwnedFd, depth: usize) -> io::Result<()> {
    if depth > DEPTH {
        return Err(Errno::LOOP);
    }
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let stat = fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                fs::mkdirat(to, name, Mode::RWXU)?;
                let inner = fs::openat(from, name, READ | OFlags::DIRECTORY, Mode::empty())?;
                let made = fs::openat(to, name, READ | OFlags::DIRECTORY, Mode::empty())?;
                folder(&inner, &made, depth + 1)?;
                dress(&made, &stat)?;
            }
            FileType::RegularFile => file(from, to, name, &stat)?,
            FileType::Symlink => {
                let target = fs::readlinkat(from, name, Vec::new())?;
                fs::symlinkat(&target, to, name)?;
                own(to.as_fd(), name, &stat)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn file(from: &OwnedFd, to: &OwnedFd, name: &CStr, stat: &Stat) -> io::Result<()> {
    // A file that was changed for a FIFO meanwhile must not block the start.
    let source = fs::openat(from, name, READ | OFlags::NONBLOCK, Mode::empty())?;
    let new = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let target = fs::openat(to, name, new, Mode::RUSR | Mode::WUSR)?;
    super::holes::copy_without_holes(source.as_fd(), target.as_fd())
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    dress(&target, stat)
}

/// Owner first: a change of it takes set-id bits away.
fn dress(file: &OwnedFd, stat: &Stat) -> io::Result<()> {
    match fs::fchown(file, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid))) {
        // An owner without an id in this user namespace.
        Ok(()) | Err(Errno::INVAL | Errno::PERM) => {}
        answer => answer?,
    }
    fs::fchmod(file, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    let at = |seconds, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanoseconds).unwrap_or(0),
    };
    fs::futimens(
        file,
        &Timestamps {
            last_access: at(stat.st_atime, stat.st_atime_nsec),
            last_modification: at(stat.st_mtime, stat.st_mtime_nsec),
        },
    )
}

fn own(folder: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> io::Result<()> {
    let (user, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    match fs::chownat(folder, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(()) | Err(Errno::INVAL | Errno::PERM) => Ok(()),
        answer => answer,
    }
}
