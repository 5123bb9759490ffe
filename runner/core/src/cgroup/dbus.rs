//! As much of D-Bus as asking systemd takes: one connection straight to a manager's private socket, calls one after
//! the other, little-endian as the machines that this runs on.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

/// What a manager gets to answer; a job that waits for another unit counts, too.
const PATIENCE: Duration = Duration::from_secs(25);

/// No message that is awaited is near this.
const MOST: usize = 1 << 20;

/// Values in the wire's form: every type at a multiple of its size.
#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.align(4);
        self.0.extend(value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.align(8);
        self.0.extend(value.to_le_bytes());
    }

    pub(super) fn string(&mut self, text: &str) -> io::Result<()> {
        self.u32(length(text.len())?);
        self.0.extend(text.as_bytes());
        self.0.push(0);
        Ok(())
    }

    pub(super) fn signature(&mut self, text: &str) -> io::Result<()> {
        self.0.push(u8::try_from(text.len()).map_err(io::Error::other)?);
        self.0.extend(text.as_bytes());
        self.0.push(0);
        Ok(())
    }

    /// A structure begins.
    pub(super) fn structure(&mut self) {
        self.align(8);
    }

    /// An array whose elements begin at multiples of `to`; the length leaves out what is skipped before the first.
    pub(super) fn array(
        &mut self,
        to: usize,
        fill: impl FnOnce(&mut Self) -> io::Result<()>,
    ) -> io::Result<()> {
        self.u32(0);
        let at = self.0.len() - 4;
        self.align(to);
        let from = self.0.len();
        fill(self)?;
        let count = length(self.0.len() - from)?;
        self.0[at..at + 4].copy_from_slice(&count.to_le_bytes());
        Ok(())
    }
}

fn length(count: usize) -> io::Result<u32> {
    u32::try_from(count).map_err(io::Error::other)
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the answer is no D-Bus: {what}"))
}

/// Reads values; positions count from the message's beginning.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> io::Result<&'a [u8]> {
        let end = self.at.checked_add(count).ok_or_else(|| broken("a length"))?;
        let taken = self.bytes.get(self.at..end).ok_or_else(|| broken("it ends early"))?;
        self.at = end;
        Ok(taken)
    }

    fn u32(&mut self) -> io::Result<u32> {
        self.at = self.at.next_multiple_of(4);
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes(bytes.try_into().map_err(io::Error::other)?))
    }

    fn text(&mut self, length: usize) -> io::Result<String> {
        let text = self.take(length)?;
        self.take(1)?;
        String::from_utf8(text.to_vec()).map_err(|_| broken("a text"))
    }

    fn string(&mut self) -> io::Result<String> {
        let length = self.u32()?;
        self.text(length as usize)
    }

    fn signature(&mut self) -> io::Result<String> {
        let length = self.take(1)?[0];
        self.text(length.into())
    }
}

/// A message that came.
#[derive(Debug, Default)]
struct Message {
    kind: u8,
    member: String,
    error: String,
    answers: Option<u32>,
    signature: String,
    body: Vec<u8>,
}

const CALL: u8 = 1;
const ANSWER: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

impl Message {
    /// The texts and numbers of a body of `s`, `o`, `u` and variants of these, as texts.
    fn values(&self) -> io::Result<Vec<String>> {
        let mut reader = Reader { bytes: &self.body, at: 0 };
        let mut values = Vec::new();
        for kind in self.signature.chars() {
            let kind = if kind == 'v' { reader.signature()?.chars().next().unwrap_or(' ') } else { kind };
            values.push(match kind {
                's' | 'o' => reader.string()?,
                'u' => reader.u32()?.to_string(),
                _ => break,
            });
        }
        Ok(values)
    }
}

/// Reads everything that a stream of messages holds, for the fuzz target.
pub(super) fn drain(mut bytes: &[u8]) {
    while let Ok(message) = Message::read(&mut bytes) {
        let _values = message.values();
    }
}

/// A method of systemd.
#[derive(Clone, Copy)]
pub(super) struct Method<'a> {
    pub(super) interface: &'a str,
    pub(super) name: &'a str,
    pub(super) signature: &'a str,
}

/// A connection.
pub(super) struct Connection {
    stream: UnixStream,
    serial: u32,
}

