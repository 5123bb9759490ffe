//! runc's commands and flags.

use std::path::PathBuf;

use berth_runtime::{CgroupDriver, Runtime};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::error::Result;

/// An OCI runtime for Linux (runtime specification 1.2), with runc's commands and flags
#[derive(Debug, Parser)]
#[command(name = "berth-oci", version, about)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) globals: Globals,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Options before the command.
#[derive(Args, Debug)]
pub(super) struct Globals {
    /// Folder of the containers' states [default: /run/berth-oci, for a user $XDG_RUNTIME_DIR/berth-oci]
    #[arg(long, value_name = "FOLDER")]
    pub(super) root: Option<PathBuf>,
    /// File to which errors are written besides standard error
    #[arg(long, value_name = "FILE")]
    pub(super) log: Option<PathBuf>,
    /// How they are written there
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(super) log_format: LogFormat,
    /// Let systemd make the control groups
    #[arg(long)]
    pub(super) systemd_cgroup: bool,
    /// Taken and not looked at: nothing more is written
    #[arg(long, hide = true)]
    pub(super) debug: bool,
    /// Taken and not looked at: whether this is an ordinary user is asked of the kernel
    #[arg(long, hide = true, value_name = "AUTO")]
    pub(super) rootless: Option<String>,
    /// Taken and not looked at: there are no checkpoints
    #[arg(long, hide = true, value_name = "PROGRAM")]
    pub(super) criu: Option<PathBuf>,
}

/// A way to write a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// A line of name=value
    Text,
    /// An object per line
    Json,
}

impl Globals {
    /// The runtime that they describe.
    pub(super) fn runtime(&self) -> Result<Runtime> {
        let base = match (rustix::process::geteuid().is_root(), std::env::var_os("XDG_RUNTIME_DIR")) {
            (false, Some(folder)) => PathBuf::from(folder),
            (false, None) => PathBuf::from(format!("/tmp/berth-oci-{}", rustix::process::geteuid().as_raw())),
            (true, _) => PathBuf::from("/run"),
        };
        let root = self.root.clone().unwrap_or_else(|| base.join("berth-oci"));
        Ok(Runtime {
            root,
            cgroups: if self.systemd_cgroup { CgroupDriver::Systemd } else { CgroupDriver::Folder },
            seccomp_cache: Some(base.join("berth-oci-seccomp")),
        })
    }
}

/// What is done.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a container, whose program waits for start
    Create(Create),
    /// Make a container and start it
    Run(Run),
    /// Start the program of a container that was made
    Start {
        /// Its id
        id: String,
    },
    /// Print the state of a container
    State {
        /// Its id
        id: String,
    },
    /// Send a signal to a container
    Kill {
        /// To all its processes
        #[arg(short, long)]
        all: bool,
        /// Its id
        id: String,
        /// Name or number [default: TERM]
        signal: Option<String>,
    },
    /// Take away a container that ended
    Delete {
        /// Kill it first if it runs; fine if it is not there
        #[arg(short, long)]
        force: bool,
        /// Its id
        id: String,
    },
    /// Run a further program in a container
    Exec(Exec),
    /// Freeze all processes of a container
    Pause {
        /// Its id
        id: String,
    },
    /// Let the processes of a paused container go on
    Resume {
        /// Its id
        id: String,
    },
    /// List containers
    List(List),
    /// List the processes of a container
    Ps(Ps),
    /// Print what a container uses, again and again, and when it runs out of memory
    Events(Events),
    /// Write a config.json to begin with
    Spec(Spec),
    /// Change limits of a container
    Update(super::update::Update),
    /// Print what this runtime can do, as the specification's features structure
    Features,
}

