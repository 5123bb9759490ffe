//! What the runner says when something is wrong, and the number with which it ends: one table.

use std::{io, path::Path};

use berth_runtime::RuntimeError;

/// The result of the runner's functions.
pub(crate) type Result<T, E = RunnerError> = std::result::Result<T, E>;

/// An error of the runner.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunnerError {
    /// Arguments that contradict each other or say nothing sensible: names the flag, the rule, the way out.
    #[error("{0}")]
    Usage(String),
    /// Nothing has this name: "no container `x`: `berth-runner ps --all` lists them".
    #[error("{0}")]
    NotFound(String),
    /// What is there already, or in use, or in the wrong state.
    #[error("{0}")]
    Conflict(String),
    /// The image, its layer or another content is not what it says it is, or tries to do harm.
    #[error("{0}")]
    Content(String),
    /// This machine or this user cannot do it: what is missing, and the way out.
    #[error("{0}")]
    Unsupported(String),
    /// The registry, the policy, a copy.
    #[error(transparent)]
    Copier(#[from] berth_copier::Error),
    /// The runtime core.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// A signal ended it before its end; what was begun is gone.
    #[error("stopped by signal {0}; nothing was changed")]
    Interrupted(u8),
    /// A file or a system call; `what` reads on: "reading /etc/passwd: ...".
    #[error("{what}: {source}")]
    Io {
        /// What was done, to what.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
}

/// The number for failures of the program itself in `run`, `create`, `start` and `exec`, as podman's and docker's.
pub(crate) const OWN_FAILURE: u8 = 125;

impl RunnerError {
    /// The number with which a command ends that runs no container's program.
    ///
    /// | number | when |
    /// |---|---|
    /// | 1 | it failed |
    /// | 2 | wrong usage |
    /// | 3 | not authenticated |
    /// | 4 | content is not what it should be |
    /// | 5 | refused by policy |
    /// | 128 + n | stopped by signal n |
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Content(_) => 4,
            Self::Copier(error) => match error.exit_code() {
                // The copier's 2 is "no such image", which is no usage of ours.
                2 => 1,
                code => code,
            },
            Self::Interrupted(signal) => 128 + signal,
            Self::NotFound(_)
            | Self::Conflict(_)
            | Self::Unsupported(_)
            | Self::Runtime(_)
            | Self::Io { .. } => 1,
        }
    }

    /// The number for `run`, `create`, `start --attach` and `exec`, where numbers below 125 are the container's own.
    pub(crate) fn run_exit_code(&self) -> u8 {
        match self {
            Self::Runtime(RuntimeError::Exec { source, .. }) => {
                if matches!(source.kind(), io::ErrorKind::NotFound) { 127 } else { 126 }
            }
            Self::Interrupted(signal) => 128 + signal,
            Self::Usage(_)
            | Self::Content(_)
            | Self::Copier(_)
            | Self::NotFound(_)
            | Self::Conflict(_)
            | Self::Unsupported(_)
            | Self::Runtime(_)
            | Self::Io { .. } => OWN_FAILURE,
        }
    }
}

/// Gives a failed call what it did, to what.
pub(crate) trait While<T> {
    /// "reading", "/etc/passwd".
    fn doing(self, verb: &str, path: impl AsRef<Path>) -> Result<T>;
}

impl<T, E: Into<io::Error>> While<T> for std::result::Result<T, E> {
    fn doing(self, verb: &str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|error| RunnerError::Io {
            what: format!("{verb} {}", path.as_ref().display()),
            source: error.into(),
        })
    }
}
