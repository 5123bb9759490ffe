//! The tree of a container whose files are read or written: with everything that is mounted there.
//!
//! Of a running container it is what its processes see. Its mount namespace is entered for as long as it takes to open
//! its root; from that descriptor the kernel goes on into whatever is mounted below, and a link of the container ends in
//! the root all the same. Of another one everything is mounted here, for this process alone.

use std::{
    fs,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use berth_runtime::{bind_onto, make_user_namespace, own_mounts};
use rustix::{
    fs::{CWD, Mode, OFlags, fstat},
    process::{Gid, Uid},
    thread::{
        LinkNameSpaceType, move_into_link_name_space, set_thread_groups, set_thread_res_gid,
        set_thread_res_uid,
    },
};

use super::{Owners, Place, place::make_place};
use crate::{
    bundle::{inside::Inside, user},
    error::{Result, RunnerError, While},
    folders::Folders,
    record::{Desired, Mount, MountKind, Records, UserNamespace},
    rootless,
    store::{Store, is_mounted, mapping},
    supervisor::live::{self, Live},
    volume::{self, DiskIds, Volumes},
};

/// What of a container is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parts {
    /// Its root alone, without anything that is mounted into it (`export`).
    Root,
    /// All that its processes see.
    All,
}

/// Opens the tree of a container, and becomes whom its files belong to.
///
/// # Errors
/// Where the container ends meanwhile, or what it has mounted is not there.
pub(super) fn open(folders: &Folders, records: &Records, container: &Desired, parts: Parts) -> Result<Place> {
    let seen = live::snapshot(records, container)?;
    let Some(pid) = seen.pid else { return at_rest(folders, container, parts) };
    let root = seen.supervisor.map(|supervisor| root_of(folders, container, supervisor));
    if parts == Parts::All {
        let place = seen_by(pid)?;
        // The number may have become another process's between.
        if Live::read(folders, &container.id)?.map(|live| live.process()).transpose()?.flatten() != Some(pid)
        {
            return Err(RunnerError::Conflict("the container ended meanwhile: try again".into()));
        }
        // What another runtime calls the container's process may see something else than the container does.
        if container.runtime.is_none() || root.as_deref().is_none_or(|root| is_same(&place, root)) {
            join(pid)?;
            return Ok(place);
        }
    }
    let Some(root) = root else {
        return Err(RunnerError::Conflict(
            "its supervisor was killed: any `berth-runner stop`, `start` or `boot` brings another one".into(),
        ));
    };
    // A supervisor that went on with the container in place of another has nothing mounted. The container's own root is
    // the same tree, and what is mounted in it is none of ours.
    let place = if container.rootfs.is_some() || is_mounted(&root)? {
        Place::open(&root)?
    } else {
        Place::alone(Path::new(&format!("/proc/{pid}/root")))?
    };
    join(pid)?;
    Ok(place)
}

/// Whose files are that nobody else was named for: the user's of the container, or root's where the container does not
/// know that user (any more), which is a thing to mend by a copy.
pub(super) fn user(place: &Place, container: &Desired) -> Owners {
    let path = format!("/proc/self/fd/{}", place.as_fd().as_raw_fd());
    let process = &container.process;
    let found =
        Inside::new(Path::new(&path)).and_then(|inside| user::find(&inside, &process.user, &process.groups));
    found.map_or(Owners::These(0, 0), |found| Owners::These(found.uid, found.gid))
}

/// The root as its supervisor has it mounted.
fn root_of(folders: &Folders, container: &Desired, supervisor: i32) -> PathBuf {
    let root = folders.running(&container.id).join("root");
    container.rootfs.clone().unwrap_or_else(|| {
        PathBuf::from(format!("/proc/{supervisor}/root")).join(root.strip_prefix("/").unwrap_or(&root))
    })
}

fn is_same(place: &Place, root: &Path) -> bool {
    let here = fstat(place).map(|about| (about.st_dev, about.st_ino));
    let there = rustix::fs::stat(root).map(|about| (about.st_dev, about.st_ino));
    here.is_ok() && here == there
}

fn namespace(path: &str) -> Result<OwnedFd> {
    rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).doing("opening", path)
}

