//! The name server of a network: this program again, one thread, on the gateway's address. Whoever connects a container
//! opens its sockets and starts it where it does not run; it ends when the last container has left.
//!
//! A container asks it for everything: names of containers that it shares a network with are answered here, all else is
//! asked of the machine's own servers, or of those that the container named.

pub(crate) mod fuzzing;
mod message;
mod server;
mod upstream;
mod zone;

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{Write, stdin, stdout},
    net::{SocketAddr, TcpListener, UdpSocket},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use server::{Event, Server};
use zone::Zone;

use super::{
    definition::{Network, Networks},
    lease,
    process::Process,
};
use crate::{
    error::{OWN_FAILURE, Result, RunnerError, While},
    folders::Folders,
    record::files,
};

/// The argument by which the program is a name server; never typed by a person.
pub(crate) const ARGUMENT: &str = "__names";

fn note(folders: &Folders, network: &str) -> PathBuf {
    folders.run.join("network").join(format!("names-{network}.json"))
}

/// Starts the server of a network where it does not run. The caller holds the lock, and the gateway has its address.
///
/// # Errors
/// [`RunnerError::Conflict`] where another program has the port.
pub(crate) fn ensure(folders: &Folders, network: &Network) -> Result<()> {
    let note = note(folders, &network.name);
    if files::read_json::<Process>(&note)?.is_some_and(|process| process.alive()) {
        return Ok(());
    }
    let Some(gateway) = network.gateways().next() else { return Ok(()) };
    let address = SocketAddr::new(gateway, 53);
    let taken = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AddrInUse => RunnerError::Conflict(format!(
            "another program has port 53 of {gateway}, where names on network {} are served: have it listen on its own \
             addresses alone, or make the network with --disable-dns",
            network.name
        )),
        _ => RunnerError::Io { what: format!("serving names on {address}"), source: error },
    };
    let datagrams = OwnedFd::from(UdpSocket::bind(address).map_err(taken)?);
    let streams = OwnedFd::from(TcpListener::bind(address).map_err(taken)?);
    let log = folders.run.join("network").join("names.log");
    let log = File::options().create(true).append(true).open(&log).doing("opening", &log)?;
    // The program as it is now, also where the file of its name is another by now.
    let mut child = Command::new("/proc/self/exe")
        .arg(ARGUMENT)
        .args([folders.store.as_os_str(), folders.run.as_os_str(), network.name.as_ref()])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(datagrams))
        .stdout(Stdio::from(streams))
        .stderr(Stdio::from(log))
        .spawn()
        .doing("starting the name server of network", &network.name)?;
    let process = i32::try_from(child.id()).ok().and_then(Process::of);
    let Some(process) = process else {
        let status = child.wait().doing("waiting for the name server of network", &network.name)?;
        return Err(RunnerError::Unsupported(format!(
            "the name server of network {} ended: {status}",
            network.name
        )));
    };
    files::replace_json(&note, &process, false)
}

/// The server's `main`, with what follows the argument: the folders and the network.
pub(crate) fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match run(&arguments.collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _told = writeln!(std::io::stderr(), "berth-runner: names: {error}");
            ExitCode::from(OWN_FAILURE)
        }
    }
}

fn run(arguments: &[OsString]) -> Result<()> {
    let [store, run, network] = arguments else {
        return Err(RunnerError::Usage(format!("{ARGUMENT} is for the program itself")));
    };
    let folders = Folders { store: store.into(), run: run.into() };
    let network = network.to_string_lossy().into_owned();
    // Keys typed for the container that came first, and the end of its terminal, are not for this process.
    rustix::process::setsid().doing("leaving", "the session")?;
    let socket = |fd: std::io::Result<OwnedFd>| fd.doing("taking", "the sockets");
    let datagrams = UdpSocket::from(socket(stdin().as_fd().try_clone_to_owned())?);
    let listener = TcpListener::from(socket(stdout().as_fd().try_clone_to_owned())?);
    // The server alone has them, and closes them.
    let null = File::options().read(true).write(true).open("/dev/null").doing("opening", "/dev/null")?;
    rustix::stdio::dup2_stdin(&null)
        .and_then(|()| rustix::stdio::dup2_stdout(&null))
        .doing("closing", "the sockets")?;
    let leases = lease::folder(&folders);
    let mut server = Server::new(datagrams, listener, &leases).doing("watching", &leases)?;
    server.serve(look(&folders, &leases, &network)?);
    loop {
        if server.turn().doing("serving names of network", &network)? == Event::Look {
            let zone = look(&folders, &leases, &network)?;
            if !zone.occupied()
                && let Some(lock) = leave(&folders, &leases, &network)?
            {
                // The sockets first: whoever waits for the lock may want their address.
                drop(server);
                drop(lock);
                return Ok(());
            }
            server.serve(zone);
        }
    }
}

fn look(folders: &Folders, leases: &Path, network: &str) -> Result<Zone> {
    Ok(Zone::new(network, Networks::new(folders).all()?, lease::read(leases)?))
}

/// Ends, unless a container came meanwhile: whoever connects one holds the lock and either sees this server, which
/// sees the container, or none.
fn leave(folders: &Folders, leases: &Path, network: &str) -> Result<Option<File>> {
    let path = folders.run.join("network").join("lock");
    // Opened, never made: a folder that somebody took away stays away.
    let lock = match File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return File::open("/dev/null").doing("opening", "/dev/null").map(Some);
        }
        opened => opened.doing("opening", &path)?,
    };
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).doing("locking", &path)?;
    if look(folders, leases, network)?.occupied() {
        return Ok(None);
    }
    let note = note(folders, network);
    match fs::remove_file(&note) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).doing("removing", &note),
        Ok(()) | Err(_) => Ok(Some(lock)),
    }
}
