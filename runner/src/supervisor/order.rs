//! What a supervisor is told when it begins, and what it answers: messages of [`super::parcel`].
//!
//! The order waits in standard input, with descriptors: so a program of ours that was just executed owns what it was
//! handed without guessing at numbers.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use berth_runtime::{ContainerId, RuntimeError};
use jiff::Timestamp;
use rustix::net::{RecvFlags, SendFlags};
use serde::{Deserialize, Serialize};

use super::parcel;
use crate::{
    error::{Result, RunnerError, While},
    folders::Folders,
};

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Start the container, or go on with one that lost its supervisor.
    Start,
    /// Start the container as the caller itself, with its input, output and number.
    Front,
    /// Go on with one that lost its supervisor; nothing is started.
    Adopt,
    /// Go on after exec.
    Resume,
    /// Run one check of health and say how it went.
    Check,
    /// Run a program in the container for the client at the other end.
    Exec,
}

impl Mode {
    /// The argument that says so.
    pub(crate) fn argument(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Front => "front",
            Self::Adopt => "adopt",
            Self::Resume => "resume",
            Self::Check => "check",
            Self::Exec => "exec",
        }
    }

    /// The mode of an argument.
    pub(crate) fn of(argument: &str) -> Option<Self> {
        [Self::Start, Self::Front, Self::Adopt, Self::Resume, Self::Check, Self::Exec]
            .into_iter()
            .find(|mode| mode.argument() == argument)
    }
}

/// What an attached client wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attach {
    /// It sends standard input.
    pub(crate) input: bool,
    /// It takes output.
    pub(crate) output: bool,
}

/// The order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// What lasts.
    pub(crate) store: PathBuf,
    /// What a restart empties.
    pub(crate) run: PathBuf,
    /// Which container.
    pub(crate) id: ContainerId,
    /// The connection goes on as an attached client.
    pub(crate) attach: Option<Attach>,
    /// Descriptors from 3 on that the container keeps.
    pub(crate) preserve_fds: u32,
    /// After exec: how far it was.
    pub(crate) carry: Option<Carry>,
    /// What the descriptors are, in their order.
    pub(crate) names: Vec<String>,
}

/// What a supervisor knows and no file says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Carry {
    /// First process.
    pub(crate) pid: i32,
    /// When the program began.
    pub(crate) started: Timestamp,
    /// Failures in a row.
    pub(crate) failures: u32,
    /// Starts by the restart policy.
    pub(crate) restarts: u32,
}

/// Descriptors by name.
#[derive(Debug, Default)]
pub(crate) struct Bag(Vec<(String, OwnedFd)>);

impl Bag {
    /// Takes one out.
    pub(crate) fn take(&mut self, name: &str) -> Option<OwnedFd> {
        let at = self.0.iter().position(|(have, _)| have == name)?;
        Some(self.0.swap_remove(at).1)
    }
}

impl Order {
    /// An order about a container, with nothing special.
    pub(crate) fn plain(folders: &Folders, id: &ContainerId) -> Self {
        Self {
            store: folders.store.clone(),
            run: folders.run.clone(),
            id: id.clone(),
            attach: None,
            preserve_fds: 0,
            carry: None,
            names: Vec::new(),
        }
    }

    /// The folders.
    pub(crate) fn folders(&self) -> Folders {
        Folders { store: self.store.clone(), run: self.run.clone() }
    }

