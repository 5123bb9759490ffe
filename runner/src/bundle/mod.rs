//! From a record to a runtime specification.
//!
//! | module | what it decides |
//! |---|---|
//! | [`user`] | who the first process is |
//! | [`namespaces`] | what is the container's own, what it shares |
//! | [`capabilities`], [`seccomp`], [`paths`] | what it may do and see |
//! | [`limits`], [`rlimits`], [`devices`] | what it may use |
//! | [`mounts`], [`own_files`], [`own_folder`], [`ownership`] | what is mounted, in which order, whose it is |
//! | [`ids`] | which ids of the machine are the container's alone |
//!
//! Nothing of the image becomes an annotation or a hook: labels and variables of an image are data (U17).

pub(crate) mod capabilities;
mod devices;
pub(crate) mod ids;
pub(crate) mod inside;
mod limits;
mod mounts;
pub(crate) mod namespaces;
mod own_files;
pub(crate) mod own_folder;
mod ownership;
mod paths;
mod process;
mod rlimits;
pub(crate) mod seccomp;
pub(crate) mod user;

use own_files::INIT as INIT_PATH;

use std::{os::unix::fs::MetadataExt, path::Path};

use oci_spec::runtime::{Linux, Root, Spec};

use self::{inside::Inside, limits::Starter, user::Identity};
use crate::{
    error::{Result, RunnerError, While},
    folders::Folders,
    record::{Desired, IdMap, Namespace, Records, Seccomp, UserNamespace, files},
    rootless,
    volume::DiskIds,
};

/// The version of the specification whose words are used.
const VERSION: &str = "1.2.0";

/// What the parts of a specification have to know.
struct Build<'a> {
    folders: &'a Folders,
    desired: &'a Desired,
    inside: Inside,
    identity: Identity,
    starter: Starter,
    /// Ids of its user namespace, its own or another container's, where it is not the runner's.
    maps: Option<(Vec<IdMap>, Vec<IdMap>)>,
}

/// The ids that a container has, also where they are another's.
fn maps_of(folders: &Folders, desired: &Desired) -> Result<Option<(Vec<IdMap>, Vec<IdMap>)>> {
    match &desired.isolation.user {
        UserNamespace::Private { uids, gids } => Ok(Some((uids.clone(), gids.clone()))),
        UserNamespace::Container(id) => {
            let other = Records::new(folders).find(id.as_str())?;
            match other.isolation.user {
                UserNamespace::Private { uids, gids } => Ok(Some((uids, gids))),
                UserNamespace::Host | UserNamespace::Container(_) | UserNamespace::Path(_) => Ok(None),
            }
        }
        UserNamespace::Host | UserNamespace::Path(_) => Ok(None),
    }
}

/// Filesystems whose mounts can be id-mapped: magic number, and since which kernel.
const ID_MAPPED: [(i64, (u32, u32)); 12] = [
    (0xEF53, (5, 12)),
    (0x0102_1994, (6, 3)),
    (0x5846_5342, (5, 12)),
    (0x9123_683E, (5, 15)),
    (0xF2F5_2010, (5, 17)),
    (0xE0F5_E1E2, (5, 19)),
    (0x7371_7368, (6, 2)),
    (0x4D44, (5, 12)),
    (0x7366_746E, (5, 15)),
    (0xCA45_1A4E, (6, 7)),
    (0x00C3_6400, (6, 7)),
    (0x2FC1_2FC1, (5, 12)),
];

