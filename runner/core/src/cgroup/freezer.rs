//! Freezing, thawing and ending all processes of a group.

use std::{
    collections::HashSet,
    io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use super::{Cgroup, file, folder};
use crate::{During, RuntimeError};

/// A process that waits for a disk or a dead file server freezes only when that answers.
const TO_FREEZE: Duration = Duration::from_secs(10);

/// How a group is frozen here.
enum Freezer<'a> {
    /// `cgroup.freeze`.
    V2(&'a Path),
    /// The controller `freezer` of version 1.
    V1(&'a Path),
}

impl Cgroup {
    fn freezer(&self) -> Option<Freezer<'_>> {
        // Version 2 first, also beside version 1: its frozen processes can be killed, and it tells when it is done.
        if let Some(unified) = self.unified_folder().filter(|folder| folder.join("cgroup.freeze").exists()) {
            return Some(Freezer::V2(unified));
        }
        self.v1_folder("freezer").map(Freezer::V1)
    }

    /// Freezes (or thaws) and returns when all processes are.
    ///
    /// # Errors
    /// [`RuntimeError::Unsupported`] without a freezer.
    pub fn freeze(&self, frozen: bool) -> Result<(), RuntimeError> {
        match self.freezer() {
            Some(Freezer::V2(folder)) => freeze_v2(folder, frozen),
            Some(Freezer::V1(folder)) => freeze_v1(folder, frozen),
            None => Err(RuntimeError::Unsupported {
                what: "pausing the container".into(),
                why: "it has no control group that freezes: version 2 needs Linux 5.2 and a group of the container's \
                      own, version 1 the controller freezer"
                    .into(),
            }),
        }
    }

    /// Whether it is frozen.
    ///
    /// # Errors
    /// [`RuntimeError::Step`].
    pub fn is_frozen(&self) -> Result<bool, RuntimeError> {
        Ok(match self.freezer() {
            Some(Freezer::V2(folder)) => {
                let events = file::read(&folder.join("cgroup.events"))?.unwrap_or_default();
                file::keyed(&events, "frozen") == Some(1)
            }
            Some(Freezer::V1(folder)) => {
                file::read(&folder.join("freezer.state"))?.is_some_and(|state| state.trim() == "FROZEN")
            }
            None => false,
        })
    }

    /// Sends a signal to every process of it, those included that are made meanwhile. A frozen group takes it when it
    /// is thawed, except that `SIGKILL` ends it at once.
    ///
    /// # Errors
    /// [`RuntimeError::Step`].
    pub fn kill(&self, signal: i32) -> Result<(), RuntimeError> {
        let Some(signal) = Signal::from_named_raw(signal) else {
            return Err(RuntimeError::Spec {
                field: "signal".into(),
                rule: format!("{signal} is no signal"),
            });
        };
        let killed = signal == Signal::KILL;
        if killed
            && let Some(unified) = self.unified_folder().map(|folder| folder.join("cgroup.kill"))
            && unified.exists()
        {
            return file::write(&unified, "1");
        }
        // Frozen, nothing forks while the list is read and signalled. A group that somebody froze before stays so,
        // unless it is to end: version 1 delivers nothing to frozen processes.
        let was_frozen = self.is_frozen()?;
        let Some(_freezer) = self.freezer().filter(|_| !was_frozen) else {
            self.signal_until_known(signal)?;
            return if was_frozen && killed { self.freeze(false) } else { Ok(()) };
        };
        // One that cannot be frozen in time gets its signal all the same.
        let frozen = self.freeze(true);
        let signalled = self.signal_until_known(signal);
        let thawed = self.freeze(false);
        signalled.and(thawed).and(if killed { Ok(()) } else { frozen })
    }

    /// Signals what is listed until a list has nobody new: who forks faster than that is caught at the next reading.
    fn signal_until_known(&self, signal: Signal) -> Result<(), RuntimeError> {
        let mut known = HashSet::new();
        loop {
            let mut new = false;
            for pid in self.processes()? {
                if known.insert(pid) {
                    new |= send(pid, signal)?;
                }
            }
            if !new {
                return Ok(());
            }
        }
    }
}

/// `false` when the process has ended.
fn send(pid: i32, signal: Signal) -> Result<bool, RuntimeError> {
    let Some(pid) = Pid::from_raw(pid) else { return Ok(false) };
    let sent = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd_send_signal(&pidfd, signal),
        // Before Linux 5.3.
        Err(Errno::NOSYS) => rustix::process::kill_process(pid, signal),
        Err(error) => Err(error),
    };
    match sent {
        Ok(()) => Ok(true),
        Err(Errno::SRCH) => Ok(false),
        Err(error) => Err(error).during(|| format!("sending {signal:?} to process {}", pid.as_raw_pid())),
    }
}

fn not_in_time(folder: &Path) -> RuntimeError {
    RuntimeError::Step {
        step: format!("freezing {}", folder.display()),
        source: io::Error::new(
            io::ErrorKind::TimedOut,
            format!("not all its processes stopped within {} s; they run on", TO_FREEZE.as_secs()),
        ),
    }
}

fn freeze_v2(folder: &Path, frozen: bool) -> Result<(), RuntimeError> {
    let switch = folder.join("cgroup.freeze");
    file::write(&switch, if frozen { "1" } else { "0" })?;
    let wanted = u64::from(frozen);
    let as_wanted = |text: &str| file::keyed(text, "frozen") == Some(wanted);
    match folder::wait_for(&folder.join("cgroup.events"), Instant::now() + TO_FREEZE, as_wanted)? {
        Some(_) => Ok(()),
        None if frozen => {
            file::write(&switch, "0")?;
            Err(not_in_time(folder))
        }
        // A group above is frozen; ours is no longer by itself.
        None => Ok(()),
    }
}

/// Version 1 tells nothing by itself and gets stuck in FREEZING when a process was between two states; thawing for a
/// moment frees it.
fn freeze_v1(folder: &Path, frozen: bool) -> Result<(), RuntimeError> {
    let state = folder.join("freezer.state");
    if !frozen {
        // In a group that is gone nothing is frozen: whoever deleted it was ended before the rest of it was gone.
        let gone = !state.exists();
        return if gone { Ok(()) } else { file::write(&state, "THAWED") };
    }
    let deadline = Instant::now() + TO_FREEZE;
    let mut pause = Duration::from_micros(100);
    loop {
        file::write(&state, "FROZEN")?;
        match file::read(&state)?.as_deref().map(str::trim) {
            Some("FREEZING") if Instant::now() < deadline => {}
            Some("FREEZING") => {
                file::write(&state, "THAWED")?;
                return Err(not_in_time(folder));
            }
            _ => return Ok(()),
        }
        if pause > Duration::from_millis(5) {
            file::write(&state, "THAWED")?;
            pause = Duration::from_micros(100);
        }
        // There is nothing to wait on: the file cannot be polled.
        thread::sleep(pause);
        pause *= 2;
    }
}
