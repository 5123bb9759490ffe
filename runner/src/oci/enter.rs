//! `exec`.

use std::{fs, io, os::fd::AsFd};

use berth_runtime::{Container, Exec as Wanted, Stdio};
use oci_spec::runtime::{Capability, Process, UserBuilder};

use super::{arguments::Exec, attend, create::write_pid_file};
use crate::error::{Result, RunnerError, While};

/// The number that says "no such program", and the one for "cannot be executed", are for callers to read.
pub(super) fn exec(container: &Container, wanted: &Exec) -> Result<u8> {
    let process = process(container, wanted)?;
    let terminal = process.terminal() == Some(true);
    let stdio = match &wanted.console_socket {
        Some(socket) => Stdio::ConsoleSocket(socket),
        None if terminal && !wanted.detach => Stdio::Terminal,
        None => Stdio::Inherit,
    };
    let attention = if wanted.detach { None } else { Some(attend::Attention::begin()?) };
    let started = container.exec(&Wanted { process: &process, stdio, preserve_fds: wanted.preserve_fds })?;
    if let Some(file) = &wanted.pid_file {
        write_pid_file(file, started.pid)?;
    }
    match attention {
        Some(attention) => attention.attend(started.pidfd.as_fd(), started.terminal.as_ref()),
        None => Ok(0),
    }
}

fn usage(what: impl std::fmt::Display) -> RunnerError {
    RunnerError::Usage(what.to_string())
}

/// What is run: a file with all of it, or the container's own process with another program.
fn process(container: &Container, wanted: &Exec) -> Result<Process> {
    if let Some(file) = &wanted.process {
        let text = fs::read(file).doing("reading", file)?;
        return serde_json::from_slice(&text).map_err(io::Error::from).doing("reading", file);
    }
    if wanted.command.is_empty() {
        return Err(usage("exec: name a program, or give a file with --process"));
    }
    let mut process = container.process()?;
    process.set_args(Some(wanted.command.clone())).set_terminal(Some(wanted.tty));
    process.env_mut().get_or_insert_default().extend(wanted.env.iter().cloned());
    if let Some(cwd) = &wanted.cwd {
        process.set_cwd(cwd.clone());
    }
    if let Some(user) = &wanted.user {
        let number = |text: &str| {
            text.parse::<u32>()
                .map_err(|_| usage(format!("exec: --user {user}: {text:?} is no id of a user or group")))
        };
        let (uid, gid) = user.split_once(':').unwrap_or((user, "0"));
        let user = UserBuilder::default().uid(number(uid)?).gid(number(gid)?).build();
        process.set_user(user.map_err(usage)?);
    }
    if !wanted.additional_gids.is_empty() {
        process.user_mut().set_additional_gids(Some(wanted.additional_gids.clone()));
    }
    if wanted.no_new_privs {
        process.set_no_new_privileges(Some(true));
    }
    if let Some(label) = &wanted.process_label {
        process.set_selinux_label(Some(label.clone()));
    }
    if let Some(profile) = &wanted.apparmor {
        process.set_apparmor_profile(Some(profile.clone()));
    }
    add_capabilities(&mut process, &wanted.cap)?;
    Ok(process)
}

fn add_capabilities(process: &mut Process, names: &[String]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let mut sets = process.capabilities().clone().unwrap_or_default();
    for name in names {
        let bare = name.to_ascii_uppercase();
        let capability: Capability = serde_json::from_value(bare.clone().into())
            .or_else(|_| serde_json::from_value(format!("CAP_{bare}").into()))
            .map_err(|_| usage(format!("exec: --cap {name}: there is no such capability")))?;
        let with = |set: &Option<oci_spec::runtime::Capabilities>| {
            let mut set = set.clone().unwrap_or_default();
            set.insert(capability);
            Some(set)
        };
        let (bounding, effective, permitted) =
            (with(sets.bounding()), with(sets.effective()), with(sets.permitted()));
        sets.set_bounding(bounding).set_effective(effective).set_permitted(permitted);
    }
    process.set_capabilities(Some(sets));
    Ok(())
}
