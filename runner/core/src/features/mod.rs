//! What the kernel offers, read from `/proc` and `/sys` without changing anything.

mod calls;
pub(crate) mod sub_ids;

use std::{fs, io, path::Path};

use oci_spec::runtime::LinuxIdMappingBuilder;
use rustix::fs::{Access, AtFlags, CWD};

pub use self::{calls::Calls, sub_ids::SubIds};
use crate::{RuntimeError, rootfs::idmap, sys};

/// Which control groups are mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupVersion {
    /// None.
    Absent,
    /// A tree per controller.
    V1,
    /// Trees per controller, with version 2 beside them.
    Hybrid,
    /// The unified tree.
    V2,
}

/// What a container start can build on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features {
    /// The kernel's release, `6.1.0-18-amd64`.
    pub kernel: String,
    /// Control groups.
    pub cgroups: CgroupVersion,
    /// Controllers of the unified tree's root; empty without one.
    pub controllers: Vec<String>,
    /// User namespaces may be made: the kernel has them and no limit of 0 forbids them.
    pub user_namespaces: bool,
    /// The overlay filesystem is there (built in, or its module is loaded).
    pub overlay: bool,
    /// The kernel filters system calls.
    pub seccomp: bool,
    /// What a filter may answer: `kill_process`, `errno`, `user_notif` ...
    pub seccomp_actions: Vec<String>,
    /// Controllers by name, with where this user would make groups.
    pub limits: Vec<Controller>,
    /// Groups are killed in one step (`cgroup.kill`, Linux 5.14).
    pub group_kill: bool,
    /// Kinds of namespaces, as `/proc/self/ns` names them.
    pub namespaces: Vec<String>,
    /// User namespaces may be made by ordinary users. That AppArmor forbids it is in `unprivileged_restricted`.
    pub unprivileged_user_namespaces: bool,
    /// AppArmor takes the rights away that ordinary users would have in a user namespace.
    pub unprivileged_restricted: bool,
    /// What gives an ordinary user's container its ids.
    pub sub_ids: SubIds,
    /// System calls.
    pub calls: Calls,
    /// The version of Landlock.
    pub landlock: Option<u32>,
    /// AppArmor runs.
    pub apparmor: bool,
    /// SELinux runs.
    pub selinux: bool,
    /// There is swap to be used.
    pub swap: bool,
    /// Swap is counted, so that limits of it hold; `None` where no group tells.
    pub swap_limits: Option<bool>,
}

/// One controller of control groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controller {
    /// `memory`.
    pub name: String,
    /// 1 or 2.
    pub version: u8,
    /// This user may make groups here.
    pub writable: bool,
}

/// Whether a release (`6.1.0-18-amd64`) is as new as that.
fn at_least(release: &str, major: u32, minor: u32) -> bool {
    let mut numbers =
        release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (major, minor)
}

fn writable(folder: &Path) -> bool {
    rustix::fs::accessat(CWD, folder, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
}

/// Whether some group counts swap. The topmost one of version 2 has no limits, so those below it are asked.
fn swap_limits(root: &Path) -> Option<bool> {
    let trees = crate::cgroup::controllers(root).ok()?;
    let (_, top, unified) = trees.into_iter().find(|(name, ..)| name == "memory")?;
    if !unified {
        return Some(top.join("memory.memsw.limit_in_bytes").exists());
    }
    let below = fs::read_dir(&top).ok()?.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let mut limited = std::iter::once(top).chain(below).filter(|folder| folder.join("memory.max").exists());
    limited.next().map(|folder| folder.join("memory.swap.max").exists())
}

/// Absence of a file is an answer; any other failure is an error.
fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
    }
}

fn cgroups(mounts: &str) -> CgroupVersion {
    let mut v1 = false;
    let mut v2 = false;
    for kind in mounts.lines().filter_map(|line| line.split(' ').nth(2)) {
        v1 |= kind == "cgroup";
        v2 |= kind == "cgroup2";
    }
    match (v1, v2) {
        (false, false) => CgroupVersion::Absent,
        (true, false) => CgroupVersion::V1,
        (true, true) => CgroupVersion::Hybrid,
        (false, true) => CgroupVersion::V2,
    }
}

