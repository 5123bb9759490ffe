//! What makes the container: our own core, or another runtime by its OCI command line (`--runtime PATH`).

use std::{os::fd::BorrowedFd, path::Path};

use berth_runtime::{
    CgroupDriver, ContainerId, Create, Exec, Runtime, RuntimeError, Started, Stats, Status, Stdio,
};
use oci_spec::runtime::{LinuxResources, Process, Spec};

use super::outside::Outside;
use crate::{error::Result, folders::Folders, record::Desired};

/// Makes, starts, signals and removes containers.
#[derive(Debug)]
pub(crate) enum Engine {
    /// Our own core.
    Core(Runtime),
    /// Another program.
    Outside(Outside),
}

/// Standard input, output and error of a program to start.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ends<'a> {
    /// These three.
    Files([BorrowedFd<'a>; 3]),
    /// A terminal of its own.
    Terminal,
}

impl<'a> Ends<'a> {
    fn stdio(self) -> Stdio<'a> {
        match self {
            Self::Files(files) => Stdio::Files(files),
            Self::Terminal => Stdio::Terminal,
        }
    }
}

/// The state folder of our core, by the folders of a user.
pub(crate) fn core(folders: &Folders) -> Runtime {
    Runtime {
        root: folders.runtime(),
        cgroups: CgroupDriver::Folder,
        seccomp_cache: Some(folders.seccomp_cache()),
    }
}

impl Engine {
    /// The one that a container wants.
    pub(crate) fn of(folders: &Folders, desired: &Desired) -> Self {
        match &desired.runtime {
            None => Self::Core(core(folders)),
            Some(program) => Self::Outside(Outside::new(program, folders)),
        }
    }

    /// Makes the container; its first process waits, as a child of this process.
    ///
    /// # Errors
    /// The runtime's; nothing stays then.
    pub(crate) fn create(
        &self,
        id: &ContainerId,
        bundle: &Path,
        spec: &Spec,
        ends: Ends<'_>,
        preserve_fds: u32,
    ) -> Result<Started> {
        match self {
            Self::Core(runtime) => {
                let create = Create {
                    id,
                    bundle,
                    spec,
                    stdio: ends.stdio(),
                    preserve_fds,
                    no_pivot: false,
                    no_new_keyring: false,
                    detached: true,
                };
                Ok(runtime.create(&create)?.1)
            }
            Self::Outside(program) => program.create(id, bundle, ends, preserve_fds),
        }
    }

    /// Lets the program begin.
    ///
    /// # Errors
    /// The runtime's, [`RuntimeError::Exec`] where there is no such program.
    pub(crate) fn start(&self, id: &ContainerId) -> Result<()> {
        match self {
            Self::Core(runtime) => Ok(runtime.open(id)?.start()?),
            Self::Outside(program) => program.start(id),
        }
    }

    /// Sends a signal to the first process, or to all.
    ///
    /// # Errors
    /// The runtime's.
    pub(crate) fn kill(&self, id: &ContainerId, signal: i32, all: bool) -> Result<()> {
        match self {
            Self::Core(runtime) => Ok(runtime.open(id)?.kill(signal, all)?),
            Self::Outside(program) => program.kill(id, signal, all),
        }
    }

    /// Removes all that was made, killing what lives. Content where nothing is.
    ///
    /// # Errors
    /// The runtime's, where something stays.
    pub(crate) fn delete(&self, id: &ContainerId) -> Result<()> {
        match self {
            Self::Core(runtime) => match runtime.open(id) {
                Err(RuntimeError::NotFound(_)) => Ok(()),
                container => match container?.delete(true)?.into_iter().next() {
                    Some(stayed) => Err(stayed.into()),
                    None => Ok(()),
                },
            },
            Self::Outside(program) => program.delete(id),
        }
    }

    /// Whether its processes are frozen; what cannot be asked is not.
    pub(crate) fn is_paused(&self, id: &ContainerId) -> bool {
        match self {
            Self::Core(runtime) => {
                matches!(runtime.open(id).and_then(|container| container.status()), Ok(Status::Paused))
            }
            Self::Outside(program) => program.is_paused(id),
        }
    }

    /// Freezes or thaws all processes.
    ///
    /// # Errors
    /// The runtime's.
    pub(crate) fn freeze(&self, id: &ContainerId, frozen: bool) -> Result<()> {
        match self {
            Self::Core(runtime) => {
                let container = runtime.open(id)?;
                let done = if frozen { container.pause() } else { container.resume() };
                Ok(done?)
            }
            Self::Outside(program) => program.freeze(id, frozen),
        }
    }

    /// Changes limits.
    ///
    /// # Errors
    /// The runtime's.
    pub(crate) fn update(&self, id: &ContainerId, resources: &LinuxResources) -> Result<()> {
        match self {
            Self::Core(runtime) => Ok(runtime.open(id)?.update(resources)?),
            Self::Outside(program) => program.update(id, resources),
        }
    }

    /// What it uses.
    ///
    /// # Errors
    /// The runtime's.
    pub(crate) fn stats(&self, id: &ContainerId) -> Result<Stats> {
        match self {
            Self::Core(runtime) => Ok(runtime.open(id)?.stats()?),
            Self::Outside(program) => program.stats(id),
        }
    }

    /// Ids of its processes.
    ///
    /// # Errors
    /// The runtime's.
    pub(crate) fn processes(&self, id: &ContainerId) -> Result<Vec<i32>> {
        match self {
            Self::Core(runtime) => Ok(runtime.open(id)?.processes()?),
            Self::Outside(program) => program.processes(id),
        }
    }

    /// Runs a further program in it, as a child of this process.
    ///
    /// # Errors
    /// The runtime's, [`RuntimeError::Exec`] where there is no such program.
    pub(crate) fn exec(
        &self,
        id: &ContainerId,
        process: &Process,
        ends: Ends<'_>,
        preserve_fds: u32,
    ) -> Result<Started> {
        match self {
            Self::Core(runtime) => {
                Ok(runtime.open(id)?.exec(&Exec { process, stdio: ends.stdio(), preserve_fds })?)
            }
            Self::Outside(program) => program.exec(id, process, ends, preserve_fds),
        }
    }
}
