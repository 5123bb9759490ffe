//! The loop: datagrams and streams of containers, answers of other servers, changes of leases. One thread, and bounds
//! on everything that somebody else can make grow.

use std::{
    io::{self, Read, Write},
    mem::MaybeUninit,
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsFd, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::inotify,
};

use super::{
    message::{Outcome, Query},
    upstream::{Asked, Machine},
    zone::{Answer, Zone},
};

/// Questions that are on their way elsewhere, in all and of one container.
const ASKED: usize = 256;
const ASKED_BY_ONE: usize = 32;
/// Streams, in all and of one container.
const STREAMS: usize = 32;
const STREAMS_OF_ONE: usize = 4;
/// How long a stream may be silent.
const SILENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether containers that said nothing are there still.
const ROUND: Duration = Duration::from_secs(20);

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Datagram(SocketAddr),
    Stream(u64, IpAddr),
}

impl Client {
    fn address(self) -> IpAddr {
        match self {
            Self::Datagram(address) => address.ip(),
            Self::Stream(_, address) => address,
        }
    }
}

#[derive(Debug)]
struct Stream {
    number: u64,
    peer: IpAddr,
    stream: TcpStream,
    received: Vec<u8>,
    unsent: Vec<u8>,
    waits: bool,
    deadline: Instant,
}

/// The server of one network.
#[derive(Debug)]
pub(super) struct Server {
    datagrams: UdpSocket,
    listener: TcpListener,
    changes: OwnedFd,
    zone: Zone,
    machine: Machine,
    asked: Vec<(Client, Asked)>,
    streams: Vec<Stream>,
    last: u64,
}

/// Why the loop ended a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Leases changed, or it is time to look at them.
    Look,
    /// Anything else.
    Other,
}

impl Server {
    /// A server on these sockets that watches a folder of leases.
    pub(super) fn new(datagrams: UdpSocket, listener: TcpListener, leases: &Path) -> io::Result<Self> {
        datagrams.set_nonblocking(true)?;
        listener.set_nonblocking(true)?;
        let changes = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let what =
            inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::DELETE | inotify::WatchFlags::DELETE_SELF;
        inotify::add_watch(&changes, leases, what)?;
        Ok(Self {
            datagrams,
            listener,
            changes,
            zone: Zone::default(),
            machine: Machine::default(),
            asked: Vec::new(),
            streams: Vec::new(),
            last: 0,
        })
    }

    /// From now on these names hold.
    pub(super) fn serve(&mut self, zone: Zone) {
        self.zone = zone;
    }

    /// Waits for something and does it.
    pub(super) fn turn(&mut self) -> io::Result<Event> {
        let now = Instant::now();
        let deadlines = self.asked.iter().map(|(_, asked)| asked.deadline);
        let deadlines = deadlines.chain(self.streams.iter().map(|stream| stream.deadline));
        let wait = deadlines.min().map_or(ROUND, |next| next.saturating_duration_since(now).min(ROUND));
        let (ready, silent) = self.wait(wait)?;
        let mut ready = ready.into_iter();
        let mut next = || ready.next().unwrap_or(false);
        let (changed, datagram, knock) = (next(), next(), next());
        let streams: Vec<u64> = self.streams.iter().filter(|_| next()).map(|stream| stream.number).collect();
        let asked: Vec<bool> = self.asked.iter().map(|_| next()).collect();
        self.answers(&asked);
        for number in streams {
            self.stream(number);
        }
        if datagram {
            self.receive();
        }
        if knock {
            self.accept();
        }
        self.expire();
        if changed {
            self.drain()?;
        }
        Ok(if changed || silent { Event::Look } else { Event::Other })
    }

