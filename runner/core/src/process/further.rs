//! Further processes in a container that runs.

use std::{
    convert::Infallible,
    fs::{self, File},
    io,
    os::fd::{AsFd, OwnedFd, RawFd},
    path::Path,
};

use oci_spec::runtime::{LinuxSeccomp, Process};
use rustix::{
    process::{chroot, fchdir},
    thread::{ThreadNameSpaceType, move_into_thread_name_spaces},
};

use super::{
    channel::{Channel, Message},
    first::{end, reap},
    identity,
    init::{ChildStdio, abandoned, finish, gone, settle},
    limits::{self, Moment},
    namespaces::{become_root, foreign},
    terminal,
};
use crate::{
    Cgroup, During, RuntimeError, Started, Stdio,
    seccomp::Filter,
    sys::{
        self,
        clone::{Child, CloneOptions, spawn},
    },
};

/// What a further process is made of.
#[derive(Debug)]
pub(crate) struct Further<'a> {
    pub(crate) process: &'a Process,
    /// The container's first process.
    pub(crate) init: &'a Child,
    pub(crate) cgroup: &'a Cgroup,
    pub(crate) seccomp: Option<&'a LinuxSeccomp>,
    pub(crate) seccomp_cache: Option<&'a Path>,
    pub(crate) stdio: &'a Stdio<'a>,
    pub(crate) preserve_fds: u32,
    /// Handles that a child must not keep, or they would not end with the caller (locks).
    pub(crate) own: &'a [&'a OwnedFd],
}

/// What the children need.
struct Joining<'a> {
    process: &'a Process,
    init: &'a Child,
    namespaces: ThreadNameSpaceType,
    root: &'a OwnedFd,
    filter: Option<&'a Filter>,
    stdio: ChildStdio<'a>,
    first_free: RawFd,
    channel: &'a Channel,
}

impl Further<'_> {
    /// Makes the process; answers when it became its program. Where this fails, no process stays.
    pub(crate) fn make(&self) -> Result<Started, RuntimeError> {
        let first_free = terminal::check_preserved(self.preserve_fds)?;
        let filter = self.seccomp.map(|profile| Filter::compile(profile, self.seccomp_cache)).transpose()?;
        let root = format!("/proc/{}/root", self.init.pid);
        let root =
            File::open(&root).map(OwnedFd::from).during(|| format!("opening the container's root {root}"))?;
        let namespaces = foreign(self.init.pid)?;
        // Affinity has a part before the control group is entered.
        let unified = match self.process.exec_cpu_affinity() {
            Some(_) => None,
            None => self.cgroup.unified()?,
        };
        let (here, there) = Channel::pair()?;
        let joining = Joining {
            process: self.process,
            init: self.init,
            namespaces,
            root: &root,
            filter: filter.as_ref(),
            stdio: match self.stdio {
                Stdio::Inherit => ChildStdio::Inherit,
                Stdio::Files(files) => ChildStdio::Files(*files),
                Stdio::Terminal | Stdio::ConsoleSocket(_) => ChildStdio::Terminal,
            },
            first_free,
            channel: &there,
        };
        let options = CloneOptions { cgroup: unified.as_ref().map(AsFd::as_fd), ..CloneOptions::default() };
        let child_of = |options| {
            spawn(options, || {
                for own in std::iter::once(here.descriptor()).chain(self.own.iter().copied()) {
                    if let Err(error) =
                        sys::descriptors::close_in_child(own).during(|| "closing the parent's".into())
                    {
                        there.fail(&error);
                        return 1;
                    }
                }
                match joining.join_and_clone() {
                    Ok(()) => 0,
                    Err(error) => {
                        there.fail(&error);
                        1
                    }
                }
            })
        };
        let mut in_cgroup = unified.is_some();
        let between = match child_of(options) {
            // The container gave its group's controllers to groups below it, where all processes are then.
            Err(error) if in_cgroup && is_busy(&error) => {
                in_cgroup = false;
                child_of(CloneOptions::default())
            }
            other => other,
        }
        .during(|| "making the process".into())?;
        drop(there);
        let mut child = None;
        let outcome = self.attend(&here, &between, in_cgroup, &mut child);
        drop(here);
        match (outcome, child) {
            (Ok(terminal), Some(Child { pid, pidfd })) => {
                reap(&between);
                Ok(Started { pid, pidfd, terminal })
            }
            (outcome, child) => {
                child.iter().for_each(end);
                end(&between);
                outcome.and_then(|_| Err(gone()))
            }
        }
    }

    fn attend(
        &self,
        here: &Channel,
        between: &Child,
        in_cgroup: bool,
        child: &mut Option<Child>,
    ) -> Result<Option<OwnedFd>, RuntimeError> {
        if self.process.exec_cpu_affinity().is_some() {
            here.expect(|message| matches!(message, Message::Outside))?;
        }
        if !in_cgroup {
            self.enter_cgroup(between.pid)?;
        }
        limits::raise(between.pid, self.process)?;
        limits::set_oom_score(between.pid, self.process)?;
        here.send(&Message::Go, None)?;
        let mut terminal = None;
        loop {
            match here.receive()? {
                // Exec closed the other end, and the process between ended.
                None => return Ok(terminal),
                Some((Message::Failed(fault), _)) => return Err(fault.into()),
                Some((Message::Cloned(pid), Some(pidfd))) => {
                    *child = Some(Child { pid, pidfd });
                    here.send(&Message::Go, None)?;
                }
                Some((Message::Terminal, Some(master))) => match self.stdio {
                    Stdio::ConsoleSocket(path) => terminal::send_to_socket(&master, path)?,
                    Stdio::Terminal | Stdio::Inherit | Stdio::Files(_) => terminal = Some(master),
                },
                Some((message, _)) => {
                    return Err(std::io::Error::other(format!("{message:?} came out of turn")))
                        .during(|| "hearing from the new process".into());
                }
            }
        }
    }
}

