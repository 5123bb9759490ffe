//! Networks of ordinary users: `pasta` carries the packets of one container, as sockets of that user.
//!
//! It ends with the container's namespace where it is new enough to see that; otherwise [`detach`] ends it, and for a
//! supervisor that was killed the next operation does.

use std::{
    fs,
    io::{Write, stderr},
    net::IpAddr,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use berth_runtime::ContainerId;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::{Attachment, etc, port, process::Process, wire};
use crate::{
    environment,
    error::{Result, RunnerError, While},
    folders::Folders,
    record::{Desired, Port, Protocol, files},
};

fn folder(folders: &Folders) -> PathBuf {
    folders.run.join("network").join("pasta")
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("pasta")).find(|program| program.is_file())
}

const TUN: &str = "/dev/net/tun";

/// What keeps pasta from carrying packets here, if something does.
pub(crate) fn missing() -> Option<String> {
    if program().is_none() {
        return Some("pasta is not installed: install it (package `passt`)".into());
    }
    let tun = fs::File::options().read(true).write(true).open(TUN);
    tun.err().map(|error| {
        format!("pasta cannot open {TUN} ({error}): root makes it usable with `chmod 666 {TUN}`")
    })
}

/// See [`super::prepare`].
pub(super) fn prepare(folders: &Folders, desired: &Desired) -> Result<Attachment> {
    if let Some(missing) = missing() {
        if !desired.network.ports.is_empty() {
            return Err(RunnerError::Unsupported(format!("--publish: {missing}, or use --network host")));
        }
        let said =
            writeln!(stderr(), "berth-runner: {} has no network but its loopback: {missing}", desired.name);
        said.doing("writing", "standard error")?;
    }
    // Found out before the container starts; pasta takes the ports itself, so they are free again afterwards.
    let (ports, held) = port::hold(&desired.network.ports, &[])?;
    drop(held);
    etc::write(folders, desired, &etc::Surroundings::default())?;
    Ok(Attachment { ports, ..Attachment::default() })
}

/// One `-t` or `-u` argument per published port.
fn specifications(ports: &[Port], protocol: Protocol) -> Vec<String> {
    let mine = ports.iter().filter(|port| port.protocol == protocol);
    let all: Vec<_> = mine
        .map(|port| match port.address {
            IpAddr::V4(address) if address.is_unspecified() => format!("{}:{}", port.host, port.container),
            address => format!("{address}/{}:{}", port.host, port.container),
        })
        .collect();
    if all.is_empty() { vec!["none".into()] } else { all }
}

/// See [`super::attach`].
pub(super) fn attach(
    folders: &Folders,
    desired: &Desired,
    attachment: &Attachment,
    arguments: &[String],
    pid: i32,
) -> Result<()> {
    sweep(folders)?;
    let namespace = wire::namespace(pid)?;
    let Some(program) = program().filter(|_| missing().is_none()) else {
        // Loopback alone, as --network none; `prepare` refused where ports were wanted.
        return wire::loopback(namespace.as_fd());
    };
    if attachment.ports.iter().any(|port| port.protocol == Protocol::Sctp) {
        return Err(RunnerError::Unsupported("--publish: pasta carries tcp and udp, not sctp".into()));
    }
    let gone = || RunnerError::Conflict(format!("container {} has ended", desired.name));
    let container = Process::of(pid).ok_or_else(gone)?;
    files::private_folder(&folder(folders))?;
    let note = note(folders, &desired.id);
    let pid_file = note.with_extension("pid");
    remove(&pid_file)?;
    // Noted first: what a crash leaves behind is found by it.
    files::replace_json(&note, &container, false)?;
    let mut command = Command::new(&program);
    environment::of_another(&mut command);
    command.args(["--quiet", "--config-net", "--no-map-gw", "-T", "none", "-U", "none"]);
    for (flag, protocol) in [("-t", Protocol::Tcp), ("-u", Protocol::Udp)] {
        for specification in specifications(&attachment.ports, protocol) {
            command.args([flag, &specification]);
        }
    }
    command.arg("--pid").arg(&pid_file).args(arguments);
    // As an open file: pasta gives up the rights by which it could open that of another process.
    command.args(["--netns-only", "--netns", "/proc/self/fd/0"]).stdin(Stdio::from(namespace));
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    // It goes into the background when the network is there.
    let output = command.output().doing("starting", &program)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        // Where there is no log of the machine it says so, in the midst of what matters.
        let said: Vec<_> = said.lines().filter(|line| !line.ends_with("to syslog")).collect();
        return Err(RunnerError::Unsupported(format!(
            "pasta did not connect the container ({}): --network none and host do without it",
            said.join("; ")
        )));
    }
    Ok(())
}

fn note(folders: &Folders, id: &ContainerId) -> PathBuf {
    folder(folders).join(format!("{id}.json"))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).doing("removing", path),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// See [`super::detach`].
pub(super) fn detach(folders: &Folders, id: &ContainerId) -> Result<()> {
    end(&note(folders, id))?;
    sweep(folders)
}

fn end(note: &Path) -> Result<()> {
    let pid_file = note.with_extension("pid");
    let text = fs::read_to_string(&pid_file).unwrap_or_default();
    if let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw)
        && let Ok(handle) = pidfd_open(pid, PidfdFlags::empty())
        // Asked with the handle open: it is the pasta that was given this file that the signal goes to, or none.
        && started_with(pid, &pid_file)
    {
        match pidfd_send_signal(&handle, Signal::TERM) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => {
                let what = format!("ending pasta (process {})", pid.as_raw_nonzero());
                return Err(RunnerError::Io { what, source: error.into() });
            }
        }
    }
    remove(&pid_file)?;
    remove(note)
}

fn started_with(pid: Pid, pid_file: &Path) -> bool {
    let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    line.split(|byte| *byte == 0).any(|argument| argument == pid_file.as_os_str().as_encoded_bytes())
}

/// Ends those whose container is gone.
fn sweep(folders: &Folders) -> Result<()> {
    let folder = folder(folders);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).doing("reading", &folder),
    };
    for entry in entries {
        let path = entry.doing("reading", &folder)?.path();
        if path.extension().is_some_and(|extension| extension == "json")
            && files::read_json::<Process>(&path)?.is_some_and(|container| !container.alive())
        {
            end(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_told_with_their_address() {
        let port = |address: &str, protocol| Port {
            address: address.parse().unwrap(),
            host: 8080,
            container: 80,
            protocol,
        };
        let ports =
            [port("127.0.0.1", Protocol::Tcp), port("0.0.0.0", Protocol::Tcp), port("::1", Protocol::Tcp)];
        let all = specifications(&ports, Protocol::Tcp);
        assert_eq!(all, ["127.0.0.1/8080:80", "8080:80", "::1/8080:80"]);
        assert_eq!(specifications(&ports, Protocol::Udp), ["none"]);
    }
}
