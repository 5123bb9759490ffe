//! The folder of the files of ours that a container may write: `hosts`, `resolv.conf`, `hostname`.
//!
//! The folder of what runs is memory on most machines, and nothing would bound what a container writes there. So these
//! files lie in a tmpfs of the container's own, a little larger than they are. It is mounted in the mount namespace of
//! the supervisor alone and bound from there into the container, so it goes with the two of them. Whoever else writes
//! the files reaches them through the container's root, and knows them by device and inode: a container that put
//! something else there keeps that, and nothing but the files of ours is ever written.

use std::{
    collections::BTreeMap,
    ffi::CString,
    fs::File,
    io::{ErrorKind, Write},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use berth_runtime::{ContainerId, unmount as unmounted};
use rustix::{
    fs::{FileType, OFlags, fstat},
    io::Errno,
    mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount},
};

use crate::{
    error::{Result, While},
    folders::Folders,
    record::files,
    store::is_mounted,
    transfer::Place,
};

/// What a container may add to its files, all of them together.
const ROOM: u64 = 1 << 20;
/// Files in the folder, and their attributes.
const INODES: u32 = 32;

/// Where the supervisor has them.
pub(crate) fn folder(folders: &Folders, id: &ContainerId) -> PathBuf {
    folders.running(id).join("etc")
}

fn notes(folders: &Folders, id: &ContainerId) -> PathBuf {
    folders.running(id).join("etc.json")
}

/// Mounts it, in the mount namespace of the caller: the supervisor's own. Idempotent.
///
/// # Errors
/// The kernel's.
pub(crate) fn prepare(folders: &Folders, id: &ContainerId) -> Result<()> {
    let folder = folder(folders, id);
    files::private_folder(&folder)?;
    if is_mounted(&folder)? {
        return Ok(());
    }
    // With the network of the machine a container has the machine's file, which may be long.
    let hosts = std::fs::metadata("/etc/hosts").map_or(0, |found| found.len());
    let options = format!("mode=0700,size={},nr_inodes={INODES}", hosts + ROOM);
    let options = CString::new(options).map_err(std::io::Error::from).doing("mounting", &folder)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("tmpfs", &folder, "tmpfs", flags, options.as_c_str()).doing("mounting", &folder)
}

/// Gives something that is open a path which nobody in a container can lead elsewhere: it is mounted in the running
/// folder, for the supervisor alone. A path could mean another file by the time that a runtime opens it.
///
/// # Errors
/// The kernel's.
pub(super) fn hold(folders: &Folders, id: &ContainerId, opened: &OwnedFd) -> Result<PathBuf> {
    let binds = binds(folders, id);
    files::private_folder(&binds)?;
    let number = std::fs::read_dir(&binds).doing("reading", &binds)?.count();
    let place = binds.join(number.to_string());
    let about = fstat(opened).doing("looking at", &place)?;
    if FileType::from_raw_mode(about.st_mode) == FileType::Directory {
        files::private_folder(&place)?;
    } else {
        File::create_new(&place).doing("making", &place)?;
    }
    let source = format!("/proc/self/fd/{}", opened.as_raw_fd());
    mount_bind(source.as_str(), &place).doing("mounting", &place)?;
    Ok(place)
}

fn binds(folders: &Folders, id: &ContainerId) -> PathBuf {
    folders.running(id).join("binds")
}

/// Takes all of it away; safe to repeat.
///
/// # Errors
/// The kernel's.
pub(crate) fn take_away(folders: &Folders, id: &ContainerId) -> Result<()> {
    let folder = folder(folders, id);
    while is_mounted(&folder)? {
        unmounted(&folder)?;
    }
    let binds = binds(folders, id);
    let held = match std::fs::read_dir(&binds) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        held => held.doing("reading", &binds)?,
    };
    for place in held {
        let place = place.doing("reading", &binds)?.path();
        // A mount of the same filesystem looks like any folder; where none is the kernel says so.
        match unmount(&place, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Err(Errno::INVAL) => {}
            done => done.doing("unmounting", &place)?,
        }
        let about = std::fs::symlink_metadata(&place).doing("looking at", &place)?;
        let removed = if about.is_dir() { std::fs::remove_dir(&place) } else { std::fs::remove_file(&place) };
        removed.doing("removing", &place)?;
    }
    Ok(())
}

/// Remembers which files these are, for those who come through the container's root.
///
/// # Errors
/// Where they are not there.
pub(crate) fn note(folders: &Folders, id: &ContainerId, names: &[&str]) -> Result<()> {
    let mut found = BTreeMap::new();
    for name in names {
        let path = folder(folders, id).join(name);
        let about = std::fs::metadata(&path).doing("looking at", &path)?;
        found.insert(*name, (about.dev(), about.ino()));
    }
    files::replace_json(&notes(folders, id), &found, false)
}

/// Opens one of the files for somebody who is not the supervisor: that of a container whose first process is `pid`.
/// `None` where there is none, or the container has something else in its place.
///
/// # Errors
/// Where it cannot be opened.
pub(crate) fn reach(
    folders: &Folders,
    id: &ContainerId,
    pid: i32,
    name: &str,
    write: bool,
) -> Result<Option<File>> {
    let path = folder(folders, id).join(name);
    let mut options = File::options();
    options.read(!write).write(write).truncate(write);
    match options.open(&path) {
        Ok(file) => return Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).doing("opening", &path),
    }
    let noted: Option<BTreeMap<String, (u64, u64)>> = files::read_json(&notes(folders, id))?;
    let Some(noted) = noted.and_then(|noted| noted.get(name).copied()) else { return Ok(None) };
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    if !root.exists() {
        return Ok(None);
    }
    let inside = Path::new("/etc").join(name);
    // Looked at before it is opened: what a container puts there may do something when it is.
    let Some(found) = Place::open(&root)?.at(&inside, OFlags::PATH | OFlags::NOFOLLOW)? else {
        return Ok(None);
    };
    let about = fstat(&found).doing("looking at", &inside)?;
    if (about.st_dev, about.st_ino) != noted {
        return Ok(None);
    }
    let again = format!("/proc/self/fd/{}", found.as_raw_fd());
    options.open(again).doing("opening", &inside).map(Some)
}

/// Writes one of the files anew for a container that runs. One that filled what it has for them keeps what there is,
/// and that is said: it is its own loss, and nothing else waits for it.
///
/// # Errors
/// Where it cannot be written for another reason.
pub(crate) fn rewrite(folders: &Folders, id: &ContainerId, pid: i32, name: &str, text: &[u8]) -> Result<()> {
    let Some(mut file) = reach(folders, id, pid, name, true)? else { return Ok(()) };
    match file.write_all(text) {
        Err(error) if error.kind() == ErrorKind::StorageFull => {
            let told = writeln!(
                std::io::stderr(),
                "berth-runner: warning: /etc/{name} of container {id} is not up to date: the container filled the \
                 memory that these files have"
            );
            told.doing("writing", "standard error")
        }
        done => done.doing("writing", Path::new("/etc").join(name)),
    }
}