    /// Which descriptors are ready, in the order: changes, datagrams, listener, streams, questions elsewhere.
    fn wait(&self, time: Duration) -> io::Result<(Vec<bool>, bool)> {
        let mut fds = vec![
            PollFd::new(&self.changes, PollFlags::IN),
            PollFd::new(&self.datagrams, PollFlags::IN),
            PollFd::new(&self.listener, PollFlags::IN),
        ];
        for stream in &self.streams {
            // One that waits for an answer is not read: what it sends stays with it.
            let flags = match (stream.unsent.is_empty(), stream.waits) {
                (false, _) => PollFlags::OUT,
                (true, true) => PollFlags::empty(),
                (true, false) => PollFlags::IN,
            };
            fds.push(PollFd::new(&stream.stream, flags));
        }
        let always = self.datagrams.as_fd();
        for (_, asked) in &self.asked {
            let (fd, flags) = asked.interest().unwrap_or((always, PollFlags::empty()));
            fds.push(PollFd::from_borrowed_fd(fd, flags));
        }
        let time = Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(time.subsec_nanos()),
        };
        let count = match poll(&mut fds, Some(&time)) {
            Err(rustix::io::Errno::INTR) => 0,
            answer => answer?,
        };
        Ok((fds.iter().map(|fd| !fd.revents().is_empty()).collect(), count == 0))
    }

    fn drain(&self) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.changes, &mut buffer);
        loop {
            match reader.next() {
                Ok(_) => {}
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn receive(&mut self) {
        let mut buffer = [0; 4096];
        // A few at a time: streams and answers have their turn too. Errors of single packets (a container that is
        // gone) say nothing about the socket.
        for _ in 0..64 {
            match self.datagrams.recv_from(&mut buffer) {
                Ok((length, from)) => self.question(Client::Datagram(from), &buffer[..length]),
                Err(_) => return,
            }
        }
    }

    fn question(&mut self, client: Client, packet: &[u8]) {
        let query = match Query::parse(packet) {
            Ok(query) => query,
            Err(Some(refusal)) => return self.reply(client, &refusal),
            Err(None) => return self.hang_up(client),
        };
        let room = match client {
            Client::Datagram(_) => query.datagram(),
            Client::Stream(..) => usize::from(u16::MAX),
        };
        let answer = match self.zone.answer(client.address(), &query) {
            Answer::Records(records) => query.answer(Outcome::Found, &records, room),
            Answer::Unknown => query.answer(Outcome::Unknown, &[], room),
            Answer::Elsewhere(servers) => {
                let own = self.asked.iter().filter(|(other, _)| other.address() == client.address()).count();
                if self.asked.len() >= ASKED || own >= ASKED_BY_ONE {
                    query.answer(Outcome::Refused, &[], room)
                } else {
                    let servers = if servers.is_empty() { self.machine.servers() } else { servers };
                    let asked = Asked::new(query, packet, servers, matches!(client, Client::Stream(..)));
                    self.asked.push((client, asked));
                    return;
                }
            }
        };
        self.reply(client, &answer);
    }

    fn reply(&mut self, client: Client, answer: &[u8]) {
        match client {
            Client::Datagram(to) => {
                // A datagram that does not go out is one that was lost: who asked asks again.
                let _sent = self.datagrams.send_to(answer, to);
            }
            Client::Stream(number, _) => {
                if let Some(stream) = self.streams.iter_mut().find(|stream| stream.number == number) {
                    let length = u16::try_from(answer.len()).unwrap_or(u16::MAX);
                    stream.unsent.extend(length.to_be_bytes());
                    stream.unsent.extend(answer);
                    stream.waits = false;
                    stream.deadline = Instant::now() + SILENCE;
                }
            }
        }
    }

    fn hang_up(&mut self, client: Client) {
        if let Client::Stream(number, _) = client {
            self.streams.retain(|stream| stream.number != number);
        }
    }

    fn answers(&mut self, ready: &[bool]) {
        let mut done = Vec::new();
        for (index, _) in ready.iter().enumerate().filter(|(_, ready)| **ready) {
            if let Some((_, asked)) = self.asked.get_mut(index)
                && let Some(answer) = asked.advance()
            {
                done.push((index, answer));
            }
        }
        for (index, answer) in done.into_iter().rev() {
            let (client, asked) = self.asked.remove(index);
            let room = match client {
                Client::Datagram(_) => asked.query.datagram(),
                Client::Stream(..) => usize::from(u16::MAX),
            };
            self.reply(client, &asked.query.pass(&answer, room));
        }
    }

    fn expire(&mut self) {
        let now = Instant::now();
        for (_, asked) in &mut self.asked {
            if asked.deadline <= now {
                asked.next();
            }
        }
        let (hopeless, asked) =
            std::mem::take(&mut self.asked).into_iter().partition(|(_, asked)| asked.hopeless());
        self.asked = asked;
        for (client, asked) in hopeless {
            let answer = asked.query.answer(Outcome::Failed, &[], asked.query.datagram());
            self.reply(client, &answer);
        }
        self.streams.retain(|stream| stream.deadline > now || stream.waits);
        let alive = |client: &Client| match client {
            Client::Datagram(_) => true,
            Client::Stream(number, _) => self.streams.iter().any(|stream| stream.number == *number),
        };
        self.asked.retain(|(client, _)| alive(client));
    }

    fn accept(&mut self) {
        while let Ok((stream, from)) = self.listener.accept() {
            let own = self.streams.iter().filter(|stream| stream.peer == from.ip()).count();
            if self.streams.len() >= STREAMS || own >= STREAMS_OF_ONE || stream.set_nonblocking(true).is_err()
            {
                continue;
            }
            self.last += 1;
            self.streams.push(Stream {
                number: self.last,
                peer: from.ip(),
                stream,
                received: Vec::new(),
                unsent: Vec::new(),
                waits: false,
                deadline: Instant::now() + SILENCE,
            });
        }
    }

    fn stream(&mut self, number: u64) {
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.number == number) else { return };
        match stream.step() {
            Ok(Some(packet)) => {
                stream.waits = true;
                let client = Client::Stream(number, stream.peer);
                self.question(client, &packet);
            }
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.streams.retain(|stream| stream.number != number),
        }
    }
}

impl Stream {
    /// Sends what is left, or receives; a question where it is whole.
    fn step(&mut self) -> io::Result<Option<Vec<u8>>> {
        if !self.unsent.is_empty() {
            let sent = self.stream.write(&self.unsent)?;
            self.unsent.drain(..sent);
            // What came before the answer was read may hold the next question.
            return Ok(if self.unsent.is_empty() { self.whole() } else { None });
        }
        if self.waits {
            return Err(io::Error::from(io::ErrorKind::ConnectionReset));
        }
        let mut buffer = [0; 1024];
        let length = self.stream.read(&mut buffer)?;
        if length == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        self.received.extend(&buffer[..length]);
        Ok(self.whole())
    }

    fn whole(&mut self) -> Option<Vec<u8>> {
        let length = usize::from(u16::from_be_bytes(*self.received.first_chunk::<2>()?));
        let packet = self.received.get(2..2 + length)?.to_vec();
        self.received.drain(..2 + length);
        Some(packet)
    }
}
