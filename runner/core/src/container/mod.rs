//! Containers and what is done to them.

mod create;
mod delete;
mod folder;
mod names;
mod operations;
mod record;

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use crate::{CgroupDriver, RuntimeError, Stats, process::is_waiting};
use folder::Folder;
pub use names::{ContainerId, Status};
use oci_spec::runtime::{ContainerState, LinuxResources, Process, Spec, State};
use record::{Record, has_ended};

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
    /// Whether the container goes on when the calling process ends (`true`), or ends with it. Its state folder is there
    /// either way, for others to find it.
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
#[derive(Clone, Debug)]
pub struct Container {
    id: ContainerId,
    root: PathBuf,
    seccomp_cache: Option<PathBuf>,
}

/// What is written down about a container, for lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// The bundle's folder.
    pub bundle: PathBuf,
    /// The root filesystem's folder on the host.
    pub rootfs: PathBuf,
    /// When it was made.
    pub created: SystemTime,
    /// The user who made it.
    pub owner: u32,
}

/// Sends a signal to the process of a handle, such as [`Started::pidfd`].
///
/// # Errors
/// `ESRCH` where it ended.
pub fn send_signal(process: BorrowedFd<'_>, signal: i32) -> std::io::Result<()> {
    crate::sys::signal::pidfd_send_signal(process, signal)
}

/// What the kernel says about a container now.
fn condition(folder: &Folder, record: &Record) -> Result<Status, RuntimeError> {
    let init = record.init.as_ref().map(record::Incarnation::open).transpose()?.flatten();
    let Some(init) = init else { return Ok(Status::Stopped) };
    if !record.complete {
        return Ok(Status::Creating);
    }
    if let Some(cgroup) = &record.cgroup
        && cgroup.is_frozen()?
    {
        return Ok(Status::Paused);
    }
    if is_waiting(&folder.as_fd())? {
        return Ok(Status::Created);
    }
    // It held the socket while it waited: it became its program, or ended since it was looked at.
    Ok(if has_ended(&init)? { Status::Stopped } else { Status::Running })
}

fn state_of(record: &Record, status: ContainerState, pid: Option<i32>) -> State {
    let mut state = State::default();
    state
        .set_version(record.oci_version.clone())
        .set_id(record.id.to_string())
        .set_status(status)
        .set_pid(pid)
        .set_bundle(record.bundle.clone())
        .set_annotations(record.annotations.clone());
    state
}

impl Runtime {
    fn container(&self, id: ContainerId) -> Container {
        Container { id, root: self.root.clone(), seccomp_cache: self.seccomp_cache.clone() }
    }

    /// Makes a container: namespaces, control group, root. Its first process waits for [`Container::start`]; it is a
    /// child of the caller. Whatever fails, nothing of the container stays.
    ///
    /// # Errors
    /// [`RuntimeError::Exists`], [`RuntimeError::Spec`], [`RuntimeError::Exec`] for a program that is not there,
    /// [`RuntimeError::Step`] with the step that failed, also when it was the child's.
    pub fn create(&self, create: &Create<'_>) -> Result<(Container, Started), RuntimeError> {
        self.make(create)
    }

    /// The container of an id.
    ///
    /// # Errors
    /// [`RuntimeError::NotFound`].
    pub fn open(&self, id: &ContainerId) -> Result<Container, RuntimeError> {
        match Folder::open(&self.root, id)? {
            Some(_) => Ok(self.container(id.clone())),
            None => Err(RuntimeError::NotFound(id.clone())),
        }
    }

    /// All containers with a state.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn list(&self) -> Result<Vec<Container>, RuntimeError> {
        Ok(Folder::names(&self.root)?.into_iter().map(|id| self.container(id)).collect())
    }
}

impl Container {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &ContainerId {
        &self.id
    }

    fn folder(&self) -> Result<Folder, RuntimeError> {
        Folder::open(&self.root, &self.id)?.ok_or_else(|| RuntimeError::NotFound(self.id.clone()))
    }

    /// The state in the words of the runtime specification, asked from the kernel.
    ///
    /// # Errors
    /// Where the state cannot be read.
    pub fn status(&self) -> Result<Status, RuntimeError> {
        let folder = self.folder()?;
        let status = match folder.read_record()? {
            Some(record) => {
                let status = condition(&folder, &record)?;
                if record.complete {
                    return Ok(status);
                }
                status
            }
            None => Status::Stopped,
        };
        // Half made: somebody is at it, or was ended while at it.
        Ok(if status == Status::Stopped && folder.is_locked()? { Status::Creating } else { status })
    }

