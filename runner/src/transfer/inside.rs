//! The process that reads or writes a container's files.

use std::{
    fs,
    io::{self, Write},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    process::ExitCode,
};

use berth_runtime::own_mounts;
use rustix::{
    fs::{Mode, OFlags},
    process::{Gid, Signal, Uid, getppid, set_parent_process_death_signal},
    thread::{
        LinkNameSpaceType, move_into_link_name_space, set_thread_groups, set_thread_res_gid,
        set_thread_res_uid,
    },
};

use super::{Owners, Packed, Place, Target, pack, place::Named, unpack};
use crate::{
    error::{Result, RunnerError, While},
    folders::Folders,
    record::{Desired, MountKind, Records, UserNamespace},
    stop::Stop,
    store::{Store, is_mounted},
    supervisor::live,
    volume::Volumes,
};

/// Its `main`: arguments as [`super::Helper::start`] writes them.
pub(crate) fn main(arguments: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    let words: Vec<String> = arguments.map(|word| word.to_string_lossy().into_owned()).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _told = write!(io::stderr(), "{error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(words: &[String]) -> Result<()> {
    let [store, run, id, verb, path, one, other] = words else {
        return Err(RunnerError::Usage("this is no command for people: `berth-runner cp`".into()));
    };
    let folders = Folders { store: store.into(), run: run.into() };
    let records = Records::new(&folders);
    let container = records.find(id)?;
    let parent = getppid();
    let stop = Stop::collect()?;
    let (root, path) = enter(&folders, &records, &container, path)?;
    // Asked for after the ids are what they stay: with them the kernel forgets it.
    set_parent_process_death_signal(Some(Signal::TERM)).doing("staying with", "the command")?;
    if getppid() != parent {
        return Err(RunnerError::Conflict("the command that asked for the files is gone".into()));
    }
    let done = match (verb.as_str(), Target::of(one), Owners::of(other)) {
        ("pack", _, _) => {
            let packed = if other == "bare" { Packed::Bare } else { Packed::Named };
            let out = io::BufWriter::with_capacity(256 << 10, stop.checked(io::stdout().lock()));
            pack(&root, &path, one == "follow", packed, out)
        }
        ("unpack", Some(target), Some(owners)) => {
            unpack(&root, &path, target, owners, stop.checked(io::stdin().lock()))
        }
        _ => Err(RunnerError::Usage("this is no command for people: `berth-runner cp`".into())),
    };
    stop.or(done)
}

/// Opens the tree that a path of the container is in, and becomes whom its files belong to. Of a running container
/// that is its root as its supervisor has it mounted; of another one it is mounted here, for this process alone.
fn enter(folders: &Folders, records: &Records, container: &Desired, path: &str) -> Result<(Place, String)> {
    let live = live::snapshot(records, container)?;
    if let Some((source, rest)) = mounted(folders, container, path, live.pid.is_some())? {
        return Ok((Place::open(&source)?, rest));
    }
    if let (Some(pid), Some(supervisor)) = (live.pid, live.supervisor) {
        let root = folders.running(&container.id).join("root");
        let root = match &container.rootfs {
            Some(rootfs) => rootfs.clone(),
            None => PathBuf::from(format!("/proc/{supervisor}/root"))
                .join(root.strip_prefix("/").unwrap_or(&root)),
        };
        // A supervisor that went on with the container in place of another has nothing mounted. The container's own
        // root is the same tree, and what is mounted in it is none of ours.
        let place = if container.rootfs.is_some() || is_mounted(&root)? {
            Place::open(&root)?
        } else {
            Place::alone(Path::new(&format!("/proc/{pid}/root")))?
        };
        join(pid)?;
        return Ok((place, path.to_owned()));
    }
    own_mounts().doing("making", "a mount namespace")?;
    // Without a map files have the owners that they have in the container.
    let mut plain = container.clone();
    plain.isolation.user = UserNamespace::Host;
    let root = Store::open(folders)?.mount_root(&plain)?;
    Ok((Place::open(&root)?, path.to_owned()))
}

/// Where a path leads into something that is mounted: the folder that is, and the rest of the path.
fn mounted(
    folders: &Folders,
    container: &Desired,
    path: &str,
    runs: bool,
) -> Result<Option<(PathBuf, String)>> {
    let named = Named::of(path);
    let within = container.mounts.iter().filter(|mount| named.path.starts_with(&mount.destination));
    let Some(mount) = within.max_by_key(|mount| mount.destination.as_os_str().len()) else { return Ok(None) };
    let mut subpath = Path::new("");
    let source = match &mount.kind {
        MountKind::Bind { source } => source.clone(),
        MountKind::Volume { name, subpath: below, .. } => {
            subpath = below.as_deref().unwrap_or(subpath);
            Volumes::new(folders).data(name)?
        }
        MountKind::Tmpfs { .. } | MountKind::Secret { .. } if runs => {
            return Err(RunnerError::Unsupported(format!(
                "{} is memory of the running container: `berth-runner exec` reads and writes there",
                mount.destination.display()
            )));
        }
        _ => return Ok(None),
    };
    if source.is_file() {
        let parent = source.parent().unwrap_or(Path::new("/")).to_owned();
        let name = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Ok(Some((parent, name)));
    }
    let rest = named.path.strip_prefix(&mount.destination).unwrap_or(Path::new(""));
    // Resolved with the rest, in the volume: what is on the way may be a link by now.
    let rest = if rest.as_os_str().is_empty() { subpath.to_owned() } else { subpath.join(rest) };
    let rest = rest.display().to_string();
    let behind = match (named.contents, named.folder) {
        (true, _) => "/.",
        (false, true) => "/",
        (false, false) => "",
    };
    Ok(Some((source, format!("/{rest}{behind}"))))
}

/// Enters the user namespace of a process, and is root there. Its process ids stay ours: the container sees nothing.
fn join(pid: i32) -> Result<()> {
    let path = format!("/proc/{pid}/ns/user");
    let theirs = fs::read_link(&path).doing("reading", &path)?;
    if theirs == fs::read_link("/proc/self/ns/user").doing("reading", "/proc/self/ns/user")? {
        return Ok(());
    }
    let namespace: OwnedFd =
        rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).doing("opening", &path)?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::User)).doing("entering", &path)?;
    // Where groups may not be set there are none that matter.
    match set_thread_groups(&[]) {
        Ok(()) | Err(rustix::io::Errno::PERM) => {}
        Err(error) => return Err(error).doing("becoming", "the container's root"),
    }
    set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).doing("becoming", "the container's root")?;
    set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).doing("becoming", "the container's root")
}
