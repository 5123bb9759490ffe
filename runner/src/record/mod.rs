//! Containers as they are wanted (`desired.json`) and what became of them (`exit.json`). Both are written to a file
//! beside and renamed over; nobody ever reads half of one.

mod desired;

pub(crate) use desired::{
    Attach, Desired, Device, Health, IdMap, ImageUse, Isolation, Limits, LogOptions, Mount, MountKind,
    Namespace, NetworkMode, NetworkWants, Port, ProcessWants, Protocol, RestartPolicy, Seccomp, Security,
    Ulimit, UserNamespace,
};

use std::path::PathBuf;

use berth_runtime::ContainerId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Result, RunnerError},
    folders::Folders,
};

/// How the last run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exit {
    /// When it began.
    pub(crate) started: Option<Timestamp>,
    /// When it ended.
    pub(crate) finished: Timestamp,
    /// The number that `wait` prints: the program's, 128 + signal, or 125 to 127 where it never ran.
    pub(crate) code: u8,
    /// The kernel ended a process of it for want of memory.
    pub(crate) oom_killed: bool,
    /// Why it did not run, where it did not.
    pub(crate) error: Option<String>,
}

/// All containers of a user.
#[derive(Clone, Debug)]
pub(crate) struct Records {
    folders: Folders,
}

fn not_built<T>() -> Result<T> {
    Err(RunnerError::Unsupported("records are not built yet".into()))
}

impl Records {
    pub(crate) fn new(folders: &Folders) -> Self {
        Self { folders: folders.clone() }
    }

    /// The folders.
    pub(crate) fn folders(&self) -> &Folders {
        &self.folders
    }

    /// Writes a new container down, with its name, durably. Nothing of it is there before, all of it after.
    ///
    /// # Errors
    /// [`RunnerError::Conflict`] where the name is taken, with the id that has it.
    pub(crate) fn create(&self, desired: &Desired) -> Result<()> {
        let _ = desired;
        not_built()
    }

    /// Writes changes (`rename`, `update`).
    ///
    /// # Errors
    /// As [`Self::create`].
    pub(crate) fn replace(&self, desired: &Desired) -> Result<()> {
        let _ = desired;
        not_built()
    }

    /// The container of a name, an id, or the beginning of one id.
    ///
    /// # Errors
    /// [`RunnerError::NotFound`]; [`RunnerError::Usage`] where several ids begin so.
    pub(crate) fn find(&self, name: &str) -> Result<Desired> {
        Err(RunnerError::NotFound(format!("no container {name}: `berth-runner ps --all` lists them")))
    }

    /// All, oldest first. A folder without a readable record is told in the second list and left alone.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub(crate) fn all(&self) -> Result<(Vec<Desired>, Vec<PathBuf>)> {
        not_built()
    }

    /// How the last run ended, if one did.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(crate) fn exit(&self, id: &ContainerId) -> Result<Option<Exit>> {
        let _ = id;
        not_built()
    }

    /// Notes how a run ended.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn ended(&self, id: &ContainerId, exit: &Exit) -> Result<()> {
        let _ = (id, exit);
        not_built()
    }

    /// Takes the record and its folders away. The name is free afterwards.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub(crate) fn remove(&self, id: &ContainerId) -> Result<()> {
        let _ = id;
        not_built()
    }
}
