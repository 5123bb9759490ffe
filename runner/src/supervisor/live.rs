//! What a container is at this moment: `live.json` of its supervisor, checked against the kernel.

use std::{fs, io};

use berth_runtime::ContainerId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{claim, engine::Engine};
use crate::{
    error::{Result, RunnerError, While},
    folders::Folders,
    record::{Desired, Exit, Records, RestartPolicy, files},
};

/// What the supervisor notes once the container is made, in `running/live.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Live {
    /// First process; 0 while it waits to start again.
    pub(crate) pid: i32,
    /// Its start, in ticks since the machine's: with the id it never means another process.
    pub(crate) start_time: u64,
    /// When the program began; `None` until it has.
    pub(crate) started: Option<Timestamp>,
    /// How often the restart policy started it again.
    pub(crate) restarts: u32,
    /// It is being stopped.
    #[serde(default)]
    pub(crate) stopping: bool,
}

/// Podman's words for what a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Condition {
    /// Never started.
    Created,
    /// Its program runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// It ended and the restart policy will start it again.
    Restarting,
    /// It was asked to end.
    Stopping,
    /// Its program ended this moment: its supervisor notes that, takes away what it had, and decides what comes next.
    Stopped,
    /// It ended, and stays so.
    Exited,
}

impl Condition {
    /// As it is shown.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Exited => "exited",
        }
    }

    /// Whether there are processes.
    pub(crate) fn is_up(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Stopping)
    }
}

/// A container at this moment.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// In one word.
    pub(crate) condition: Condition,
    /// First process, while it lives.
    pub(crate) pid: Option<i32>,
    /// Its supervisor.
    pub(crate) supervisor: Option<i32>,
    /// When the run began, or the last one had begun.
    pub(crate) started: Option<Timestamp>,
    /// How the last run ended.
    pub(crate) exit: Option<Exit>,
    /// Starts by the restart policy.
    pub(crate) restarts: u32,
    /// Something of a run is left whose supervisor is gone.
    pub(crate) orphaned: bool,
}

impl Live {
    fn path(folders: &Folders, id: &ContainerId) -> std::path::PathBuf {
        folders.running(id).join("live.json")
    }

    /// What is noted, if a run is.
    pub(crate) fn read(folders: &Folders, id: &ContainerId) -> Result<Option<Self>> {
        files::read_json(&Self::path(folders, id))
    }

    /// Notes it.
    pub(crate) fn write(&self, folders: &Folders, id: &ContainerId) -> Result<()> {
        files::replace_json(&Self::path(folders, id), self, false)
    }

    /// The first process, while it lives.
    pub(crate) fn process(&self) -> Result<Option<i32>> {
        Ok((self.pid > 0 && start_time(self.pid)? == Some(self.start_time)).then_some(self.pid))
    }
}

/// When a process started, in ticks; `None` where it is gone, or has ended and only waits to be waited for.
pub(crate) fn start_time(pid: i32) -> Result<Option<u64>> {
    let path = format!("/proc/{pid}/stat");
    let stat = match fs::read_to_string(&path) {
        Ok(stat) => stat,
        Err(error)
            if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc_esrch()) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error).doing("reading", &path),
    };
    parse_start_time(&stat)
        .ok_or_else(|| RunnerError::Unsupported(format!("{path} is not as proc(5) says: {stat}")))
}

const fn libc_esrch() -> i32 {
    rustix::io::Errno::SRCH.raw_os_error()
}

/// The outer option: not readable; the inner: a zombie.
pub(crate) fn parse_start_time(stat: &str) -> Option<Option<u64>> {
    // The name in brackets may itself have brackets and blanks.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = fields.next()?;
    let ticks = fields.nth(18)?.parse().ok()?;
    Some((state != "Z" && state != "X").then_some(ticks))
}

/// Whether a stop by a person is remembered.
pub(crate) fn was_stopped_by_person(folders: &Folders, id: &ContainerId) -> bool {
    folders.container(id).join("stopped").exists()
}

/// Remembers (or forgets) that a person stopped it; over a restart of the machine too.
pub(crate) fn remember_stop(folders: &Folders, id: &ContainerId, stopped: bool) -> Result<()> {
    let path = folders.container(id).join("stopped");
    if stopped {
        return files::replace(&path, b"", true);
    }
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).doing("removing", &path),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn began(folders: &Folders, id: &ContainerId) -> std::path::PathBuf {
    folders.container(id).join("began.json")
}

