//! Leaving namespaces.
#![expect(unsafe_code, reason = "unshare can take the file table from other threads; here there are none")]

use rustix::{io, thread::UnshareFlags};

/// Moves this process, which has one thread, into new namespaces.
pub(crate) fn unshare(namespaces: UnshareFlags) -> io::Result<()> {
    // SAFETY: the table of descriptors is not unshared: callers pass CLONE_NEW* only, which the mask enforces.
    unsafe { rustix::thread::unshare_unsafe(namespaces.difference(UnshareFlags::FILES)) }
}
