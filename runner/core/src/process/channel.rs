//! What the processes of a start tell each other: a socket pair whose messages keep their bounds, and errors as typed
//! text, so that the caller's error names what the child was doing.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::{Deserialize, Serialize};

use crate::{During, RuntimeError, error::SpecFault};

/// The longest message; errors are cut to fit.
const LONGEST: usize = 32 * 1024;

/// One message.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Message {
    /// Child to parent: what has to be done before the control group is entered is done.
    Outside,
    /// Parent to child: ids are mapped, the control group is entered: go on.
    Go,
    /// Child to parent: the container's process was made by the one that joined its namespaces; with its pidfd.
    Cloned(i32),
    /// Child to parent: everything is mounted; the hooks of the runtime's namespace may run.
    Mounted,
    /// Parent to child: they ran.
    HooksRan,
    /// Child to parent: the master of the terminal is with this message.
    Terminal,
    /// Child to parent: all that can be done before the start is done.
    Ready,
    /// Parent to child: the state is written; wait for the start.
    Release,
    /// Whoever starts to child: become the program. The end of the channel is the answer where that went well.
    Start,
    /// Child to whoever listens: this failed, and this process ends.
    Failed(Fault),
}

/// A [`RuntimeError`] on its way between processes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Fault {
    Spec { field: String, rule: String },
    Unsupported { what: String, why: String },
    Exec { program: String, errno: Option<i32>, text: String },
    Hook { kind: String, path: String, outcome: String },
    Step { step: String, errno: Option<i32>, text: String },
}

/// Steps and programs are what a configuration says, and that can be long.
fn short(text: &str) -> String {
    const ENOUGH: usize = 4096;
    match text.char_indices().nth(ENOUGH) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text.to_owned(),
    }
}

fn source(errno: Option<i32>, text: String) -> io::Error {
    errno.map_or_else(|| io::Error::other(text), io::Error::from_raw_os_error)
}

impl From<&RuntimeError> for Fault {
    fn from(error: &RuntimeError) -> Self {
        match error {
            RuntimeError::Spec { field, rule } => Self::Spec { field: short(field), rule: short(rule) },
            RuntimeError::Unsupported { what, why } => {
                Self::Unsupported { what: short(what), why: short(why) }
            }
            RuntimeError::Exec { program, source } => Self::Exec {
                program: short(program),
                errno: source.raw_os_error(),
                text: short(&source.to_string()),
            },
            RuntimeError::Hook { kind, path, outcome } => {
                Self::Hook { kind: (*kind).into(), path: short(path), outcome: short(outcome) }
            }
            RuntimeError::Step { step, source } => Self::Step {
                step: short(step),
                errno: source.raw_os_error(),
                text: short(&source.to_string()),
            },
            // A child checks no configuration as a whole and touches no state.
            other @ (RuntimeError::NotFound(_)
            | RuntimeError::Exists(_)
            | RuntimeError::State { .. }
            | RuntimeError::Full { .. }
            | RuntimeError::Specs(_)) => {
                Self::Step { step: "starting".into(), errno: None, text: short(&other.to_string()) }
            }
        }
    }
}

impl From<Fault> for RuntimeError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Spec { field, rule } => Self::Spec { field, rule },
            Fault::Unsupported { what, why } => Self::Unsupported { what, why },
            Fault::Exec { program, errno, text } => Self::Exec { program, source: source(errno, text) },
            Fault::Hook { kind, path, outcome } => {
                Self::Hook { kind: super::hooks::Kind::named(&kind), path, outcome }
            }
            Fault::Step { step, errno, text } => Self::Step { step, source: source(errno, text) },
        }
    }
}

impl RuntimeError {
    /// One error for all the faults that were found; `Ok` for none.
    pub(crate) fn of_faults(mut faults: Vec<SpecFault>) -> Result<(), Self> {
        match faults.len() {
            0 => Ok(()),
            1 => {
                let SpecFault { field, rule } = faults.remove(0);
                Err(Self::Spec { field, rule })
            }
            _ => Err(Self::Specs(faults)),
        }
    }
}

/// One end of the channel.
#[derive(Debug)]
pub(super) struct Channel(OwnedFd);

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Channel {
    /// Both ends.
    pub(super) fn pair() -> Result<(Self, Self), RuntimeError> {
        let (one, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .during(|| "making the channel to the container's process".into())?;
        Ok((Self(one), Self(other)))
    }

    pub(super) fn of(socket: OwnedFd) -> Self {
        Self(socket)
    }

    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.0
    }

    /// Sends a message and descriptors with it (at most one).
    pub(super) fn send(&self, message: &Message, with: Option<BorrowedFd<'_>>) -> Result<(), RuntimeError> {
        let text = serde_json::to_vec(message)
            .map_err(io::Error::other)
            .during(|| "writing a message to the other process".into())?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = with.map(|fd| [fd]);
        if let Some(fds) = &fds {
            control.push(SendAncillaryMessage::ScmRights(fds));
        }
        // No SIGPIPE: that the other end is gone is an error as any.
        rustix::io::retry_on_intr(|| {
            sendmsg(&self.0, &[IoSlice::new(&text)], &mut control, SendFlags::NOSIGNAL)
        })
        .during(|| "telling the other process".into())?;
        Ok(())
    }

    /// The next message; `None` where the other end was closed.
    pub(super) fn receive(&self) -> Result<Option<(Message, Option<OwnedFd>)>, RuntimeError> {
        let mut bytes = vec![0; LONGEST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let got = rustix::io::retry_on_intr(|| {
            recvmsg(&self.0, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)
        });
        let got = match got {
            // A peer that ended with unread messages resets the connection.
            Err(rustix::io::Errno::CONNRESET) => return Ok(None),
            other => other.during(|| "hearing from the other process".into())?,
        };
        if got.bytes == 0 {
            return Ok(None);
        }
        let fd = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        if got.flags.contains(ReturnFlags::TRUNC) {
            return Err(io::Error::other("the message is too long"))
                .during(|| "hearing from the other process".into());
        }
        let message = serde_json::from_slice(&bytes[..got.bytes])
            .map_err(io::Error::other)
            .during(|| "reading a message of the other process".into())?;
        Ok(Some((message, fd)))
    }

    /// Waits for one certain message; the end of the channel is an error: the other process is gone.
    pub(super) fn expect(&self, wanted: fn(&Message) -> bool) -> Result<(), RuntimeError> {
        match self.receive()? {
            Some((message, _)) if wanted(&message) => Ok(()),
            Some((Message::Failed(fault), _)) => Err(fault.into()),
            Some((message, _)) => Err(io::Error::other(format!("{message:?} came out of turn")))
                .during(|| "hearing from the other process".into()),
            None => Err(io::Error::from(io::ErrorKind::UnexpectedEof))
                .during(|| "waiting for the other process, which is gone".into()),
        }
    }

    /// Tells an error; that nobody listens any more changes nothing, since this process ends next.
    pub(super) fn fail(&self, error: &RuntimeError) {
        let _nobody_listens = self.send(&Message::Failed(error.into()), None);
    }

    /// Whether the other end is gone.
    pub(super) fn is_abandoned(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut fds = [PollFd::new(&self.0, PollFlags::RDHUP)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
            && fds[0].revents().intersects(PollFlags::RDHUP | PollFlags::HUP)
    }
}
