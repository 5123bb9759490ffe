//! The trees of control groups that are mounted here, and where the caller is in them.

use std::path::{Component, Path, PathBuf};

use super::file;
use crate::{During, RuntimeError};

/// Controllers of version 1, as they stand among the options of a mount.
const V1: [&str; 14] = [
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "misc",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
    "rdma",
];

/// One mounted tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hierarchy {
    /// Its controllers as options of its mount (`memory`, `cpu,cpuacct`, `name=systemd`); empty for the unified one.
    pub(super) options: String,
    /// Where it is mounted.
    pub(super) mount: PathBuf,
    /// The folder of the caller's own group.
    pub(super) own: PathBuf,
}

impl Hierarchy {
    pub(super) fn unified(&self) -> bool {
        self.options.is_empty()
    }
}

/// Blanks and backslashes stand as octal numbers in mountinfo.
fn unescape(text: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let octal = |digits: &[u8]| {
            std::str::from_utf8(digits).ok().and_then(|text| u8::from_str_radix(text, 8).ok())
        };
        match after.get(..3).filter(|_| first == b'\\').and_then(octal) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    std::ffi::OsString::from_vec(bytes).into()
}

/// What `/proc/self/cgroup` says for these options: the group's path in its hierarchy.
pub(super) fn own<'a>(groups: &'a str, options: &str) -> Option<&'a str> {
    groups.lines().find_map(|line| {
        let (id, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let same = match options.split(',').next() {
            Some("") | None => id == "0" && controllers.is_empty(),
            Some(first) => controllers.split(',').any(|one| one == first),
        };
        same.then_some(path)
    })
}

/// The writable trees of `mountinfo`, each once.
pub(super) fn parse(mountinfo: &str, groups: &str, root: &Path) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in mountinfo.lines() {
        let Some((mount, filesystem)) = line.split_once(" - ") else { continue };
        let mount: Vec<_> = mount.split(' ').collect();
        let filesystem: Vec<_> = filesystem.split(' ').collect();
        let (&[_, _, _, top, at, flags, ..], &[kind, _, super_options]) = (&mount[..], &filesystem[..])
        else {
            continue;
        };
        let options = match kind {
            "cgroup2" => String::new(),
            "cgroup" => {
                let of: Vec<_> = super_options
                    .split(',')
                    .filter(|one| V1.contains(one) || one.starts_with("name="))
                    .collect();
                of.join(",")
            }
            _ => continue,
        };
        let read_only = flags.split(',').chain(super_options.split(',')).any(|flag| flag == "ro");
        if read_only
            || (kind == "cgroup" && options.is_empty())
            || found.iter().any(|one| one.options == options)
        {
            continue;
        }
        let mount = root.join(unescape(at).strip_prefix("/").unwrap_or(Path::new("")));
        // A group above what is mounted here (as seen from a container) is not reachable: the mount stands for it.
        let inside =
            own(groups, &options).map(Path::new).and_then(|path| path.strip_prefix(unescape(top)).ok());
        let inside = inside.filter(|path| path.components().all(|part| matches!(part, Component::Normal(_))));
        let own = inside.map_or_else(|| mount.clone(), |path| mount.join(path));
        found.push(Hierarchy { options, mount, own });
    }
    found
}

/// The writable trees of the machine below `root`, which is `/` but in tests.
pub(super) fn mounted(root: &Path) -> Result<Vec<Hierarchy>, RuntimeError> {
    let required = |name: &str| {
        let path = root.join("proc/self").join(name);
        file::read(&path)?
            .ok_or_else(|| std::io::Error::new(std::io::ErrorKind::NotFound, "is /proc mounted?"))
            .during(|| format!("reading {}", path.display()))
    };
    Ok(parse(&required("mountinfo")?, &required("cgroup")?, root))
}

/// Controllers, each with the folder below which the caller would make groups, and whether it is of version 2.
pub(crate) fn controllers(root: &Path) -> Result<Vec<(String, PathBuf, bool)>, RuntimeError> {
    let mut found = Vec::new();
    for hierarchy in mounted(root)? {
        let top = if rustix::process::geteuid().is_root() { &hierarchy.mount } else { &hierarchy.own };
        if hierarchy.unified() {
            let has = file::read(&hierarchy.own.join("cgroup.controllers"))?.unwrap_or_default();
            found.extend(has.split_whitespace().map(|one| (one.to_owned(), top.clone(), true)));
        } else {
            let of = hierarchy.options.split(',').filter(|one| !one.starts_with("name="));
            found.extend(of.map(|one| (one.to_owned(), top.clone(), false)));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hierarchy(options: &str, mount: &str, own: &str) -> Hierarchy {
        Hierarchy { options: options.into(), mount: mount.into(), own: own.into() }
    }

    #[test]
    fn trees_are_found_with_the_callers_own_groups() {
        let mounts = "\
30 23 0:26 / /sys/fs/cgroup rw,nosuid - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate
32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:10 - cgroup cgroup rw,cpu,cpuacct
33 30 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/lib/x,name=systemd
34 30 0:30 / /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory
35 30 0:31 / /mnt/a\\040b rw - cgroup cgroup rw,pids
36 30 0:31 / /mnt/again rw - cgroup cgroup rw,pids
";
        let groups =
            "5:pids:/x\n4:memory:/m\n3:cpu,cpuacct:/../out\n1:name=systemd:/user.slice\n0::/user.slice\n";
        assert_eq!(
            parse(mounts, groups, Path::new("/")),
            [
                hierarchy("", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified/user.slice"),
                hierarchy("cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct"),
                hierarchy("name=systemd", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/systemd/user.slice"),
                hierarchy("pids", "/mnt/a b", "/mnt/a b/x"),
            ]
        );
    }

    #[test]
    fn a_mount_of_a_part_is_not_left() {
        let mounts = "35 30 0:31 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
        let own = |groups| parse(mounts, groups, Path::new("/"))[0].own.clone();
        assert_eq!(own("0::/docker/abc/inner\n"), Path::new("/sys/fs/cgroup/inner"));
        assert_eq!(own("0::/elsewhere\n"), Path::new("/sys/fs/cgroup"));
    }
}
