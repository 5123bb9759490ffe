//! Everything that is mounted into a container, in the order in which it is mounted: what lies higher first.

use std::path::{Path, PathBuf};

use oci_spec::runtime::Mount as Mounted;

use super::{
    Build, devices, namespaces,
    own_files::{self, OwnFile},
    own_folder,
};
use crate::{
    error::{Result, RunnerError},
    record::{Desired, Mount, MountKind, Namespace},
    secret, volume,
};

fn mounted(
    destination: impl Into<PathBuf>,
    kind: &str,
    source: impl Into<PathBuf>,
    options: &[&str],
) -> Mounted {
    let mut mount = Mounted::default();
    mount.set_destination(destination.into()).set_typ(Some(kind.to_owned())).set_source(Some(source.into()));
    mount.set_options(Some(options.iter().map(|option| (*option).to_owned()).collect()));
    mount
}

/// The kernel's filesystems and memory, which every container has.
fn usual(build: &Build<'_>) -> Vec<Mounted> {
    let desired = build.desired;
    let private_users = namespaces::has_user_namespace(desired);
    let privileged = desired.security.privileged;
    let mut found = Vec::new();
    // Another namespace's processes cannot be mounted by a container that is not root over them, only bound.
    found.push(if private_users && desired.isolation.pid == Namespace::Host {
        mounted("/proc", "bind", "/proc", &["rbind", "nosuid", "noexec", "nodev"])
    } else {
        let mut options = vec!["nosuid", "noexec", "nodev"];
        options.extend(desired.security.proc_options.iter().map(String::as_str));
        mounted("/proc", "proc", "proc", &options)
    });
    found.push(mounted("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]));
    let mut terminals = vec!["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    if build.knows_gid(5) {
        terminals.push("gid=5");
    }
    found.push(mounted("/dev/pts", "devpts", "devpts", &terminals));
    if desired.isolation.ipc == Namespace::Host {
        let options = ["rbind", "nosuid", "noexec", "nodev"];
        let there = ["/dev/shm", "/dev/mqueue"].into_iter().filter(|path| Path::new(path).exists());
        found.extend(there.map(|path| mounted(path, "bind", path, &options)));
    } else {
        let size = format!("size={}", desired.limits.shm_size);
        let options = ["nosuid", "noexec", "nodev", "mode=1777", &size];
        // A size of 0 is the kernel's own limit, half of the memory.
        let options = if desired.limits.shm_size == 0 { &options[..4] } else { &options[..] };
        found.push(mounted("/dev/shm", "tmpfs", "shm", options));
        found.push(mounted("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]));
    }
    let write = if privileged { "rw" } else { "ro" };
    // The same for the network's part of sysfs.
    found.push(if (private_users || build.starter.rootless) && !namespaces::owns_network(desired) {
        mounted(
            "/sys",
            "bind",
            "/sys",
            &["rbind", "nosuid", "noexec", "nodev", if privileged { "rw" } else { "rro" }],
        )
    } else {
        mounted("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", write])
    });
    let write = if privileged || build.hands_over_groups() { "rw" } else { "ro" };
    found.push(mounted(
        "/sys/fs/cgroup",
        "cgroup",
        "cgroup",
        &["nosuid", "noexec", "nodev", "relatime", write],
    ));
    found
}

/// Memory in place of folders: for a root that cannot be written, and for an init system.
fn memory(desired: &Desired) -> Vec<Mounted> {
    let mut found = Vec::new();
    let mut add = |path: &str, mode: &str| {
        if found.iter().all(|mount: &Mounted| mount.destination() != Path::new(path)) {
            found.push(mounted(path, "tmpfs", "tmpfs", &["rw", "nosuid", "nodev", "tmpcopyup", mode]));
        }
    };
    if desired.security.read_only && desired.security.read_only_tmpfs {
        add("/run", "mode=755");
        add("/tmp", "mode=1777");
        add("/var/tmp", "mode=1777");
    }
    if desired.process.systemd {
        add("/run", "mode=755");
        add("/run/lock", "mode=755");
        add("/tmp", "mode=1777");
        add("/var/log/journal", "mode=755");
    }
    found
}

/// The ids of a mount are the container's: what its root writes is root's on disk, and nothing else of root's is its.
fn id_map(build: &Build<'_>, mount: &mut Mounted, source: &Path) -> Result<()> {
    let Some((uids, gids)) = &build.maps else { return Ok(()) };
    if !build.id_mapped() || !super::can_be_id_mapped(source)? {
        return Ok(());
    }
    mount
        .set_uid_mappings(Some(namespaces::mappings(uids)))
        .set_gid_mappings(Some(namespaces::mappings(gids)));
    let mut options = mount.options().clone().unwrap_or_default();
    options.push("idmap".into());
    mount.set_options(Some(options));
    Ok(())
}

/// Whether an option of these is among them.
fn says(options: &[String], words: &[&str]) -> bool {
    options.iter().any(|option| words.contains(&option.as_str()))
}

/// A mount of a path of the machine, with what is not said otherwise.
fn bound(build: &Build<'_>, wanted: &Mount, source: &Path, own: bool) -> Result<Mounted> {
    let mut options: Vec<&str> = Vec::new();
    if !says(&wanted.options, &["bind", "rbind"]) {
        options.push("rbind");
    }
    if !says(&wanted.options, &["private", "rprivate", "shared", "rshared", "slave", "rslave"]) {
        options.push("rprivate");
    }
    let trusted = build.desired.security.privileged || source.starts_with("/dev");
    if own || !trusted {
        if !says(&wanted.options, &["suid", "nosuid"]) {
            options.push("nosuid");
        }
        if !says(&wanted.options, &["dev", "nodev"]) {
            options.push("nodev");
        }
    }
    options.push(if wanted.read_only { "ro" } else { "rw" });
    options.extend(wanted.options.iter().map(String::as_str));
    let mut mount = mounted(&wanted.destination, "bind", source, &options);
    id_map(build, &mut mount, source)?;
    Ok(mount)
}

fn asked(build: &Build<'_>, wanted: &Mount) -> Result<Mounted> {
    match &wanted.kind {
        MountKind::Bind { source } => {
            if !source.exists() {
                return Err(RunnerError::NotFound(format!(
                    "{}, which is to be mounted at {}, is not there: make it first",
                    source.display(),
                    wanted.destination.display()
                )));
            }
            super::ownership::adjust(build, wanted, source)?;
            bound(build, wanted, source, false)
        }
        MountKind::Volume { name, no_copy, subpath, .. } => {
            let volumes = volume::Volumes::new(build.folders);
            let data = volumes.data(name)?;
            if !no_copy && subpath.is_none() {
                volumes.fill(name, &build.inside, &wanted.destination, &build.disk_ids())?;
            }
            let source = match subpath {
                None => data,
                Some(below) => {
                    let opened = volume::below(&data, below)?;
                    own_folder::hold(build.folders, &build.desired.id, &opened)?
                }
            };
            super::ownership::adjust(build, wanted, &source)?;
            bound(build, wanted, &source, true)
        }
        MountKind::Tmpfs { size, mode } => {
            let mut options = vec![if wanted.read_only { "ro" } else { "rw" }];
            for (word, other) in [("nosuid", "suid"), ("nodev", "dev"), ("noexec", "exec")] {
                if !says(&wanted.options, &[word, other]) {
                    options.push(word);
                }
            }
            let size = size.map(|size| format!("size={size}"));
            let mode = format!("mode={:o}", mode.unwrap_or(0o1777));
            options.extend(size.as_deref());
            options.push(&mode);
            options.extend(wanted.options.iter().map(String::as_str));
            Ok(mounted(&wanted.destination, "tmpfs", "tmpfs", &options))
        }
        MountKind::Secret { name, uid, gid, mode } => {
            let running = build.folders.running(&build.desired.id);
            let owner = build.on_disk(*uid, *gid, &running)?;
            let file = secret::place(build.folders, &running, name, owner, *mode)?;
            let mut mount =
                mounted(&wanted.destination, "bind", &file, &["bind", "ro", "nosuid", "nodev", "noexec"]);
            id_map(build, &mut mount, &file)?;
            Ok(mount)
        }
    }
}

fn own(build: &Build<'_>, file: &OwnFile) -> Result<Mounted> {
    let mut options = vec!["bind", "rprivate", "nosuid", "nodev"];
    if !file.executable {
        options.push("noexec");
    }
    options.push(if file.read_only { "ro" } else { "rw" });
    let mut mount = mounted(file.destination, "bind", &file.source, &options);
    // The program itself keeps its owner: nobody in the container is to write it.
    if !file.executable {
        id_map(build, &mut mount, &file.source)?;
    }
    Ok(mount)
}

/// How many folders lie above.
fn depth(path: &Path) -> usize {
    path.components().count()
}

/// All mounts.
///
/// # Errors
/// [`RunnerError::NotFound`] for a source that is not there, [`RunnerError::Content`] for one that cannot be.
pub(super) fn of(build: &Build<'_>) -> Result<Vec<Mounted>> {
    let mut found = usual(build);
    found.extend(memory(build.desired));
    for file in own_files::write(build)? {
        found.push(own(build, &file)?);
    }
    for wanted in &build.desired.mounts {
        // What is asked for stands in place of the usual; below a folder of the machine's devices nothing of the
        // usual is missing.
        let devices = wanted.destination == Path::new("/dev");
        found.retain(|mount| {
            *mount.destination() != wanted.destination
                && !(devices && mount.destination().starts_with("/dev"))
        });
        found.push(asked(build, wanted)?);
    }
    if build.in_user_namespace() {
        found.extend(devices::moved(build.desired).map(|device| {
            mounted(&device.destination, "bind", &device.source, &["bind", "rprivate", "nosuid", "noexec"])
        }));
    }
    found.sort_by_key(|mount| depth(mount.destination()));
    Ok(found)
}
