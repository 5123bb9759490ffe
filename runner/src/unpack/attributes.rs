//! Owners, modes, times, extended attributes.

use std::{
    ffi::{CStr, CString},
    os::fd::{AsFd, BorrowedFd},
};

use rustix::{
    fs::{
        AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chownat, fchmod,
        fchown, fsetxattr, fstat, futimens, openat, utimensat,
    },
    io::Errno,
};

use serde::{Deserialize, Serialize};

use super::{Fault, stream::Entry};
use crate::error::{RunnerError, While};

/// The time of an entry's last change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

impl Times {
    pub(super) fn stamps(self) -> Timestamps {
        Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: self.seconds, tv_nsec: self.nanoseconds.into() },
        }
    }
}

/// Attributes by which overlay keeps what it knows: root's, and those of mounts with `userxattr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OverlayNames {
    /// `trusted.overlay.*`.
    Trusted,
    /// `user.overlay.*`.
    User,
}

impl OverlayNames {
    pub(crate) const fn opaque(self) -> &'static CStr {
        match self {
            Self::Trusted => c"trusted.overlay.opaque",
            Self::User => c"user.overlay.opaque",
        }
    }
}

/// Longest name and largest value that the system takes.
const MAX_NAME: usize = 255;
const MAX_VALUE: usize = 65_536;

/// The attributes of an entry that an image may set: `user.*` but overlay's own, and file capabilities. What else
/// there may be belongs to the machine (labels, lists of access, what overlay trusts) and is left out.
pub(super) fn allowed(xattrs: &[(Vec<u8>, Vec<u8>)]) -> Result<Vec<(CString, Vec<u8>)>, Fault> {
    let mut kept = Vec::new();
    for (name, value) in xattrs {
        let user = name.starts_with(b"user.") && !name.starts_with(b"user.overlay.");
        if !user && name != b"security.capability" {
            continue;
        }
        if name.len() > MAX_NAME || value.len() > MAX_VALUE {
            return Err(Fault::rule(format!(
                "an extended attribute has a name of {} and a value of {} bytes; {MAX_NAME} and {MAX_VALUE} are the most",
                name.len(),
                value.len()
            )));
        }
        let name = CString::new(name.as_slice())
            .map_err(|_| Fault::rule("the name of an extended attribute holds a NUL"))?;
        let value =
            if name.as_c_str() == c"security.capability" { capability(value)? } else { value.clone() };
        kept.push((name, value));
    }
    Ok(kept)
}

/// File capabilities without the namespace that they were made in: the kernel adds the one that we are in.
fn capability(value: &[u8]) -> Result<Vec<u8>, Fault> {
    let bad = || Fault::rule("its file capabilities are none that the kernel knows");
    let revision = value.get(3).ok_or_else(bad)?;
    match (revision, value.len()) {
        (2, 20) => Ok(value.to_vec()),
        (3, 24) => {
            let mut plain = value[..20].to_vec();
            plain[3] = 2;
            Ok(plain)
        }
        _ => Err(bad()),
    }
}

/// Why a file cannot have its owner, where it is a matter of the user's ids.
fn owner_fault(error: Errno, uid: u32, gid: u32, path: &std::path::Path) -> Fault {
    if error == Errno::INVAL {
        return Fault::Failed(RunnerError::Unsupported(format!(
            "{} belongs to user {uid} and group {gid}, which are not both among the ids of this user: give it a \
             larger range in /etc/subuid and /etc/subgid",
            path.display()
        )));
    }
    failed("changing the owner of", path, error)
}

fn failed(doing: &str, path: &std::path::Path, error: Errno) -> Fault {
    Fault::Failed(RunnerError::Io { what: format!("{doing} {}", path.display()), source: error.into() })
}

/// What files have by being made. Of most entries that is their owner and mode, which then need no calls of their own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Born {
    uid: u32,
    gid: u32,
    /// Bits of a mode that stay: neither the umask nor a list of access that folders hand down takes them away.
    modes: u32,
}

/// What of an entry its file has already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Has {
    owner: bool,
    mode: bool,
}

impl Born {
    /// Tries it with a file that never has a name.
    ///
    /// # Errors
    /// Where no file can be made. A file system without such files is no error: then nothing counts on anything.
    pub(super) fn find(folder: impl AsFd) -> rustix::io::Result<Option<Self>> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let trial = match openat(folder, ".", flags, Mode::from_raw_mode(0o777)) {
            Ok(trial) => trial,
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => return Ok(None),
            Err(error) => return Err(error),
        };
        let found = fstat(&trial)?;
        let gid = rustix::process::getegid().as_raw();
        Ok(Some(Self { uid: found.st_uid, gid, modes: found.st_mode & 0o777 }))
    }

    /// The mode to make an entry's file with.
    pub(super) fn mode(entry: &Entry) -> Mode {
        Mode::from_raw_mode(entry.mode & 0o777)
    }

    /// What the file has that was made so, in a folder of this group: a file gets its maker's group or, by the folder's
    /// mode or the way of mounting, the folder's.
    pub(super) fn has(born: Option<Self>, entry: &Entry, folder_gid: u32) -> Has {
        let Some(born) = born else { return Has::default() };
        Has {
            owner: entry.uid == born.uid && entry.gid == born.gid && folder_gid == born.gid,
            mode: entry.mode & !born.modes == 0,
        }
    }
}

/// Sets on an open file or folder what it does not have; the time is left out for folders that are still being filled.
pub(super) fn set(
    file: impl AsFd,
    entry: &Entry,
    has: Has,
    path: &std::path::Path,
    times: bool,
    warnings: &mut Vec<String>,
) -> Result<(), Fault> {
    let file: BorrowedFd<'_> = file.as_fd();
    if !has.owner {
        let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
        fchown(file, Some(uid), Some(gid)).map_err(|error| owner_fault(error, entry.uid, entry.gid, path))?;
    }
    if !has.mode {
        fchmod(file, Mode::from_raw_mode(entry.mode)).doing("changing the mode of", path)?;
    }
    for (name, value) in allowed(&entry.xattrs)? {
        match fsetxattr(file, &name, &value, XattrFlags::empty()) {
            Ok(()) => {}
            Err(Errno::OPNOTSUPP) => warnings.push(format!(
                "{}: this file system does not keep the attribute {}",
                path.display(),
                name.to_string_lossy()
            )),
            Err(error) => {
                let what =
                    format!("setting the attribute {} ({} bytes) of", name.to_string_lossy(), value.len());
                return Err(failed(&what, path, error));
            }
        }
    }
    if times {
        futimens(file, &entry.times.stamps()).doing("setting the time of", path)?;
    }
    Ok(())
}

/// Sets owner, mode and time of what cannot be opened: links, pipes, devices. Such entries keep no attributes.
pub(super) fn set_unopened(
    folder: BorrowedFd<'_>,
    name: &std::ffi::OsStr,
    entry: &Entry,
    path: &std::path::Path,
    has_mode: bool,
) -> Result<(), Fault> {
    let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
    chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|error| owner_fault(error, entry.uid, entry.gid, path))?;
    if has_mode {
        rustix::fs::chmodat(folder, name, Mode::from_raw_mode(entry.mode), AtFlags::empty())
            .doing("changing the mode of", path)?;
    }
    utimensat(folder, name, &entry.times.stamps(), AtFlags::SYMLINK_NOFOLLOW)
        .doing("setting the time of", path)?;
    Ok(())
}
