//! Files that are there whole or not at all.

use std::{
    fs::{self, File},
    io::Write,
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

/// Waits for the one lock of a folder; it is free when the answer is dropped, or its holder dies.
pub(crate) fn lock(folder: &Path) -> Result<File> {
    private_folder(folder)?;
    let path = folder.join("lock");
    let file =
        File::options().create(true).write(true).truncate(false).open(&path).doing("opening", &path)?;
    flock(&file, FlockOperation::LockExclusive).doing("locking", &path)?;
    Ok(file)
}