/// Major and minor number of the kernel.
fn kernel() -> (u32, u32) {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Whether mounts of a path can be id-mapped.
///
/// # Errors
/// Where it is not there.
pub(crate) fn can_be_id_mapped(path: &Path) -> Result<bool> {
    let kind = inside::filesystem(path)?;
    // The machine's devices are a kind of tmpfs that cannot, though it has the same number.
    let about = std::fs::metadata(path).doing("asking", path)?;
    if std::fs::metadata("/dev").is_ok_and(|devices| devices.dev() == about.dev()) {
        return Ok(false);
    }
    Ok(ID_MAPPED.iter().any(|(magic, since)| *magic == kind && kernel() >= *since))
}

/// Whether roots of overlays can be made of id-mapped layers (Linux 5.19).
pub(crate) fn id_mapped_roots() -> bool {
    kernel() >= (5, 19)
}

/// The id on the machine of an id in the container.
fn outside(maps: &[IdMap], id: u32) -> Option<u32> {
    let map = maps.iter().find(|map| id >= map.container && id - map.container < map.size)?;
    map.host.checked_add(id - map.container)
}

impl Build<'_> {
    /// Whether files on disk keep the container's ids: its namespace is its own and mounts can be made so. An
    /// ordinary user cannot make such mounts; there files have the ids of the user's namespace.
    fn id_mapped(&self) -> bool {
        self.maps.is_some() && !self.starter.rootless
    }

    /// Whether it is in another user namespace than the machine's.
    fn in_user_namespace(&self) -> bool {
        self.starter.rootless || namespaces::has_user_namespace(self.desired)
    }

    /// How ids of the mounted root become ids on disk. A folder of the machine as a root is as it is.
    fn disk_ids(&self) -> DiskIds {
        match &self.maps {
            Some((uids, gids)) if self.id_mapped() && self.desired.rootfs.is_none() => {
                DiskIds { uids: uids.clone(), gids: gids.clone() }
            }
            Some(_) | None => DiskIds::default(),
        }
    }

    /// The owner that a file at `place` has to have, to be this user's and group's in the container.
    fn on_disk(&self, uid: u32, gid: u32, place: &Path) -> Result<(u32, u32)> {
        let UserNamespace::Private { uids, gids } = &self.desired.isolation.user else {
            return Ok((uid, gid));
        };
        if self.id_mapped() && can_be_id_mapped(place)? {
            return Ok((uid, gid));
        }
        let found = outside(uids, uid).zip(outside(gids, gid));
        found.ok_or_else(|| {
            RunnerError::Usage(format!(
                "{uid}:{gid} is outside the ids of the container: give it more with --userns"
            ))
        })
    }

    /// Whether a group exists in the container.
    fn knows_gid(&self, gid: u32) -> bool {
        match (&self.maps, &self.desired.isolation.user) {
            (Some((_, gids)), _) => outside(gids, gid).is_some(),
            (None, UserNamespace::Host) => rootless::has_gid(gid),
            // Whoever made it did not say.
            (None, _) => false,
        }
    }

    /// Control groups of an init system are its own to write, where the kernel can hand them over (version 2).
    fn hands_over_groups(&self) -> bool {
        self.desired.process.systemd && Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
    }

    /// Its host name, where it has one of its own.
    fn hostname(&self) -> Option<String> {
        match self.desired.isolation.uts {
            Namespace::Private => {
                let own = self.desired.process.hostname.clone();
                Some(own.unwrap_or_else(|| self.desired.id.as_str().chars().take(12).collect()))
            }
            Namespace::Host | Namespace::Container(_) | Namespace::Path(_) => None,
        }
    }

    fn linux(&self) -> Result<Linux> {
        let desired = self.desired;
        let (nodes, rules) = devices::of(desired, !self.in_user_namespace())?;
        let (masked, read_only) = paths::of(&desired.security);
        let mut linux = Linux::default();
        linux.set_namespaces(Some(namespaces::of(self.folders, desired)?));
        if let UserNamespace::Private { uids, gids } = &desired.isolation.user {
            linux.set_uid_mappings(Some(namespaces::mappings(uids)));
            linux.set_gid_mappings(Some(namespaces::mappings(gids)));
        }
        linux.set_devices(Some(nodes).filter(|nodes| !nodes.is_empty()));
        linux.set_resources(Some(limits::resources(desired, rules, self.starter)?));
        linux.set_cgroups_path(limits::group(desired));
        linux.set_masked_paths(Some(masked)).set_readonly_paths(Some(read_only));
        linux.set_sysctl(Some(self.sysctl()));
        linux.set_rootfs_propagation(Some(self.propagation().into()));
        linux.set_mount_label(None);
        let seccomp = match &desired.security.seccomp {
            Seccomp::Unconfined => None,
            Seccomp::Default => {
                let names: Vec<&str> = desired.security.capabilities.iter().map(String::as_str).collect();
                Some(berth_runtime::default_profile(&names))
            }
            Seccomp::File(path) => {
                let release = rustix::system::uname().release().to_string_lossy().into_owned();
                Some(seccomp::read(path, &desired.security.capabilities, &release)?)
            }
        };
        linux.set_seccomp(seccomp);
        Ok(linux)
    }

    /// Settings of its own network: any of its users may ask for echoes and serve on low ports, which are its own.
    fn sysctl(&self) -> std::collections::HashMap<String, String> {
        let mut found = std::collections::HashMap::new();
        if namespaces::owns_network(self.desired) {
            found.insert("net.ipv4.ping_group_range".into(), format!("0 {}", self.last_gid()));
            found.insert("net.ipv4.ip_unprivileged_port_start".into(), "0".into());
        }
        found.extend(self.desired.security.sysctl.clone());
        found
    }

    /// The last group id from 0 on without a gap, which the kernel wants to be the container's.
    fn last_gid(&self) -> u32 {
        // What `net.ipv4.ping_group_range` takes at most.
        const MOST: u32 = 2_147_483_647;
        match (&self.maps, &self.desired.isolation.user) {
            _ if self.starter.rootless && !rootless::gids_rise() => 0,
            (Some((_, gids)), _) => {
                let first = gids.iter().find(|map| map.container == 0);
                first.map_or(0, |map| map.size.saturating_sub(1)).min(MOST)
            }
            (None, UserNamespace::Host) if self.starter.rootless => rootless::counts().1.saturating_sub(1),
            (None, UserNamespace::Host) => MOST,
            (None, _) => 0,
        }
    }

    /// Mounts made outside come into those mounts only that ask for it, which the root has to let through.
    fn propagation(&self) -> &'static str {
        let mut options = self.desired.mounts.iter().flat_map(|mount| mount.options.iter());
        if options.clone().any(|option| option == "shared" || option == "rshared") {
            "rshared"
        } else if options.any(|option| option == "slave" || option == "rslave") {
            "rslave"
        } else {
            "private"
        }
    }
}

