//! The container's first process, from its first instruction to the program's.

use std::{
    convert::Infallible,
    os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd},
    path::Path,
};

use oci_spec::runtime::{ContainerState, Process, Spec, State};
use rustix::net::{SocketFlags, accept_with};

use super::{
    channel::{Channel, Message},
    hooks::Kind,
    identity, limits,
    namespaces::Namespaces,
    program::{self, Program},
    sysctl, terminal,
};
use crate::{During, RuntimeError, label, rootfs::Rootfs, seccomp::Filter, sys};

/// Where standard input, output and error come from, for the child.
#[derive(Debug)]
pub(super) enum ChildStdio<'a> {
    Inherit,
    Files([BorrowedFd<'a>; 3]),
    Terminal,
}

/// What the first process is made of. It is built by the parent and read by the child's copy.
#[derive(Debug)]
pub(super) struct Init<'a> {
    pub(super) spec: &'a Spec,
    pub(super) process: &'a Process,
    pub(super) bundle: &'a Path,
    pub(super) state: &'a State,
    pub(super) namespaces: &'a Namespaces,
    pub(super) rootfs: &'a Rootfs,
    pub(super) filter: Option<&'a Filter>,
    pub(super) stdio: ChildStdio<'a>,
    /// The first number above the descriptors that the program keeps.
    pub(super) first_free: RawFd,
    pub(super) new_keyring: bool,
    /// Whether the container goes on when the calling process ends.
    pub(super) detached: bool,
    /// The parent puts this process into its control group while it mounts, and says so with [`Message::HooksRan`].
    pub(super) placed_late: bool,
    pub(super) channel: &'a Channel,
    /// The socket on which the start is asked for.
    pub(super) listener: &'a OwnedFd,
}

impl Init<'_> {
    /// Everything, in order; the answer is the error that ended it. It was told to whoever listens.
    pub(super) fn run(&self, joined_before: bool) -> RuntimeError {
        match self.prepare(joined_before) {
            Err(error) => {
                self.channel.fail(&error);
                error
            }
            Ok((program, sets)) => match self.wait_for_start() {
                Err(error) => error,
                Ok(starter) => {
                    let Err(error) = self.become_program(&program, &sets);
                    starter.fail(&error);
                    error
                }
            },
        }
    }

    fn prepare(&self, joined_before: bool) -> Result<(Program, crate::capability::Sets), RuntimeError> {
        identity::end_with_parent(true)?;
        if self.channel.is_abandoned() {
            return Err(abandoned());
        }
        self.channel.expect(|message| matches!(message, Message::Go))?;
        if !joined_before {
            // Not before: the parent, where it is an ordinary user, had to write this process's memory score.
            identity::hide()?;
            self.namespaces.join()?;
        }
        if let ChildStdio::Files(files) = self.stdio {
            terminal::use_files(files, self.first_free)?;
        }
        rustix::process::setsid().during(|| "making a session".into())?;
        if self.new_keyring {
            new_keyring()?;
        }
        if !self.placed_late {
            self.namespaces.make_cgroup()?;
        }
        self.namespaces.make_late()?;
        self.name_host()?;
        self.rootfs.mount()?;
        self.channel.send(&Message::Mounted, None)?;
        self.channel.expect(|message| matches!(message, Message::HooksRan))?;
        if self.placed_late {
            self.namespaces.make_cgroup()?;
        }
        self.run_hooks(Kind::CreateContainer, ContainerState::Creating, self.bundle)?;
        self.rootfs.pivot()?;
        if matches!(self.stdio, ChildStdio::Terminal) {
            let master = terminal::open(self.process, true)?;
            self.channel.send(&Message::Terminal, Some(master.as_fd()))?;
        }
        let linux = self.spec.linux().as_ref();
        if let Some(parameters) = linux.and_then(|linux| linux.sysctl().as_ref()) {
            sysctl::set(parameters)?;
        }
        self.rootfs.seal()?;
        if let Some(personality) = linux.and_then(|linux| linux.personality().as_ref()) {
            limits::set_personality(personality)?;
        }
        // What the parent had open is not for a process that waits, nor a door for the working directory.
        sys::descriptors::close_in_child_but(self.first_free, &[self.channel.as_fd(), self.listener.as_fd()])
            .during(|| "closing what the container's process does not need".into())?;
        let sets = identity::sets(self.process)?;
        let program = settle(self.process, &sets, true)?;
        // From here on the end of the channel alone tells that the parent is gone.
        identity::end_with_parent(!self.detached)?;
        self.channel.send(&Message::Ready, None)?;
        self.channel.expect(|message| matches!(message, Message::Release))?;
        sys::descriptors::close_in_child(self.channel.descriptor())
            .during(|| "closing the channel to the parent".into())?;
        Ok((program, sets))
    }

    fn name_host(&self) -> Result<(), RuntimeError> {
        if let Some(name) = self.spec.hostname() {
            rustix::system::sethostname(name.as_bytes()).during(|| format!("setting the hostname {name}"))?;
        }
        if let Some(name) = self.spec.domainname() {
            rustix::system::setdomainname(name.as_bytes())
                .during(|| format!("setting the domainname {name}"))?;
        }
        Ok(())
    }

    fn run_hooks(&self, kind: Kind, status: ContainerState, folder: &Path) -> Result<(), RuntimeError> {
        let hooks = self.spec.hooks().as_ref();
        if kind.of(hooks).is_empty() {
            return Ok(());
        }
        let mut state = self.state.clone();
        state.set_status(status);
        // As this process sees itself: it runs in the container's namespaces, and so do the hooks.
        state.set_pid(Some(rustix::process::getpid().as_raw_nonzero().get()));
        kind.run(hooks, &state, folder)
    }

    /// Waits until somebody asks for the start. A connection that ends without the question only looked.
    fn wait_for_start(&self) -> Result<Channel, RuntimeError> {
        loop {
            let starter = rustix::io::retry_on_intr(|| accept_with(self.listener, SocketFlags::CLOEXEC))
                .during(|| "waiting to be started".into())?;
            let starter = Channel::of(starter);
            if let Some((Message::Start, _)) = starter.receive()? {
                return Ok(starter);
            }
        }
    }

    fn become_program(
        &self,
        program: &Program,
        sets: &crate::capability::Sets,
    ) -> Result<Infallible, RuntimeError> {
        self.run_hooks(Kind::StartContainer, ContainerState::Created, Path::new("/"))?;
        finish(self.process, sets, self.filter, self.first_free)?;
        program.exec()
    }
}

