//! Containers as they are wanted (`desired.json`) and what became of them (`exit.json`). Both are written to a file
//! beside and renamed over; nobody ever reads half of one.

mod desired;
pub(crate) mod files;
mod gone;
pub(crate) mod parse;
mod remove_tree;

pub(crate) use desired::{
    Attach, AttachOptions, Desired, Device, Health, IdMap, ImageUse, Isolation, Limits, LogOptions, Mount,
    MountKind, Namespace, NetworkMode, NetworkWants, Port, ProcessWants, Protocol, Relabel, RestartPolicy,
    Seccomp, Security, Ulimit, UserNamespace,
};

pub(crate) use gone::{Gone, is_gone};
pub(crate) use remove_tree::remove_tree;

use std::{
    fs,
    path::{Path, PathBuf},
};

use berth_runtime::ContainerId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    bundle::ids::Blocks,
    error::{Result, RunnerError, While},
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
    /// Starts by the restart policy before this end.
    #[serde(default)]
    pub(crate) restarts: u32,
    /// Why it did not run, where it did not.
    pub(crate) error: Option<String>,
}

/// All containers of a user.
///
/// A name is a file under `containers/names` with the id in it, an index that may be behind: it holds only while the
/// record of that id says the same name.
#[derive(Clone, Debug)]
pub(crate) struct Records {
    folders: Folders,
}

impl Records {
    pub(crate) fn new(folders: &Folders) -> Self {
        Self { folders: folders.clone() }
    }

    /// The folders.
    pub(crate) fn folders(&self) -> &Folders {
        &self.folders
    }

    fn names(&self) -> PathBuf {
        self.folders.containers().join("names")
    }

    fn read(&self, id: &ContainerId) -> Result<Option<Desired>> {
        files::read_json(&self.folders.container(id).join("desired.json"))
    }

    /// Who has a name.
    fn named(&self, name: &str) -> Result<Option<Desired>> {
        let Some(id) = read_name(&self.names().join(name))? else { return Ok(None) };
        Ok(self.read(&id)?.filter(|desired| desired.name == name))
    }

    /// Takes a name for an id; the lock is held.
    fn take_name(&self, name: &str, id: &ContainerId) -> Result<()> {
        check_name(name)?;
        if let Some(holder) = self.named(name)?.filter(|holder| holder.id != *id) {
            return Err(RunnerError::Conflict(format!(
                "the name {name} is taken by container {}: remove or rename that one, or take another name",
                holder.id
            )));
        }
        files::private_folder(&self.names())?;
        files::replace(&self.names().join(name), id.as_str().as_bytes(), false)
    }

    /// Writes a new container down, with its name; durably, unless it goes with its end anyway. Nothing of it is
    /// there before, all of it after.
    ///
    /// # Errors
    /// [`RunnerError::Conflict`] where the name is taken, with the id that has it.
    pub(crate) fn create(&self, desired: &Desired) -> Result<()> {
        let containers = self.folders.containers();
        let _lock = files::lock(&containers)?;
        self.take_name(&desired.name, &desired.id)?;
        let durable = !desired.auto_remove;
        let making = containers.join(format!(".new-{}", desired.id));
        files::private_folder(&making)?;
        files::replace_json(&making.join("desired.json"), desired, durable)?;
        let folder = self.folders.container(&desired.id);
        fs::rename(&making, &folder).doing("making", &folder)?;
        if durable { files::sync_folder(&containers) } else { Ok(()) }
    }

    /// Writes changes (`rename`, `update`).
    ///
    /// # Errors
    /// As [`Self::create`].
    pub(crate) fn replace(&self, desired: &Desired) -> Result<()> {
        let _lock = files::lock(&self.folders.containers())?;
        let before = self.read(&desired.id)?.ok_or_else(|| unknown(desired.id.as_str()))?;
        self.take_name(&desired.name, &desired.id)?;
        files::replace_json(&self.folders.container(&desired.id).join("desired.json"), desired, true)?;
        if before.name != desired.name {
            remove_file(&self.names().join(&before.name))?;
        }
        Ok(())
    }

    /// The container of a name, an id, or the beginning of one id.
    ///
    /// # Errors
    /// [`RunnerError::NotFound`]; [`RunnerError::Usage`] where several ids begin so.
    pub(crate) fn find(&self, name: &str) -> Result<Desired> {
        if check_name(name).is_err() {
            return Err(unknown(name));
        }
        if let Some(desired) = self.named(name)? {
            return Ok(desired);
        }
        let ids = self.ids()?;
        let mut begin = ids.iter().filter(|id| id.as_str().starts_with(name));
        match (begin.next(), begin.next()) {
            (Some(id), None) => self.read(id)?.ok_or_else(|| unknown(name)),
            (Some(_), Some(_)) => {
                Err(RunnerError::Usage(format!("several containers have an id that begins with {name}")))
            }
            (None, _) => Err(unknown(name)),
        }
    }

    fn ids(&self) -> Result<Vec<ContainerId>> {
        let found = entries(&self.folders.containers())?;
        let names = found.iter().filter_map(|path| path.file_name()?.to_str());
        Ok(names.filter(|name| name.len() == 64).filter_map(|name| name.parse().ok()).collect())
    }