/// The specification of a container whose root is mounted at `root`. The files of `network::prepare` lie in
/// `folders.running(id)`. Volumes that are new get what the image has at their place.
///
/// # Errors
/// [`RunnerError::Usage`] for a user that the image does not know and the like (U15).
pub(crate) fn build(folders: &Folders, desired: &Desired, root: &Path) -> Result<Spec> {
    let rootless = rootless::is_inside();
    rootless::hold(folders)?;
    let inside = Inside::new(root)?;
    let identity = user::find(&inside, &desired.process.user, &desired.process.groups)?;
    let maps = maps_of(folders, desired)?;
    let build = Build { folders, desired, inside, identity, starter: Starter::this(rootless), maps };
    files::private_folder(&folders.running(&desired.id))?;
    let mut spec = Spec::default();
    spec.set_version(VERSION.into());
    let mut place = Root::default();
    place.set_path(root.to_owned()).set_readonly(Some(desired.security.read_only));
    spec.set_root(Some(place));
    spec.set_hostname(build.hostname());
    spec.set_mounts(Some(mounts::of(&build)?));
    spec.set_process(Some(process::of(&build)?));
    spec.set_linux(Some(build.linux()?));
    spec.set_hooks(None);
    spec.set_annotations(Some(desired.annotations.clone().into_iter().collect()));
    Ok(spec)
}

/// How many processes a container may have, where it has such a limit.
pub(crate) fn pids_limit(desired: &Desired) -> Option<i64> {
    limits::pids(desired, Starter::this(rootless::is_inside()))
}

/// The limits of a container that runs, for a change of them: devices stay as they are.
///
/// # Errors
/// [`RunnerError::Usage`] for limits that contradict each other.
pub(crate) fn resources(desired: &Desired) -> Result<oci_spec::runtime::LinuxResources> {
    let mut resources = limits::resources(desired, Vec::new(), Starter::this(rootless::is_inside()))?;
    resources.set_devices(None);
    Ok(resources)
}

#[cfg(test)]
mod tests;