impl Connection {
    /// Connects and says who we are, which the kernel confirms.
    pub(super) fn open(socket: &Path) -> io::Result<Self> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let user: String =
            rustix::process::geteuid().as_raw().to_string().bytes().map(|b| format!("{b:02x}")).collect();
        stream.write_all(format!("\0AUTH EXTERNAL {user}\r\n").as_bytes())?;
        // Byte by byte: what follows the line is not ours to read yet.
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            line.push(byte[0]);
            if line.len() > 512 {
                return Err(broken("no line"));
            }
        }
        if !line.starts_with(b"OK ") {
            let said = String::from_utf8_lossy(&line).trim().to_owned();
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("it does not let us in: {said}"),
            ));
        }
        stream.write_all(b"BEGIN\r\n")?;
        Ok(Self { stream, serial: 0 })
    }

    /// Calls a method of the manager and answers the values of its reply. Signals that come meanwhile go to `heard`.
    pub(super) fn call(
        &mut self,
        method: Method<'_>,
        arguments: &Writer,
        heard: &mut Vec<Vec<String>>,
    ) -> io::Result<Vec<String>> {
        self.serial += 1;
        let mut message = Writer(vec![b'l', CALL, 0, 1]);
        message.u32(length(arguments.0.len())?);
        message.u32(self.serial);
        message.array(8, |fields| {
            for (code, kind, text) in [
                (1, "o", "/org/freedesktop/systemd1"),
                (2, "s", method.interface),
                (3, "s", method.name),
                (6, "s", "org.freedesktop.systemd1"),
            ] {
                fields.structure();
                fields.0.push(code);
                fields.signature(kind)?;
                fields.string(text)?;
            }
            fields.structure();
            fields.0.push(8);
            fields.signature("g")?;
            fields.signature(method.signature)
        })?;
        message.align(8);
        message.0.extend(&arguments.0);
        self.stream.write_all(&message.0)?;
        loop {
            let message = self.receive()?;
            match message.kind {
                ANSWER if message.answers == Some(self.serial) => return message.values(),
                ERROR if message.answers == Some(self.serial) => {
                    let said = message.values()?.into_iter().next().unwrap_or_default();
                    return Err(io::Error::other(format!("{said} ({})", message.error)));
                }
                SIGNAL if message.member == "JobRemoved" => heard.push(message.values()?),
                _ => {}
            }
        }
    }

    /// The values of the next `JobRemoved`.
    pub(super) fn job_removed(&mut self) -> io::Result<Vec<String>> {
        loop {
            let message = self.receive()?;
            if message.kind == SIGNAL && message.member == "JobRemoved" {
                return message.values();
            }
        }
    }

    fn receive(&mut self) -> io::Result<Message> {
        Message::read(&mut self.stream)
    }
}

impl Message {
    /// Reads one; whatever it says of its length, no more than [`MOST`] bytes are taken.
    fn read(stream: &mut impl Read) -> io::Result<Self> {
        let mut bytes = vec![0; 16];
        stream.read_exact(&mut bytes)?;
        if bytes[0] != b'l' {
            return Err(broken("another byte order"));
        }
        let mut fixed = Reader { bytes: &bytes, at: 4 };
        let body = fixed.u32()? as usize;
        fixed.u32()?;
        let fields = fixed.u32()? as usize;
        let from = fields.checked_add(16).ok_or_else(|| broken("a length"))?.next_multiple_of(8);
        let all =
            from.checked_add(body).filter(|all| *all <= MOST).ok_or_else(|| broken("it is too long"))?;
        bytes.resize(all, 0);
        stream.read_exact(&mut bytes[16..])?;
        let mut message = Self { kind: bytes[1], body: bytes[from..].to_vec(), ..Self::default() };
        let mut reader = Reader { bytes: &bytes[..16 + fields], at: 16 };
        while reader.at < 16 + fields {
            reader.at = reader.at.next_multiple_of(8);
            let code = reader.take(1)?[0];
            let kind = reader.signature()?;
            match (code, kind.as_str()) {
                (3, "s") => message.member = reader.string()?,
                (4, "s") => message.error = reader.string()?,
                (5, "u") => message.answers = Some(reader.u32()?),
                (8, "g") => message.signature = reader.signature()?,
                (_, "s" | "o") => drop(reader.string()?),
                (_, "g") => drop(reader.signature()?),
                (_, "u") => drop(reader.u32()?),
                _ => return Err(broken("a field of an unknown type")),
            }
        }
        Ok(message)
    }
}
