//! The user namespace of an ordinary user, in which the store's files have their owners.
//!
//! In it the user is root and the subordinate ids of `/etc/subuid` and `/etc/subgid` are the others. Nothing stays
//! behind to keep it: it lives as long as a process in it, and those of one user that start while a container runs
//! join the namespace of that container's supervisor, so that containers can share networks and processes.

pub(crate) mod ranges;

use std::{fs, os::fd::OwnedFd, path::PathBuf};

use berth_runtime::own_mounts;
use rustix::{
    fs::{Mode, OFlags},
    process::{getgid, getuid},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use crate::{
    error::{Result, RunnerError, While},
    folders::Folders,
    record::files,
};

/// The ranges of a map, as `/proc/PID/uid_map` says them: first inside, first outside, how many.
fn map(path: &str) -> Vec<[u32; 3]> {
    parse_map(&fs::read_to_string(path).unwrap_or_default())
}

/// The lines of one.
pub(crate) fn parse_map(text: &str) -> Vec<[u32; 3]> {
    let line = |line: &str| {
        let mut numbers = line.split_whitespace().map(|number| number.parse().ok());
        Some([numbers.next()??, numbers.next()??, numbers.next()??])
    };
    text.lines().filter_map(line).collect()
}

/// The user outside, where this process is root in a namespace made for one user: the root of it is that user alone.
/// The kernel is asked, since a variable could say anything.
fn outside(map: &[[u32; 3]]) -> Option<u32> {
    map.iter()
        .find(|[inside, outside, size]| *inside == 0 && *size == 1 && *outside != 0)
        .map(|[_, outside, _]| *outside)
}

/// Whether this process is in such a namespace already.
pub(crate) fn is_inside() -> bool {
    getuid().is_root() && outside(&map("/proc/self/uid_map")).is_some()
}

/// Whether a group exists here.
pub(crate) fn has_gid(gid: u32) -> bool {
    map("/proc/self/gid_map").iter().any(|[inside, _, size]| gid >= *inside && gid - inside < *size)
}

/// The real user id: of the user who typed, also inside the namespace of ours.
pub(crate) fn real_uid() -> u32 {
    let own = getuid().as_raw();
    if own == 0 { outside(&map("/proc/self/uid_map")).unwrap_or(0) } else { own }
}

/// The real group id.
pub(crate) fn real_gid() -> u32 {
    let own = getgid().as_raw();
    if own == 0 { outside(&map("/proc/self/gid_map")).unwrap_or(0) } else { own }
}

/// How many user and group ids there are in this namespace.
pub(crate) fn counts() -> (u32, u32) {
    let count = |path: &str| map(path).iter().fold(0_u32, |sum, [_, _, size]| sum.saturating_add(*size));
    (count("/proc/self/uid_map"), count("/proc/self/gid_map"))
}

/// Whether processes here may have further groups: in the namespace of a user without subordinate ids the kernel lets
/// nobody say which.
pub(crate) fn sets_groups() -> bool {
    fs::read_to_string("/proc/self/setgroups").map_or(true, |text| text.trim() != "deny")
}

/// Whether groups follow each other on the machine as they do in this namespace: what lies between two of them here
/// lies between them there.
pub(crate) fn gids_rise() -> bool {
    map("/proc/self/gid_map").windows(2).all(|two| two[0][1] < two[1][1])
}

fn holders(folders: &Folders) -> PathBuf {
    folders.run.join("holders")
}

/// Notes that this process stays, so that later ones can join its namespace. For root: nothing.
///
/// # Errors
/// Where it cannot be written.
pub(crate) fn hold(folders: &Folders) -> Result<()> {
    if !is_inside() {
        return Ok(());
    }
    files::private_folder(&holders(folders))?;
    let pid = rustix::process::getpid().as_raw_nonzero().to_string();
    files::replace(&holders(folders).join(&pid), b"", false)
}

/// Moves into the namespace of a process of this user; `false` where it is gone, or is another's by now.
fn join_user_namespace(pid: &str) -> bool {
    let open = |name: &str| -> rustix::io::Result<OwnedFd> {
        let path = format!("/proc/{pid}/{name}");
        rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
    };
    let own = getuid().as_raw();
    // Seen from outside, the map says which user its root is: a number that was given to another process since cannot
    // lead into another's namespace.
    if outside(&map(&format!("/proc/{pid}/uid_map"))) != Some(own) {
        return false;
    }
    let Ok(namespace) = open("ns/user") else { return false };
    move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), Some(LinkNameSpaceType::User)).is_ok()
}

/// Joins a namespace that a process of this user holds.
fn join_held(folders: &Folders) -> bool {
    let Ok(entries) = fs::read_dir(holders(folders)) else { return false };
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    // The lowest number is mostly the oldest; what matters is that all ask in the same order.
    names.sort_by_key(|name| name.parse::<u32>().unwrap_or(u32::MAX));
    for name in names.iter().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
        if join_user_namespace(name) {
            return true;
        }
        let _gone = fs::remove_file(holders(folders).join(name));
    }
    false
}

/// Makes sure that the folder of what runs is the caller's own. For root: nothing more. For a user: makes sure that this process is in a user namespace where it is root and the user's
/// subordinate ids are mapped, with a mount namespace of its own. The process stays the same one: its id, arguments,
/// terminal, signals and exit code. Called before any thread exists, by each command that touches the store.
///
/// # Errors
/// Where the kernel or /etc/subuid do not allow it, with the way out.
pub(crate) fn enter(folders: &Folders) -> Result<()> {
    files::own_folder(&folders.run)?;
    if getuid().is_root() {
        return Ok(());
    }
    // Two that come at once make two namespaces, whose containers cannot share; so one waits for the other.
    let lock = files::lock(&folders.run)?;
    if !join_held(folders) {
        let namespace = ranges::make(getuid().as_raw(), getgid().as_raw())?;
        let kind = Some(LinkNameSpaceType::User);
        move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), kind)
            .doing("entering", "the user namespace")?;
    }
    drop(lock);
    become_root()?;
    own_mounts().doing("making", "a mount namespace")
}

/// Ids stay what they are on the way into a namespace: the user's own is root's there already.
fn become_root() -> Result<()> {
    let (uid, gid) = (getuid(), getgid());
    if uid.is_root() && gid.is_root() {
        return Ok(());
    }
    Err(RunnerError::Unsupported(format!(
        "in the user namespace this user is {}:{} and not root: /etc/subuid and /etc/subgid must not give a user its own id",
        uid.as_raw(),
        gid.as_raw()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_namespace_whose_root_is_one_user_is_ours() {
        assert_eq!(outside(&[[0, 1000, 1], [1, 100_000, 65_536]]), Some(1000));
        assert_eq!(outside(&[[0, 1000, 1]]), Some(1000));
        assert_eq!(outside(&[[0, 0, u32::MAX]]), None, "the machine");
        assert_eq!(outside(&[[0, 100_000, 65_536]]), None, "another container");
        assert_eq!(outside(&[]), None);
    }

    #[test]
    fn a_process_that_is_another_users_is_not_joined() {
        // This very process is in the machine's namespace, or in one that cannot be entered a second time.
        assert!(!join_user_namespace("self"));
        assert!(!join_user_namespace("999999999"));
    }
}
