//! Which namespaces a container has of its own, and which it joins.

use std::path::PathBuf;

use berth_runtime::{CgroupDriver, ContainerId, Runtime};
use oci_spec::runtime::{LinuxIdMapping, LinuxIdMappingBuilder, LinuxNamespace, LinuxNamespaceType};

use crate::{
    error::{Result, RunnerError},
    folders::Folders,
    record::{Desired, IdMap, Namespace, NetworkMode, UserNamespace},
};

fn namespace(kind: LinuxNamespaceType, path: Option<PathBuf>) -> LinuxNamespace {
    let mut namespace = LinuxNamespace::default();
    namespace.set_typ(kind).set_path(path);
    namespace
}

/// A namespace of a container that runs.
fn of_container(folders: &Folders, id: &ContainerId, name: &str) -> Result<PathBuf> {
    let runtime = Runtime { root: folders.runtime(), cgroups: CgroupDriver::default(), seccomp_cache: None };
    let pid = match runtime.open(id) {
        Ok(container) => container.pid()?,
        Err(berth_runtime::RuntimeError::NotFound(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let pid = pid.ok_or_else(|| {
        RunnerError::Conflict(format!(
            "container {id}, whose namespaces are to be shared, does not run: start it first"
        ))
    })?;
    Ok(format!("/proc/{pid}/ns/{name}").into())
}

/// All namespaces, in the order in which runtimes expect none in particular.
pub(super) fn of(folders: &Folders, desired: &Desired) -> Result<Vec<LinuxNamespace>> {
    use LinuxNamespaceType::{Cgroup, Ipc, Mount, Network, Pid, User, Uts};
    let mut found = vec![namespace(Mount, None)];
    let isolation = &desired.isolation;
    let four = [
        (Pid, &isolation.pid, "pid"),
        (Ipc, &isolation.ipc, "ipc"),
        (Uts, &isolation.uts, "uts"),
        (Cgroup, &isolation.cgroup, "cgroup"),
    ];
    for (kind, wanted, name) in four {
        match wanted {
            Namespace::Host => {}
            Namespace::Private => found.push(namespace(kind, None)),
            Namespace::Path(path) => found.push(namespace(kind, Some(path.clone()))),
            Namespace::Container(id) => found.push(namespace(kind, Some(of_container(folders, id, name)?))),
        }
    }
    match &desired.network.mode {
        NetworkMode::Host => {}
        NetworkMode::Bridge(_) | NetworkMode::Pasta(_) | NetworkMode::None => {
            found.push(namespace(Network, None))
        }
        NetworkMode::Container(id) => found.push(namespace(Network, Some(of_container(folders, id, "net")?))),
        NetworkMode::Path(path) => found.push(namespace(Network, Some(path.clone()))),
    }
    match &isolation.user {
        UserNamespace::Host => {}
        UserNamespace::Private { .. } => found.push(namespace(User, None)),
        UserNamespace::Container(id) => found.push(namespace(User, Some(of_container(folders, id, "user")?))),
        UserNamespace::Path(path) => found.push(namespace(User, Some(path.clone()))),
    }
    Ok(found)
}

/// A range of ids in the specification's words.
pub(crate) fn mapping(inside: u32, outside: u32, size: u32) -> LinuxIdMapping {
    let builder = LinuxIdMappingBuilder::default().container_id(inside).host_id(outside).size(size);
    // Every field is said, so nothing is missing that the builder could complain of.
    builder.build().unwrap_or_default()
}

/// Ranges of ids in the specification's words.
pub(crate) fn mappings(maps: &[IdMap]) -> Vec<LinuxIdMapping> {
    maps.iter().map(|map| mapping(map.container, map.host, map.size)).collect()
}

/// Whether the container has its own network namespace, made in its own user namespace: only then may it mount sysfs
/// and set what belongs to the network.
pub(crate) fn owns_network(desired: &Desired) -> bool {
    match &desired.network.mode {
        NetworkMode::Bridge(_) | NetworkMode::Pasta(_) | NetworkMode::None => true,
        NetworkMode::Host | NetworkMode::Container(_) | NetworkMode::Path(_) => false,
    }
}

/// Whether the container's user namespace is another than the runner's.
pub(super) fn has_user_namespace(desired: &Desired) -> bool {
    !matches!(desired.isolation.user, UserNamespace::Host)
}