    /// All, oldest first. A folder without a readable record is told in the second list and left alone.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub(crate) fn all(&self) -> Result<(Vec<Desired>, Vec<PathBuf>)> {
        let (mut found, mut damaged) = (Vec::new(), Vec::new());
        for id in self.ids()? {
            let folder = self.folders.container(&id);
            match self.read(&id) {
                Ok(Some(desired)) => found.push(desired),
                // Removed meanwhile, or a folder whose record is gone.
                Ok(None) if !folder.exists() => {}
                Ok(None) | Err(_) => damaged.push(folder),
            }
        }
        found.sort_by(|a, b| (a.created, a.id.as_str()).cmp(&(b.created, b.id.as_str())));
        damaged.sort();
        Ok((found, damaged))
    }

    fn exit_file(&self, id: &ContainerId) -> PathBuf {
        self.folders.container(id).join("exit.json")
    }

    /// How the last run ended, if one did.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(crate) fn exit(&self, id: &ContainerId) -> Result<Option<Exit>> {
        files::read_json(&self.exit_file(id))
    }

    /// Notes how a run ended.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn ended(&self, id: &ContainerId, exit: &Exit) -> Result<()> {
        files::replace_json(&self.exit_file(id), exit, false)
    }

    /// Takes the record and its folders away. The name is free afterwards. Safe to repeat.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub(crate) fn remove(&self, id: &ContainerId) -> Result<()> {
        let containers = self.folders.containers();
        let lock = files::lock(&containers)?;
        // One whose record is damaged is removed too; its ids are free when its folder is gone.
        let before = self.read(id).ok().flatten();
        let folder = self.folders.container(id);
        // Renamed first, so that no half of it is ever taken for a container.
        // What runs goes before: a container without it has ended, and it without a container is nobody's.
        let gone = [Gone::rename(&self.folders.running(id))?, Gone::rename(&folder)?];
        let name = before.as_ref().map(|desired| desired.name.clone());
        if let Some(UserNamespace::Private { uids, .. }) = before.map(|desired| desired.isolation.user) {
            Blocks::of(&self.folders).give_back(&uids, &folder);
        }
        if let Some(name) = name {
            let file = self.names().join(name);
            if read_name(&file)?.as_ref() == Some(id) {
                remove_file(&file)?;
            }
        }
        drop(lock);
        gone.into_iter().flatten().try_for_each(Gone::delete)
    }

    /// What was left where the making or the removal of a container was cut short. The lock is held: nobody makes one.
    fn left(&self) -> Result<Vec<PathBuf>> {
        let containers = self.folders.containers();
        let mut found = Vec::new();
        for path in entries(&containers)? {
            let unmade = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".new-"));
            if unmade || gone::is_gone(&path) {
                found.push(path);
            }
        }
        for folder in [self.folders.run.join("containers"), self.folders.volumes()] {
            found.extend(entries(&folder)?.into_iter().filter(|path| gone::is_gone(path)));
        }
        Ok(found)
    }

    /// What nobody uses: left where a making or a removal was cut short.
    ///
    /// # Errors
    /// Where a folder cannot be read.
    pub(crate) fn leftovers(&self) -> Result<Vec<PathBuf>> {
        let _lock = files::lock(&self.folders.containers())?;
        let mut found = Vec::new();
        for path in self.left()? {
            if !path.is_dir() || Gone::left(&path)?.is_some() {
                found.push(path);
            }
        }
        Ok(found)
    }

    /// Removes what was left where a making or a removal was cut short.
    ///
    /// # Errors
    /// Where something stays.
    pub(crate) fn sweep(&self) -> Result<()> {
        let mut gone = Vec::new();
        let lock = files::lock(&self.folders.containers())?;
        for path in self.left()? {
            if !path.is_dir() {
                remove_file(&path)?;
            } else if gone::is_gone(&path) {
                gone.extend(Gone::left(&path)?);
            } else {
                gone.extend(Gone::rename(&path)?);
            }
        }
        drop(lock);
        gone.into_iter().try_for_each(Gone::delete)
    }
}

fn unknown(name: &str) -> RunnerError {
    RunnerError::NotFound(format!("no container {name}: `berth-runner ps --all` lists them"))
}

/// Names are `[a-zA-Z0-9][a-zA-Z0-9_.-]*`, 255 bytes at most: each is a file's name and a host's.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins && name.len() <= 255 && name.chars().all(legal) {
        return Ok(());
    }
    Err(RunnerError::Usage(format!(
        "{name:?} is no name: it begins with a letter or digit, and goes on with letters, digits, _ . and - up to 255"
    )))
}

/// What lies in a folder; one that is not there is empty.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).doing("reading", folder),
    };
    entries.map(|entry| entry.map(|entry| entry.path()).doing("reading", folder)).collect()
}

fn read_name(path: &Path) -> Result<Option<ContainerId>> {
    match fs::read_to_string(path) {
        Ok(id) => Ok(id.parse().ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).doing("reading", path),
    }
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).doing("removing", path),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests;
