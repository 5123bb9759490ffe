//! The socket at which a created container waits to be started.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen as listen_on,
        socket_with,
    },
};

use super::channel::{Channel, Message};
use crate::{During, RuntimeError};

/// The name of the socket in the container's state folder.
pub(crate) const SOCKET: &str = "start.sock";

/// Through the folder's handle: the path of a state folder may be longer than a socket's address.
fn address(folder: &impl AsFd) -> Result<SocketAddrUnix, RuntimeError> {
    SocketAddrUnix::new(format!("/proc/self/fd/{}/{SOCKET}", folder.as_fd().as_raw_fd()))
        .during(|| "naming the socket for the start".into())
}

fn socket() -> Result<OwnedFd, RuntimeError> {
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .during(|| "making the socket for the start".into())
}

/// Makes the socket in a state folder.
pub(crate) fn listen(folder: &impl AsFd) -> Result<OwnedFd, RuntimeError> {
    let socket = socket()?;
    bind(&socket, &address(folder)?).during(|| "binding the socket for the start".into())?;
    listen_on(&socket, 8).during(|| "listening for the start".into())?;
    Ok(socket)
}

fn connected(folder: &impl AsFd) -> Result<Option<OwnedFd>, RuntimeError> {
    let socket = socket()?;
    match connect(&socket, &address(folder)?) {
        Ok(()) => Ok(Some(socket)),
        // Nobody holds it any more: the process became its program, or is gone.
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(None),
        Err(error) => Err(error).during(|| "asking whether the container waits for its start".into()),
    }
}

/// Whether a process waits at the socket. Only the process itself holds it, so this is never out of date.
pub(crate) fn is_waiting(folder: &impl AsFd) -> Result<bool, RuntimeError> {
    Ok(connected(folder)?.is_some())
}

/// Asks the waiting process to become its program and answers when it did; `false` where nobody waits.
pub(crate) fn ask_for_start(folder: &impl AsFd) -> Result<bool, RuntimeError> {
    let Some(socket) = connected(folder)? else { return Ok(false) };
    let channel = Channel::of(socket);
    channel.send(&Message::Start, None)?;
    match channel.receive()? {
        // Exec closed the other end.
        None => Ok(true),
        Some((Message::Failed(fault), _)) => Err(fault.into()),
        Some((message, _)) => Err(std::io::Error::other(format!("{message:?} came out of turn")))
            .during(|| "starting the container".into()),
    }
}
