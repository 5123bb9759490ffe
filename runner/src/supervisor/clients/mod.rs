//! The supervisor's socket: who is connected, what they ask, what they have not taken yet.
//!
//! A message is one letter and its data. Nobody can hold the loop up: a client that says nothing for five seconds, sends
//! what is no request, or does not take a mebibyte of output is let go.

mod client;
mod request;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    fs,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};

use rustix::{
    event::PollFlags,
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen,
        socket_with, sockopt::socket_peercred,
    },
};

pub(crate) use self::{
    client::Client,
    request::{Request, fuzzed, say},
};
use super::{order::Attach, parcel};
use crate::error::{Result, While};

/// How long a new client may say nothing.
const PATIENCE: Duration = Duration::from_secs(5);
/// Clients at one time.
const MOST: usize = 64;

/// All of them.
#[derive(Debug)]
pub(crate) struct Clients {
    listener: OwnedFd,
    clients: Vec<Client>,
    next: u64,
}

impl Clients {
    /// Listens at `path`, which only its owner may use.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub(crate) fn listen(path: &Path) -> Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).doing("removing", path);
            }
            Ok(()) | Err(_) => {}
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let listener =
            socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).doing("making", path)?;
        bind_long(&listener, path).doing("making", path)?;
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .doing("making", path)?;
        listen(&listener, 64).doing("making", path)?;
        Ok(Self::on(listener))
    }

    /// Goes on with a socket that listens.
    pub(crate) fn on(listener: OwnedFd) -> Self {
        Self { listener, clients: Vec::new(), next: 0 }
    }

    /// The socket.
    pub(crate) fn listener(&self) -> &OwnedFd {
        &self.listener
    }

    /// A client by its number.
    pub(crate) fn get(&mut self, number: u64) -> Option<&mut Client> {
        self.clients.iter_mut().find(|client| client.number == number)
    }

    /// All.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Client> {
        self.clients.iter()
    }

    /// Takes in a connection that is there already, as an attached one or not.
    pub(crate) fn add(&mut self, fd: OwnedFd, attach: Option<Attach>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.clients.push(Client {
            fd,
            number,
            since: attach.is_none().then(Instant::now),
            queue: VecDeque::new(),
            queued: 0,
            attach: attach.unwrap_or_default(),
            told_end: attach.is_some(),
            gone: false,
        });
        number
    }

    /// Takes in who connects, where they may.
    pub(crate) fn accept(&mut self) {
        while let Ok(fd) = accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            let own = rustix::process::geteuid();
            let allowed = socket_peercred(&fd)
                .is_ok_and(|peer| peer.uid == own || peer.uid == rustix::process::Uid::ROOT);
            if allowed && self.clients.len() < MOST {
                self.add(fd, None);
            }
        }
    }

    /// The next request of a client that has something to read.
    pub(crate) fn read(&mut self, number: u64) -> Option<Request> {
        let client = self.get(number)?;
        let request = match parcel::receive(&client.fd, RecvFlags::DONTWAIT) {
            Err(Errno::AGAIN) => return None,
            Ok(parcel) => Request::parse(&parcel.bytes),
            Err(_) => None,
        };
        match &request {
            None => client.gone = true,
            Some(Request::Attach(attach)) => {
                client.attach = *attach;
                client.told_end = true;
            }
            Some(Request::Wait | Request::Stop { .. }) => client.told_end = true,
            Some(_) => {}
        }
        if request.is_some() {
            client.since = None;
        }
        request
    }

    /// Whether anybody takes output.
    pub(crate) fn anybody_listens(&self) -> bool {
        self.clients.iter().any(|client| client.attach.output && !client.gone)
    }

    /// Hands output to those that take it.
    pub(crate) fn output(&mut self, kind: u8, data: &[u8]) {
        for client in self.clients.iter_mut().filter(|client| client.attach.output) {
            for piece in data.chunks(parcel::LONGEST - 1) {
                client.say(kind, piece);
            }
        }
    }

    /// Tells the end of a run to those that asked.
    pub(crate) fn ended(&mut self, code: u8) {
        for client in self.clients.iter_mut().filter(|client| client.told_end) {
            client.say(say::ENDED, &[code]);
        }
    }

    /// Sends what waits, for a client that takes it again.
    pub(crate) fn flush(&mut self, number: u64) {
        if let Some(client) = self.get(number) {
            client.flush();
        }
    }

    /// Lets everybody have what is theirs, for a second at most.
    pub(crate) fn flush_all(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(1);
        for client in &mut self.clients {
            client.flush();
            while !client.gone && !client.queue.is_empty() {
                match parcel::ready(client.fd.as_fd(), PollFlags::OUT, Some(deadline)) {
                    Ok(true) => client.flush(),
                    Ok(false) | Err(_) => client.gone = true,
                }
            }
        }
    }

    /// Lets those go that are gone or said nothing, and answers when the next one is due.
    pub(crate) fn sweep(&mut self, now: Instant) -> Option<Instant> {
        self.clients.retain(|client| !client.gone && client.since.is_none_or(|since| now < since + PATIENCE));
        self.clients.iter().filter_map(|client| client.since).min().map(|since| since + PATIENCE)
    }

    /// Takes all attached connections out, to hand them on over exec.
    pub(crate) fn attached(&self) -> impl Iterator<Item = (&OwnedFd, Attach)> {
        self.clients.iter().filter(|client| client.told_end).map(|client| (&client.fd, client.attach))
    }
}

/// Binds below a folder whose path may be longer than a socket's address: by the folder's descriptor.
fn bind_long(socket: &OwnedFd, path: &Path) -> std::io::Result<()> {
    let (_folder, short) = short(path)?;
    Ok(bind(socket, &SocketAddrUnix::new(short)?)?)
}

/// A short name of a path, valid while the descriptor lives.
pub(crate) fn short(path: &Path) -> std::io::Result<(fs::File, std::path::PathBuf)> {
    use std::os::fd::AsRawFd;
    let folder = fs::File::open(path.parent().unwrap_or(Path::new("/")))?;
    let name = path.file_name().ok_or(std::io::ErrorKind::InvalidInput)?;
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    Ok((folder, short))
}
