//! Named volumes: a folder each under `volumes/NAME/data`, with `volume.json` beside it. Its files have the ids that
//! containers see, whatever their user namespace is.

mod copy;

use std::{
    collections::BTreeMap,
    fs, io,
    os::fd::OwnedFd,
    path::{Component, Path, PathBuf},
};

use jiff::Timestamp;
use rand::RngExt;
use rustix::{
    fs::{CWD, FileType, Mode, OFlags, fstat, openat},
    io::Errno,
};
use serde::{Deserialize, Serialize};

pub(crate) use copy::{DiskIds, whole};

use crate::{
    bundle::inside::Inside,
    error::{Result, RunnerError, While},
    folders::Folders,
    record::{Desired, Gone, MountKind, Records, check_name, files},
    transfer::{Owners, Packed, Place, Target, pack, unpack},
    unpack::open_beneath,
};

/// What is known of a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Volume {
    /// Its name.
    pub(crate) name: String,
    /// When it was made.
    pub(crate) created: Timestamp,
    /// Labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// Made for one container, and removed with it.
    pub(crate) anonymous: bool,
    /// The first container that uses it fills it with what its image has there.
    pub(crate) unfilled: bool,
}

/// All volumes of a user.
#[derive(Clone, Debug)]
pub(crate) struct Volumes {
    folders: Folders,
}

fn unknown(name: &str) -> RunnerError {
    RunnerError::NotFound(format!("no volume {name}: `berth-runner volume ls` lists them"))
}

/// A name that nobody has: 64 hexadecimal digits.
fn anonymous_name() -> String {
    let bytes: [u8; 32] = rand::rng().random();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Opens a folder or file below a volume's data, which the volume's own files cannot lead astray: no link on the way,
/// and what is opened stays what it is, whatever a container that has the volume puts in its place meanwhile.
///
/// # Errors
/// [`RunnerError::Usage`] for what is no path below, or a link; where it is not there.
pub(crate) fn below(data: &Path, path: &Path) -> Result<OwnedFd> {
    let wrong = |rule: &str| RunnerError::Usage(format!("volume-subpath={}: {rule}", path.display()));
    if !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(wrong("is not a path below the volume"));
    }
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let folder = openat(CWD, data, flags | OFlags::DIRECTORY, Mode::empty()).doing("opening", data)?;
    match open_beneath(&folder, path, flags) {
        Err(Errno::LOOP) => Err(wrong("a link is on the way")),
        opened => {
            let opened = opened.doing("finding", data.join(path))?;
            let about = fstat(&opened).doing("finding", data.join(path))?;
            match FileType::from_raw_mode(about.st_mode) {
                FileType::Symlink => Err(wrong("it is a link")),
                _ => Ok(opened),
            }
        }
    }
}

impl Volumes {
    pub(crate) fn new(folders: &Folders) -> Self {
        Self { folders: folders.clone() }
    }

    fn place(&self, name: &str) -> Result<PathBuf> {
        check_name(name)?;
        Ok(self.folders.volumes().join(name))
    }

    /// The folder with its files.
    ///
    /// # Errors
    /// [`RunnerError::NotFound`].
    pub(crate) fn data(&self, name: &str) -> Result<PathBuf> {
        self.inspect(name)?;
        Ok(self.place(name)?.join("data"))
    }

    /// Makes one; without a name it gets one of its own.
    ///
    /// # Errors
    /// [`RunnerError::Conflict`] where there is one of that name.
    pub(crate) fn create(
        &self,
        name: Option<&str>,
        labels: BTreeMap<String, String>,
        anonymous: bool,
    ) -> Result<Volume> {
        let name = name.map_or_else(anonymous_name, str::to_owned);
        let place = self.place(&name)?;
        let volumes = self.folders.volumes();
        let _lock = files::lock(&volumes)?;
        if place.exists() {
            return Err(RunnerError::Conflict(format!(
                "a volume {name} is there: take another name, or use that one"
            )));
        }
        let volume = Volume { name, created: Timestamp::now(), labels, anonymous, unfilled: true };
        let making =
            tempfile::Builder::new().prefix(".new-").tempdir_in(&volumes).doing("writing into", &volumes)?;
        let data = making.path().join("data");
        fs::create_dir(&data).doing("making", &data)?;
        set_mode(&data, 0o755)?;
        files::replace_json(&making.path().join("volume.json"), &volume, !anonymous)?;
        fs::rename(making.path(), &place).doing("making", &place)?;
        let _moved = making.keep();
        if !anonymous {
            files::sync_folder(&volumes)?;
        }
        Ok(volume)
    }