/// What create and run share.
#[derive(Args, Debug)]
pub(super) struct Create {
    /// Folder of the bundle
    #[arg(short, long, value_name = "FOLDER", default_value = ".")]
    pub(super) bundle: PathBuf,
    /// Unix socket that is sent the terminal's master
    #[arg(long, value_name = "SOCKET")]
    pub(super) console_socket: Option<PathBuf>,
    /// File to which the process id is written
    #[arg(long, value_name = "FILE")]
    pub(super) pid_file: Option<PathBuf>,
    /// Change the root by chroot, for roots in an initial ramfs
    #[arg(long)]
    pub(super) no_pivot: bool,
    /// Keep the caller's session keyring
    #[arg(long)]
    pub(super) no_new_keyring: bool,
    /// How many descriptors from 3 on the program keeps
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(super) preserve_fds: u32,
    /// Name of the new container
    pub(super) id: String,
}

/// `run`.
#[derive(Args, Debug)]
pub(super) struct Run {
    #[command(flatten)]
    pub(super) create: Create,
    /// Return when the program runs
    #[arg(short, long)]
    pub(super) detach: bool,
    /// Keep the container when its program has ended
    #[arg(long)]
    pub(super) keep: bool,
    /// Taken and not looked at: this command never adopts a container's processes
    #[arg(long, hide = true)]
    pub(super) no_subreaper: bool,
}

/// `exec`.
#[derive(Args, Debug)]
pub(super) struct Exec {
    /// Unix socket that is sent the terminal's master
    #[arg(long, value_name = "SOCKET")]
    pub(super) console_socket: Option<PathBuf>,
    /// Working directory in the container
    #[arg(long, value_name = "FOLDER")]
    pub(super) cwd: Option<PathBuf>,
    /// A variable, NAME=VALUE
    #[arg(short, long, value_name = "VARIABLE")]
    pub(super) env: Vec<String>,
    /// Give it a terminal
    #[arg(short, long)]
    pub(super) tty: bool,
    /// User id, or user id:group id
    #[arg(short, long, value_name = "UID[:GID]")]
    pub(super) user: Option<String>,
    /// Further group ids
    #[arg(short = 'g', long, value_name = "GID")]
    pub(super) additional_gids: Vec<u32>,
    /// File with the process of the specification
    #[arg(short, long, value_name = "FILE")]
    pub(super) process: Option<PathBuf>,
    /// Return when the program runs
    #[arg(short, long)]
    pub(super) detach: bool,
    /// File to which the process id is written
    #[arg(long, value_name = "FILE")]
    pub(super) pid_file: Option<PathBuf>,
    /// SELinux label of the program
    #[arg(long, value_name = "LABEL")]
    pub(super) process_label: Option<String>,
    /// AppArmor profile of the program
    #[arg(long, value_name = "PROFILE")]
    pub(super) apparmor: Option<String>,
    /// Never let it gain privileges
    #[arg(long)]
    pub(super) no_new_privs: bool,
    /// A capability to add to the container's
    #[arg(short, long, value_name = "CAPABILITY")]
    pub(super) cap: Vec<String>,
    /// How many descriptors from 3 on the program keeps
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(super) preserve_fds: u32,
    /// The container
    pub(super) id: String,
    /// The program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "PROGRAM")]
    pub(super) command: Vec<String>,
}

/// How lists are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Columns
    Table,
    /// JSON
    Json,
}

/// `list`.
#[derive(Args, Debug)]
pub(super) struct List {
    /// How the list is printed
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(super) format: Format,
    /// Ids alone
    #[arg(short, long)]
    pub(super) quiet: bool,
}

/// `ps`.
#[derive(Args, Debug)]
pub(super) struct Ps {
    /// How the list is printed
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(super) format: Format,
    /// The container
    pub(super) id: String,
    /// Options for ps [default: -ef]
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTION")]
    pub(super) options: Vec<String>,
}

/// `events`.
#[derive(Args, Debug)]
pub(super) struct Events {
    /// Time between two prints: 500ms, 5s, 1m
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub(super) interval: String,
    /// Print once and end
    #[arg(long)]
    pub(super) stats: bool,
    /// The container
    pub(super) id: String,
}

/// `spec`.
#[derive(Args, Debug)]
pub(super) struct Spec {
    /// Folder into which it is written
    #[arg(short, long, value_name = "FOLDER", default_value = ".")]
    pub(super) bundle: PathBuf,
    /// For an ordinary user: with a user namespace
    #[arg(long)]
    pub(super) rootless: bool,
}
