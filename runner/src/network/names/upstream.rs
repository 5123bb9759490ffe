//! Questions that other servers answer: each by a socket of its own, so that nobody who does not see the packets can
//! guess both the port and the number that an answer has to have.

use std::{
    fs,
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant, SystemTime},
};

use rustix::{
    event::PollFlags,
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, socket_with},
};

use super::message::{Query, renumbered, truncated};
use crate::network::etc::Resolver;

/// How long one server is waited for.
const PATIENCE: Duration = Duration::from_millis(2500);
/// How often all servers are asked in turn.
const ROUNDS: usize = 2;

/// The machine's name servers, read again when their file changes.
#[derive(Debug, Default)]
pub(super) struct Machine {
    changed: Option<SystemTime>,
    servers: Vec<IpAddr>,
}

impl Machine {
    pub(super) fn servers(&mut self) -> Vec<IpAddr> {
        let changed = fs::metadata("/etc/resolv.conf").and_then(|file| file.modified()).ok();
        if changed != self.changed || self.servers.is_empty() {
            self.servers = Resolver::of_machine().servers;
            // What the C library does where the file names none.
            if self.servers.is_empty() {
                self.servers.push(IpAddr::from([127, 0, 0, 1]));
            }
            self.changed = changed;
        }
        self.servers.clone()
    }
}

/// A way to a server.
#[derive(Debug)]
enum Way {
    Datagrams(UdpSocket),
    Stream { stream: TcpStream, unsent: Vec<u8>, received: Vec<u8> },
}

/// A question on its way.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) query: Query,
    packet: Vec<u8>,
    /// Who asked us has room for answers of any length.
    roomy: bool,
    servers: Vec<IpAddr>,
    tried: usize,
    id: u16,
    way: Option<Way>,
    pub(super) deadline: Instant,
}

impl Asked {
    /// Asks the first server.
    pub(super) fn new(query: Query, packet: &[u8], servers: Vec<IpAddr>, roomy: bool) -> Self {
        let mut asked = Self {
            query,
            packet: packet.to_vec(),
            roomy,
            servers,
            tried: 0,
            id: 0,
            way: None,
            deadline: Instant::now(),
        };
        asked.next();
        asked
    }

    /// Asks the next server; where none is left there is no way.
    pub(super) fn next(&mut self) {
        self.way = None;
        while self.tried < self.servers.len() * ROUNDS && self.way.is_none() {
            let server = SocketAddr::new(self.servers[self.tried % self.servers.len()], 53);
            self.tried += 1;
            self.id = rand::random();
            self.deadline = Instant::now() + PATIENCE;
            self.way = self.datagram(server).ok().map(Way::Datagrams);
        }
    }

    /// Whether no server is left.
    pub(super) fn hopeless(&self) -> bool {
        self.way.is_none()
    }

    fn datagram(&self, server: SocketAddr) -> io::Result<UdpSocket> {
        let any = if server.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0_u16; 8]) };
        let socket = UdpSocket::bind((any, 0))?;
        // Connected, so that the kernel takes packets of this server alone.
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        socket.send(&renumbered(&self.packet, self.id))?;
        Ok(socket)
    }

    fn stream(&self, server: SocketAddr) -> io::Result<Way> {
        let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        match rustix::net::connect(&socket, &server) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let mut unsent = u16::try_from(self.packet.len()).unwrap_or_default().to_be_bytes().to_vec();
        unsent.extend(renumbered(&self.packet, self.id));
        Ok(Way::Stream { stream: socket.into(), unsent, received: Vec::new() })
    }

    /// What to wait for.
    pub(super) fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        Some(match self.way.as_ref()? {
            Way::Datagrams(socket) => (socket.as_fd(), PollFlags::IN),
            Way::Stream { stream, unsent, .. } if unsent.is_empty() => (stream.as_fd(), PollFlags::IN),
            Way::Stream { stream, .. } => (stream.as_fd(), PollFlags::OUT),
        })
    }

    /// Goes on; the answer, where it is whole.
    pub(super) fn advance(&mut self) -> Option<Vec<u8>> {
        match self.step() {
            Ok(answer) => answer,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(_) => {
                // Nobody listens there, or it hung up: the next server may know.
                self.next();
                None
            }
        }
    }

    fn step(&mut self) -> io::Result<Option<Vec<u8>>> {
        let hung_up = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let answer = match self.way.as_mut() {
            None => return Ok(None),
            Some(Way::Datagrams(socket)) => {
                let mut buffer = [0; 4096];
                let length = socket.recv(&mut buffer)?;
                buffer[..length].to_vec()
            }
            Some(Way::Stream { stream, unsent, .. }) if !unsent.is_empty() => {
                let sent = stream.write(unsent)?;
                unsent.drain(..sent);
                return Ok(None);
            }
            Some(Way::Stream { stream, received, .. }) => {
                let mut buffer = [0; 4096];
                let length = stream.read(&mut buffer)?;
                if length == 0 {
                    return Err(hung_up());
                }
                received.extend(&buffer[..length]);
                let Some(announced) = received.first_chunk::<2>() else { return Ok(None) };
                let announced = usize::from(u16::from_be_bytes(*announced));
                match received.get(2..2 + announced) {
                    Some(answer) => answer.to_vec(),
                    None => return Ok(None),
                }
            }
        };
        if !self.query.answered_by(self.id, &answer) {
            // Not an answer to this: somebody tries, or it comes late.
            return if matches!(self.way, Some(Way::Stream { .. })) { Err(hung_up()) } else { Ok(None) };
        }
        if truncated(&answer) && self.roomy && matches!(self.way, Some(Way::Datagrams(_))) {
            let server = SocketAddr::new(self.servers[(self.tried - 1) % self.servers.len()], 53);
            self.way = Some(self.stream(server)?);
            self.deadline = Instant::now() + PATIENCE;
            return Ok(None);
        }
        Ok(Some(answer))
    }
}
