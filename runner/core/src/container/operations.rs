//! What is done to a container between its creation and its end.

use std::os::fd::AsFd;

use oci_spec::runtime::{ContainerState, LinuxResources};
use rustix::{fs::FlockOperation, process::Signal};

use super::{
    Container, Exec, Started, Status, condition, create::check_terminal, folder::Folder, record::Record,
    state_of,
};
use crate::{
    Cgroup, RuntimeError, bundle,
    process::{Further, SOCKET, ask_for_start, hooks::Kind},
    sys::signal::pidfd_send_signal,
};

impl Container {
    /// Its folder, locked, with what is written in it and what is so now.
    fn locked(&self, operation: FlockOperation) -> Result<(Folder, Record, Status), RuntimeError> {
        let absent = || RuntimeError::NotFound(self.id.clone());
        let folder = Folder::open(&self.root, &self.id)?.ok_or_else(absent)?;
        folder.lock(operation)?;
        if !folder.is_current()? {
            return Err(absent());
        }
        let record = folder.read_record()?.ok_or_else(|| {
            self.state_error(Status::Stopped, "its creation was interrupted: delete it by force")
        })?;
        let status = condition(&folder, &record)?;
        Ok((folder, record, status))
    }

    fn state_error(&self, is: Status, wants: &'static str) -> RuntimeError {
        RuntimeError::State { id: self.id.clone(), is, wants }
    }

    pub(super) fn cgroup(&self) -> Result<Cgroup, RuntimeError> {
        let record = self.folder()?.read_record()?;
        record.and_then(|record| record.cgroup).ok_or_else(|| {
            self.state_error(Status::Stopped, "its creation was interrupted: delete it by force")
        })
    }

    pub(super) fn begin(&self) -> Result<(), RuntimeError> {
        let (folder, record, status) = self.locked(FlockOperation::LockExclusive)?;
        let wants = "only a created container can be started";
        if status != Status::Created {
            return Err(self.state_error(status, wants));
        }
        if !ask_for_start(&folder.as_fd())? {
            return Err(self.state_error(condition(&folder, &record)?, wants));
        }
        folder.remove_file(SOCKET)?;
        // It runs. Hooks may look at it, and enter it.
        folder.lock(FlockOperation::Unlock)?;
        let pid = record.init.as_ref().map(|init| init.pid);
        let state = state_of(&record, ContainerState::Running, pid);
        let ran = Kind::Poststart.run(record.hooks.as_ref(), &state, &record.bundle);
        if ran.is_err()
            && let Some(init) =
                record.init.as_ref().map(super::record::Incarnation::open).transpose()?.flatten()
        {
            // The specification stops a container whose poststart hook fails. It may have ended by itself.
            let _ended = pidfd_send_signal(init.as_fd(), Signal::KILL.as_raw());
        }
        ran
    }

    pub(super) fn signal(&self, signal: i32, all: bool) -> Result<(), RuntimeError> {
        let status = self.status()?;
        let wants = "only a container that was made and did not end can be sent a signal";
        let record = self.folder()?.read_record()?.ok_or_else(|| self.state_error(status, wants))?;
        let init = record.init.as_ref().map(super::record::Incarnation::open).transpose()?.flatten();
        if all && let Some(cgroup) = &record.cgroup {
            // Without a pid namespace of its own, others may live on when the first process has ended.
            if init.is_none() && cgroup.processes()?.is_empty() {
                return Err(self.state_error(status, wants));
            }
            cgroup.kill(signal)?;
        } else {
            let Some(init) = init else { return Err(self.state_error(status, wants)) };
            match pidfd_send_signal(init.as_fd(), signal) {
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {
                    return Err(self.state_error(Status::Stopped, wants));
                }
                other => crate::During::during(other, || format!("sending signal {signal} to {}", self.id))?,
            }
        }
        if status == Status::Paused
            && signal == Signal::KILL.as_raw()
            && let Some(cgroup) = &record.cgroup
        {
            // A frozen process of version 1 ends when it is thawed.
            cgroup.freeze(false)?;
        }
        Ok(())
    }

    pub(super) fn add(&self, exec: &Exec<'_>) -> Result<Started, RuntimeError> {
        crate::own_program::check()?;
        bundle::check_process(exec.process)?;
        check_terminal(exec.process, &exec.stdio)?;
        let (folder, record, status) = self.locked(FlockOperation::LockShared)?;
        let wants = match status {
            Status::Created | Status::Running => None,
            Status::Paused => Some("resume it before a program is run in it"),
            Status::Creating | Status::Stopped => Some("programs can be run only in a container that runs"),
        };
        if let Some(wants) = wants {
            return Err(self.state_error(status, wants));
        }
        let stopped =
            || self.state_error(Status::Stopped, "programs can be run only in a container that runs");
        let init = record.init.as_ref().map(super::record::Incarnation::child).transpose()?.flatten();
        let init = init.ok_or_else(stopped)?;
        let cgroup = record.cgroup.as_ref().ok_or_else(stopped)?;
        let spec = folder.read_spec()?;
        let seccomp =
            spec.as_ref().and_then(|spec| spec.linux().as_ref()).and_then(|linux| linux.seccomp().as_ref());
        let further = Further {
            process: exec.process,
            init: &init,
            cgroup,
            seccomp,
            seccomp_cache: self.seccomp_cache.as_deref(),
            stdio: &exec.stdio,
            preserve_fds: exec.preserve_fds,
            own: &[folder.handle()],
        };
        further.make().map_err(|error| self.full(cgroup).filter(|_| is_again(&error)).unwrap_or(error))
    }

    /// What keeps a further process out, where that is the limit of processes. One that joins the container takes two
    /// places for a moment: its own, and that of the one that makes it.
    fn full(&self, cgroup: &Cgroup) -> Option<RuntimeError> {
        let stats = cgroup.stats().ok()?;
        let limit = stats.pids_limit.filter(|limit| stats.pids + 1 >= *limit)?;
        Some(RuntimeError::Full { id: self.id.clone(), used: stats.pids, limit })
    }

    pub(super) fn freeze(&self, frozen: bool) -> Result<(), RuntimeError> {
        let (_folder, record, status) = self.locked(FlockOperation::LockExclusive)?;
        let wants = match (frozen, status) {
            (true, Status::Running | Status::Created) | (false, Status::Paused) => None,
            (true, _) => Some("only a container that runs can be paused"),
            (false, _) => Some("only a paused container can be resumed"),
        };
        match (wants, record.cgroup) {
            (Some(wants), _) => Err(self.state_error(status, wants)),
            (None, Some(cgroup)) => cgroup.freeze(frozen),
            (None, None) => Err(self.state_error(status, "its creation was interrupted: delete it by force")),
        }
    }

    pub(super) fn limit(&self, resources: &LinuxResources) -> Result<(), RuntimeError> {
        let (_folder, record, status) = self.locked(FlockOperation::LockExclusive)?;
        match (status, record.cgroup) {
            (Status::Stopped, _) | (_, None) => {
                Err(self
                    .state_error(status, "only the limits of a container that did not end can be changed"))
            }
            (_, Some(cgroup)) => cgroup.update(resources),
        }
    }
}

/// The kernel's answer to whoever may have no more processes.
fn is_again(error: &RuntimeError) -> bool {
    let again = Some(rustix::io::Errno::AGAIN.raw_os_error());
    matches!(error, RuntimeError::Step { source, .. } if source.raw_os_error() == again)
}
