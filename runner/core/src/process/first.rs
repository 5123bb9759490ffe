//! The parent's side of a container's first process.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use oci_spec::runtime::{ContainerState, LinuxNamespaceType, Process, Spec, State};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::{
    channel::{Channel, Message},
    hooks::Kind,
    identity, ids,
    init::{ChildStdio, Init, abandoned, gone},
    limits,
    namespaces::Namespaces,
    terminal,
};
use crate::{
    Cgroup, During, RuntimeError, Stats, Stdio,
    rootfs::{Rootfs, RootfsOf},
    seccomp::Filter,
    sys::{
        self,
        clone::{Child, CloneOptions, spawn},
    },
};

/// What a first process is made of.
#[derive(Debug)]
pub(crate) struct First<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) process: &'a Process,
    pub(crate) bundle: &'a Path,
    /// As the hooks get it; the process id is filled in here.
    pub(crate) state: State,
    pub(crate) cgroup: &'a Cgroup,
    pub(crate) seccomp_cache: Option<&'a Path>,
    pub(crate) stdio: &'a Stdio<'a>,
    pub(crate) preserve_fds: u32,
    pub(crate) no_pivot: bool,
    pub(crate) new_keyring: bool,
    pub(crate) detached: bool,
    /// Where the start is asked for.
    pub(crate) listener: &'a OwnedFd,
    /// Handles that a child must not keep, or they would not end with the caller (locks).
    pub(crate) own: &'a [&'a OwnedFd],
}

/// A first process that is ready and waits for word that its state is written.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) child: Child,
    pub(crate) terminal: Option<OwnedFd>,
    channel: Channel,
}

impl Waiting {
    /// Lets it wait for the start; from now on it does not end with the caller.
    pub(crate) fn release(self) -> Result<(Child, Option<OwnedFd>), RuntimeError> {
        match self.channel.send(&Message::Release, None) {
            Ok(()) => Ok((self.child, self.terminal)),
            Err(error) => {
                end(&self.child);
                Err(error)
            }
        }
    }

    /// Ends it.
    pub(crate) fn end(self) {
        end(&self.child);
    }
}

/// Ends a child that is of no use and reaps it.
pub(super) fn end(child: &Child) {
    // It may have ended already; then both are told so, which is what is wanted.
    let _ended = sys::signal::pidfd_send_signal(child.pidfd.as_fd(), rustix::process::Signal::KILL.as_raw());
    reap(child);
}

/// Waits for a child's end.
pub(super) fn reap(child: &Child) {
    // The only error left is that somebody else reaped it: it is gone all the same.
    let _gone =
        rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED));
}