    /// Sends it, with descriptors by their names.
    ///
    /// # Errors
    /// Where it cannot be sent.
    pub(crate) fn send(mut self, socket: impl AsFd, fds: &[(&str, BorrowedFd<'_>)]) -> Result<()> {
        self.names = fds.iter().map(|(name, _)| (*name).to_owned()).collect();
        let text = serde_json::to_vec(&self).map_err(io::Error::from).doing("telling", "the supervisor")?;
        let fds: Vec<_> = fds.iter().map(|(_, fd)| *fd).collect();
        parcel::send(socket, &text, &fds, SendFlags::empty()).doing("telling", "the supervisor")
    }

    /// The order that waits in standard input.
    ///
    /// # Errors
    /// Where there is none: this is nothing to type.
    pub(crate) fn receive() -> Result<(Self, Bag)> {
        let parcel =
            parcel::receive(rustix::stdio::stdin(), RecvFlags::empty()).doing("reading", "the order")?;
        let order: Self = serde_json::from_slice(&parcel.bytes).map_err(|error| {
            RunnerError::Usage(format!("a supervisor is started by other commands: {error}"))
        })?;
        let bag = Bag(order.names.iter().cloned().zip(parcel.fds).collect());
        Ok((order, bag))
    }
}

/// How a start went, as the supervisor answers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    /// It runs.
    Started,
    /// It ran already, under this or another supervisor.
    Already,
    /// Nothing runs (for [`Mode::Adopt`]).
    Nothing,
    /// It was not started.
    Failed(Failure),
}

/// An error that crosses processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    kind: Kind,
    text: String,
    /// For a program that cannot be run: its name and the number of the error.
    program: Option<(String, i32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Usage,
    NotFound,
    Conflict,
    Content,
    Unsupported,
    Exec,
    Interrupted(u8),
}

impl From<&RunnerError> for Failure {
    fn from(error: &RunnerError) -> Self {
        let kind = match error {
            RunnerError::Usage(_) => Kind::Usage,
            RunnerError::NotFound(_) => Kind::NotFound,
            RunnerError::Conflict(_) => Kind::Conflict,
            RunnerError::Content(_) => Kind::Content,
            RunnerError::Runtime(RuntimeError::Exec { .. }) => Kind::Exec,
            RunnerError::Interrupted(signal) => Kind::Interrupted(*signal),
            RunnerError::Unsupported(_)
            | RunnerError::Copier(_)
            | RunnerError::Runtime(_)
            | RunnerError::Io { .. } => Kind::Unsupported,
        };
        let program = match error {
            RunnerError::Runtime(RuntimeError::Exec { program, source }) => {
                let number = match (source.raw_os_error(), source.kind()) {
                    (Some(number), _) => number,
                    (None, io::ErrorKind::NotFound) => rustix::io::Errno::NOENT.raw_os_error(),
                    (None, _) => rustix::io::Errno::ACCESS.raw_os_error(),
                };
                Some((program.clone(), number))
            }
            _ => None,
        };
        Self { kind, text: error.to_string(), program }
    }
}

impl From<Failure> for RunnerError {
    fn from(failure: Failure) -> Self {
        match (failure.kind, failure.program) {
            (Kind::Exec, Some((program, number))) => {
                Self::Runtime(RuntimeError::Exec { program, source: io::Error::from_raw_os_error(number) })
            }
            (Kind::Interrupted(signal), _) => Self::Interrupted(signal),
            (Kind::Usage, _) => Self::Usage(failure.text),
            (Kind::NotFound, _) => Self::NotFound(failure.text),
            (Kind::Conflict, _) => Self::Conflict(failure.text),
            (Kind::Content, _) => Self::Content(failure.text),
            (Kind::Unsupported | Kind::Exec, _) => Self::Unsupported(failure.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_keep_their_numbers_over_processes() {
        let absent = RunnerError::Runtime(RuntimeError::Exec {
            program: "nope".into(),
            source: io::Error::from(io::ErrorKind::NotFound),
        });
        let denied = RunnerError::Runtime(RuntimeError::Exec {
            program: "/etc".into(),
            source: io::Error::from_raw_os_error(13),
        });
        let stopped = RunnerError::Interrupted(15);
        for error in [
            absent,
            denied,
            RunnerError::Conflict("taken".into()),
            RunnerError::Content("bad".into()),
            stopped,
        ] {
            let text = serde_json::to_string(&Answer::Failed(Failure::from(&error))).unwrap();
            let Answer::Failed(failure) = serde_json::from_str(&text).unwrap() else { panic!("{text}") };
            let again = RunnerError::from(failure);
            assert_eq!(again.exit_code(), error.exit_code());
            assert_eq!(again.run_exit_code(), error.run_exit_code(), "{error}");
        }
    }
}
