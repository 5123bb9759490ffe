//! Id-mapped mounts: files of one set of ids, shown with another (Linux 5.12).

use std::{
    fmt::Write,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use oci_spec::runtime::LinuxIdMapping;
use rustix::{
    fs::{self, CWD, Mode, OFlags},
    io::Errno,
    mount::{self, OpenTreeFlags},
};

use super::resolve::is_procfs;
use crate::{
    During, RuntimeError,
    sys::{
        mount_attr::{MountAttr, mount_setattr},
        user_namespace::Holder,
    },
};

/// Makes a user namespace in which no process lives: it exists for its ids, for as long as the descriptor is open.
/// The caller needs the right to map all of them (root has it).
///
/// # Errors
/// [`RuntimeError::Unsupported`] where user namespaces are switched off, [`RuntimeError::Step`] for mappings that
/// overlap or that the caller may not have.
pub fn make_user_namespace(
    users: &[LinuxIdMapping],
    groups: &[LinuxIdMapping],
) -> Result<OwnedFd, RuntimeError> {
    let holder = Holder::start().map_err(|errno| match errno {
        Errno::NOSPC | Errno::USERS => RuntimeError::Unsupported {
            what: "a user namespace".into(),
            why: "the kernel's limit is reached: raise /proc/sys/user/max_user_namespaces".into(),
        },
        Errno::PERM | Errno::INVAL | Errno::NOSYS => RuntimeError::Unsupported {
            what: "a user namespace".into(),
            why: "the kernel has none, or does not let this user make one: see kernel.unprivileged_userns_clone".into(),
        },
        _ => RuntimeError::Step { step: "making a user namespace".into(), source: errno.into() },
    })?;
    // The folder of the holder, which is alive and not waited for: the number means it and no other process.
    let folder = format!("/proc/{}", holder.pid().as_raw_nonzero());
    let place = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = fs::openat(CWD, folder, place, Mode::empty()).during(|| "opening /proc".into())?;
    if !is_procfs(folder.as_fd()).during(|| "reading the filesystem of /proc".into())? {
        return Err(RuntimeError::Unsupported { what: "/proc".into(), why: "is no procfs: mount it".into() });
    }
    write_map(folder.as_fd(), "uid_map", users)?;
    write_map(folder.as_fd(), "gid_map", groups)?;
    fs::openat(&folder, "ns/user", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .during(|| "opening the new user namespace".into())
}

fn write_map(process: BorrowedFd<'_>, name: &str, mappings: &[LinuxIdMapping]) -> Result<(), RuntimeError> {
    let mut text = String::new();
    for mapping in mappings {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{} {} {}", mapping.container_id(), mapping.host_id(), mapping.size());
    }
    let step = || format!("mapping ids in {name} ({})", text.trim_end().replace('\n', ", "));
    let file = fs::openat(process, name, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).during(step)?;
    // The kernel takes the whole map in one write or none of it.
    let written = rustix::io::write(&file, text.as_bytes()).during(step)?;
    if written == text.len() { Ok(()) } else { Err(Errno::IO).during(step) }
}

/// A detached copy of what is mounted at `path`, whose files have the ids that `user_namespace` gives to them. It is
/// unmounted when the descriptor is closed, unless it was attached.
///
/// # Errors
/// [`RuntimeError::Unsupported`] where the filesystem or the kernel cannot do it, [`RuntimeError::Step`] with `EPERM`
/// for who is not root.
pub fn id_mapped_clone(
    path: &Path,
    user_namespace: BorrowedFd<'_>,
    recursive: bool,
) -> Result<OwnedFd, RuntimeError> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    let tree =
        mount::open_tree(CWD, path, flags).during(|| format!("copying the mount of {}", path.display()))?;
    let change = MountAttr { id_map: Some(user_namespace), ..MountAttr::default() };
    match mount_setattr(tree.as_fd(), recursive, &change) {
        Ok(()) => Ok(tree),
        Err(Errno::INVAL | Errno::NOSYS) => Err(RuntimeError::Unsupported {
            what: format!("an id-mapped mount of {}", path.display()),
            why: "the kernel cannot do it on this filesystem: use ext4, xfs, btrfs or tmpfs, and Linux 5.12 or newer"
                .into(),
        }),
        Err(errno) => Err(errno).during(|| format!("mapping the ids of {}", path.display())),
    }
}
