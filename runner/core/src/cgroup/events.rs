//! News from the kernel: a process was ended for want of memory.

use std::{
    fs::File,
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
};

use rustix::{
    event::{EventfdFlags, eventfd},
    fs::inotify,
};

use super::{Cgroup, file, limits::Home};
use crate::{During, RuntimeError};

impl Cgroup {
    /// A descriptor that becomes readable (poll: `IN | PRI`) when the kernel ends a process for want of memory, or when
    /// the group is removed. What it says is read from [`Stats::oom_kills`](super::Stats::oom_kills). It is none where
    /// nothing counts memory.
    ///
    /// # Errors
    /// [`RuntimeError::Step`].
    pub fn oom_events(&self) -> Result<Option<OwnedFd>, RuntimeError> {
        match self.home("memory", "memory")? {
            Some(Home::V1(folder)) => v1(folder).map(Some),
            Some(Home::V2(folder)) => v2(folder).map(Some),
            None => Ok(None),
        }
    }
}

fn v2(folder: &Path) -> Result<OwnedFd, RuntimeError> {
    let path = folder.join("memory.events");
    let step = || format!("watching {}", path.display());
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).during(step)?;
    inotify::add_watch(&watch, &path, inotify::WatchFlags::MODIFY).during(step)?;
    Ok(watch)
}

fn v1(folder: &Path) -> Result<OwnedFd, RuntimeError> {
    let path = folder.join("memory.oom_control");
    let step = || format!("watching {}", path.display());
    let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).during(step)?;
    // The kernel keeps what it needs of this file; it can be closed afterwards.
    let control = File::open(&path).during(step)?;
    let line = format!("{} {}", event.as_raw_fd(), control.as_raw_fd());
    file::write(&folder.join("cgroup.event_control"), &line)?;
    Ok(event)
}
