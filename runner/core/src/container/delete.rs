//! Ending containers and taking away what was made for them.

use std::{os::fd::AsFd, time::Duration};

use oci_spec::runtime::ContainerState;
use rustix::{fs::FlockOperation, process::Signal};

use super::{
    Container, Status,
    folder::Folder,
    record::{Record, wait_for_end},
    state_of,
};
use crate::{Cgroup, RuntimeError, process::hooks::Kind, sys::signal::pidfd_send_signal};

/// A process that is killed ends as soon as it is scheduled; one that hangs in the kernel (a dead network filesystem)
/// may take longer than anybody wants to wait.
const END_WITHIN: Duration = Duration::from_secs(10);

/// The container's group, also where the runtime was ended between making it and writing that down.
fn cgroup_of(record: &Record) -> Result<Cgroup, RuntimeError> {
    match &record.cgroup {
        Some(cgroup) => Ok(cgroup.clone()),
        None => Cgroup::left_over(record.driver, record.cgroups_path.as_deref(), record.id.as_str()),
    }
}

/// Kills everything of a container, and waits until its first process ended.
fn end_all(record: &Record, cgroup: &Cgroup) -> Result<(), RuntimeError> {
    let init = record.init.as_ref().map(super::record::Incarnation::open).transpose()?.flatten();
    if let Some(init) = &init {
        // That it ended meanwhile is what is wanted; whether it did is asked below.
        let _ended = pidfd_send_signal(init.as_fd(), Signal::KILL.as_raw());
    }
    if record.cgroup.is_some() || init.is_some() {
        cgroup.kill(Signal::KILL.as_raw())?;
        if cgroup.is_frozen()? {
            // A frozen process of version 1 ends when it is thawed.
            cgroup.freeze(false)?;
        }
    }
    match init {
        Some(init) if !wait_for_end(&init, END_WITHIN)? => Err(RuntimeError::State {
            id: record.id.clone(),
            is: Status::Running,
            wants: "its first process was killed and does not end: it hangs in the kernel; try again later",
        }),
        _ => Ok(()),
    }
}

/// After a failed create: everything but the error goes.
pub(super) fn undo(folder: &Folder, record: &Record) -> Result<(), RuntimeError> {
    if let Some(cgroup) = &record.cgroup {
        end_all(record, cgroup)?;
        cgroup.delete()?;
    }
    folder.remove()
}

impl Container {
    pub(super) fn remove(self, force: bool) -> Result<Vec<RuntimeError>, RuntimeError> {
        let absent = || if force { Ok(Vec::new()) } else { Err(RuntimeError::NotFound(self.id.clone())) };
        let Some(folder) = Folder::open(&self.root, &self.id)? else { return absent() };
        if force && let Some(init) = folder.read_record()?.and_then(|record| record.init) {
            // Before the lock is waited for: whoever holds it may wait for this process.
            if let Some(init) = init.open()? {
                let _ended = pidfd_send_signal(init.as_fd(), Signal::KILL.as_raw());
            }
        }
        folder.lock(FlockOperation::LockExclusive)?;
        if !folder.is_current()? {
            return absent();
        }
        let Some(record) = folder.read_record()? else {
            // The runtime was ended before it made more than the folder.
            folder.remove()?;
            return Ok(Vec::new());
        };
        let status = super::condition(&folder, &record)?;
        if !force && matches!(status, Status::Running | Status::Paused) {
            return Err(RuntimeError::State {
                id: self.id.clone(),
                is: status,
                wants: "only a container that does not run can be deleted: kill it, or delete it by force",
            });
        }
        let cgroup = cgroup_of(&record)?;
        end_all(&record, &cgroup)?;
        cgroup.delete()?;
        // Before the record goes: ended here, a second delete runs them.
        let state = state_of(&record, ContainerState::Stopped, None);
        let hooks = record.hooks.as_ref();
        let failed = Kind::Poststop
            .of(hooks)
            .iter()
            .filter(|_| record.complete)
            .filter_map(|hook| Kind::Poststop.run_one(hook, &state, &record.bundle).err())
            .collect();
        folder.remove()?;
        Ok(failed)
    }
}
