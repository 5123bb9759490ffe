//! The supervisor's socket: who is connected, what they ask, what they have not taken yet.
//!
//! A message is one letter and its data. Nobody can hold the loop up: a client that says nothing for five seconds, sends
//! what is no request, or does not take a mebibyte of output is let go.

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
        AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind,
        listen, socket_with, sockopt::socket_peercred,
    },
};

use super::{order::Attach, parcel};
use crate::error::{Result, While};

/// How long a new client may say nothing.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of output that a client may be behind.
const BEHIND: usize = 1 << 20;
/// Clients at one time.
const MOST: usize = 64;

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Output from now on, and input to come.
    Attach(Attach),
    /// End it: seconds until it is killed, and whether it is a person's will.
    Stop { seconds: u32, person: bool },
    /// Send it a signal, and whether it is a person's will.
    Kill { signal: i32, person: bool },
    /// Tell its end.
    Wait,
    /// Input.
    Input(Vec<u8>),
    /// Input ends.
    InputEnds,
    /// Rows and columns of the client's terminal.
    Resize(u16, u16),
    /// Check its health now.
    Check,
}

impl Request {
    /// As a message.
    pub(crate) fn message(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Self::Attach(attach) => bytes.extend([b'A', u8::from(attach.input), u8::from(attach.output)]),
            Self::Stop { seconds, person } => {
                bytes.extend([b'S', u8::from(*person)]);
                bytes.extend(seconds.to_le_bytes());
            }
            Self::Kill { signal, person } => {
                bytes.extend([b'K', u8::from(*person)]);
                bytes.extend(signal.to_le_bytes());
            }
            Self::Wait => bytes.push(b'W'),
            Self::Input(data) => {
                bytes.push(b'I');
                bytes.extend(data);
            }
            Self::InputEnds => bytes.push(b'E'),
            Self::Resize(rows, columns) => {
                bytes.push(b'R');
                bytes.extend(rows.to_le_bytes());
                bytes.extend(columns.to_le_bytes());
            }
            Self::Check => bytes.push(b'H'),
        }
        bytes
    }

    /// From a message.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (kind, data) = bytes.split_first()?;
        let truth = |at: usize| data.get(at).map(|byte| *byte != 0);
        let number = |from: usize| <[u8; 4]>::try_from(data.get(from..)?).ok();
        Some(match kind {
            b'A' => Self::Attach(Attach { input: truth(0)?, output: truth(1)? }),
            b'S' => Self::Stop { person: truth(0)?, seconds: u32::from_le_bytes(number(1)?) },
            b'K' => Self::Kill { person: truth(0)?, signal: i32::from_le_bytes(number(1)?) },
            b'W' => Self::Wait,
            b'I' => Self::Input(data.to_vec()),
            b'E' => Self::InputEnds,
            b'R' => {
                let [a, b, c, d] = number(0)?;
                Self::Resize(u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]))
            }
            b'H' => Self::Check,
            _ => return None,
        })
    }
}

/// What a supervisor says; each a message.
pub(crate) mod say {
    /// Done.
    pub(crate) const DONE: u8 = b'o';
    /// Not done, with the reason.
    pub(crate) const FAILED: u8 = b'e';
    /// Standard output.
    pub(crate) const OUT: u8 = b'1';
    /// Standard error.
    pub(crate) const ERR: u8 = b'2';
    /// It ended, with its number.
    pub(crate) const ENDED: u8 = b'x';
    /// The client took too little: output was left out for it.
    pub(crate) const BEHIND: u8 = b'b';
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    fd: OwnedFd,
    /// Never another client's.
    pub(crate) number: u64,
    since: Option<Instant>,
    queue: VecDeque<Vec<u8>>,
    queued: usize,
    attach: Attach,
    told_end: bool,
    gone: bool,
}

impl Client {
    /// What `poll` is to wait for. Input is only taken while the container takes it.
    pub(crate) fn wanted(&self, input_waits: bool) -> PollFlags {
        let mut wanted = PollFlags::empty();
        if !(self.attach.input && input_waits) {
            wanted |= PollFlags::IN;
        }
        if !self.queue.is_empty() {
            wanted |= PollFlags::OUT;
        }
        wanted
    }

    /// Sends a message, now or as soon as it is taken.
    pub(crate) fn say(&mut self, kind: u8, data: &[u8]) {
        let mut message = Vec::with_capacity(data.len() + 1);
        message.push(kind);
        message.extend_from_slice(data);
        if self.queue.is_empty() {
            match parcel::send(&self.fd, &message, &[], SendFlags::DONTWAIT) {
                Ok(()) => return,
                Err(Errno::AGAIN) => {}
                Err(_) => {
                    self.gone = true;
                    return;
                }
            }
        }
        self.queued += message.len();
        self.queue.push_back(message);
        if self.queued > BEHIND {
            // Let go, but not without a word: the last message of the queue says why.
            self.queue.truncate(self.queue.len() / 2);
            self.queue.push_back(vec![say::BEHIND]);
            self.attach = Attach::default();
            self.queued = 0;
        }
    }

