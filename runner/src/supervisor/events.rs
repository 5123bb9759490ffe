//! What happened, one JSON object per line in one file that every process appends to; the one before it is kept.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::PathBuf,
};

use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Result, While},
    folders::Folders,
    record::Desired,
};

/// Bytes after which the file is turned over.
const MOST: u64 = 4 << 20;

/// Something that happened, in podman's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Event {
    /// When.
    pub(crate) time: Timestamp,
    /// `container`.
    #[serde(rename = "Type")]
    pub(crate) kind: String,
    /// `create`, `start`, `died` ...
    pub(crate) status: String,
    /// Of what.
    #[serde(rename = "ID")]
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
    /// Its image.
    pub(crate) image: String,
    /// The number, for `died`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) container_exit_code: Option<u8>,
    /// State of health, for `health_status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) health_status: Option<String>,
    /// Labels.
    #[serde(default)]
    pub(crate) attributes: BTreeMap<String, String>,
}

impl Event {
    /// Something that happened to a container now.
    pub(crate) fn of(desired: &Desired, status: &str) -> Self {
        Self {
            time: Timestamp::now(),
            kind: "container".into(),
            status: status.into(),
            id: desired.id.to_string(),
            name: desired.name.clone(),
            image: desired.image.as_ref().map(|image| image.name.clone()).unwrap_or_default(),
            container_exit_code: None,
            health_status: None,
            attributes: desired.labels.clone(),
        }
    }

    /// Notes it.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub(crate) fn note(&self, folders: &Folders) -> Result<()> {
        let path = folders.events();
        let mut line = serde_json::to_vec(self).map_err(io::Error::from).doing("writing", &path)?;
        line.push(b'\n');
        crate::record::files::private_folder(&folders.store)?;
        let mut file = loop {
            let file =
                File::options().create(true).append(true).mode(0o600).open(&path).doing("opening", &path)?;
            flock(&file, FlockOperation::LockExclusive).doing("locking", &path)?;
            // Turned over while we waited: the name means another file by now.
            let held = file.metadata().doing("reading", &path)?;
            match fs::metadata(&path) {
                Ok(named) if named.ino() == held.ino() => {}
                Ok(_) => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error).doing("reading", &path),
            }
            if held.len() + line.len() as u64 <= MOST {
                break file;
            }
            fs::rename(&path, older(folders)).doing("turning over", &path)?;
        };
        file.write_all(&line).doing("writing", &path)
    }
}

/// The file before the one that is written.
pub(crate) fn older(folders: &Folders) -> PathBuf {
    folders.events().with_extension("log.1")
}

/// Notes what happened to a container; that it could not be noted stops nothing.
pub(crate) fn note(folders: &Folders, desired: &Desired, status: &str) {
    let _not_the_container_s_fault = Event::of(desired, status).note(folders);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::desired;

    #[test]
    fn events_are_lines_and_the_file_is_turned_over() {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders { store: folder.path().join("store"), run: folder.path().join("run") };
        let web = desired("web", 1);
        let mut event = Event::of(&web, "died");
        event.container_exit_code = Some(3);
        event.note(&folders).unwrap();
        let line = fs::read_to_string(folders.events()).unwrap();
        assert!(line.contains("\"Status\":\"died\"") && line.contains("\"ContainerExitCode\":3"), "{line}");
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
        File::options().append(true).open(folders.events()).unwrap().set_len(MOST).unwrap();
        event.note(&folders).unwrap();
        assert_eq!(fs::read_to_string(folders.events()).unwrap().lines().count(), 1);
        assert_eq!(fs::metadata(older(&folders)).unwrap().len(), MOST);
    }
}
