//! New instances of filesystems: proc, sysfs, tmpfs, devpts, mqueue and whatever else the kernel has.

use std::{
    ffi::CString,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    io::Errno,
    mount::{self, FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MountFlags},
    process,
};

use super::{
    options::{Attributes, Options},
    resolve::{Descriptors, number},
    tree::Tree,
};

/// Longer values than this `fsconfig(2)` does not take.
const VALUE: usize = 255;
/// Filesystems of the kernel's own state or memory: read-only is a matter of each mount, never of the instance, which
/// other mounts may share.
const PER_MOUNT: [&str; 7] = ["proc", "sysfs", "mqueue", "devpts", "tmpfs", "cgroup", "cgroup2"];

/// Why a filesystem could not be made.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The kernel has no filesystem of this name.
    Unknown,
    /// It has no such option, or not this value for it.
    Option { option: String, errno: Errno, says: String },
    /// The instance or its mount was refused.
    Instance { errno: Errno, says: String },
}

impl Refusal {
    pub(super) fn errno(&self) -> Errno {
        match self {
            Self::Unknown => Errno::NODEV,
            Self::Option { errno, .. } | Self::Instance { errno, .. } => *errno,
        }
    }

    pub(super) fn into_error(self) -> io::Error {
        match self {
            Self::Unknown => {
                io::Error::other("the kernel has no such filesystem, or its module is not loaded")
            }
            Self::Option { option, errno, says } => {
                let error = io::Error::from(errno);
                io::Error::new(error.kind(), format!("the option {option}: {error}{says}"))
            }
            Self::Instance { errno, says } if says.is_empty() => errno.into(),
            Self::Instance { errno, says } => {
                let error = io::Error::from(errno);
                io::Error::new(error.kind(), format!("{error}{says}"))
            }
        }
    }
}

/// What the kernel has to say about a failed call on a filesystem's context: ` (overlay: no such thing)`.
pub(super) fn said(context: BorrowedFd<'_>) -> String {
    let mut lines = Vec::new();
    let mut buffer = [0_u8; 1024];
    // One message per read; the end is ENODATA, and a message that cannot be read is only a worse sentence.
    while let Ok(length) = rustix::io::read(context, &mut buffer) {
        if length == 0 {
            break;
        }
        let line = String::from_utf8_lossy(&buffer[..length]);
        lines.push(line.trim_start_matches(['e', 'w', 'i']).trim().to_owned());
    }
    if lines.is_empty() { String::new() } else { format!(" ({})", lines.join("; ")) }
}

/// Attributes as `fsmount(2)` takes them: a new mount has none to clear.
pub(super) fn mount_flags(attributes: Attributes) -> MountAttrFlags {
    MountAttrFlags::from_bits_retain(u32::try_from(attributes.set).unwrap_or(u32::MAX))
}

fn configure(context: BorrowedFd<'_>, kind: &str, options: &Options) -> Result<(), Refusal> {
    let refused = |option: String, errno| Refusal::Option { option, errno, says: said(context) };
    for flag in &options.flags {
        mount::fsconfig_set_flag(context, *flag).map_err(|errno| refused((*flag).to_owned(), errno))?;
    }
    if options.attributes.is_read_only() && !PER_MOUNT.contains(&kind) {
        mount::fsconfig_set_flag(context, "ro").map_err(|errno| refused("ro".to_owned(), errno))?;
    }
    for (key, value) in &options.data {
        match value {
            Some(value) => mount::fsconfig_set_string(context, key.as_str(), value.as_str())
                .map_err(|errno| refused(format!("{key}={value}"), errno))?,
            None => mount::fsconfig_set_flag(context, key.as_str())
                .map_err(|errno| refused(key.clone(), errno))?,
        }
    }
    Ok(())
}

/// Makes an instance, mounted nowhere yet, with the attributes of `attributes`.
pub(super) fn detached(
    kind: &str,
    source: &str,
    options: &Options,
    attributes: Attributes,
) -> Result<Tree, Refusal> {
    let context: OwnedFd = match mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC) {
        Err(Errno::NODEV) => return Err(Refusal::Unknown),
        answer => answer.map_err(|errno| Refusal::Instance { errno, says: String::new() })?,
    };
    let instance = |errno| Refusal::Instance { errno, says: said(context.as_fd()) };
    mount::fsconfig_set_string(&context, "source", source).map_err(instance)?;
    configure(context.as_fd(), kind, options)?;
    mount::fsconfig_create(&context).map_err(instance)?;
    let mount =
        mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, mount_flags(attributes)).map_err(instance)?;
    Ok(Tree::from(mount))
}

/// Whether a filesystem has to be mounted by the old call: a value is longer than the new one takes.
pub(super) fn needs_old_call(source: &str, options: &Options) -> bool {
    let long = |text: &str| text.len() > VALUE;
    long(source) || options.data.iter().any(|(_, value)| value.as_deref().is_some_and(long))
}

/// Mounts by `mount(2)` onto the object that `place` is of.
pub(super) fn by_old_call(
    kind: &str,
    source: &str,
    options: &Options,
    place: BorrowedFd<'_>,
    descriptors: &Descriptors,
) -> Result<(), Refusal> {
    let refused = |errno| Refusal::Instance { errno, says: String::new() };
    let data = CString::new(options.data_text()).map_err(|_| refused(Errno::INVAL))?;
    process::fchdir(descriptors.folder()).map_err(refused)?;
    mount::mount(source, number(place), kind, old_flags(options), data.as_c_str()).map_err(refused)
}

fn old_flags(options: &Options) -> MountFlags {
    let attributes = [
        (libc::MOUNT_ATTR_RDONLY, MountFlags::RDONLY),
        (libc::MOUNT_ATTR_NOSUID, MountFlags::NOSUID),
        (libc::MOUNT_ATTR_NODEV, MountFlags::NODEV),
        (libc::MOUNT_ATTR_NOEXEC, MountFlags::NOEXEC),
        (libc::MOUNT_ATTR_NOATIME, MountFlags::NOATIME),
        (libc::MOUNT_ATTR_STRICTATIME, MountFlags::STRICTATIME),
        (libc::MOUNT_ATTR_NODIRATIME, MountFlags::NODIRATIME),
        (libc::MOUNT_ATTR_NOSYMFOLLOW, MountFlags::NOSYMFOLLOW),
    ];
    let words = [
        ("sync", MountFlags::SYNCHRONOUS),
        ("dirsync", MountFlags::DIRSYNC),
        ("mand", MountFlags::PERMIT_MANDATORY_FILE_LOCKING),
        ("lazytime", MountFlags::LAZYTIME),
        ("silent", MountFlags::SILENT),
    ];
    let mut flags = MountFlags::empty();
    for (attribute, flag) in attributes {
        flags.set(flag, options.attributes.set & attribute != 0);
    }
    for (word, flag) in words {
        flags.set(flag, options.flags.contains(&word));
    }
    flags
}

/// Gives the filesystem that is mounted at `place` new options.
pub(super) fn reconfigured(place: BorrowedFd<'_>, options: &Options) -> Result<(), Refusal> {
    let refused = |errno| Refusal::Instance { errno, says: String::new() };
    let pick = FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH;
    let context = mount::fspick(place, c"", pick).map_err(refused)?;
    // Read-only is said of the mount alone: the instance may be mounted elsewhere.
    configure(context.as_fd(), "tmpfs", options)?;
    mount::fsconfig_reconfigure(&context)
        .map_err(|errno| Refusal::Instance { errno, says: said(context.as_fd()) })
}