    fn flush(&mut self) {
        while let Some(message) = self.queue.front() {
            match parcel::send(&self.fd, message, &[], SendFlags::DONTWAIT) {
                Ok(()) => {
                    self.queued = self.queued.saturating_sub(message.len());
                    let last = message.first() == Some(&say::BEHIND);
                    self.queue.pop_front();
                    if last {
                        self.gone = true;
                        return;
                    }
                }
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    self.gone = true;
                    return;
                }
            }
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_back() {
        for request in [
            Request::Attach(Attach { input: true, output: false }),
            Request::Stop { seconds: 300, person: true },
            Request::Kill { signal: 64, person: false },
            Request::Wait,
            Request::Input(b"text".to_vec()),
            Request::InputEnds,
            Request::Resize(24, 80),
            Request::Check,
        ] {
            assert_eq!(Request::parse(&request.message()), Some(request));
        }
        for bad in [&b""[..], b"?", b"S", b"S\x01\x02", b"Kxxxxxxx", b"R\0"] {
            assert_eq!(Request::parse(bad), None, "{bad:?}");
        }
    }

    fn connected() -> (Clients, OwnedFd) {
        let folder = tempfile::tempdir().unwrap();
        let mut clients = Clients::listen(&folder.path().join("sock")).unwrap();
        let (ours, theirs) = parcel::pair().unwrap();
        clients.add(ours, Some(Attach { input: false, output: true }));
        (clients, theirs)
    }

    #[test]
    fn a_client_that_takes_nothing_is_let_go_with_a_word() {
        let (mut clients, theirs) = connected();
        let piece = vec![b'x'; 60_000];
        for _ in 0..100 {
            clients.output(say::OUT, &piece);
        }
        assert!(clients.clients[0].queue.len() < 30, "what it did not take is bounded");
        loop {
            clients.flush(0);
            let message = parcel::receive(&theirs, RecvFlags::DONTWAIT).unwrap();
            if message.bytes == [say::BEHIND] {
                break;
            }
            assert_eq!(message.bytes.len(), 60_001);
        }
        clients.sweep(Instant::now());
        assert_eq!(clients.iter().count(), 0);
    }

    #[test]
    fn a_client_that_says_nothing_or_nonsense_is_let_go() {
        let (mut clients, _theirs) = connected();
        let (ours, silent) = parcel::pair().unwrap();
        clients.add(ours, None);
        let due = clients.sweep(Instant::now()).unwrap();
        assert_eq!(clients.iter().count(), 2);
        clients.sweep(due);
        assert_eq!(clients.iter().count(), 1, "the attached one stays");
        drop(silent);
        let (ours, rude) = parcel::pair().unwrap();
        let number = clients.add(ours, None);
        parcel::send(&rude, b"GET / HTTP/1.1", &[], SendFlags::empty()).unwrap();
        assert_eq!(clients.read(number), None);
        clients.sweep(Instant::now());
        assert_eq!(clients.iter().count(), 1);
    }

    /// Connects as a user; the thread that becomes that user ends with it.
    fn connected_as(path: &Path, uid: u32) -> OwnedFd {
        let path = path.to_owned();
        let connect = move || {
            rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(uid)).unwrap();
            let socket =
                socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
            let address = rustix::net::SocketAddrUnix::new(&path).unwrap();
            rustix::net::connect(&socket, &address).unwrap();
            socket
        };
        std::thread::spawn(connect).join().unwrap()
    }

    #[test]
    fn another_user_is_not_let_in_even_where_the_socket_is_open_to_all() {
        use std::os::unix::fs::PermissionsExt;
        let own = rustix::process::geteuid();
        if !own.is_root() {
            assert!(std::env::var_os("CI").is_none(), "needs root, to be another user");
            eprintln!("skipped: needs root, to be another user");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let path = folder.path().join("sock");
        let mut clients = Clients::listen(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let stranger = connected_as(&path, 65_534);
        clients.accept();
        assert_eq!(clients.iter().count(), 0);
        assert!(
            !matches!(parcel::receive(&stranger, RecvFlags::empty()), Ok(said) if !said.bytes.is_empty())
        );
        let _own = connected_as(&path, own.as_raw());
        clients.accept();
        assert_eq!(clients.iter().count(), 1);
    }

    #[test]
    fn there_are_never_more_clients_than_a_supervisor_has_memory_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sock");
        let mut clients = Clients::listen(&path).unwrap();
        let mut theirs = Vec::new();
        for _ in 0..MOST + 5 {
            theirs.push(connected_as(&path, rustix::process::geteuid().as_raw()));
            clients.accept();
        }
        assert_eq!(clients.iter().count(), MOST);
    }

    #[test]
    fn the_socket_is_its_owner_s_and_its_path_may_be_long() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("d".repeat(100)).join("e".repeat(100));
        fs::create_dir_all(&deep).unwrap();
        let path = deep.join("sock");
        let _clients = Clients::listen(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
