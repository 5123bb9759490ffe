//! Which system calls are there.

use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags},
    io::Errno,
    mount::FsOpenFlags,
};

use super::at_least;
use crate::sys;

/// System calls that are used where they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// `fsopen` and its kin (Linux 5.2).
    pub mount_api: bool,
    /// `openat2` (Linux 5.6).
    pub openat2: bool,
    /// `clone3` (Linux 5.3).
    pub clone3: bool,
    /// `clone3` into a control group (Linux 5.7).
    pub clone_into_cgroup: bool,
    /// `pidfd_open` (Linux 5.3).
    pub pidfd: bool,
    /// `close_range` (Linux 5.9).
    pub close_range: bool,
    /// `mount_setattr`, which maps the ids of mounts (Linux 5.12).
    pub mount_setattr: bool,
}

impl Calls {
    pub(super) fn probe(kernel: &str) -> Self {
        // What is refused for its argument, or to this user, is there.
        let there = |answer: rustix::io::Result<()>| answer != Err(Errno::NOSYS);
        let clone3 = sys::calls::has_clone3();
        let open = rustix::fs::openat2(
            CWD,
            "/",
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::empty(),
        );
        let own =
            rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty());
        let mount_api = there(rustix::mount::fsopen("", FsOpenFlags::FSOPEN_CLOEXEC).map(drop));
        Self {
            mount_api,
            openat2: there(open.map(drop)),
            clone3,
            clone_into_cgroup: clone3 && at_least(kernel, 5, 7),
            pidfd: there(own.map(drop)),
            close_range: sys::calls::has_close_range(),
            mount_setattr: mount_api && at_least(kernel, 5, 12),
        }
    }
}
