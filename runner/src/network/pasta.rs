//! Networks of ordinary users: `pasta` carries the packets of one container, as sockets of that user.
//!
//! It ends with the container's namespace where it is new enough to see that; otherwise [`detach`] ends it, and for a
//! supervisor that was killed the next operation does.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use berth_runtime::ContainerId;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use super::{Attachment, etc, port, process::Process, wire};
use crate::{
    error::{Result, RunnerError, While},
    folders::Folders,
    record::{Desired, Port, Protocol, files},
};

/// Which pasta carries whose packets.
#[derive(Debug, Serialize, Deserialize)]
struct Carrier {
    pasta: Process,
    container: Process,
}

fn folder(folders: &Folders) -> PathBuf {
    folders.run.join("network").join("pasta")
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("pasta")).find(|program| program.is_file())
}

/// Whether pasta is installed.
pub(crate) fn available() -> bool {
    program().is_some()
}

/// See [`super::prepare`].
pub(super) fn prepare(folders: &Folders, desired: &Desired) -> Result<Attachment> {
    if !available() && !desired.network.ports.is_empty() {
        return Err(RunnerError::Unsupported(
            "--publish needs pasta, which is not installed: install it (package `passt`), or use --network host".into(),
        ));
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
    let Some(program) = program() else {
        // Loopback alone, as --network none; `prepare` refused where ports were wanted.
        return wire::loopback(std::os::fd::AsFd::as_fd(&wire::namespace(pid)?));
    };
    if attachment.ports.iter().any(|port| port.protocol == Protocol::Sctp) {
        return Err(RunnerError::Unsupported("--publish: pasta carries tcp and udp, not sctp".into()));
    }
    let gone = || RunnerError::Conflict(format!("container {} has ended", desired.name));
    let container = Process::of(pid).ok_or_else(gone)?;
    let folder = folder(folders);
    files::private_folder(&folder)?;
    let pid_file = folder.join(format!("{}.pid", desired.id));
    remove(&pid_file)?;
    let mut command = Command::new(&program);
    command.args(["--quiet", "--config-net", "--no-map-gw", "-T", "none", "-U", "none"]);
    for (flag, protocol) in [("-t", Protocol::Tcp), ("-u", Protocol::Udp)] {
        for specification in specifications(&attachment.ports, protocol) {
            command.args([flag, &specification]);
        }
    }
    command.arg("--pid").arg(&pid_file).args(arguments);
    command.arg("--netns-only").arg("--netns").arg(format!("/proc/{pid}/ns/net"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    // It goes into the background when the network is there.
    let output = command.output().doing("starting", &program)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(RunnerError::Unsupported(format!(
            "pasta did not connect the container: {}",
            said.trim()
        )));
    }
    let text = fs::read_to_string(&pid_file).doing("reading", &pid_file)?;
    let pasta = text.trim().parse().ok().and_then(Process::of).ok_or_else(|| {
        RunnerError::Unsupported("pasta ended at once after it connected the container".into())
    })?;
    files::replace_json(&note(folders, &desired.id), &Carrier { pasta, container }, false)
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
    if let Some(carrier) = files::read_json::<Carrier>(note)?
        && let Some(pid) = Pid::from_raw(carrier.pasta.pid)
        && let Ok(handle) = pidfd_open(pid, PidfdFlags::empty())
        // Asked with the handle open: it is this process that the signal goes to, or none.
        && carrier.pasta.alive()
    {
        match pidfd_send_signal(&handle, Signal::TERM) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => {
                return Err(RunnerError::Io {
                    what: format!("ending pasta (process {})", carrier.pasta.pid),
                    source: error.into(),
                });
            }
        }
    }
    remove(&note.with_extension("pid"))?;
    remove(note)
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
            && files::read_json::<Carrier>(&path)?.is_some_and(|carrier| !carrier.container.alive())
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
