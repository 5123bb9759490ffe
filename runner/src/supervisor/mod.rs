//! A running container's companion: this program again, one thread, a poll loop, no async runtime.
//!
//! One pass: mount the root, build the specification, create, attach the network, start; then output, health, the
//! socket; at the end the exit record, network and root taken away, and by the restart policy the next pass.

use std::process::ExitCode;

use crate::{
    error::{Result, RunnerError},
    folders::Folders,
    record::Desired,
};

/// The argument by which the program is its own supervisor; never typed by a person.
pub(crate) const ARGUMENT: &str = "__supervise";

/// The supervisor's `main`.
pub(crate) fn main() -> ExitCode {
    ExitCode::from(crate::error::OWN_FAILURE)
}

/// Starts a supervisor of its own session and returns when the container runs, or did not start.
///
/// # Errors
/// What kept it from starting, with the words of the error there.
pub(crate) fn start_detached(folders: &Folders, desired: &Desired) -> Result<()> {
    let _ = (folders, desired);
    Err(RunnerError::Unsupported("supervisors are not built yet".into()))
}

/// Becomes the supervisor in this very process (by exec where it had threads), with the caller's input and output as
/// the container's. The number is the container's.
///
/// # Errors
/// What kept it from starting.
pub(crate) fn run_foreground(folders: &Folders, desired: &Desired) -> Result<u8> {
    let _ = (folders, desired);
    Err(RunnerError::Unsupported("supervisors are not built yet".into()))
}
