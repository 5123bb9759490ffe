//! Files that are there whole or not at all.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use rustix::fs::{FlockOperation, flock};
use serde::{Serialize, de::DeserializeOwned};

use crate::error::{Result, RunnerError, While};

/// Writes a file beside and renames it over; `durable` waits for the disk.
pub(crate) fn replace(path: &Path, content: &[u8], durable: bool) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file =
        tempfile::Builder::new().prefix(".new-").tempfile_in(folder).doing("writing into", folder)?;
    file.write_all(content).doing("writing", path)?;
    if durable {
        file.as_file().sync_data().doing("writing", path)?;
    }
    file.persist(path).map_err(|error| error.error).doing("writing", path)?;
    if durable {
        sync_folder(folder)?;
    }
    Ok(())
}

/// [`replace`] with JSON.
pub(crate) fn replace_json(path: &Path, value: &impl Serialize, durable: bool) -> Result<()> {
    let text = serde_json::to_vec(value).map_err(std::io::Error::from).doing("writing", path)?;
    replace(path, &text, durable)
}

/// A file of JSON; one that is not there is an answer.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).doing("reading", path),
    };
    let value = serde_json::from_slice(&text);
    value.map(Some).map_err(|error| RunnerError::Content(format!("{} is damaged: {error}", path.display())))
}

/// Waits until the entries of a folder are on disk.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).doing("writing into", folder)
}

/// Makes a folder that only its owner enters.
pub(crate) fn private_folder(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).doing("making", path)
}

/// The same for the folder of what runs, which may be made in a place where others make theirs: one that another user
/// made, or may write into, is not used.
pub(crate) fn own_folder(path: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    private_folder(path)?;
    // The last name only: what leads there is the administrator's or the user's own.
    let found = fs::symlink_metadata(path).doing("looking at", path)?;
    let own = rustix::process::geteuid().as_raw();
    let why = if !found.is_dir() {
        "it is no folder".to_owned()
    } else if found.uid() != own {
        format!("it belongs to user {}", found.uid())
    } else if found.mode() & 0o002 != 0 {
        format!("everybody may write into it (mode {:o})", found.mode() & 0o7777)
    } else {
        return Ok(());
    };
    Err(RunnerError::Unsupported(format!(
        "{}: {why}, so another user could change what runs there: remove it, or name another folder with --runroot \
         or XDG_RUNTIME_DIR",
        path.display()
    )))
}

/// Opens a file that is there to be locked, made where it is not there.
pub(crate) fn open_lock(path: &Path) -> std::io::Result<File> {
    File::options().create(true).write(true).truncate(false).mode(0o600).open(path)
}

/// Waits for the one lock of a folder; it is free when the answer is dropped, or its holder dies. Nobody else may open
/// it: whoever can, can lock it.
pub(crate) fn lock(folder: &Path) -> Result<File> {
    private_folder(folder)?;
    let path = folder.join("lock");
    let file = open_lock(&path).doing("opening", &path)?;
    flock(&file, FlockOperation::LockExclusive).doing("locking", &path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    #[test]
    fn a_folder_of_what_runs_that_others_change_is_not_used() {
        let place = tempfile::tempdir().unwrap();
        let run = place.path().join("run");
        own_folder(&run).unwrap();
        assert_eq!(fs::metadata(&run).unwrap().permissions().mode() & 0o7777, 0o700);
        own_folder(&run).unwrap();
        let refused = |why: &str| {
            let error = own_folder(&run).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("--runroot"), "{error}");
        };
        fs::set_permissions(&run, fs::Permissions::from_mode(0o777)).unwrap();
        refused("everybody may write into it (mode 777)");
        fs::remove_dir(&run).unwrap();
        symlink(place.path(), &run).unwrap();
        refused("it is no folder");
        fs::remove_file(&run).unwrap();
        fs::create_dir(&run).unwrap();
        // Only root gives folders away; what planted folders of others are like, its tests see.
        if rustix::process::geteuid().is_root() {
            chown(&run, Some(1), Some(1)).unwrap();
            refused("it belongs to user 1");
        }
    }

    #[test]
    fn a_lock_is_opened_by_its_owner_alone() {
        let place = tempfile::tempdir().unwrap();
        let lock = lock(place.path()).unwrap();
        assert_eq!(lock.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
