//! `create` and `run`.

use std::{
    io::Write,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use berth_runtime::{Bundle, Container, ContainerId, Create as Wanted, Runtime, Started, Stdio};
use oci_spec::runtime::Spec;

use super::{
    arguments::{Create, Globals, Run},
    attend, log,
};
use crate::error::{Result, RunnerError, While};

/// systemd's way to hand over sockets: so many descriptors from 3 on. They go on to the container's first process.
fn handed_over(spec: &mut Spec) -> u32 {
    let count = std::env::var("LISTEN_FDS").ok().and_then(|count| count.parse().ok()).unwrap_or(0);
    if count > 0
        && let Some(process) = spec.process_mut()
    {
        let env = process.env_mut().get_or_insert_default();
        env.retain(|variable| !variable.starts_with("LISTEN_FDS=") && !variable.starts_with("LISTEN_PID="));
        // The first process of a pid namespace of its own is number 1.
        env.extend([format!("LISTEN_FDS={count}"), "LISTEN_PID=1".to_owned()]);
    }
    count
}

/// Writes a process id so that whoever waits for the file reads all of it.
pub(super) fn write_pid_file(file: &Path, pid: i32) -> Result<()> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut new = tempfile::Builder::new().prefix(".pid").tempfile_in(folder).doing("writing", file)?;
    write!(new, "{pid}").doing("writing", file)?;
    new.persist(file).map(|_| ()).doing("writing", file)
}

fn make(
    runtime: &Runtime,
    wanted: &Create,
    stdio: Stdio<'_>,
    spec: &mut Spec,
    bundle: &Path,
    detached: bool,
) -> Result<(Container, Started)> {
    let id: ContainerId = wanted.id.parse()?;
    let more = handed_over(spec);
    Ok(runtime.create(&Wanted {
        id: &id,
        bundle,
        spec,
        stdio,
        preserve_fds: wanted.preserve_fds + more,
        no_pivot: wanted.no_pivot,
        no_new_keyring: wanted.no_new_keyring,
        detached,
    })?)
}

fn read(wanted: &Create) -> Result<(PathBuf, Spec)> {
    let Bundle { folder, spec } = Bundle::read(&wanted.bundle)?;
    Ok((folder, spec))
}

fn console(wanted: &Create) -> Stdio<'_> {
    wanted.console_socket.as_deref().map_or(Stdio::Inherit, Stdio::ConsoleSocket)
}

/// What follows a create; where it fails, the container goes again.
fn or_delete<T>(container: &Container, outcome: Result<T>) -> Result<T> {
    outcome.map_err(|error| match container.clone().delete(true) {
        Ok(_) => error,
        Err(second) => RunnerError::Conflict(format!("{error}; and then deleting it: {second}")),
    })
}

/// `create`.
pub(super) fn create(runtime: &Runtime, wanted: &Create) -> Result<()> {
    let (bundle, mut spec) = read(wanted)?;
    let (container, started) = make(runtime, wanted, console(wanted), &mut spec, &bundle, true)?;
    match &wanted.pid_file {
        Some(file) => or_delete(&container, write_pid_file(file, started.pid)),
        None => Ok(()),
    }
}

/// `run`: in the foreground the number is the program's.
pub(super) fn run(globals: &Globals, runtime: &Runtime, wanted: &Run) -> Result<u8> {
    let (bundle, mut spec) = read(&wanted.create)?;
    let terminal = spec.process().as_ref().is_some_and(|process| process.terminal() == Some(true));
    let stdio = if terminal && wanted.create.console_socket.is_none() && !wanted.detach {
        Stdio::Terminal
    } else {
        console(&wanted.create)
    };
    let attention = if wanted.detach { None } else { Some(attend::Attention::begin()?) };
    let (container, started) = make(runtime, &wanted.create, stdio, &mut spec, &bundle, wanted.detach)?;
    let begun = wanted
        .create
        .pid_file
        .as_ref()
        .map_or(Ok(()), |file| write_pid_file(file, started.pid))
        .and_then(|()| Ok(container.start()?));
    or_delete(&container, begun)?;
    let Some(attention) = attention else { return Ok(0) };
    let ended = attention.attend(started.pidfd.as_fd(), started.terminal.as_ref());
    if !wanted.keep {
        for warning in container.delete(true)? {
            log::warning(globals, &warning.to_string());
        }
    }
    ended
}
