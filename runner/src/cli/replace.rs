//! `--replace`: the container that has the name goes first.

use super::Context;
use crate::{
    error::{Result, RunnerError},
    volume::Volumes,
};

/// Takes the container of a name away, where there is one.
pub(super) fn take_away(context: &Context, name: &str) -> Result<()> {
    let old = match context.records.find(name) {
        // An id that begins so is not meant.
        Ok(old) if old.name == name => old,
        Ok(_) | Err(RunnerError::NotFound(_)) => return Ok(()),
        Err(error) => return Err(error),
    };
    let runtime = berth_runtime::Runtime {
        root: context.folders.runtime(),
        cgroups: berth_runtime::CgroupDriver::default(),
        seccomp_cache: None,
    };
    match runtime.open(&old.id) {
        Ok(running) => running.delete(true)?,
        Err(berth_runtime::RuntimeError::NotFound(_)) => {}
        Err(error) => return Err(error.into()),
    }
    crate::network::detach(&context.folders, &old)?;
    context.store.unmount_root(&old)?;
    context.records.remove(&old.id)?;
    Volumes::new(&context.folders).remove_anonymous(&old)
}
