//! Containers and what is done to them.

use std::{
    fmt,
    os::fd::{BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use oci_spec::runtime::{LinuxResources, Process, Spec};
use serde::{Deserialize, Serialize};

use crate::{CgroupDriver, RuntimeError, Stats};

/// The name of a container: 1 to 1024 of `[A-Za-z0-9_+.-]`, not `.` and not `..`, unique under one state folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

impl ContainerId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> Self {
        id.0
    }
}

impl TryFrom<String> for ContainerId {
    type Error = RuntimeError;

    fn try_from(text: String) -> Result<Self, RuntimeError> {
        let legal = |c: char| c.is_ascii_alphanumeric() || "_+.-".contains(c);
        if text.is_empty() || text.len() > 1024 || !text.chars().all(legal) || text == "." || text == ".." {
            return Err(RuntimeError::Spec {
                field: "container id".into(),
                rule: format!("{text:?} is not 1 to 1024 of letters, digits and _ + . -"),
            });
        }
        Ok(Self(text))
    }
}

impl std::str::FromStr for ContainerId {
    type Err = RuntimeError;

    fn from_str(text: &str) -> Result<Self, RuntimeError> {
        Self::try_from(text.to_owned())
    }
}

/// The states of the runtime specification, with `paused`, which runc's users know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Being made.
    Creating,
    /// Made; its program was not started.
    Created,
    /// Its program runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Its first process ended.
    Stopped,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        })
    }
}

/// Where states lie and how limits are set.
#[derive(Clone, Debug)]
pub struct Runtime {
    /// The folder with one folder per container, on a filesystem that a restart empties.
    pub root: PathBuf,
    /// Who makes control groups.
    pub cgroups: CgroupDriver,
    /// Where compiled filters of system calls are kept; `None` compiles each time.
    pub seccomp_cache: Option<PathBuf>,
}

/// Where a process reads and writes.
#[derive(Debug, Default)]
pub enum Stdio<'a> {
    /// The caller's own three.
    #[default]
    Inherit,
    /// These three, closed in nobody.
    Files([BorrowedFd<'a>; 3]),
    /// A terminal of the container's own, whose master is answered in [`Started::terminal`].
    Terminal,
    /// A terminal of the container's own, whose master is sent over the unix socket at this path, as runc does.
    ConsoleSocket(&'a Path),
}

/// What [`Runtime::create`] is asked for.
#[derive(Debug)]
pub struct Create<'a> {
    /// The name of the new container.
    pub id: &'a ContainerId,
    /// The bundle's folder, to which a relative `root.path` is relative.
    pub bundle: &'a Path,
    /// What to make.
    pub spec: &'a Spec,
    /// Standard input, output and error of the first process.
    pub stdio: Stdio<'a>,
    /// How many descriptors from 3 on the first process keeps.
    pub preserve_fds: u32,
    /// `chroot` in place of `pivot_root`, for roots on an initial ramfs.
    pub no_pivot: bool,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// Whether the container is only known to this process (`false`), or to others by its state folder.
    pub detached: bool,
}

/// A process that was started in a container: a child of the calling process.
#[derive(Debug)]
pub struct Started {
    /// Its process id, as the caller sees it.
    pub pid: i32,
    /// A handle that never means another process; readable (poll) once the process ended.
    pub pidfd: OwnedFd,
    /// The master of its terminal, for [`Stdio::Terminal`].
    pub terminal: Option<OwnedFd>,
}

/// What [`Container::exec`] is asked for.
#[derive(Debug)]
pub struct Exec<'a> {
    /// The program, its user, its capabilities and so on. `terminal` has to agree with `stdio`.
    pub process: &'a Process,
    /// Standard input, output and error.
    pub stdio: Stdio<'a>,
    /// How many descriptors from 3 on it keeps.
    pub preserve_fds: u32,
}

/// A container with a state.
#[derive(Debug)]
pub struct Container {
    id: ContainerId,
}

fn not_built<T>() -> Result<T, RuntimeError> {
    Err(RuntimeError::Unsupported { what: "containers".into(), why: "not built yet".into() })
}