/// Remembers that a run began, over a restart of the machine too, which takes away all else that says so. What is
/// removed with its end needs no memory.
///
/// # Errors
/// Where it cannot be written.
pub(crate) fn remember_begin(folders: &Folders, desired: &Desired, now: Timestamp) -> Result<()> {
    if desired.auto_remove {
        return Ok(());
    }
    let path = began(folders, &desired.id);
    let comes_back = matches!(desired.restart, RestartPolicy::Always | RestartPolicy::UnlessStopped);
    // That it began at all is what decides whether it comes back; when it last did may be lost with the power.
    files::replace_json(&path, &now, comes_back && !path.exists())
}

/// How a run ended that the machine took with it: it began, and nothing says that it ended.
fn cut_off(folders: &Folders, id: &ContainerId, exit: Option<&Exit>) -> Result<Option<Exit>> {
    let began: Option<Timestamp> = files::read_json(&began(folders, id))?;
    Ok(began.filter(|began| exit.is_none_or(|exit| exit.finished < *began)).map(|began| Exit {
        started: Some(began),
        finished: began,
        code: 255,
        oom_killed: false,
        restarts: 0,
        error: Some("how it ended is not known: the machine stopped while it ran".into()),
    }))
}

/// Whether any container runs under a folder, or has a supervisor.
///
/// # Errors
/// Where a note cannot be read.
pub(crate) fn something_runs(folders: &Folders) -> Result<bool> {
    let containers = folders.run.join("containers");
    let entries = match fs::read_dir(&containers) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).doing("reading", &containers),
    };
    for entry in entries {
        let name = entry.doing("reading", &containers)?.file_name();
        // What is being taken away has another name.
        let Ok(id) = name.to_string_lossy().parse::<ContainerId>() else { continue };
        let live = Live::read(folders, &id)?;
        if live.as_ref().map(Live::process).transpose()?.flatten().is_some()
            || claim::supervisor(folders, &id)?.is_some()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What a container is.
///
/// # Errors
/// Where a record cannot be read.
pub(crate) fn snapshot(records: &Records, desired: &Desired) -> Result<Snapshot> {
    let folders = records.folders();
    let id = &desired.id;
    let supervisor = claim::supervisor(folders, id)?;
    let live = Live::read(folders, id)?;
    let mut exit = records.exit(id)?;
    if live.is_none()
        && supervisor.is_none()
        && let Some(cut_off) = cut_off(folders, id, exit.as_ref())?
    {
        exit = Some(cut_off);
    }
    let ended = if exit.is_some() { Condition::Exited } else { Condition::Created };
    let pid = live.as_ref().map(Live::process).transpose()?.flatten();
    let condition = match &live {
        Some(live) if live.started.is_some() && pid.is_some() => {
            if live.stopping {
                Condition::Stopping
            } else if Engine::of(folders, desired).is_paused(id) {
                Condition::Paused
            } else {
                Condition::Running
            }
        }
        Some(live) if live.started.is_some() && supervisor.is_none() => Condition::Exited,
        // Between two runs, or in the middle of the next one's beginning.
        Some(live)
            if supervisor.is_some() && (live.pid == 0 || live.started.is_none() && live.restarts > 0) =>
        {
            Condition::Restarting
        }
        Some(live) if live.started.is_some() => Condition::Stopped,
        Some(_) | None => ended,
    };
    let started = live.as_ref().and_then(|live| live.started).or(exit.as_ref().and_then(|exit| exit.started));
    Ok(Snapshot {
        condition,
        pid: pid.filter(|_| condition.is_up()),
        supervisor,
        started,
        restarts: live.map_or_else(|| exit.as_ref().map_or(0, |exit| exit.restarts), |live| live.restarts),
        exit,
        orphaned: supervisor.is_none() && folders.running(id).exists(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start() {
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2";
        assert_eq!(parse_start_time(stat), Some(Some(98765)));
        assert_eq!(parse_start_time(&stat.replace(") S", ") Z")), Some(None), "it has ended");
        assert_eq!(parse_start_time("42 (a"), None);
        let own = i32::try_from(std::process::id()).unwrap();
        let start_time = start_time(own).unwrap().unwrap();
        let live = Live { pid: own, start_time, ..Live::default() };
        assert_eq!(live.process().unwrap(), Some(own));
        let other = Live { start_time: start_time + 1, ..live };
        assert_eq!(other.process().unwrap(), None, "the number was given to another process");
    }

    #[test]
    fn a_process_that_is_gone_has_no_start() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        child.wait().unwrap();
        assert_eq!(start_time(pid).unwrap(), None);
    }
}
