//! `--replace`: the container that has the name goes first.

use super::Context;
use crate::{
    error::{Result, RunnerError},
    supervisor::removal,
};

/// Takes the container of a name away, where there is one; one that runs is stopped.
pub(super) fn take_away(context: &Context, name: &str) -> Result<()> {
    match context.records.find(name) {
        // One whose id begins so is not meant.
        Ok(old) if old.name == name => removal::remove(&context.records, &old, true, None),
        Ok(_) | Err(RunnerError::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}