impl Runtime {
    /// Makes a container: namespaces, control group, root. Its first process waits for [`Container::start`]; it is a
    /// child of the caller. Whatever fails, nothing of the container stays.
    ///
    /// # Errors
    /// [`RuntimeError::Exists`], [`RuntimeError::Spec`], [`RuntimeError::Step`] with the step that failed, also when
    /// it was the child's.
    pub fn create(&self, create: &Create<'_>) -> Result<(Container, Started), RuntimeError> {
        let _ = create;
        not_built()
    }

    /// The container of an id.
    ///
    /// # Errors
    /// [`RuntimeError::NotFound`].
    pub fn open(&self, id: &ContainerId) -> Result<Container, RuntimeError> {
        Err(RuntimeError::NotFound(id.clone()))
    }

    /// All containers with a state.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn list(&self) -> Result<Vec<Container>, RuntimeError> {
        not_built()
    }
}

impl Container {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &ContainerId {
        &self.id
    }

    /// The state in the words of the runtime specification, asked from the kernel.
    ///
    /// # Errors
    /// Where the state cannot be read.
    pub fn status(&self) -> Result<Status, RuntimeError> {
        not_built()
    }

    /// The state's JSON of the runtime specification (`ociVersion id status pid bundle annotations`).
    ///
    /// # Errors
    /// Where the state cannot be read.
    pub fn state(&self) -> Result<oci_spec::runtime::State, RuntimeError> {
        not_built()
    }

    /// The process id of the first process, while it lives and is the one that was made (its start time is compared).
    ///
    /// # Errors
    /// Where the state cannot be read.
    pub fn pid(&self) -> Result<Option<i32>, RuntimeError> {
        not_built()
    }

    /// Lets the first process become the container's program. Returns when exec went well.
    ///
    /// # Errors
    /// [`RuntimeError::State`], [`RuntimeError::Exec`], [`RuntimeError::Hook`].
    pub fn start(&self) -> Result<(), RuntimeError> {
        not_built()
    }

    /// Sends a signal to the first process, or to all processes.
    ///
    /// # Errors
    /// [`RuntimeError::State`] where nothing runs.
    pub fn kill(&self, signal: i32, all: bool) -> Result<(), RuntimeError> {
        let _ = (signal, all);
        not_built()
    }

    /// Removes everything that was made. `force` kills first and is content where nothing is.
    ///
    /// # Errors
    /// [`RuntimeError::State`] where it runs and `force` is not said.
    pub fn delete(self, force: bool) -> Result<(), RuntimeError> {
        let _ = force;
        not_built()
    }

    /// Runs a further program in the container; a child of the caller.
    ///
    /// # Errors
    /// [`RuntimeError::State`], [`RuntimeError::Exec`], [`RuntimeError::Step`].
    pub fn exec(&self, exec: &Exec<'_>) -> Result<Started, RuntimeError> {
        let _ = exec;
        not_built()
    }

    /// Freezes all processes.
    ///
    /// # Errors
    /// [`RuntimeError::State`], [`RuntimeError::Unsupported`] without a freezer.
    pub fn pause(&self) -> Result<(), RuntimeError> {
        not_built()
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// [`RuntimeError::State`].
    pub fn resume(&self) -> Result<(), RuntimeError> {
        not_built()
    }

    /// Changes limits.
    ///
    /// # Errors
    /// [`RuntimeError::Unsupported`] for a controller that is not there.
    pub fn update(&self, resources: &LinuxResources) -> Result<(), RuntimeError> {
        let _ = resources;
        not_built()
    }

    /// What it uses.
    ///
    /// # Errors
    /// Where its control group cannot be read.
    pub fn stats(&self) -> Result<Stats, RuntimeError> {
        not_built()
    }

    /// The ids of its processes, as the caller sees them.
    ///
    /// # Errors
    /// Where its control group cannot be read.
    pub fn processes(&self) -> Result<Vec<i32>, RuntimeError> {
        not_built()
    }
}
