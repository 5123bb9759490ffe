//! Descriptors of a process that is about to become another program.
#![expect(unsafe_code, reason = "descriptors are closed by number, and kept open over exec by number")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd},
};

const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;

fn close_range(first: RawFd, last: libc::c_uint, flags: libc::c_uint) -> io::Result<()> {
    let first = libc::c_uint::try_from(first).map_err(io::Error::other)?;
    if first > last {
        return Ok(());
    }
    // SAFETY: the call takes three numbers. Owners of the descriptors that it closes are the copies that a cloned child
    // has of its parent's values; the child ends by exec or _exit and drops none of them (see the callers).
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// In a cloned child: closes its copy of a descriptor that belongs to its parent alone. The child must never use or
/// drop `fd` again.
pub(crate) fn close_in_child(fd: &OwnedFd) -> io::Result<()> {
    let number = fd.as_raw_fd();
    close_range(number, libc::c_uint::try_from(number).map_err(io::Error::other)?, 0)
}

/// In a cloned child: closes everything from `first` on but `keep`. What the parent had open is not to stay open in a
/// process that waits.
pub(crate) fn close_in_child_but(first: RawFd, keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut kept: Vec<RawFd> = keep.iter().map(AsRawFd::as_raw_fd).filter(|fd| *fd >= first).collect();
    kept.sort_unstable();
    let mut from = first;
    for fd in kept {
        if fd > from {
            close_range(from, libc::c_uint::try_from(fd - 1).map_err(io::Error::other)?, 0)?;
        }
        from = from.max(fd + 1);
    }
    close_range(from, libc::c_uint::MAX, 0)
}

/// In a cloned child: closes everything but `keep`. Allocates nothing.
pub(crate) fn close_in_child_all_but(keep: BorrowedFd<'_>) -> io::Result<()> {
    let keep = keep.as_raw_fd();
    if let Some(last) = keep.checked_sub(1).and_then(|last| libc::c_uint::try_from(last).ok()) {
        close_range(0, last, 0)?;
    }
    close_range(keep + 1, libc::c_uint::MAX, 0)
}

/// Marks everything from `first` on to be closed by exec.
pub(crate) fn close_on_exec(first: RawFd) -> io::Result<()> {
    close_range(first, libc::c_uint::MAX, CLOSE_RANGE_CLOEXEC)
}

/// Whether a number is an open descriptor.
pub(crate) fn is_open(fd: RawFd) -> bool {
    // SAFETY: F_GETFD only reads the table's entry.
    unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
}

/// Keeps a descriptor that the caller was given by number open over exec.
pub(crate) fn keep_on_exec(fd: RawFd) -> io::Result<()> {
    // SAFETY: F_SETFD only changes the table's entry.
    let done = unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
