//! Secrets: `secrets/NAME/data`, with `secret.json` beside it, in a folder that only its owner enters.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use rustix::fs::{CWD, Gid, Mode, Uid};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Result, RunnerError, While},
    folders::Folders,
    record::{check_name, files},
};

/// The largest secret, bytes, as podman has it.
pub(crate) const MAX: usize = 512_000;

/// What is known of a secret besides itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Secret {
    /// Its name.
    pub(crate) name: String,
    /// When it was made.
    pub(crate) created: Timestamp,
    /// Labels.
    pub(crate) labels: BTreeMap<String, String>,
}

fn folder(folders: &Folders, name: &str) -> Result<PathBuf> {
    check_name(name)?;
    Ok(folders.secrets().join(name))
}

fn unknown(name: &str) -> RunnerError {
    RunnerError::NotFound(format!("no secret {name}: `berth-runner secret ls` lists them"))
}

/// Makes a secret.
///
/// # Errors
/// [`RunnerError::Conflict`] where there is one of that name and `replace` is not said; [`RunnerError::Usage`] for
/// one that is empty or larger than 512,000 bytes.
pub(crate) fn create(folders: &Folders, secret: &Secret, data: &[u8], replace: bool) -> Result<()> {
    if data.is_empty() || data.len() > MAX {
        return Err(RunnerError::Usage(format!(
            "secret {}: {} bytes; a secret has 1 to {MAX}",
            secret.name,
            data.len()
        )));
    }
    let place = folder(folders, &secret.name)?;
    let _lock = files::lock(&folders.secrets())?;
    if place.exists() {
        if !replace {
            return Err(RunnerError::Conflict(format!(
                "a secret {} is there: remove it, or say --replace",
                secret.name
            )));
        }
        fs::remove_dir_all(&place).doing("removing", &place)?;
    }
    let making = tempfile::Builder::new().prefix(".new-").tempdir_in(folders.secrets());
    let making = making.doing("writing into", folders.secrets())?;
    files::replace(&making.path().join("data"), data, true)?;
    files::replace_json(&making.path().join("secret.json"), secret, true)?;
    fs::rename(making.path(), &place).doing("making", &place)?;
    // What was renamed is no longer to be removed.
    let _moved = making.keep();
    files::sync_folder(&folders.secrets())
}

/// What is known of one.
///
/// # Errors
/// [`RunnerError::NotFound`].
pub(crate) fn inspect(folders: &Folders, name: &str) -> Result<Secret> {
    let place = folder(folders, name).map_err(|_| unknown(name))?;
    files::read_json(&place.join("secret.json"))?.ok_or_else(|| unknown(name))
}

/// The secret itself.
///
/// # Errors
/// [`RunnerError::NotFound`].
pub(crate) fn read(folders: &Folders, name: &str) -> Result<Vec<u8>> {
    inspect(folders, name)?;
    let path = folder(folders, name)?.join("data");
    fs::read(&path).doing("reading", &path)
}

/// All, by name.
///
/// # Errors
/// Where the folder cannot be read.
pub(crate) fn all(folders: &Folders) -> Result<Vec<Secret>> {
    let place = folders.secrets();
    let entries = match fs::read_dir(&place) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).doing("reading", &place),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.doing("reading", &place)?.path().join("secret.json");
        if path.parent().is_some_and(Path::is_dir) {
            found.extend(files::read_json::<Secret>(&path)?);
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Removes one. Containers that have it in memory keep it until they end.
///
/// # Errors
/// [`RunnerError::NotFound`].
pub(crate) fn remove(folders: &Folders, name: &str) -> Result<()> {
    inspect(folders, name)?;
    let _lock = files::lock(&folders.secrets())?;
    let place = folder(folders, name)?;
    fs::remove_dir_all(&place).doing("removing", &place)
}

/// Lays a secret into the running folder of a container, to be mounted: on a filesystem in memory, unless `--runroot`
/// says otherwise.
///
/// # Errors
/// [`RunnerError::NotFound`].
pub(crate) fn place(
    folders: &Folders,
    running: &Path,
    name: &str,
    (uid, gid): (u32, u32),
    mode: u32,
) -> Result<PathBuf> {
    let data = read(folders, name)?;
    let folder = running.join("secrets");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).doing("making", &folder)?;
    let path = folder.join(name);
    let making = folder.join(format!(".new-{name}"));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&making)
        .doing("writing", &making)?;
    file.write_all(&data).doing("writing", &making)?;
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    rustix::fs::fchown(&file, uid, gid).doing("changing", &making)?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode & 0o7777)).doing("changing", &making)?;
    rustix::fs::renameat(CWD, &making, CWD, &path).doing("writing", &path)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    fn secret(name: &str) -> Secret {
        Secret { name: name.into(), created: Timestamp::UNIX_EPOCH, labels: BTreeMap::new() }
    }

    #[test]
    fn a_secret_is_kept_from_others_and_goes_when_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders { store: folder.path().join("store"), run: folder.path().join("run") };
        assert!(all(&folders).unwrap().is_empty());
        create(&folders, &secret("key"), b"hush", false).unwrap();
        assert_eq!(read(&folders, "key").unwrap(), b"hush");
        assert_eq!(all(&folders).unwrap(), [secret("key")]);
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(folders.secrets()), 0o700);
        assert_eq!(mode(folders.secrets().join("key/data")), 0o600);
        assert!(matches!(create(&folders, &secret("key"), b"x", false), Err(RunnerError::Conflict(_))));
        create(&folders, &secret("key"), b"louder", true).unwrap();
        assert_eq!(read(&folders, "key").unwrap(), b"louder");
        remove(&folders, "key").unwrap();
        assert!(matches!(read(&folders, "key"), Err(RunnerError::NotFound(_))));
        assert!(matches!(remove(&folders, "../key"), Err(RunnerError::NotFound(_))));
        for bad in [&b""[..], &vec![0; MAX + 1]] {
            assert!(matches!(create(&folders, &secret("big"), bad, false), Err(RunnerError::Usage(_))));
        }
    }

    #[test]
    fn a_container_gets_a_file_of_the_asked_mode() {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders { store: folder.path().join("store"), run: folder.path().join("run") };
        create(&folders, &secret("key"), b"hush", false).unwrap();
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        let running = folder.path().join("run/x");
        for mode in [0o444, 0o400] {
            let path = place(&folders, &running, "key", (uid, gid), mode).unwrap();
            let about = fs::metadata(&path).unwrap();
            assert_eq!((about.mode() & 0o7777, about.uid()), (mode, uid));
            assert_eq!(fs::read(&path).unwrap(), b"hush");
        }
    }
}
