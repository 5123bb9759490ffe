//! A mount, or a tree of mounts, held by a descriptor: made detached, changed, and only then put into its place.

use std::{
    cell::RefCell,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{self, AtFlags, CWD, StatVfsMountFlags, StatxFlags},
    io::{self, Errno},
    mount::{self, MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags},
    process,
};

use super::{
    options::{Attributes, Propagation},
    resolve::{Descriptors, number},
};
use crate::sys::mount_attr::{MountAttr, mount_setattr};

/// A change that the kernel could not do on a detached mount.
#[derive(Clone, Copy, Debug)]
enum Late {
    Attributes(Attributes),
    Propagation(Propagation),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Tree {
    mount: OwnedFd,
    /// Before Linux 5.12 a mount can be changed only where it is attached.
    late: RefCell<Vec<Late>>,
}

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.mount.as_fd()
    }
}

impl From<OwnedFd> for Tree {
    fn from(mount: OwnedFd) -> Self {
        Self { mount, late: RefCell::default() }
    }
}

/// Tells one mount from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// 0 before Linux 5.8.
    mount: u64,
    device: (u32, u32),
    inode: u64,
}

impl Identity {
    pub(super) fn of(file: BorrowedFd<'_>) -> io::Result<Self> {
        let wanted = StatxFlags::INO | StatxFlags::MNT_ID;
        let found = fs::statx(file, c"", AtFlags::EMPTY_PATH, wanted)?;
        let mount = if found.stx_mask & StatxFlags::MNT_ID.bits() == 0 { 0 } else { found.stx_mnt_id };
        Ok(Self { mount, device: (found.stx_dev_major, found.stx_dev_minor), inode: found.stx_ino })
    }
}

fn clone_flags(recursive: bool) -> OpenTreeFlags {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive { flags | OpenTreeFlags::AT_RECURSIVE } else { flags }
}

impl Tree {
    /// A copy of what is mounted at a path of the caller's own view (never of the image's), links followed.
    pub(super) fn of_path(path: &Path, recursive: bool) -> io::Result<Self> {
        mount::open_tree(CWD, path, clone_flags(recursive)).map(Self::from)
    }

    /// A copy of what a descriptor is of.
    pub(super) fn of(file: BorrowedFd<'_>, recursive: bool) -> io::Result<Self> {
        mount::open_tree(file, c"", clone_flags(recursive) | OpenTreeFlags::AT_EMPTY_PATH).map(Self::from)
    }

    /// Switches attributes. What the user namespace may not unlock stays locked (a bind keeps `nosuid`, `nodev`,
    /// `noexec`, read-only and the access times of its source): a stricter mount is no failure.
    pub(super) fn change(&self, attributes: Attributes, recursive: bool) -> io::Result<()> {
        if attributes.is_empty() {
            return Ok(());
        }
        let change = |wanted: Attributes| {
            let attr = MountAttr { set: wanted.set, clear: wanted.clear, ..MountAttr::default() };
            mount_setattr(self.as_fd(), recursive, &attr)
        };
        match change(attributes) {
            Err(Errno::PERM) => change(attributes.without_unlocking()),
            Err(Errno::NOSYS) if !recursive => {
                self.late.borrow_mut().push(Late::Attributes(attributes));
                Ok(())
            }
            answer => answer,
        }
    }

    /// Sets how mounts below it spread, where it is.
    pub(super) fn propagate_now(&self, propagation: Propagation) -> io::Result<()> {
        let attr = MountAttr { propagation: propagation.kind, ..MountAttr::default() };
        mount_setattr(self.as_fd(), propagation.recursive, &attr)
    }

    /// Sets how mounts below it spread, at the latest when it is attached.
    pub(super) fn propagate(&self, propagation: Propagation) -> io::Result<()> {
        match self.propagate_now(propagation) {
            Err(Errno::NOSYS) => {
                self.late.borrow_mut().push(Late::Propagation(propagation));
                Ok(())
            }
            answer => answer,
        }
    }

    /// Shows its files with the ids that a user namespace gives to theirs.
    pub(super) fn map_ids(&self, namespace: BorrowedFd<'_>, recursive: bool) -> io::Result<()> {
        mount_setattr(self.as_fd(), recursive, &MountAttr { id_map: Some(namespace), ..MountAttr::default() })
    }

    /// Changes it where it is attached already.
    pub(super) fn settle(&self, descriptors: &Descriptors) -> io::Result<()> {
        for late in self.late.borrow_mut().drain(..) {
            late.apply(self.as_fd(), descriptors)?;
        }
        Ok(())
    }

    /// Puts it onto the object that `place` is of.
    pub(super) fn attach(&self, place: BorrowedFd<'_>, descriptors: &Descriptors) -> io::Result<()> {
        let onto = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        mount::move_mount(self, c"", place, c"", onto)?;
        self.settle(descriptors)
    }
}

impl Late {
    /// By `mount(2)`, which knows paths only: the descriptor's number in `/proc/self/fd`, a path of one component
    /// that the kernel follows to the very mount.
    fn apply(self, mount: BorrowedFd<'_>, descriptors: &Descriptors) -> io::Result<()> {
        process::fchdir(descriptors.folder())?;
        let name = number(mount);
        match self {
            Self::Propagation(Propagation { kind, recursive }) => {
                let mut flags =
                    MountPropagationFlags::from_bits_retain(u32::try_from(kind).map_err(|_| Errno::INVAL)?);
                flags.set(MountPropagationFlags::REC, recursive);
                mount::mount_change(name, flags)
            }
            Self::Attributes(attributes) => {
                let flags = old_flags(mount, attributes)?;
                mount::mount_remount(name, MountFlags::BIND | flags, c"")
            }
        }
    }
}

/// The flags of `mount(2)` for a mount that gets `change`: the old call sets all of them at once.
fn old_flags(mount: BorrowedFd<'_>, change: Attributes) -> io::Result<MountFlags> {
    let now = fs::fstatvfs(mount)?.f_flag;
    let atime_chosen = change.clear & libc::MOUNT_ATTR__ATIME != 0;
    let table = [
        (libc::MOUNT_ATTR_RDONLY, StatVfsMountFlags::RDONLY, MountFlags::RDONLY, false),
        (libc::MOUNT_ATTR_NOSUID, StatVfsMountFlags::NOSUID, MountFlags::NOSUID, false),
        (libc::MOUNT_ATTR_NODEV, StatVfsMountFlags::NODEV, MountFlags::NODEV, false),
        (libc::MOUNT_ATTR_NOEXEC, StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC, false),
        (libc::MOUNT_ATTR_NODIRATIME, StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME, false),
        (libc::MOUNT_ATTR_NOATIME, StatVfsMountFlags::NOATIME, MountFlags::NOATIME, atime_chosen),
    ];
    let mut flags = MountFlags::empty();
    for (attribute, state, old, replaced) in table {
        let kept = now.contains(state) && change.clear & attribute == 0 && !replaced;
        flags.set(old, kept || change.set & attribute != 0);
    }
    flags.set(MountFlags::STRICTATIME, change.set & libc::MOUNT_ATTR_STRICTATIME != 0);
    Ok(flags)
}