pub(super) fn abandoned() -> RuntimeError {
    RuntimeError::Step {
        step: "starting the container's process".into(),
        source: std::io::Error::other("the process that asked for it is gone"),
    }
}

/// What the parent knows when the channel ends.
pub(super) fn gone() -> RuntimeError {
    RuntimeError::Step {
        step: "waiting for the container's process".into(),
        source: std::io::ErrorKind::UnexpectedEof.into(),
    }
}

/// A kernel without keyrings has none to share.
pub(super) fn new_keyring() -> Result<(), RuntimeError> {
    match sys::attributes::new_session_keyring() {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOSYS.raw_os_error()) => Ok(()),
        other => other.during(|| "making a session keyring".into()),
    }
}

/// In the container's root, still privileged: becomes the user in the working directory and finds the program.
pub(super) fn settle(
    process: &Process,
    sets: &crate::capability::Sets,
    make_folder: bool,
) -> Result<Program, RuntimeError> {
    limits::set_scheduling(process)?;
    if let Some(label) = process.selinux_label() {
        label::selinux(label)?;
    }
    if let Some(profile) = process.apparmor_profile() {
        label::apparmor(profile)?;
    }
    terminal::own_pipes(process.user().uid())?;
    let entered = program::enter_as_root(process.cwd(), make_folder)?;
    identity::assume(process, sets)?;
    program::enter_as_user(process.cwd(), entered)?;
    Program::find(process)
}

/// The very last steps before exec.
pub(super) fn finish(
    process: &Process,
    sets: &crate::capability::Sets,
    filter: Option<&Filter>,
    first_free: RawFd,
) -> Result<(), RuntimeError> {
    limits::set(process)?;
    terminal::keep_preserved(first_free)?;
    identity::seal(process, sets, filter)
}