impl Further<'_> {
    /// Into the container's group, or into that below it in which its first process is: a group that gave its
    /// controllers to groups below it (as systemd in a container does) takes no process itself.
    fn enter_cgroup(&self, pid: i32) -> Result<(), RuntimeError> {
        let refused = match self.cgroup.add(pid) {
            Err(RuntimeError::Step { step, source }) if is_busy(&source) => {
                RuntimeError::Step { step, source }
            }
            other => return other,
        };
        let groups = format!("/proc/{}/cgroup", self.init.pid);
        let groups = fs::read_to_string(&groups).during(|| format!("reading {groups}"))?;
        let own = groups.lines().find_map(|line| line.strip_prefix("0::/"));
        let views = self.cgroup.views();
        let unified = views.iter().find(|(options, _)| options.is_empty());
        let (Some(own), Some((_, folder))) = (own, unified) else { return Err(refused) };
        // Where the hierarchy is mounted is one of the folders above.
        let below = folder
            .ancestors()
            .map(|above| above.join(own))
            .find(|group| group.starts_with(folder) && group.is_dir());
        let Some(below) = below else { return Err(refused) };
        fs::write(below.join("cgroup.procs"), pid.to_string())
            .during(|| format!("putting the process into the group {}", below.display()))
    }
}

fn is_busy(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::BUSY.raw_os_error())
}

impl Joining<'_> {
    /// The process between: joins the container's namespaces, makes the process as its own sibling, and ends.
    fn join_and_clone(&self) -> Result<(), RuntimeError> {
        identity::end_with_parent(true)?;
        if self.channel.is_abandoned() {
            return Err(abandoned());
        }
        if self.process.exec_cpu_affinity().is_some() {
            limits::set_affinity(self.process, Moment::Initial)?;
            self.channel.send(&Message::Outside, None)?;
        }
        self.channel.expect(|message| matches!(message, Message::Go))?;
        limits::set_affinity(self.process, Moment::Final)?;
        // Before anything of the container can see it.
        identity::hide()?;
        if !self.namespaces.is_empty() {
            move_into_thread_name_spaces(self.init.pidfd.as_fd(), self.namespaces)
                .during(|| "joining the container's namespaces".into())?;
        }
        if self.namespaces.contains(ThreadNameSpaceType::USER) {
            become_root()?;
        }
        fchdir(self.root).during(|| "entering the container's root".into())?;
        chroot(".").during(|| "making the container's root this process's".into())?;
        let options = CloneOptions { sibling: true, ..CloneOptions::default() };
        let child = spawn(options, || {
            let Err(error) = self.become_program();
            self.channel.fail(&error);
            1
        });
        let child = child.during(|| "making the process in the container's namespaces".into())?;
        self.channel.send(&Message::Cloned(child.pid), Some(child.pidfd.as_fd()))
    }

    fn become_program(&self) -> Result<Infallible, RuntimeError> {
        identity::end_with_parent(true)?;
        if self.channel.is_abandoned() {
            return Err(abandoned());
        }
        // The parent knows this process now, and can end it.
        self.channel.expect(|message| matches!(message, Message::Go))?;
        if let ChildStdio::Files(files) = self.stdio {
            terminal::use_files(files, self.first_free)?;
        }
        rustix::process::setsid().during(|| "making a session".into())?;
        if matches!(self.stdio, ChildStdio::Terminal) {
            let master = terminal::open(self.process, false)?;
            self.channel.send(&Message::Terminal, Some(master.as_fd()))?;
        }
        sys::descriptors::close_in_child_but(self.first_free, &[self.channel.as_fd()])
            .during(|| "closing what the process does not need".into())?;
        let sets = identity::sets(self.process)?;
        // A folder that is missing is a word mistyped: a further process leaves nothing in the container by itself.
        let program = settle(self.process, &sets, false)?;
        identity::end_with_parent(false)?;
        finish(self.process, &sets, self.filter, self.first_free)?;
        program.exec()
    }
}
