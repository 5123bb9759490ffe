//! A container as it is wanted: everything that `create` was told, with every default already decided, so that a
//! start years later does the same.

mod mounts;
mod network;
mod rights;
mod sharing;

pub(crate) use mounts::{Device, Mount, MountKind, Relabel};
pub(crate) use network::{Attach, NetworkMode, NetworkWants, Port, Protocol};
pub(crate) use rights::{Limits, Seccomp, Security, Ulimit};
pub(crate) use sharing::{IdMap, Isolation, Namespace, UserNamespace};

use std::{collections::BTreeMap, path::PathBuf};

use berth_oci::Digest;
use berth_runtime::ContainerId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The record of a container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Desired {
    /// 64 hexadecimal digits, at random.
    pub(crate) id: ContainerId,
    /// Its name, unique among the user's containers.
    pub(crate) name: String,
    /// When it was created.
    pub(crate) created: Timestamp,
    /// The image; `None` with `--rootfs`.
    pub(crate) image: Option<ImageUse>,
    /// A folder in place of an image.
    pub(crate) rootfs: Option<PathBuf>,
    /// Labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// Annotations, handed to the runtime.
    pub(crate) annotations: BTreeMap<String, String>,
    /// Its first process.
    pub(crate) process: ProcessWants,
    /// What is mounted besides the usual.
    pub(crate) mounts: Vec<Mount>,
    /// Devices of the machine.
    pub(crate) devices: Vec<Device>,
    /// What it may do.
    pub(crate) security: Security,
    /// What it may use.
    pub(crate) limits: Limits,
    /// What it shares.
    pub(crate) isolation: Isolation,
    /// The network.
    pub(crate) network: NetworkWants,
    /// What happens when it ends.
    pub(crate) restart: RestartPolicy,
    /// How one asks whether it is well.
    pub(crate) health: Option<Health>,
    /// The signal of `stop`.
    pub(crate) stop_signal: i32,
    /// Seconds until `stop` kills.
    pub(crate) stop_timeout: u32,
    /// Where its output goes.
    pub(crate) log: LogOptions,
    /// It is removed when it ends, with its unnamed volumes.
    pub(crate) auto_remove: bool,
    /// Another runtime's program (`--runtime`).
    pub(crate) runtime: Option<PathBuf>,
    /// What `create` or `run` was typed, for `inspect`.
    pub(crate) create_command: Vec<String>,
    /// Seconds after which it is killed (`--timeout`).
    #[serde(default)]
    pub(crate) timeout: Option<u32>,
    /// Where the process id of its first process is written at each start (`--pidfile`).
    #[serde(default)]
    pub(crate) pid_file: Option<PathBuf>,
    /// Where the supervisor's process id is written (`--conmon-pidfile`).
    #[serde(default)]
    pub(crate) supervisor_pid_file: Option<PathBuf>,
    /// How a command line that is attached to it behaves.
    #[serde(default)]
    pub(crate) attach: AttachOptions,
}

/// How `run` in the foreground is attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AttachOptions {
    /// Standard input is handed on.
    pub(crate) stdin: bool,
    /// Standard output is printed.
    pub(crate) stdout: bool,
    /// Standard error is printed.
    pub(crate) stderr: bool,
    /// Signals are handed on.
    pub(crate) sig_proxy: bool,
    /// Keys that detach, `ctrl-p,ctrl-q`; empty: none.
    pub(crate) detach_keys: String,
}

impl Default for AttachOptions {
    /// All three, signals, and the keys that everybody knows.
    fn default() -> Self {
        Self { stdin: true, stdout: true, stderr: true, sig_proxy: true, detach_keys: "ctrl-p,ctrl-q".into() }
    }
}

/// Which image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImageUse {
    /// As it was named, in full.
    pub(crate) name: String,
    /// Digest of its manifest.
    pub(crate) manifest: Digest,
    /// Digest of its configuration: the image's id.
    pub(crate) id: Digest,
}

/// The first process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessWants {
    /// The whole command: entrypoint, then arguments.
    pub(crate) args: Vec<String>,
    /// `NAME=value`.
    pub(crate) env: Vec<String>,
    /// Working directory in the container.
    pub(crate) cwd: PathBuf,
    /// `user[:group]` by name or number, looked up in the container's own files at each start.
    pub(crate) user: String,
    /// Additional groups, by name or number.
    pub(crate) groups: Vec<String>,
    /// A terminal.
    pub(crate) tty: bool,
    /// Standard input stays open.
    pub(crate) interactive: bool,
    /// A small init of ours is process 1 and reaps.
    pub(crate) init: bool,
    /// Umask, octal.
    pub(crate) umask: Option<u32>,
    /// Host name in the container; `None`: the first twelve of its id.
    pub(crate) hostname: Option<String>,
    /// The program speaks sd_notify; the supervisor passes it on.
    pub(crate) sd_notify: bool,
    /// Nobody tells the service manager anything.
    #[serde(default)]
    pub(crate) sd_silent: bool,
    /// The program is an init system: tmpfs on /run and so on, `SIGRTMIN+3` to stop.
    pub(crate) systemd: bool,
    /// Secrets that become variables at each start: name of the secret, name of the variable.
    #[serde(default)]
    pub(crate) secret_env: Vec<(String, String)>,
}

/// What happens when the first process ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RestartPolicy {
    /// Nothing.
    #[default]
    No,
    /// It starts again where its number is not 0, so many times at most.
    OnFailure(Option<u32>),
    /// It starts again, and with the machine.
    Always,
    /// As `Always`, but not with the machine where a person stopped it.
    UnlessStopped,
}

/// `--health-*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Health {
    /// The command; one that begins with `CMD-SHELL` is a shell's.
    pub(crate) test: Vec<String>,
    /// Milliseconds between checks.
    pub(crate) interval_ms: u64,
    /// Milliseconds that one may take.
    pub(crate) timeout_ms: u64,
    /// Milliseconds in which failures do not count.
    pub(crate) start_period_ms: u64,
    /// Failures in a row that make it unhealthy.
    pub(crate) retries: u32,
    /// What then: `none`, `kill`, `restart`, `stop`.
    pub(crate) on_failure: String,
}

/// Where output goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogOptions {
    /// Nothing is kept.
    pub(crate) none: bool,
    /// Bytes after which the file is turned over.
    pub(crate) max_size: u64,
    /// Files kept.
    pub(crate) max_files: u32,
}

impl Default for LogOptions {
    /// Three files of 16 MiB: a container that talks cannot fill the disk.
    fn default() -> Self {
        Self { none: false, max_size: 16 << 20, max_files: 3 }
    }
}
