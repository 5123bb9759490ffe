//! Folders of groups: made with what their parents have to give them, and removed with all below them.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use super::{file, hierarchy::Hierarchy};
use crate::{During, RuntimeError};

/// What the last process of a group gets to end, the giving back of its memory included.
const TO_END: Duration = Duration::from_secs(10);

/// Controllers of the unified tree that a container is given where they are. The others only where a limit is asked of
/// them: a tree that has some makes other runtimes take the machine for one that they do not know.
const WANTED: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];

/// Why there is no folder.
#[derive(Debug)]
pub(super) enum NotMade {
    /// This user may not make it; the sentence names the folder.
    Forbidden(String),
    Failed(RuntimeError),
}

impl From<RuntimeError> for NotMade {
    fn from(error: RuntimeError) -> Self {
        Self::Failed(error)
    }
}

/// Makes a group with its parents, for limits of these controllers too. One that is there is taken when nothing is in
/// it.
pub(super) fn make(hierarchy: &Hierarchy, folder: &Path, asked: &[&str]) -> Result<(), NotMade> {
    let mut levels: Vec<_> = folder.ancestors().take_while(|level| *level != hierarchy.mount).collect();
    levels.reverse();
    let cpuset = hierarchy.options.split(',').any(|one| one == "cpuset");
    for level in levels {
        if let (true, Some(parent)) = (hierarchy.unified(), level.parent()) {
            hand_down(parent, asked)?;
        }
        match fs::create_dir(level) {
            Err(error) if file::forbidden(&error) => {
                return Err(NotMade::Forbidden(format!("{}: {error}", level.display())));
            }
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(error).during(|| format!("making the control group {}", level.display()))?;
            }
            Ok(()) | Err(_) => {}
        }
        if cpuset {
            inherit_cpuset(level)?;
        }
    }
    let processes = file::read(&folder.join("cgroup.procs"))?.unwrap_or_default();
    match processes.split_whitespace().next() {
        None => Ok(()),
        Some(first) => Err(NotMade::Failed(RuntimeError::Unsupported {
            what: format!("the control group {}", folder.display()),
            why: format!("process {first} is in it already: take another linux.cgroupsPath, or end it"),
        })),
    }
}

/// Lets the groups below `parent` have the controllers that it has itself. What it cannot give (processes are in it,
/// or it is another user's) is found missing where a limit needs it.
fn hand_down(parent: &Path, asked: &[&str]) -> Result<(), RuntimeError> {
    let given = parent.join("cgroup.subtree_control");
    let has = file::read(&parent.join("cgroup.controllers"))?.unwrap_or_default();
    let gives = file::read(&given)?.unwrap_or_default();
    for controller in has.split_whitespace().filter(|one| WANTED.contains(one) || asked.contains(one)) {
        if gives.split_whitespace().any(|one| one == controller) {
            continue;
        }
        // One by one: together, one that cannot be given would keep all others back.
        match file::try_write(&given, &format!("+{controller}")) {
            Err(error) if file::forbidden(&error) || is_busy(&error) || unthreaded(&error) => {}
            done => done.during(|| format!("writing +{controller} to {}", given.display()))?,
        }
    }
    Ok(())
}

fn is_busy(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::BUSY)
}

/// Controllers of whole processes cannot be had below a threaded group.
fn unthreaded(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::OPNOTSUPP)
}

/// A new group of version 1 has neither processors nor memory, and nothing can enter it without.
fn inherit_cpuset(folder: &Path) -> Result<(), RuntimeError> {
    let Some(parent) = folder.parent() else { return Ok(()) };
    // Without the prefix where it is mounted with `noprefix`.
    for name in ["cpuset.cpus", "cpuset.mems", "cpus", "mems"] {
        let own = folder.join(name);
        if file::read(&own)?.is_some_and(|set| set.trim().is_empty()) {
            let above = file::read(&parent.join(name))?.unwrap_or_default();
            file::write(&own, above.trim())?;
        }
    }
    Ok(())
}

/// The groups right below one.
pub(super) fn children(folder: &Path) -> Result<Vec<PathBuf>, RuntimeError> {
    let list = || -> io::Result<Vec<PathBuf>> {
        let mut children = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                children.push(entry.path());
            }
        }
        Ok(children)
    };
    match list() {
        Err(error) if file::gone(&error) => Ok(Vec::new()),
        done => done.during(|| format!("listing {}", folder.display())),
    }
}

/// Removes a group and all below it, once the processes in it ended.
pub(super) fn remove(folder: &Path) -> Result<(), RuntimeError> {
    let deadline = Instant::now() + TO_END;
    let mut pause = Duration::from_millis(1);
    loop {
        match remove_once(folder) {
            Err(RuntimeError::Step { source, .. }) if is_busy(&source) && Instant::now() < deadline => {}
            Err(RuntimeError::Step { step, source }) if is_busy(&source) => {
                let inside = super::processes_below(folder)?;
                let inside: Vec<_> = inside.iter().take(5).map(i32::to_string).collect();
                let source = match inside.is_empty() {
                    true => source,
                    false => {
                        io::Error::new(source.kind(), format!("processes are in it: {}", inside.join(", ")))
                    }
                };
                return Err(RuntimeError::Step { step, source });
            }
            done => return done,
        }
        if wait_until_empty(folder, deadline)? {
            continue;
        }
        // Version 1 has no file that tells when the last process left, and in both versions a group can be held for a
        // moment by the kernel's own work on it. So it is asked again, less and less often.
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

fn remove_once(folder: &Path) -> Result<(), RuntimeError> {
    for child in children(folder)? {
        remove_once(&child)?;
    }
    match fs::remove_dir(folder) {
        Err(error) if file::gone(&error) => Ok(()),
        done => done.during(|| format!("removing the control group {}", folder.display())),
    }
}

/// Waits by the kernel's word. `false` where it gives none or where nothing is in the group.
fn wait_until_empty(folder: &Path, deadline: Instant) -> Result<bool, RuntimeError> {
    let path = folder.join("cgroup.events");
    let populated = |text: &str| file::keyed(text, "populated") == Some(1);
    wait_for(&path, deadline, |text| !populated(text)).map(|waited| waited == Some(true))
}

/// Waits until the content of a file that the kernel tells changes of (`cgroup.events`) is as wanted. `Some(true)` when
/// it was waited for, `Some(false)` when it was so at once, `None` when there is no such file or time ran out.
pub(super) fn wait_for(
    path: &Path,
    deadline: Instant,
    wanted: impl Fn(&str) -> bool,
) -> Result<Option<bool>, RuntimeError> {
    use std::io::{Read, Seek};
    let step = || format!("waiting for {}", path.display());
    let mut file = match fs::File::open(path) {
        Err(error) if file::gone(&error) => return Ok(None),
        opened => opened.during(step)?,
    };
    let mut waited = false;
    loop {
        let mut text = String::new();
        match file.rewind().and_then(|()| file.read_to_string(&mut text)) {
            Err(error) if file::gone(&error) => return Ok(None),
            done => done.during(step)?,
        };
        if wanted(&text) {
            return Ok(Some(waited));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        let left = Timespec::try_from(left).map_err(|_| io::Error::from(Errno::INVAL)).during(step)?;
        match poll(&mut [PollFd::new(&file, PollFlags::PRI)], Some(&left)) {
            Ok(_) | Err(Errno::INTR) => waited = true,
            Err(error) => return Err(error).during(step),
        }
    }
}