/// The root of the mount namespace of a process, wherever that process itself calls its root.
fn seen_by(pid: i32) -> Result<Place> {
    let path = format!("/proc/{pid}/ns/mnt");
    let (own, theirs) = (namespace("/proc/self/ns/mnt")?, namespace(&path)?);
    let kind = Some(LinkNameSpaceType::Mount);
    move_into_link_name_space(theirs.as_fd(), kind).doing("entering", &path)?;
    let place = Place::open(Path::new("/"));
    move_into_link_name_space(own.as_fd(), kind).doing("leaving", &path)?;
    place
}

/// The root of a container that does not run, with its folders and volumes where they will be. What is memory while it
/// runs is not there, and neither are secrets.
fn at_rest(folders: &Folders, container: &Desired, parts: Parts) -> Result<Place> {
    own_mounts().doing("making", "a mount namespace")?;
    // Without a map files have the owners that they have in the container, or in the namespace of an ordinary user.
    let mut plain = container.clone();
    plain.isolation.user = UserNamespace::Host;
    let root = Store::open(folders)?.mount_root(&plain)?;
    if parts == Parts::All {
        let mut mounts: Vec<&Mount> = container.mounts.iter().collect();
        mounts.sort_by_key(|mount| mount.destination.components().count());
        for mount in mounts {
            if let Some((source, _held)) = source(folders, mount, &root)? {
                let place = Place::open(&root)?;
                let onto = make_place(&place, &mount.destination, source.is_dir())?;
                bind_onto(&source, onto.as_fd(), mount.read_only)?;
            }
        }
    }
    let place = Place::open(&root)?;
    match &container.isolation.user {
        UserNamespace::Private { uids, gids } if rootless::is_inside() => {
            enter(make_user_namespace(&mapping(uids)?, &mapping(gids)?)?.as_fd(), "the container's ids")?;
        }
        UserNamespace::Private { .. }
        | UserNamespace::Host
        | UserNamespace::Container(_)
        | UserNamespace::Path(_) => {}
    }
    Ok(place)
}

/// What is mounted, and what has to stay open until it is; a new volume is filled first, as its container's start would
/// have done.
fn source(folders: &Folders, mount: &Mount, root: &Path) -> Result<Option<(PathBuf, Option<OwnedFd>)>> {
    match &mount.kind {
        MountKind::Bind { source } => {
            if source.exists() {
                return Ok(Some((source.clone(), None)));
            }
            Err(RunnerError::NotFound(format!(
                "{}, which is mounted at {}, is not there",
                source.display(),
                mount.destination.display()
            )))
        }
        MountKind::Volume { name, no_copy, subpath, .. } => {
            let volumes = Volumes::new(folders);
            let data = volumes.data(name)?;
            if !no_copy && subpath.is_none() {
                volumes.fill(name, &Inside::new(root)?, &mount.destination, &DiskIds::default())?;
            }
            let Some(below) = subpath else { return Ok(Some((data, None))) };
            let opened = volume::below(&data, below)?;
            Ok(Some((PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd())), Some(opened))))
        }
        MountKind::Tmpfs { .. } | MountKind::Secret { .. } => Ok(None),
    }
}

/// Enters the user namespace of a process, and is root there. Its process ids stay ours: the container sees nothing.
fn join(pid: i32) -> Result<()> {
    let path = format!("/proc/{pid}/ns/user");
    let theirs = fs::read_link(&path).doing("reading", &path)?;
    if theirs == fs::read_link("/proc/self/ns/user").doing("reading", "/proc/self/ns/user")? {
        return Ok(());
    }
    enter(namespace(&path)?.as_fd(), &path)
}

/// Enters a user namespace, and is root there.
fn enter(namespace: BorrowedFd<'_>, name: &str) -> Result<()> {
    move_into_link_name_space(namespace, Some(LinkNameSpaceType::User)).doing("entering", name)?;
    // Where groups may not be set there are none that matter.
    match set_thread_groups(&[]) {
        Ok(()) | Err(rustix::io::Errno::PERM) => {}
        Err(error) => return Err(error).doing("becoming", "the container's root"),
    }
    set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).doing("becoming", "the container's root")?;
    set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).doing("becoming", "the container's root")
}
