//! `mount_setattr(2)`: attributes, propagation and id-mapping of a mount that is held by a descriptor.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::{self, Errno};

/// One change of a mount, or of a tree of mounts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MountAttr<'a> {
    /// `MOUNT_ATTR_*` that are switched on.
    pub(crate) set: u64,
    /// `MOUNT_ATTR_*` that are switched off.
    pub(crate) clear: u64,
    /// One of `MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE`, `MS_UNBINDABLE`; 0 leaves it.
    pub(crate) propagation: u64,
    /// The user namespace whose ids the mount's ids become.
    pub(crate) id_map: Option<BorrowedFd<'a>>,
}

/// Changes the mount that `tree` is the root of; with `recursive` also everything mounted below it.
///
/// # Errors
/// `ENOSYS` before Linux 5.12.
#[expect(unsafe_code, reason = "rustix has no mount_setattr")]
pub(crate) fn mount_setattr(tree: BorrowedFd<'_>, recursive: bool, change: &MountAttr<'_>) -> io::Result<()> {
    let mut set = change.set;
    let mut namespace = 0;
    if let Some(id_map) = change.id_map {
        set |= libc::MOUNT_ATTR_IDMAP;
        namespace = u64::try_from(id_map.as_raw_fd()).map_err(|_| Errno::BADF)?;
    }
    let attr = libc::mount_attr {
        attr_set: set,
        attr_clr: change.clear,
        propagation: change.propagation,
        userns_fd: namespace,
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a constant that ends in NUL, `attr` is a `struct mount_attr` of the size that is passed, both
    // live until the call returns, and the kernel only reads them. The descriptors are borrowed, so they are open.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    };
    if answer == 0 { Ok(()) } else { Err(last_error()) }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}
