//! A running container's companion: this program again, one thread, a poll loop, no async runtime.
//!
//! One pass: mount the root, build the specification, create, attach the network, start; then output, health, the
//! socket; at the end the exit record, network and root taken away, and by the restart policy the next pass.
//!
//! | module | what it is |
//! |---|---|
//! | [`claim`] | who may change a container, and who supervises it |
//! | [`live`] | what a container is at this moment |
//! | [`pass`] | the beginning and the end of a run, and what a crash leaves |
//! | [`watch`] | the loop between them |
//! | [`clients`], [`front`] | who is attached: by the socket, or the caller itself |
//! | [`remote`] | the other end of the socket, and how a supervisor is started |
//! | [`removal`] | the end of a container for good |
//! | [`engine`], [`outside`] | our runtime core, or another runtime |
//! | [`log`], [`events`], [`health`], [`restart`] | what they say |
//!
//! A supervisor that has started its container becomes a fresh one by exec: what the start needed of memory is gone.
//! If it is killed, the container lives on; the next command that needs a supervisor starts one that goes on with it.

pub(crate) mod claim;
pub(crate) mod clients;
pub(crate) mod engine;
pub(crate) mod events;
pub(crate) mod front;
pub(crate) mod health;
pub(crate) mod live;
pub(crate) mod log;
mod notify;
pub(crate) mod order;
pub(crate) mod outside;
pub(crate) mod parcel;
pub(crate) mod pass;
pub(crate) mod program;
pub(crate) mod remote;
pub(crate) mod removal;
mod restart;
mod serve;
pub(crate) mod signal;
pub(crate) mod streams;
pub(crate) mod terminal;
mod watch;

use std::{
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Child, Command, Stdio},
};

use berth_runtime::{ContainerId, unblock_signals};
pub(crate) use serve::main;

use self::order::{Mode, Order};
use crate::{
    environment,
    error::{Result, While},
    folders::Folders,
    record::Desired,
    stop::Stop,
};

/// The argument by which the program is its own supervisor; never typed by a person.
pub(crate) const ARGUMENT: &str = "__supervise";

/// This program with the order in its standard input.
#[derive(Debug)]
struct Again {
    command: Command,
    /// What the command executes, by its number, where this program is one that a container could write.
    _view: Option<OwnedFd>,
}

impl Again {
    fn new(mode: Mode, preserve_fds: u32, id: &ContainerId, order: OwnedFd) -> Self {
        let view = berth_runtime::own_program_out_of_reach();
        let path = view.as_ref().map(|view| format!("/proc/self/fd/{}", view.as_raw_fd()));
        let mut command = Command::new(path.as_deref().unwrap_or("/proc/self/exe"));
        environment::of_ours(&mut command);
        command.arg0("berth-runner").arg(ARGUMENT).arg(mode.argument());
        command.arg(preserve_fds.to_string()).arg(id.as_str()).stdin(Stdio::from(order));
        Self { command, _view: view }
    }

    /// Becomes it. Answers only where that failed.
    fn exec(mut self) -> std::io::Error {
        self.command.exec()
    }
}

/// Starts this program in another role. `order` is the end of a connection in which the order waits.
fn spawn_self(mode: Mode, preserve_fds: u32, id: &ContainerId, order: OwnedFd) -> Result<Child> {
    let mut again = Again::new(mode, preserve_fds, id, order);
    again.command.stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
    again.command.spawn().doing("starting", "a supervisor")
}

/// Starts a supervisor of its own session and returns when the container runs, or did not start.
///
/// # Errors
/// What kept it from starting, with the words of the error there.
pub(crate) fn start_detached(folders: &Folders, desired: &Desired) -> Result<()> {
    remote::start(folders, &desired.id, None).map(drop)
}

/// Becomes the supervisor in this very process (by exec where it had threads), with the caller's input and output as
/// the container's. The number is the container's.
///
/// With a terminal on both sides a supervisor of its own has the container and this process is attached to it: so a
/// person can detach.
///
/// # Errors
/// What kept it from starting.
pub(crate) fn run_foreground(folders: &Folders, desired: &Desired) -> Result<u8> {
    let process = &desired.process;
    if process.tty && process.interactive && rustix::termios::isatty(rustix::stdio::stdin()) {
        let attach = order::Attach { input: desired.attach.stdin, output: true };
        let stop = Stop::collect()?;
        unblock_signals().doing("unblocking", "signals")?;
        let (session, _) = remote::start_unless_stopped(folders, &desired.id, attach, &stop)?;
        drop(stop);
        return remote::attached(&session, attach, desired, &desired.attach);
    }
    let order = Order { preserve_fds: serve::handed_down(), ..Order::plain(folders, &desired.id) };
    let preserve_fds = order.preserve_fds;
    let (ours, theirs) = parcel::pair().doing("starting", "the container")?;
    order.send(&ours, &[("stdin", rustix::stdio::stdin())])?;
    drop(ours);
    let error = Again::new(Mode::Front, preserve_fds, &desired.id, theirs).exec();
    Err(error).doing("running", "this program again")
}
