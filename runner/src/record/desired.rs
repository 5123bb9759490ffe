//! A container as it is wanted: everything that `create` was told, with every default already decided, so that a
//! start years later does the same.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

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

/// Something mounted into the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mount {
    /// Where, absolute.
    pub(crate) destination: PathBuf,
    /// What.
    pub(crate) kind: MountKind,
    /// Not writable.
    pub(crate) read_only: bool,
    /// Other options of the mount, in the runtime specification's words.
    pub(crate) options: Vec<String>,
    /// `:U`: its files are given to the container's user at each start.
    #[serde(default)]
    pub(crate) chown: bool,
    /// `:z` and `:Z`: its files get an SELinux label, where SELinux is on.
    #[serde(default)]
    pub(crate) relabel: Option<Relabel>,
}

/// SELinux labels of mounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Relabel {
    /// `:z`: for all containers.
    Shared,
    /// `:Z`: for this one.
    Private,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MountKind {
    /// A path of the machine.
    Bind {
        /// The path, absolute.
        source: PathBuf,
    },
    /// A named volume; `anonymous` ones go with the container.
    Volume {
        /// Its name.
        name: String,
        /// Made for this container.
        anonymous: bool,
        /// What the image has at the destination is not copied into an empty volume.
        #[serde(default)]
        no_copy: bool,
        /// A folder of it, relative, in place of all of it.
        #[serde(default)]
        subpath: Option<PathBuf>,
    },
    /// Memory.
    Tmpfs {
        /// Its limit, bytes.
        size: Option<u64>,
        /// Mode of its root.
        mode: Option<u32>,
    },
    /// A secret, as a file.
    Secret {
        /// Its name.
        name: String,
        /// Owner in the container.
        uid: u32,
        /// Group in the container.
        gid: u32,
        /// Mode.
        mode: u32,
    },
}

/// A device of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Device {
    /// Its path on the machine.
    pub(crate) source: PathBuf,
    /// Its path in the container.
    pub(crate) destination: PathBuf,
    /// Some of `rwm`.
    pub(crate) access: String,
}

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

/// What the container shares with others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Isolation {
    /// Processes.
    pub(crate) pid: Namespace,
    /// System V and POSIX queues, shared memory.
    pub(crate) ipc: Namespace,
    /// Host name.
    pub(crate) uts: Namespace,
    /// Control groups as seen.
    pub(crate) cgroup: Namespace,
    /// User and group ids.
    pub(crate) user: UserNamespace,
}

/// A namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Namespace {
    /// Its own.
    #[default]
    Private,
    /// The machine's.
    Host,
    /// Another container's.
    Container(ContainerId),
    /// That of a path.
    Path(PathBuf),
}

/// User namespaces, decided when the container is created: the ranges stay its own for its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum UserNamespace {
    /// The runner's own: the machine's for root, the user's for a user.
    Host,
    /// Its own, with these ids. Files on disk keep the image's ids; mounts are id-mapped.
    Private {
        /// User ids.
        uids: Vec<IdMap>,
        /// Group ids.
        gids: Vec<IdMap>,
    },
    /// Another container's.
    Container(ContainerId),
    /// That of a path.
    Path(PathBuf),
}

/// A range of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IdMap {
    /// First id in the container.
    pub(crate) container: u32,
    /// First id outside.
    pub(crate) host: u32,
    /// How many.
    pub(crate) size: u32,
}

/// The network that the container gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NetworkWants {
    /// Which.
    pub(crate) mode: NetworkMode,
    /// Published ports.
    pub(crate) ports: Vec<Port>,
    /// Name servers in place of the machine's.
    pub(crate) dns: Vec<IpAddr>,
    /// Search domains.
    pub(crate) dns_search: Vec<String>,
    /// Options of resolv.conf.
    pub(crate) dns_options: Vec<String>,
    /// Lines for /etc/hosts; `None` is the machine as the container sees it (`host-gateway`).
    pub(crate) hosts: Vec<(String, Option<IpAddr>)>,
    /// /etc/hosts is the image's.
    pub(crate) no_hosts: bool,
}

/// Kinds of network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum NetworkMode {
    /// Networks of ours, by name; the first is the one that published ports lead to.
    Bridge(Vec<Attach>),
    /// pasta, for users; with more arguments for it.
    Pasta(Vec<String>),
    /// The machine's.
    Host,
    /// Loopback alone.
    None,
    /// Another container's.
    Container(ContainerId),
    /// A namespace by its path.
    Path(PathBuf),
}

/// How a container hangs on a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attach {
    /// The network's name.
    pub(crate) network: String,
    /// Names besides the container's own.
    pub(crate) aliases: Vec<String>,
    /// A fixed address.
    pub(crate) ip: Option<IpAddr>,
    /// A fixed hardware address.
    pub(crate) mac: Option<String>,
}

/// A published port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Port {
    /// Address on the machine: 127.0.0.1 unless another is named.
    pub(crate) address: IpAddr,
    /// Port on the machine; 0 is a free one, chosen at the start.
    pub(crate) host: u16,
    /// Port in the container.
    pub(crate) container: u16,
    /// Protocol.
    pub(crate) protocol: Protocol,
}

impl Port {
    /// Where ports are published unless an address is named.
    pub(crate) const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
}

/// Protocols of published ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
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
