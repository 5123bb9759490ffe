//! Whose ids a container has: its own range where that can be, and a word where it cannot.

use std::path::{Path, PathBuf};

use super::{Surroundings, UserChoice};
use crate::{
    bundle::{can_be_id_mapped, id_mapped_roots},
    error::{Result, RunnerError},
    record::{Desired, IdMap, MountKind, Namespace, NetworkMode, UserNamespace},
    rootless,
};

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ids {
    /// This namespace.
    Fixed(UserNamespace),
    /// A range of so many ids, where that is said, taken when the container is written down.
    Auto(Option<u32>),
}

/// Why a container cannot have ids of its own.
fn obstacle(desired: &Desired, surroundings: &Surroundings<'_>) -> Result<Option<String>> {
    let store = surroundings.folders.containers();
    let place = if store.exists() { store } else { PathBuf::from("/") };
    if desired.rootfs.is_some() {
        return Ok(Some("files of --rootfs keep the machine's ids".into()));
    }
    if surroundings.rootless {
        // Its root is a copy with other owners; files of the machine are nobody's there.
        return Ok(None);
    }
    if !id_mapped_roots() {
        return Ok(Some("this kernel is older than 5.19".into()));
    }
    let no = |path: &Path| format!("the filesystem of {} cannot map ids", path.display());
    if !can_be_id_mapped(&place)? {
        return Ok(Some(no(&place)));
    }
    for mount in &desired.mounts {
        let MountKind::Bind { source } = &mount.kind else { continue };
        // Sockets and devices are reached by their mode, whoever owns them.
        if (source.is_dir() || source.is_file()) && !can_be_id_mapped(source)? {
            return Ok(Some(no(source)));
        }
    }
    Ok(None)
}

/// Containers whose namespaces are shared.
fn shared<'a>(desired: &'a Desired) -> impl Iterator<Item = &'a berth_runtime::ContainerId> {
    let isolation = &desired.isolation;
    let four = [&isolation.pid, &isolation.ipc, &isolation.uts, &isolation.cgroup];
    let network = match &desired.network.mode {
        NetworkMode::Container(id) => Some(id),
        NetworkMode::Bridge(_)
        | NetworkMode::Pasta(_)
        | NetworkMode::Host
        | NetworkMode::None
        | NetworkMode::Path(_) => None,
    };
    let of = |namespace: &'a Namespace| match namespace {
        Namespace::Container(id) => Some(id),
        Namespace::Private | Namespace::Host | Namespace::Path(_) => None,
    };
    four.into_iter().filter_map(of).chain(network)
}

/// The namespace of another container: its own, or whatever it is in.
fn of_container(other: &Desired) -> UserNamespace {
    match &other.isolation.user {
        UserNamespace::Host => UserNamespace::Host,
        UserNamespace::Private { .. } => UserNamespace::Container(other.id.clone()),
        inherited @ (UserNamespace::Container(_) | UserNamespace::Path(_)) => inherited.clone(),
    }
}

/// Whether it shares something that is the machine's, for which it needs the machine's ids.
fn shares_with_machine(desired: &Desired) -> bool {
    let isolation = &desired.isolation;
    matches!(desired.network.mode, NetworkMode::Host | NetworkMode::Path(_))
        || [&isolation.pid, &isolation.ipc]
            .iter()
            .any(|namespace| matches!(namespace, Namespace::Host | Namespace::Path(_)))
        || [&isolation.uts, &isolation.cgroup].iter().any(|namespace| matches!(namespace, Namespace::Path(_)))
}