impl First<'_> {
    /// Makes the process and everything in it up to the point where it waits. `made` is told its id as soon as it is
    /// known. Where this fails, no process stays.
    pub(crate) fn make(
        mut self,
        made: &mut dyn FnMut(&Child) -> Result<(), RuntimeError>,
    ) -> Result<Waiting, RuntimeError> {
        let first_free = terminal::check_preserved(self.preserve_fds)?;
        let mut namespaces = Namespaces::of(self.spec)?;
        let seccomp = self.spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
        let filter = seccomp.map(|profile| Filter::compile(profile, self.seccomp_cache)).transpose()?;
        if namespaces.makes(LinuxNamespaceType::User) {
            namespaces.join_made_user(ids::make_user_namespace(self.spec)?);
        }
        let rootfs = Rootfs::plan(&RootfsOf {
            bundle: self.bundle,
            spec: self.spec,
            cgroup: self.cgroup,
            user_namespace: namespaces.user(),
            no_pivot: self.no_pivot,
        })?;
        let unified = self.cgroup.unified()?;
        let (here, there) = Channel::pair()?;
        let between = namespaces.need_process_between();
        let init = Init {
            spec: self.spec,
            process: self.process,
            bundle: self.bundle,
            state: &self.state,
            namespaces: &namespaces,
            rootfs: &rootfs,
            filter: filter.as_ref(),
            stdio: match self.stdio {
                Stdio::Inherit => ChildStdio::Inherit,
                Stdio::Files(files) => ChildStdio::Files(*files),
                Stdio::Terminal | Stdio::ConsoleSocket(_) => ChildStdio::Terminal,
            },
            first_free,
            new_keyring: self.new_keyring,
            detached: self.detached,
            placed_late: self.cgroup.may_be_late(),
            channel: &there,
            listener: self.listener,
        };
        let options = CloneOptions {
            namespaces: if between { 0 } else { namespaces.clone_flags() },
            sibling: false,
            cgroup: unified.as_ref().map(AsFd::as_fd),
        };
        let child = spawn(options, || {
            let forgotten = std::iter::once(here.descriptor()).chain(self.own.iter().copied());
            for own in forgotten {
                if let Err(error) =
                    sys::descriptors::close_in_child(own).during(|| "closing the parent's".into())
                {
                    there.fail(&error);
                    return 1;
                }
            }
            if !between {
                let _told = init.run(false);
                return 1;
            }
            match join_and_clone(&init) {
                Ok(()) => 0,
                Err(error) => {
                    there.fail(&error);
                    1
                }
            }
        })
        .during(|| "making the container's first process".into())?;
        drop(there);
        let mut children = Children { asked: child, init: None };
        let outcome = self.attend(&here, &mut children, unified.is_some(), between, made);
        match outcome {
            Ok(terminal) => {
                let Children { asked, init } = children;
                let child = match init {
                    None => asked,
                    Some(init) => {
                        reap(&asked);
                        init
                    }
                };
                Ok(Waiting { child, terminal, channel: here })
            }
            Err(error) => {
                drop(here);
                if is_silent(&error) {
                    children.wait_for_one();
                }
                let ended = children.end();
                Err(self.explain(error, ended))
            }
        }
    }

    /// What the parent does while the child makes itself.
    fn attend(
        &mut self,
        here: &Channel,
        children: &mut Children,
        in_cgroup: bool,
        between: bool,
        made: &mut dyn FnMut(&Child) -> Result<(), RuntimeError>,
    ) -> Result<Option<OwnedFd>, RuntimeError> {
        // The kernel takes ten milliseconds to put a process into a group: as long as the process needs for its mounts.
        let late = self.cgroup.may_be_late();
        if !in_cgroup && !late {
            self.cgroup.add(children.asked.pid)?;
        }
        limits::raise(children.asked.pid, self.process)?;
        limits::set_oom_score(children.asked.pid, self.process)?;
        if !between {
            made(&children.asked)?;
            self.state.set_pid(Some(children.asked.pid));
        }
        here.send(&Message::Go, None)?;
        if late && !between {
            self.cgroup.add(children.asked.pid)?;
        }
        let mut terminal = None;
        loop {
            match here.receive()? {
                None => return Err(gone()),
                Some((Message::Failed(fault), _)) => return Err(fault.into()),
                Some((Message::Cloned(pid), Some(pidfd))) => {
                    let init = children.init.insert(Child { pid, pidfd });
                    made(init)?;
                    self.state.set_pid(Some(pid));
                    here.send(&Message::Go, None)?;
                    if late {
                        self.cgroup.add(pid)?;
                    }
                }
                Some((Message::Mounted, _)) => {
                    let hooks = self.spec.hooks().as_ref();
                    self.state.set_status(ContainerState::Creating);
                    Kind::Prestart.run(hooks, &self.state, self.bundle)?;
                    Kind::CreateRuntime.run(hooks, &self.state, self.bundle)?;
                    here.send(&Message::HooksRan, None)?;
                }
                Some((Message::Terminal, Some(master))) => match self.stdio {
                    Stdio::ConsoleSocket(path) => terminal::send_to_socket(&master, path)?,
                    Stdio::Terminal | Stdio::Inherit | Stdio::Files(_) => terminal = Some(master),
                },
                Some((Message::Ready, _)) => return Ok(terminal),
                Some((message, _)) => {
                    return Err(std::io::Error::other(format!("{message:?} came out of turn")))
                        .during(|| "hearing from the container's process".into());
                }
            }
        }
    }

    /// A process that was killed could say nothing; what is known is said for it.
    fn explain(&self, error: RuntimeError, ended: Option<i32>) -> RuntimeError {
        let Some(signal) = ended.filter(|_| is_silent(&error)) else { return error };
        match self.cgroup.stats() {
            Ok(Stats { memory_limit_bytes: Some(limit), oom_kills, .. }) if oom_kills > 0 => RuntimeError::Unsupported {
                what: format!("a memory limit of {limit} bytes"),
                why: "the container's first process ran out of memory before its program began: raise the limit".into(),
            },
            _ => RuntimeError::Step {
                step: "starting the container's first process".into(),
                source: std::io::Error::other(format!("it was ended by signal {signal}")),
            },
        }
    }
}

/// The process that was asked for, and the container's where that is another.
#[derive(Debug)]
struct Children {
    asked: Child,
    init: Option<Child>,
}

/// Whether this is what is left to say where the other side is gone.
fn is_silent(error: &RuntimeError) -> bool {
    use std::io::ErrorKind::{BrokenPipe, NotFound, UnexpectedEof};
    let RuntimeError::Step { source, .. } = error else { return false };
    matches!(source.kind(), UnexpectedEof | BrokenPipe | NotFound)
}

impl Children {
    /// A process that is being killed closes its files a moment before it has ended. Waits for that, for a second at
    /// most: one that lives on is ended by us, and did not die of anything.
    fn wait_for_one(&self) {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut fds: Vec<PollFd<'_>> = self
            .init
            .iter()
            .chain([&self.asked])
            .map(|child| PollFd::from_borrowed_fd(child.pidfd.as_fd(), PollFlags::IN))
            .collect();
        let second = Timespec { tv_sec: 1, tv_nsec: 0 };
        // Where it cannot be asked, the next step asks again.
        let _ready = rustix::io::retry_on_intr(|| poll(&mut fds, Some(&second)));
    }

    /// Ends both; the signal that had ended one of them already.
    fn end(&self) -> Option<i32> {
        let mut ended = None;
        for child in self.init.iter().chain([&self.asked]) {
            // What is dead already tells how it died; the others are ended.
            let dead = rustix::io::retry_on_intr(|| {
                waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
            });
            match dead {
                Ok(Some(status)) => {
                    ended = ended.or(status.terminating_signal());
                }
                Ok(None) => end(child),
                Err(_) => {}
            }
        }
        ended
    }
}

/// The process between: joins, makes the container's process as its own sibling, and ends.
fn join_and_clone(init: &Init<'_>) -> Result<(), RuntimeError> {
    identity::end_with_parent(true)?;
    if init.channel.is_abandoned() {
        return Err(abandoned());
    }
    init.channel.expect(|message| matches!(message, Message::Go))?;
    identity::hide()?;
    init.namespaces.join()?;
    let options = CloneOptions { namespaces: init.namespaces.clone_flags(), sibling: true, cgroup: None };
    let child = spawn(options, || {
        let _told = init.run(true);
        1
    })
    .during(|| "making the container's first process in its namespaces".into())?;
    init.channel.send(&Message::Cloned(child.pid), Some(child.pidfd.as_fd()))
}
