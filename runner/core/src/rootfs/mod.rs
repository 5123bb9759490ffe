//! The container's root: everything mounted, devices, masked paths, and the step into it.
//!
//! [`Rootfs::plan`] runs in the parent, which still sees the machine's files and may make id-mapped mounts; the other
//! steps run in the child, in this order, in its new mount namespace: [`Rootfs::mount`], [`Rootfs::pivot`],
//! [`Rootfs::seal`]. The createContainer hooks run between the first two.

use std::{os::fd::BorrowedFd, path::Path};

use oci_spec::runtime::Spec;

use crate::{Cgroup, RuntimeError};

/// The plan of a root, with descriptors of what the child could not open itself.
#[derive(Debug)]
pub(crate) struct Rootfs {}

/// What the plan has to know besides the specification.
#[derive(Debug)]
pub(crate) struct RootfsOf<'a> {
    /// The bundle's folder, to which `root.path` is relative.
    pub(crate) bundle: &'a Path,
    /// What to make.
    pub(crate) spec: &'a Spec,
    /// The container's group, for mounts of type `cgroup`.
    pub(crate) cgroup: &'a Cgroup,
    /// The user namespace that the container will have, where it has one of its own (made or joined): ids of
    /// id-mapped mounts are its ids.
    pub(crate) user_namespace: Option<BorrowedFd<'a>>,
    /// `chroot` in place of `pivot_root`.
    pub(crate) no_pivot: bool,
}

impl Rootfs {
    /// Opens what has to be opened outside and checks the mounts.
    pub(crate) fn plan(of: &RootfsOf<'_>) -> Result<Self, RuntimeError> {
        let _ = of;
        Ok(Self {})
    }

    /// Sets propagation, mounts the root and everything in it, makes devices and links. `terminal` is the slave of
    /// the container's terminal, which becomes `/dev/console`.
    pub(crate) fn mount(&self, terminal: Option<&Path>) -> Result<(), RuntimeError> {
        let _ = terminal;
        Ok(())
    }

    /// Makes it the root of this process; nothing of the old one stays reachable.
    pub(crate) fn pivot(&self) -> Result<(), RuntimeError> {
        Ok(())
    }

    /// What can be done only inside: sysctl excepted (see `process`), masked and read-only paths, a read-only root,
    /// the root's propagation.
    pub(crate) fn seal(&self) -> Result<(), RuntimeError> {
        Ok(())
    }
}
