//! Why the harness could not do what a test asked.

use std::path::PathBuf;
use std::time::Duration;

/// A failure of the surroundings of a test, never of what it tests.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HarnessError {
    /// The program is neither on `PATH` nor where the harness keeps its own tools.
    #[error("{tool} is not installed ({install})")]
    Missing {
        /// Name of the program.
        tool: String,
        /// What a user types to have it.
        install: String,
    },
    /// The program exists but could not be started.
    #[error("cannot start {name}: {source}")]
    Spawn {
        /// Name of the daemon or command.
        name: String,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A daemon ended before it was ready, or while it was in use.
    #[error("{name} ended ({status}); the end of its log:\n{log}")]
    Ended {
        /// Name of the daemon.
        name: String,
        /// Exit status in words.
        status: String,
        /// Last lines of its log.
        log: String,
    },
    /// A condition did not come true in time.
    #[error("{what} did not happen within {after:?}; the end of the log:\n{log}")]
    Deadline {
        /// The condition, as a sentence without its full stop.
        what: String,
        /// How long was waited.
        after: Duration,
        /// Last lines of the log of what was waited for, or nothing.
        log: String,
    },
    /// A command ended with a status other than zero.
    #[error("`{command}` ended with {status}\n{stderr}{stdout}")]
    Failed {
        /// The command line.
        command: String,
        /// Exit status in words.
        status: String,
        /// What it wrote to standard error.
        stderr: String,
        /// What it wrote to standard output.
        stdout: String,
    },
    /// A file or folder of the scratch root.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// What a tool printed was not what its documentation promises.
    #[error("{0}")]
    Unexpected(String),
}

impl HarnessError {
    /// Turns an error of the file system into one that names the file.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