    /// The state's JSON of the runtime specification (`ociVersion id status pid bundle annotations`). The
    /// specification has no word for a paused container: it is running.
    ///
    /// # Errors
    /// Where the state cannot be read.
    pub fn state(&self) -> Result<State, RuntimeError> {
        let status = match self.status()? {
            Status::Creating => ContainerState::Creating,
            Status::Created => ContainerState::Created,
            Status::Running | Status::Paused => ContainerState::Running,
            Status::Stopped => ContainerState::Stopped,
        };
        let record = self.folder()?.read_record()?;
        match record {
            Some(record) => Ok(state_of(&record, status, self.pid()?)),
            None => {
                let mut state = State::default();
                state.set_version(crate::bundle::OCI_VERSION.to_owned());
                state.set_id(self.id.to_string()).set_status(status);
                Ok(state)
            }
        }
    }

    /// What is written down about it; `None` where its creation was ended before that.
    ///
    /// # Errors
    /// Where the state cannot be read.
    pub fn details(&self) -> Result<Option<Details>, RuntimeError> {
        Ok(self.folder()?.read_record()?.map(|record| Details {
            bundle: record.bundle,
            rootfs: record.rootfs,
            created: SystemTime::UNIX_EPOCH + Duration::from_secs(record.created),
            owner: record.owner,
        }))
    }

    /// The process id of the first process, while it lives and is the one that was made (its start time is compared).
    ///
    /// # Errors
    /// Where the state cannot be read.
    pub fn pid(&self) -> Result<Option<i32>, RuntimeError> {
        let Some(init) = self.folder()?.read_record()?.and_then(|record| record.init) else {
            return Ok(None);
        };
        Ok(init.child()?.map(|child| child.pid))
    }

    /// The process of its configuration, to run another program as it would run.
    ///
    /// # Errors
    /// Where the configuration cannot be read.
    pub fn process(&self) -> Result<Process, RuntimeError> {
        let spec = self.folder()?.read_spec()?;
        spec.and_then(|spec| spec.process().clone()).ok_or_else(|| RuntimeError::State {
            id: self.id.clone(),
            is: Status::Stopped,
            wants: "its creation was interrupted: delete it by force",
        })
    }

    /// Lets the first process become the container's program. Returns when exec went well.
    ///
    /// # Errors
    /// [`RuntimeError::State`], [`RuntimeError::Exec`], [`RuntimeError::Hook`]; a container whose poststart hook fails
    /// is ended.
    pub fn start(&self) -> Result<(), RuntimeError> {
        self.begin()
    }

    /// Sends a signal to the first process, or to all processes.
    ///
    /// # Errors
    /// [`RuntimeError::State`] where nothing runs.
    pub fn kill(&self, signal: i32, all: bool) -> Result<(), RuntimeError> {
        self.signal(signal, all)
    }

    /// Removes everything that was made. `force` kills first and is content where nothing is. What is answered are the
    /// poststop hooks that failed: the container is gone all the same, and they are worth a warning.
    ///
    /// # Errors
    /// [`RuntimeError::State`] where it runs and `force` is not said.
    pub fn delete(self, force: bool) -> Result<Vec<RuntimeError>, RuntimeError> {
        self.remove(force)
    }

    /// Runs a further program in the container; a child of the caller.
    ///
    /// # Errors
    /// [`RuntimeError::State`], [`RuntimeError::Exec`], [`RuntimeError::Step`].
    pub fn exec(&self, exec: &Exec<'_>) -> Result<Started, RuntimeError> {
        self.add(exec)
    }

    /// Freezes all processes.
    ///
    /// # Errors
    /// [`RuntimeError::State`], [`RuntimeError::Unsupported`] without a freezer.
    pub fn pause(&self) -> Result<(), RuntimeError> {
        self.freeze(true)
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// [`RuntimeError::State`].
    pub fn resume(&self) -> Result<(), RuntimeError> {
        self.freeze(false)
    }

    /// Changes limits.
    ///
    /// # Errors
    /// [`RuntimeError::Unsupported`] for a controller that is not there.
    pub fn update(&self, resources: &LinuxResources) -> Result<(), RuntimeError> {
        self.limit(resources)
    }

    /// What it uses.
    ///
    /// # Errors
    /// Where its control group cannot be read.
    pub fn stats(&self) -> Result<Stats, RuntimeError> {
        self.cgroup()?.stats()
    }

    /// The ids of its processes, as the caller sees them.
    ///
    /// # Errors
    /// Where its control group cannot be read.
    pub fn processes(&self) -> Result<Vec<i32>, RuntimeError> {
        self.cgroup()?.processes()
    }

    /// A descriptor that becomes readable (poll: `IN | PRI`) when the kernel ends a process of it for want of memory.
    ///
    /// # Errors
    /// Where its control group cannot be watched.
    pub fn oom_events(&self) -> Result<Option<OwnedFd>, RuntimeError> {
        self.cgroup()?.oom_events()
    }
}
