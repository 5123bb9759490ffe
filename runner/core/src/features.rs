//! What the kernel offers, read from `/proc` and `/sys` without changing anything.

use std::{fs, io, path::Path};

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
        Ok(Self {
            kernel: required("sys/kernel/osrelease")?.trim().to_owned(),
            cgroups: cgroups(&required("self/mounts")?),
            controllers: controllers.split_whitespace().map(str::to_owned).collect(),
            user_namespaces: limit.is_some_and(|limit| limit.trim() != "0")
                && switched_on.is_none_or(|switch| switch.trim() != "0"),
            overlay: required("filesystems")?.split_whitespace().any(|name| name == "overlay"),
            seccomp: proc("sys/kernel/seccomp/actions_avail")?.is_some(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
