//! The runtime core: makes, runs and ends containers on Linux from OCI bundles (runtime specification 1.2).
//!
//! It knows bundles and not images. It is synchronous and must be called from a process with one thread: between
//! clone and exec the child is a copy of its caller. No function changes the calling process (its directory, its
//! namespaces, its limits); what has to change something does it in a process of its own.
//!
//! All `unsafe` code lies under [`sys`], each block with its proof.

mod bundle;
mod capability;
mod cgroup;
mod container;
mod error;
mod features;
#[doc(hidden)]
pub mod fuzzing;
mod label;
mod own_program;
mod process;
mod rootfs;
mod seccomp;
mod sys;

pub use bundle::Bundle;
pub use capability::{CAPABILITIES, capability, kernel_capabilities};
pub use cgroup::{Cgroup, CgroupDriver, Stats};
pub use container::{
    Container, ContainerId, Create, Details, Exec, Runtime, Started, Status, Stdio, send_signal,
};
pub use error::{During, RuntimeError, SpecFault};
pub use features::{Calls, CgroupVersion, Controller, Features, SubIds};
pub use own_program::{own_program_out_of_reach, protect_own_program};
pub use process::ids::mapped_user_namespace;
pub use process::limits::hard_limit;
pub use rootfs::bind::bind_onto;
pub use rootfs::holes::copy_without_holes;
pub use rootfs::idmap::{id_mapped_clone, make_user_namespace};
pub use rootfs::overlay::{OverlayOptions, mount_overlay, unmount};
pub use rootfs::probe::{OverlayFeatures, probe_overlay};
pub use seccomp::default_profile;
pub use sys::{
    signals::{Arrived, Signals, block_signals, unblock_signals},
    watching::{close_inherited, exit_status_of, own_mounts, wait_at_rest},
};
