//! What is written down about a container, and who its first process is.

use std::{
    collections::HashMap,
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
};

use oci_spec::runtime::Hooks;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use super::ContainerId;
use crate::{Cgroup, CgroupDriver, During, RuntimeError, sys::clone::Child};

/// A process that can be told from any other that has, had or will have its number: by when it began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Incarnation {
    pub(super) pid: i32,
    /// Ticks since the machine's start.
    start: u64,
    /// Which start of the machine that was.
    boot: String,
}

/// The state letter and the begin of a process, from its `stat`. The name in it may hold anything, brackets too.
fn stat(pid: i32) -> io::Result<Option<(char, u64)>> {
    let text = match fs::read(format!("/proc/{pid}/stat")) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // It ended between opening and reading.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let after = text.iter().rposition(|byte| *byte == b')').map_or(0, |at| at + 1);
    let text = String::from_utf8_lossy(&text[after..]).into_owned();
    let mut fields = text.split_whitespace();
    let broken =
        || io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat is not as proc(5) says"));
    let state = fields.next().and_then(|field| field.chars().next()).ok_or_else(broken)?;
    // Fields are counted from the process id, 1; the state is 3 and the begin 22.
    let start = fields.nth(18).and_then(|field| field.parse().ok()).ok_or_else(broken)?;
    Ok(Some((state, start)))
}

fn boot() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim_end().to_owned())
}

impl Incarnation {
    /// Of a child that was not reaped.
    pub(super) fn of(pid: i32) -> Result<Self, RuntimeError> {
        let step = || format!("reading when process {pid} began");
        let (_, start) = stat(pid).during(step)?.ok_or(io::ErrorKind::NotFound).during(step)?;
        Ok(Self { pid, start, boot: boot().during(step)? })
    }

    /// A handle of it, while it runs.
    pub(super) fn open(&self) -> Result<Option<OwnedFd>, RuntimeError> {
        let step = || format!("looking for process {}", self.pid);
        if boot().during(step)? != self.boot {
            return Ok(None);
        }
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(None) };
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(rustix::io::Errno::SRCH | rustix::io::Errno::INVAL) => return Ok(None),
            Err(error) => return Err(error).during(step),
        };
        // Asked after the handle is open: whose begin this is, is who the handle means.
        match stat(self.pid).during(step)? {
            Some((state, start)) if start == self.start && !matches!(state, 'Z' | 'X') => Ok(Some(pidfd)),
            _ => Ok(None),
        }
    }

    /// As [`Self::open`], with its number.
    pub(super) fn child(&self) -> Result<Option<Child>, RuntimeError> {
        Ok(self.open()?.map(|pidfd| Child { pid: self.pid, pidfd }))
    }
}

/// Whether the process of a handle ended.
pub(super) fn has_ended(pidfd: &OwnedFd) -> Result<bool, RuntimeError> {
    wait_for_end(pidfd, std::time::Duration::ZERO)
}

/// Waits until the process of a handle ended, or the time is over.
pub(super) fn wait_for_end(pidfd: &OwnedFd, time: std::time::Duration) -> Result<bool, RuntimeError> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let step = || "waiting for the end of the container's process".to_owned();
    let time = Timespec::try_from(time).map_err(io::Error::other).during(step)?;
    let mut fds = [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)];
    Ok(rustix::io::retry_on_intr(|| poll(&mut fds, Some(&time))).during(step)? > 0)
}

/// `state.json`. It is written whole, by renaming, before what it speaks of is made: whatever ends the runtime, what is
/// to be cleaned up is written down.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    /// Of the configuration.
    pub(super) oci_version: String,
    pub(super) id: ContainerId,
    pub(super) bundle: PathBuf,
    pub(super) rootfs: PathBuf,
    #[serde(default)]
    pub(super) annotations: Option<HashMap<String, String>>,
    /// Seconds since 1970.
    pub(super) created: u64,
    pub(super) owner: u32,
    /// `None` until the first process is made.
    pub(super) init: Option<Incarnation>,
    /// Whether everything is made that a create makes.
    pub(super) complete: bool,
    pub(super) driver: CgroupDriver,
    /// `linux.cgroupsPath`.
    pub(super) cgroups_path: Option<PathBuf>,
    /// `None` until it is made.
    pub(super) cgroup: Option<Cgroup>,
    /// Whether the first process's end ends all others.
    pub(super) own_pid_namespace: bool,
    /// Those of the configuration: poststart and poststop are run by other processes.
    #[serde(default)]
    pub(super) hooks: Option<Hooks>,
}
