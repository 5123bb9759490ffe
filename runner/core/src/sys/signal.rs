//! Signals by number: real-time ones have no name.
#![expect(unsafe_code, reason = "rustix sends named signals only")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
};

/// Sends a signal to the process of a pidfd.
pub(crate) fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: a null siginfo is allowed: the kernel fills it as kill does.
    let done = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            ptr::null_mut::<libc::siginfo_t>(),
            0,
        )
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
