//! The ids of a new user namespace: a process is made that holds it, its maps are written, and it ends.

use std::{
    fs,
    os::fd::{AsFd, OwnedFd},
    process::Command,
};

use oci_spec::runtime::{LinuxIdMapping, LinuxNamespaceType, Spec};
use rustix::{
    process::{WaitId, WaitIdOptions, getegid, geteuid, waitid},
    thread::{CapabilitySet, capabilities},
};

use super::channel::{Channel, Message};
use crate::{
    During, RuntimeError,
    sys::clone::{CloneOptions, spawn},
};

fn lines(mappings: &[LinuxIdMapping]) -> String {
    mappings
        .iter()
        .map(|mapping| format!("{} {} {}\n", mapping.container_id(), mapping.host_id(), mapping.size()))
        .collect()
}

/// Makes the user namespace that the specification asks for, with its maps.
///
/// A process that does nothing but hold it is the namespace's life until the handle is open. The namespace has to be
/// there before the root is planned, because id-mapped mounts are made with it.
pub(super) fn make_user_namespace(spec: &Spec) -> Result<OwnedFd, RuntimeError> {
    let linux = spec.linux().as_ref();
    let uids = linux.and_then(|linux| linux.uid_mappings().as_deref()).unwrap_or_default();
    let gids = linux.and_then(|linux| linux.gid_mappings().as_deref()).unwrap_or_default();
    mapped_user_namespace(uids, gids)
}

/// Makes a user namespace in which no process lives, for as long as the descriptor is open. Ids that the caller may not
/// map are mapped by `newuidmap` and `newgidmap`, where they are the caller's in `/etc/subuid` and `/etc/subgid`.
///
/// # Errors
/// [`RuntimeError::Unsupported`] where one of those programs refuses or is not there, [`RuntimeError::Step`].
pub fn mapped_user_namespace(
    uids: &[LinuxIdMapping],
    gids: &[LinuxIdMapping],
) -> Result<OwnedFd, RuntimeError> {
    let (here, there) = Channel::pair()?;
    let options =
        CloneOptions { namespaces: u64::from(LinuxNamespaceType::User as u32), ..CloneOptions::default() };
    let holder = spawn(options, || {
        // The parent's end would keep the channel open after the parent's death.
        if crate::sys::descriptors::close_in_child(here.descriptor()).is_err() {
            return 1;
        }
        // It ends when it is told, and when the parent is gone.
        i32::from(there.receive().is_err())
    })
    .during(|| "making the user namespace".into())?;
    drop(there);
    let made = map(holder.pid, uids, gids).and_then(|()| {
        let path = format!("/proc/{}/ns/user", holder.pid);
        fs::File::open(&path).map(OwnedFd::from).during(|| format!("opening the new user namespace {path}"))
    });
    // Whether it hears this or the end of the channel is the same to it.
    let _gone = here.send(&Message::Go, None);
    drop(here);
    rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(holder.pidfd.as_fd()), WaitIdOptions::EXITED))
        .during(|| "waiting for the process that held the user namespace".into())?;
    made
}

fn map(pid: i32, uids: &[LinuxIdMapping], gids: &[LinuxIdMapping]) -> Result<(), RuntimeError> {
    let own = capabilities(None).during(|| "reading own capabilities".into())?.effective;
    let write = |name: &str, text: &str| {
        fs::write(format!("/proc/{pid}/{name}"), text)
            .during(|| format!("writing {name}: {}", text.trim_end()))
    };
    let is_own = |mappings: &[LinuxIdMapping], id: u32| matches!(mappings, [one] if one.size() == 1 && one.host_id() == id);
    // Groups first: both orders are allowed, and setgroups has to be denied before the groups are mapped.
    if own.contains(CapabilitySet::SETGID) {
        write("gid_map", &lines(gids))?;
    } else if is_own(gids, getegid().as_raw()) {
        write("setgroups", "deny")?;
        write("gid_map", &lines(gids))?;
    } else {
        by_program("newgidmap", pid, gids)?;
    }
    if own.contains(CapabilitySet::SETUID) || is_own(uids, geteuid().as_raw()) {
        write("uid_map", &lines(uids))
    } else {
        by_program("newuidmap", pid, uids)
    }
}

/// The setuid programs that let an ordinary user map the ranges of `/etc/subuid` and `/etc/subgid`.
fn by_program(program: &'static str, pid: i32, mappings: &[LinuxIdMapping]) -> Result<(), RuntimeError> {
    let file = if program == "newuidmap" { "/etc/subuid" } else { "/etc/subgid" };
    let mut command = Command::new(program);
    // It runs with more rights than its caller has, and needs nothing of the caller's but where programs are.
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.arg(pid.to_string());
    for mapping in mappings {
        command.args(
            [mapping.container_id(), mapping.host_id(), mapping.size()].map(|number| number.to_string()),
        );
    }
    let output = command.output().map_err(|error| RuntimeError::Unsupported {
        what: format!("a user namespace with the ids of {file}"),
        why: format!(
            "{program} cannot be started ({error}): install it (package uidmap), or map only your own id"
        ),
    })?;
    if output.status.success() {
        return Ok(());
    }
    let mut said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if said.is_empty() {
        said = output.status.to_string();
    }
    Err(RuntimeError::Unsupported {
        what: format!("mapping ids by {program}"),
        why: format!("{said}: the ranges have to be this user's in {file}"),
    })
}