    /// The one of a name, made where it is not there.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub(crate) fn ensure(&self, name: &str) -> Result<Volume> {
        loop {
            match self.inspect(name) {
                Err(RunnerError::NotFound(_)) => {}
                other => return other,
            }
            match self.create(Some(name), BTreeMap::new(), false) {
                // Somebody else made it this moment.
                Err(RunnerError::Conflict(_)) if self.inspect(name).is_ok() => {}
                other => return other,
            }
        }
    }

    /// What is known of one.
    ///
    /// # Errors
    /// [`RunnerError::NotFound`].
    pub(crate) fn inspect(&self, name: &str) -> Result<Volume> {
        let place = self.place(name)?;
        files::read_json(&place.join("volume.json"))?.ok_or_else(|| unknown(name))
    }

    /// All, by name.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub(crate) fn all(&self) -> Result<Vec<Volume>> {
        let place = self.folders.volumes();
        let entries = match fs::read_dir(&place) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).doing("reading", &place),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.doing("reading", &place)?;
            if entry.file_name().to_str().is_some_and(|name| check_name(name).is_ok())
                && entry.path().is_dir()
            {
                found.extend(files::read_json::<Volume>(&entry.path().join("volume.json"))?);
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// Containers that have it, running or not.
    ///
    /// # Errors
    /// Where records cannot be read.
    pub(crate) fn users(&self, name: &str) -> Result<Vec<Desired>> {
        let (containers, _) = Records::new(&self.folders).all()?;
        let uses = |container: &Desired| {
            container
                .mounts
                .iter()
                .any(|mount| matches!(&mount.kind, MountKind::Volume { name: own, .. } if own == name))
        };
        Ok(containers.into_iter().filter(uses).collect())
    }

    /// Removes one.
    ///
    /// # Errors
    /// [`RunnerError::NotFound`]; [`RunnerError::Conflict`] where a container has it, with the container.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        let place = self.place(name).map_err(|_| unknown(name))?;
        let volumes = self.folders.volumes();
        let lock = files::lock(&volumes)?;
        self.inspect(name)?;
        if let Some(user) = self.users(name)?.first() {
            return Err(RunnerError::Conflict(format!(
                "volume {name} is used by container {}: remove that one first",
                user.name
            )));
        }
        // Renamed first, so that no half of it is ever taken for a volume.
        let gone = Gone::rename(&place)?;
        drop(lock);
        gone.map_or(Ok(()), Gone::delete)
    }

    /// Removes the anonymous volumes of a container that is gone; those that another one took over stay.
    ///
    /// # Errors
    /// Where one cannot be removed.
    pub(crate) fn remove_anonymous(&self, container: &Desired) -> Result<()> {
        for mount in &container.mounts {
            let MountKind::Volume { name, anonymous: true, .. } = &mount.kind else { continue };
            match self.remove(name) {
                Ok(()) | Err(RunnerError::NotFound(_) | RunnerError::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Fills one that is new with what the image has at its place: names, modes, owners, times and attributes. Done
    /// once; what is there already stays.
    ///
    /// # Errors
    /// Where something cannot be copied; it is tried again at the next start.
    pub(crate) fn fill(&self, name: &str, inside: &Inside, at: &Path, ids: &DiskIds) -> Result<()> {
        if !self.inspect(name)?.unfilled {
            return Ok(());
        }
        let _lock = files::lock(&self.folders.volumes())?;
        // Another container may have filled it meanwhile.
        let mut volume = self.inspect(name)?;
        if !volume.unfilled {
            return Ok(());
        }
        let data = self.data(name)?;
        copy::fill(inside, at, &data, ids)?;
        volume.unfilled = false;
        let durable = !volume.anonymous;
        files::replace_json(&self.place(name)?.join("volume.json"), &volume, durable)
    }

    /// Its files as a tar.
    ///
    /// # Errors
    /// Where they cannot be read, or the tar not be written.
    pub(crate) fn export(&self, name: &str, out: impl io::Write) -> Result<()> {
        let data = self.data(name)?;
        // A container may have it at this moment: nothing is reached through a link.
        pack(&Place::open(&data)?, "/.", false, Packed::Named, out)
    }

    /// Adds the files of a tar; nothing is written outside of the volume, whatever the tar says.
    ///
    /// # Errors
    /// [`RunnerError::Content`] for what is no tar, or names what lies outside.
    pub(crate) fn import(&self, name: &str, tar: impl io::Read) -> Result<()> {
        let data = self.data(name)?;
        unpack(&Place::open(&data)?, "/", Target::Into, Owners::Kept, tar)?;
        let mut volume = self.inspect(name)?;
        volume.unfilled = false;
        files::replace_json(&self.place(name)?.join("volume.json"), &volume, true)
    }
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).doing("changing", path)
}

#[cfg(test)]
mod tests;
