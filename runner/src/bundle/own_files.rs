//! Files of ours in a container: who it is, whom it asks for names, and its small init.

use std::{
    os::unix::fs::chown,
    path::{Path, PathBuf},
};

use super::{Build, own_folder};
use crate::{
    error::{Result, RunnerError, While},
    init,
    record::files,
};

/// Where the folder of the small init is in the container.
pub(super) const INIT: &str = "/run/.berth-init";

/// Where the program says that it is ready.
pub(super) const NOTIFY: &str = "/run/.berth-notify";

/// The service manager's socket, where whoever starts the container has one that can be mounted.
pub(super) fn notify_socket() -> Option<PathBuf> {
    use std::os::unix::fs::FileTypeExt;
    let path = PathBuf::from(std::env::var_os("NOTIFY_SOCKET")?);
    let about = std::fs::metadata(&path).ok()?;
    Some(path).filter(|path| path.is_absolute() && about.file_type().is_socket())
}

/// A file of the machine that the container sees.
pub(super) struct OwnFile {
    pub(super) source: PathBuf,
    pub(super) destination: &'static str,
    pub(super) read_only: bool,
    pub(super) executable: bool,
}

fn write_public(path: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    files::replace(path, text.as_bytes(), false)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).doing("changing", path)
}

/// Writes what has to be there and says what is.
pub(super) fn write(build: &Build<'_>) -> Result<Vec<OwnFile>> {
    let folder = own_folder::folder(build.folders, &build.desired.id);
    files::private_folder(&folder)?;
    let mut found = Vec::new();
    let mut add = |name: &str, destination: &'static str| -> Result<()> {
        let source = folder.join(name);
        // Where the mount cannot be id-mapped, the file itself is the container's root's.
        match build.on_disk(0, 0, &source) {
            // Nobody in it is root.
            Err(RunnerError::Usage(_)) => {}
            owner => {
                let (uid, gid) = owner?;
                chown(&source, Some(uid), Some(gid)).doing("giving away", &source)?;
            }
        }
        found.push(OwnFile { source, destination, read_only: false, executable: false });
        Ok(())
    };
    if let Some(hostname) = build.hostname() {
        write_public(&folder.join("hostname"), &format!("{hostname}\n"))?;
        add("hostname", "/etc/hostname")?;
    }
    // Both are the network's, and there before this.
    for (name, destination) in [("hosts", "/etc/hosts"), ("resolv.conf", "/etc/resolv.conf")] {
        if folder.join(name).exists() {
            add(name, destination)?;
        }
    }
    write_public(&folder.join("containerenv"), "")?;
    add("containerenv", "/run/.containerenv")?;
    if build.desired.process.sd_notify
        && let Some(source) = notify_socket()
    {
        found.push(OwnFile { source, destination: NOTIFY, read_only: false, executable: false });
    }
    if build.desired.process.init {
        // Bound read-only: what the container opens of it, also by `/proc/1/exe`, goes through that mount, so nothing
        // of it can be written there (CVE-2019-5736).
        found.push(OwnFile {
            source: init::Program::ready(build.folders)?.folder,
            destination: INIT,
            read_only: true,
            executable: true,
        });
    }
    Ok(found)
}
