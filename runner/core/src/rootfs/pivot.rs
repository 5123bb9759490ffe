//! The step into the root.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::{
    fs::{self, CWD, Mode, OFlags},
    io::Errno,
    mount::{self, MountPropagationFlags, MoveMountFlags, UnmountFlags},
    process,
};

use super::{options::Propagation, tree::Tree};
use crate::{During, RuntimeError};

/// The caller's root.
pub(super) fn old_root() -> Result<Tree, RuntimeError> {
    fs::openat(CWD, "/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map(Tree::from)
        .during(|| "opening /".into())
}

/// What is mounted in the container's view no longer reaches the host.
pub(super) fn isolate() -> Result<(), RuntimeError> {
    let step = || "separating the container's mounts from the host's".to_owned();
    let root = old_root()?;
    match root.propagate_now(Propagation::SLAVE) {
        Err(Errno::NOSYS) => {
            mount::mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
                .during(step)
        }
        answer => answer.during(step),
    }
}

/// `pivot_root(2)` without a folder for the old root: both lie on each other, and the upper one is taken away.
pub(super) fn pivot(root: BorrowedFd<'_>) -> Result<(), RuntimeError> {
    let old: OwnedFd =
        fs::openat(CWD, "/", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .during(|| "opening the old root".into())?;
    process::fchdir(root).during(|| "entering the new root".into())?;
    match process::pivot_root(".", ".") {
        Err(Errno::INVAL) => {
            return Err(RuntimeError::Unsupported {
                what: "pivot_root".into(),
                why: "the kernel refuses it where / is an initial ramfs: run with --no-pivot".into(),
            });
        }
        answer => answer.during(|| "pivot_root".into())?,
    }
    // The old root is the upper one now. Its mounts are slaves already; said again here, since what is unmounted in
    // a shared mount is unmounted on the host as well.
    process::fchdir(&old).during(|| "entering the old root".into())?;
    mount::mount_change(".", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .during(|| "separating the old root from the host".into())?;
    mount::unmount(".", UnmountFlags::DETACH).during(|| "unmounting the old root".into())?;
    process::chdir("/").during(|| "entering the new root".into())
}

/// Moves the root over `/` and takes it as root: for roots on an initial ramfs, which cannot be pivoted away.
pub(super) fn change_root(root: BorrowedFd<'_>) -> Result<(), RuntimeError> {
    let old = old_root()?;
    let onto = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    mount::move_mount(root, c"", old.as_fd(), c"", onto).during(|| "moving the root over /".into())?;
    process::fchdir(root).during(|| "entering the new root".into())?;
    process::chroot(".").during(|| "changing the root".into())?;
    process::chdir("/").during(|| "entering the new root".into())
}
