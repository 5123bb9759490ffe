//! What can go wrong in the core. Every error names the thing, the rule and, where there is one, the way out.

use std::io;

use crate::{ContainerId, Status};

/// An error of the runtime core.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// No container of this id has a state.
    #[error("container {0} does not exist")]
    NotFound(ContainerId),
    /// A container of this id has a state.
    #[error("container {0} already exists: delete it, or take another id")]
    Exists(ContainerId),
    /// The container is in a state in which this cannot be done.
    #[error("container {id} is {is}: {wants}")]
    State {
        /// Which container.
        id: ContainerId,
        /// Its state.
        is: Status,
        /// What the operation needs, "only a created container can be started".
        wants: &'static str,
    },
    /// The configuration breaks a rule of the runtime specification, or asks for what cannot be.
    #[error("config.json: {field}: {rule}")]
    Spec {
        /// The field, `linux.namespaces[2].path`.
        field: String,
        /// The rule that is broken, and the way out.
        rule: String,
    },
    /// Several rules are broken; one line for each.
    #[error("config.json: {} problems{}", .0.len(), lines(.0))]
    Specs(Vec<SpecFault>),
    /// This kernel, or this user on it, cannot do it.
    #[error("{what}: {why}")]
    Unsupported {
        /// What was asked for.
        what: String,
        /// What is missing, and the way out.
        why: String,
    },
    /// A program that was asked for cannot be started; scripts see 126 or 127.
    #[error("{program}: {}", exec_words(program, source))]
    Exec {
        /// The program as it was named.
        program: String,
        /// `ENOENT` where it is not there, `EACCES` where it is no program.
        source: io::Error,
    },
    /// Its limit leaves no room for another process.
    #[error(
        "container {id} has {used} processes and threads, and {limit} is its limit: end some, or raise it \
         (`update --pids-limit`)"
    )]
    Full {
        /// Which container.
        id: ContainerId,
        /// How many it has.
        used: u64,
        /// How many it may have.
        limit: u64,
    },
    /// A hook ended badly.
    #[error("the {kind} hook {path} {outcome}")]
    Hook {
        /// `createRuntime`, `prestart` ...
        kind: &'static str,
        /// Its program.
        path: String,
        /// "ended with 3", "took longer than its 5 seconds".
        outcome: String,
    },
    /// A step failed. The step is written so that the sentence reads on: "mounting proc at /proc: ...".
    #[error("{step}: {source}")]
    Step {
        /// What was done, to what.
        step: String,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// One broken rule of the runtime specification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecFault {
    /// The field, `linux.namespaces[2].path`.
    pub field: String,
    /// The rule that is broken, and the way out.
    pub rule: String,
}

fn lines(faults: &[SpecFault]) -> String {
    faults.iter().map(|SpecFault { field, rule }| format!("\n  {field}: {rule}")).collect()
}

/// Callers of runtimes (podman) know a missing program by these words.
fn exec_words(program: &str, source: &io::Error) -> String {
    if source.kind() == io::ErrorKind::NotFound && !program.contains('/') {
        format!("executable file not found in $PATH: {source}")
    } else {
        source.to_string()
    }
}

/// Gives a failed system call the step that it was.
pub trait During<T> {
    /// Wraps the error in [`RuntimeError::Step`].
    ///
    /// # Errors
    /// The error, if there was one.
    fn during(self, step: impl FnOnce() -> String) -> Result<T, RuntimeError>;
}

impl<T, E: Into<io::Error>> During<T> for Result<T, E> {
    fn during(self, step: impl FnOnce() -> String) -> Result<T, RuntimeError> {
        self.map_err(|error| RuntimeError::Step { step: step(), source: error.into() })
    }
}