impl Features {
    /// Reads the machine below `root`, which is `/` but in tests.
    ///
    /// # Errors
    /// When `/proc` is not mounted or a file of it cannot be read.
    pub fn probe(root: &Path) -> io::Result<Self> {
        let proc = |name: &str| read(&root.join("proc").join(name));
        let required = |name: &str| {
            proc(name)?.ok_or_else(|| {
                io::Error::new(io::ErrorKind::NotFound, format!("/proc/{name} is missing: is /proc mounted?"))
            })
        };
        let controllers = read(&root.join("sys/fs/cgroup/cgroup.controllers"))?.unwrap_or_default();
        let limit = proc("sys/user/max_user_namespaces")?;
        let switched_on = proc("sys/kernel/unprivileged_userns_clone")?;
        let user_namespaces = limit.is_some_and(|limit| limit.trim() != "0");
        let unprivileged = user_namespaces && switched_on.is_none_or(|switch| switch.trim() != "0");
        let kernel = required("sys/kernel/osrelease")?.trim().to_owned();
        let filesystems = required("filesystems")?;
        let has = |name: &str| filesystems.split_whitespace().any(|one| one == name);
        let actions = proc("sys/kernel/seccomp/actions_avail")?;
        let groups = crate::cgroup::controllers(root).map_err(io::Error::other)?;
        let mut namespaces: Vec<_> = match fs::read_dir(root.join("proc/self/ns")) {
            Ok(entries) => entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        // Those of children are the same kinds.
        namespaces.retain(|name| !name.ends_with("_for_children"));
        namespaces.sort();
        let on = |text: Option<String>| text.is_some_and(|text| matches!(text.trim(), "1" | "Y"));
        let apparmor = on(read(&root.join("sys/module/apparmor/parameters/enabled"))?);
        Ok(Self {
            group_kill: at_least(&kernel, 5, 14),
            calls: Calls::probe(&kernel),
            limits: groups
                .into_iter()
                .map(|(name, top, v2)| Controller {
                    name,
                    version: if v2 { 2 } else { 1 },
                    writable: writable(&top),
                })
                .collect(),
            namespaces,
            unprivileged_user_namespaces: unprivileged,
            unprivileged_restricted: on(proc("sys/kernel/apparmor_restrict_unprivileged_userns")?),
            sub_ids: SubIds::probe(root)?,
            landlock: sys::calls::landlock_version(),
            apparmor,
            selinux: has("selinuxfs"),
            swap: proc("swaps")?.is_some_and(|swaps| swaps.lines().count() > 1),
            swap_limits: swap_limits(root),
            seccomp_actions: actions
                .iter()
                .flat_map(|text| text.split_whitespace())
                .map(str::to_owned)
                .collect(),
            kernel,
            cgroups: cgroups(&required("self/mounts")?),
            controllers: controllers.split_whitespace().map(str::to_owned).collect(),
            user_namespaces: user_namespaces && (unprivileged || rustix::process::geteuid().is_root()),
            overlay: has("overlay"),
            seccomp: actions.is_some(),
        })
    }
}

impl Features {
    /// Whether mounts of the filesystem at `path` can have the ids of a user namespace: tried out, with nothing mounted
    /// anywhere. Only root can; for others the answer is no.
    ///
    /// # Errors
    /// [`RuntimeError::Step`] where `path` is not there.
    pub fn id_mapped_mounts(path: &Path) -> Result<bool, RuntimeError> {
        let mapping =
            LinuxIdMappingBuilder::default().container_id(0u32).host_id(1_234_567u32).size(1u32).build();
        let mapping = mapping
            .map_err(|error| RuntimeError::Spec { field: "mapping".into(), rule: error.to_string() })?;
        let Ok(namespace) = idmap::make_user_namespace(&[mapping], &[mapping]) else { return Ok(false) };
        match idmap::id_mapped_clone(path, std::os::fd::AsFd::as_fd(&namespace), false) {
            Ok(_) => Ok(true),
            Err(RuntimeError::Unsupported { .. }) => Ok(false),
            Err(RuntimeError::Step { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_compared_by_its_numbers() {
        assert!(at_least("6.1.0-18-amd64", 5, 14) && at_least("5.14.0", 5, 14) && at_least("10.0", 9, 99));
        assert!(!at_least("5.4.0-150-generic", 5, 14) && !at_least("4.19", 5, 0) && !at_least("", 1, 0));
    }

    #[test]
    fn what_this_kernel_has_is_found() {
        let features = Features::probe(Path::new("/")).unwrap();
        // What any kernel has that this program is tested on.
        assert!(features.calls.pidfd && features.calls.clone3 && features.calls.openat2, "{features:?}");
        for name in ["mnt", "pid", "net", "user"] {
            assert!(features.namespaces.iter().any(|one| one == name), "{name}: {features:?}");
        }
        assert!(
            !features.seccomp || features.seccomp_actions.iter().any(|action| action == "errno"),
            "{features:?}"
        );
        let root = rustix::process::geteuid().is_root();
        assert!(!root || features.limits.iter().all(|one| one.writable), "{features:?}");
    }

    #[test]
    fn id_mapped_mounts_are_tried_out() {
        let folder = tempfile::tempdir().unwrap();
        let can = Features::id_mapped_mounts(folder.path()).unwrap();
        assert!(
            can || !rustix::process::geteuid().is_root()
                || !at_least(&Features::probe(Path::new("/")).unwrap().kernel, 6, 3)
        );
        assert!(!Features::id_mapped_mounts(Path::new("/proc")).unwrap(), "procfs has no ids to map");
    }

    #[test]
    fn cgroup_mounts_tell_the_version() {
        let v1 = "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n";
        let v2 = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n";
        assert_eq!(cgroups(""), CgroupVersion::Absent);
        assert_eq!(cgroups(v1), CgroupVersion::V1);
        assert_eq!(cgroups(v2), CgroupVersion::V2);
        assert_eq!(cgroups(&format!("{v1}{v2}")), CgroupVersion::Hybrid);
    }

    #[test]
    fn this_machine_can_be_probed() {
        let features = Features::probe(Path::new("/")).unwrap();
        assert!(features.kernel.starts_with(|c: char| c.is_ascii_digit()), "{features:?}");
    }

    #[test]
    fn a_machine_without_proc_says_so() {
        let error = Features::probe(Path::new("/nowhere")).unwrap_err();
        assert!(error.to_string().contains("is /proc mounted?"), "{error}");
    }
}
