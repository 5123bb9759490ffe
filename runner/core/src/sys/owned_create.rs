//! `FSCONFIG_CMD_CREATE` by a process with other file-system ids: an overlay keeps the ids of who made it for what it
//! makes itself (its work folder, its whiteouts), and these must have an id in an id-mapped upper folder.

use std::os::fd::BorrowedFd;

use rustix::{
    fs::{Mode, OFlags, open},
    io::{self, Errno},
    mount::{MountPropagationFlags, MoveMountFlags, fsconfig_create, mount_change, move_mount},
    process::{Pid, WaitOptions, waitpid},
    thread::{UnshareFlags, unshare_unsafe},
};

use super::clone::copy;

/// `SECBIT_NO_SETUID_FIXUP`: who is not root keeps the capabilities.
const KEEP_CAPABILITIES: libc::c_ulong = 1 << 2;

/// Makes the instance that `context` describes, as this user and group, with the caller's capabilities. The caller
/// itself stays what it is. `attach` are detached mounts, attached first in a mount namespace that exists for this moment
/// alone: before Linux 6.15 an overlay takes no layer from a detached mount. They are of no use afterwards.
///
/// # Errors
/// The kernel's answer; `EPERM` for who may not set the ids.
#[expect(unsafe_code, reason = "rustix has no clone and sets no file-system ids")]
pub(crate) fn create_as(
    context: BorrowedFd<'_>,
    user: u32,
    group: u32,
    attach: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let child = || match attach_all(attach).and_then(|()| become_and_create(context, user, group)) {
        Ok(()) => 0,
        Err(errno) => errno.raw_os_error(),
    };
    // SAFETY: it makes system calls alone, whose paths are constants that end in NUL.
    reap(unsafe { copy(0, child) }?)
}

/// All onto `/`, one over the other: nobody looks them up.
#[expect(unsafe_code, reason = "to unshare descriptors would be unsound; namespaces are not")]
fn attach_all(mounts: &[BorrowedFd<'_>]) -> io::Result<()> {
    if mounts.is_empty() {
        return Ok(());
    }
    // SAFETY: the table of descriptors stays as it is.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
    mount_change(c"/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    let place = open(c"/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let onto = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    mounts.iter().try_for_each(|mount| move_mount(mount, c"", &place, c"", onto))
}

#[expect(unsafe_code, reason = "rustix sets no file-system ids")]
fn become_and_create(context: BorrowedFd<'_>, user: u32, group: u32) -> io::Result<()> {
    // SAFETY: these take numbers. The ids are asked for once more, since setting them reports no error.
    unsafe {
        let bits = libc::prctl(libc::PR_GET_SECUREBITS);
        let bits = libc::c_ulong::try_from(bits).map_err(|_| Errno::PERM)?;
        if libc::prctl(libc::PR_SET_SECUREBITS, bits | KEEP_CAPABILITIES) != 0 {
            return Err(last_error());
        }
        libc::setfsgid(group);
        libc::setfsuid(user);
        let set = |id: u32, now: libc::c_int| u32::try_from(now) == Ok(id);
        if !set(group, libc::setfsgid(u32::MAX)) || !set(user, libc::setfsuid(u32::MAX)) {
            return Err(Errno::PERM);
        }
    }
    fsconfig_create(context)
}

fn reap(pid: Pid) -> io::Result<()> {
    loop {
        match waitpid(Some(pid), WaitOptions::empty()) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
            Ok(ended) => {
                let code = ended.and_then(|(_, status)| status.exit_status());
                return match code {
                    Some(0) => Ok(()),
                    Some(errno) => Err(Errno::from_raw_os_error(errno)),
                    None => Err(Errno::INTR),
                };
            }
        }
    }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}
