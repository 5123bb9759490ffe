//! What a container may do and use.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

/// What the container may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Security {
    /// Everything that the machine's root may.
    pub(crate) privileged: bool,
    /// Capabilities of the bounding set (`CAP_CHOWN` ...), defaults and flags applied.
    pub(crate) capabilities: Vec<String>,
    /// Of them, those that were asked for by name: a user other than root has these and no other.
    #[serde(default)]
    pub(crate) added_capabilities: Vec<String>,
    /// No program gains rights by its file.
    pub(crate) no_new_privileges: bool,
    /// Filter of system calls.
    pub(crate) seccomp: Seccomp,
    /// AppArmor profile.
    pub(crate) apparmor: Option<String>,
    /// SELinux label.
    pub(crate) selinux: Option<String>,
    /// The root cannot be written.
    pub(crate) read_only: bool,
    /// With `read_only`: tmpfs on /run, /tmp and /var/tmp.
    pub(crate) read_only_tmpfs: bool,
    /// Paths masked besides the defaults.
    pub(crate) masked: Vec<PathBuf>,
    /// Default masks that are lifted (`ALL` is `/`).
    pub(crate) unmasked: Vec<PathBuf>,
    /// Options of /proc (`hidepid=2`).
    #[serde(default)]
    pub(crate) proc_options: Vec<String>,
    /// `net.core.somaxconn` ...
    pub(crate) sysctl: BTreeMap<String, String>,
}

/// Filters of system calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Seccomp {
    /// Ours.
    Default,
    /// None.
    Unconfined,
    /// A file in the runtime specification's or docker's form.
    File(PathBuf),
}

/// What the container may use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Limits {
    /// Bytes.
    pub(crate) memory: Option<u64>,
    /// Memory and swap together, bytes; -1 is no limit.
    pub(crate) memory_swap: Option<i64>,
    /// Bytes.
    pub(crate) memory_reservation: Option<u64>,
    /// 0 to 100.
    pub(crate) memory_swappiness: Option<u64>,
    /// Thousandths of a processor.
    pub(crate) cpu_milli: Option<u64>,
    /// Microseconds of processor time per period; in place of `cpu_milli`.
    #[serde(default)]
    pub(crate) cpu_quota: Option<i64>,
    /// Microseconds.
    #[serde(default)]
    pub(crate) cpu_period: Option<u64>,
    /// Share beside others, 2 to 262144.
    pub(crate) cpu_shares: Option<u64>,
    /// Which processors, `0-3,7`.
    pub(crate) cpuset_cpus: Option<String>,
    /// Which memory nodes.
    pub(crate) cpuset_mems: Option<String>,
    /// Processes and threads; -1 is no limit.
    pub(crate) pids: Option<i64>,
    /// Weight of block devices, 10 to 1000.
    pub(crate) blkio_weight: Option<u16>,
    /// Resource limits of the first process.
    pub(crate) ulimits: Vec<Ulimit>,
    /// -1000 to 1000.
    pub(crate) oom_score_adj: Option<i32>,
    /// The kernel does not end its processes for want of memory (version 1 only).
    pub(crate) oom_kill_disable: bool,
    /// Size of /dev/shm, bytes.
    pub(crate) shm_size: u64,
    /// Group under which its group is made.
    pub(crate) cgroup_parent: Option<String>,
    /// Keys of version 2, as they are.
    pub(crate) unified: BTreeMap<String, String>,
}

/// `--ulimit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ulimit {
    /// `RLIMIT_NOFILE` ...
    pub(crate) name: String,
    /// Soft; `u64::MAX` is none.
    pub(crate) soft: u64,
    /// Hard.
    pub(crate) hard: u64,
}