/// What nobody said anything about.
fn usual(desired: &Desired, surroundings: &Surroundings<'_>, warnings: &mut Vec<String>) -> Result<Ids> {
    let mut others = Vec::new();
    for id in shared(desired) {
        let other = of_container(&surroundings.records.find(id.as_str())?);
        if !others.contains(&other) {
            others.push(other);
        }
    }
    match others.as_slice() {
        [] => {}
        [one] => return Ok(Ids::Fixed(one.clone())),
        _ => {
            return Err(RunnerError::Usage(
                "the containers whose namespaces are to be shared have different user namespaces: share with one of them".into(),
            ));
        }
    }
    // A folder of the machine as a root is the machine's: its files keep their owners, as whoever named it sees them.
    let machines = desired.rootfs.is_some() || desired.security.privileged || shares_with_machine(desired);
    if surroundings.rootless || machines {
        return Ok(Ids::Fixed(UserNamespace::Host));
    }
    match obstacle(desired, surroundings)? {
        None => Ok(Ids::Auto(None)),
        Some(why) => {
            warnings.push(format!("{why}: the container's root has the id of the machine's (--userns host says the same without this word)"));
            Ok(Ids::Fixed(UserNamespace::Host))
        }
    }
}

/// The user's own id as `id` in the container, all others as they come.
fn keep(id: u32, count: u32) -> Result<Vec<IdMap>> {
    // Of the ids of the user's namespace 0 is the user, 1 to count - 1 are the others.
    let others = count.saturating_sub(1);
    let below = id.min(others);
    let maps = [
        IdMap { container: 0, host: 1, size: below },
        IdMap { container: id, host: 0, size: 1 },
        IdMap { container: id.saturating_add(1), host: below + 1, size: others - below },
    ];
    if id == u32::MAX {
        return Err(RunnerError::Usage(format!("--userns keep-id: {id} is no id")));
    }
    Ok(maps.into_iter().filter(|map| map.size > 0).collect())
}

/// The decision. `keep-id` also says who the user is, where nobody did.
///
/// # Errors
/// [`RunnerError::Unsupported`] where what was asked for cannot be.
pub(super) fn decide(
    choice: UserChoice,
    desired: &mut Desired,
    surroundings: &Surroundings<'_>,
    warnings: &mut Vec<String>,
) -> Result<Ids> {
    match choice {
        UserChoice::Usual => usual(desired, surroundings, warnings),
        UserChoice::Host => Ok(Ids::Fixed(UserNamespace::Host)),
        UserChoice::Auto(size) => match obstacle(desired, surroundings)? {
            None => Ok(Ids::Auto(size)),
            Some(why) => Err(RunnerError::Unsupported(format!(
                "--userns auto: {why}: mount another place, or say --userns host"
            ))),
        },
        UserChoice::Maps(uids, gids) => Ok(Ids::Fixed(UserNamespace::Private { uids, gids })),
        UserChoice::Container(other) => Ok(Ids::Fixed(of_container(&other))),
        UserChoice::Path(path) => Ok(Ids::Fixed(UserNamespace::Path(path))),
        UserChoice::NoMap => {
            let (uids, gids) = rootless::counts();
            let others = |count: u32| vec![IdMap { container: 0, host: 1, size: count.saturating_sub(1) }];
            if uids < 2 || gids < 2 {
                return Err(RunnerError::Unsupported(
                    "--userns nomap: this user has no subordinate ids in /etc/subuid".into(),
                ));
            }
            Ok(Ids::Fixed(UserNamespace::Private { uids: others(uids), gids: others(gids) }))
        }
        UserChoice::KeepId { uid, gid } => {
            let (uid, gid) = (uid.unwrap_or_else(rootless::real_uid), gid.unwrap_or_else(rootless::real_gid));
            let (uids, gids) = rootless::counts();
            if desired.process.user.is_empty() {
                desired.process.user = format!("{uid}:{gid}");
            }
            Ok(Ids::Fixed(UserNamespace::Private { uids: keep(uid, uids)?, gids: keep(gid, gids)? }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(container: u32, host: u32, size: u32) -> IdMap {
        IdMap { container, host, size }
    }

    #[test]
    fn the_users_own_id_is_kept_and_the_others_are_there() {
        assert_eq!(keep(1000, 65_537).unwrap(), [map(0, 1, 1000), map(1000, 0, 1), map(1001, 1001, 64_536)]);
        assert_eq!(keep(0, 65_537).unwrap(), [map(0, 0, 1), map(1, 1, 65_536)]);
        assert_eq!(keep(100_000, 65_537).unwrap(), [map(0, 1, 65_536), map(100_000, 0, 1)]);
        assert_eq!(keep(1000, 1).unwrap(), [map(1000, 0, 1)]);
    }
}
