//! Netlink: messages to the kernel as it reads them, one socket per family of messages. No thread, no runtime: a
//! supervisor that speaks a few hundred bytes once pays for nothing more.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink::SocketAddrNetlink, recv,
        sendto, socket_with, sockopt,
    },
};

/// The message has to be read as a request.
pub(crate) const REQUEST: u16 = 1;
/// An answer is wanted, also where all went well.
pub(crate) const ACK: u16 = 4;
/// All objects, not one.
pub(crate) const DUMP: u16 = 0x300;
/// With a new object: it must not be there yet.
pub(crate) const EXCLUSIVE: u16 = 0x200;
/// With a new object: it is made where it is not there.
pub(crate) const CREATE: u16 = 0x400;
/// With a new rule: behind those that are there.
pub(crate) const APPEND: u16 = 0x800;

const NESTED: u16 = 0x8000;
const HEADER: usize = 16;
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// A message being written: header, the family's own header, attributes.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// A message of one type; `header` is the family's own (`ifinfomsg`, `nfgenmsg` ...).
    pub(crate) fn new(kind: u16, flags: u16, header: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(flags | REQUEST).to_ne_bytes());
        bytes.extend_from_slice(header);
        let mut message = Self { bytes };
        message.pad();
        message
    }

    /// Adds an attribute.
    pub(crate) fn put(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.close(start);
        self
    }

    /// Adds a text with the zero that ends it.
    pub(crate) fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.put(kind, &bytes)
    }

    /// Adds a number in the machine's order.
    pub(crate) fn number(&mut self, kind: u16, value: u32) -> &mut Self {
        self.put(kind, &value.to_ne_bytes())
    }

    /// Adds a number in the network's order.
    pub(crate) fn big(&mut self, kind: u16, value: u32) -> &mut Self {
        self.put(kind, &value.to_be_bytes())
    }

    /// Adds an attribute that holds attributes.
    pub(crate) fn nest(&mut self, kind: u16, inside: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        inside(self);
        self.close(start);
        self
    }

    /// Adds bytes as they are: a header inside of an attribute.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self.pad();
        self
    }

    fn close(&mut self, start: usize) {
        // Lengths are 16 bits wide. What we write is names, addresses and rules of a few hundred bytes.
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// What is written so far.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes
    }
}

/// What the kernel said: the type and what follows the header.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The type of the message.
    pub(crate) kind: u16,
    /// The family's header and attributes.
    pub(crate) body: Vec<u8>,
}

/// A socket in the network namespace in which it was opened, wherever this process is later.
#[derive(Debug)]
pub(crate) struct Socket {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// For links, addresses and routes.
    pub(crate) fn route() -> io::Result<Self> {
        Self::open(None)
    }

    /// For packet filters.
    pub(crate) fn netfilter() -> io::Result<Self> {
        Self::open(Some(rustix::net::netlink::NETFILTER))
    }

    fn open(protocol: Option<rustix::net::Protocol>) -> io::Result<Self> {
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, 0))?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; 32 << 10] })
    }

    /// Sends one request and waits for the kernel's yes or no.
    pub(crate) fn ask(&mut self, message: Message) -> io::Result<()> {
        self.send_with_flags(message, ACK)?;
        self.collect().map(drop)
    }

    /// Asks for one object.
    pub(crate) fn get(&mut self, message: Message) -> io::Result<Vec<Answer>> {
        self.send_with_flags(message, ACK)?;
        self.collect()
    }

    /// Asks for all objects of a kind.
    pub(crate) fn dump(&mut self, message: Message) -> io::Result<Vec<Answer>> {
        self.send_with_flags(message, DUMP)?;
        self.collect()
    }

    fn send_with_flags(&mut self, mut message: Message, more: u16) -> io::Result<()> {
        let flags = u16::from_ne_bytes([message.bytes[6], message.bytes[7]]) | more;
        message.bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        self.sequence += 1;
        let bytes = message.finish(self.sequence);
        sendto(&self.socket, &bytes, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        Ok(())
    }

    /// Answers up to the end of a dump or the acknowledgement.
    fn collect(&mut self) -> io::Result<Vec<Answer>> {
        let mut answers = Vec::new();
        loop {
            let (length, _) = recv(&self.socket, &mut self.buffer, RecvFlags::empty())?;
            for (sequence, answer) in messages(&self.buffer[..length])? {
                if sequence != self.sequence {
                    continue;
                }
                match answer.kind {
                    ERROR => return failure(&answer.body).map(|()| answers),
                    DONE => return Ok(answers),
                    _ => answers.push(answer),
                }
            }
        }
    }

    /// Sends messages as one: the kernel does all of them or none. The number of the message that it refused comes
    /// with its answer.
    pub(crate) fn transact(&mut self, batch: Vec<Message>) -> Result<(), (usize, io::Error)> {
        let first = self.sequence + 1;
        let mut bytes = Vec::new();
        for message in batch {
            self.sequence += 1;
            bytes.extend(message.finish(self.sequence));
        }
        let whole = |error: io::Error| (0, error);
        // The kernel takes one message of at most this size; ordinary limits end at some hundred published ports.
        sockopt::set_socket_send_buffer_size_force(&self.socket, bytes.len() + (64 << 10))
            .map_err(|error| whole(error.into()))?;
        sendto(&self.socket, &bytes, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))
            .map_err(|error| whole(error.into()))?;
        // All is done when `sendto` returns: refusals are waiting, and silence is a yes.
        loop {
            let length = match recv(&self.socket, &mut self.buffer, RecvFlags::DONTWAIT) {
                Ok((length, _)) => length,
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(whole(error.into())),
            };
            for (sequence, answer) in messages(&self.buffer[..length]).map_err(whole)? {
                if answer.kind == ERROR {
                    let index = usize::try_from(sequence.saturating_sub(first)).unwrap_or_default();
                    failure(&answer.body).map_err(|error| (index, error))?;
                }
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn failure(body: &[u8]) -> io::Result<()> {
    let code = body.first_chunk::<4>().map_or(0, |code| i32::from_ne_bytes(*code));
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code.wrapping_neg())) }
}

pub(super) fn messages(mut bytes: &[u8]) -> io::Result<Vec<(u32, Answer)>> {
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the kernel's answer is cut off");
    let mut all = Vec::new();
    while let Some(header) = bytes.first_chunk::<HEADER>() {
        let [l0, l1, l2, l3, k0, k1, _, _, s0, s1, s2, s3, ..] = *header;
        let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).map_err(|_| damaged())?;
        let body = bytes.get(HEADER..length).ok_or_else(damaged)?.to_vec();
        all.push((u32::from_ne_bytes([s0, s1, s2, s3]), Answer { kind: u16::from_ne_bytes([k0, k1]), body }));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(all)
}

/// The attributes in a piece of an answer: type without flags, value.
pub(crate) fn attributes(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut all = Vec::new();
    while let Some([l0, l1, k0, k1]) = bytes.first_chunk::<4>() {
        let length = usize::from(u16::from_ne_bytes([*l0, *l1]));
        let Some(value) = bytes.get(4..length) else { break };
        all.push((u16::from_ne_bytes([*k0, *k1]) & 0x3fff, value));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_laid_out_as_the_kernel_reads_it() {
        let mut message = Message::new(16, CREATE, &[7; 16]);
        message.text(3, "lo").nest(18, |inside| {
            inside.number(1, 5);
        });
        let bytes = message.finish(9);
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(u32::from_ne_bytes(bytes[..4].try_into().unwrap()) as usize, bytes.len());
        assert_eq!(bytes[8..12], 9_u32.to_ne_bytes());
        let found = attributes(&bytes[32..]);
        assert_eq!(found[0], (3, b"lo\0".as_slice()));
        assert_eq!(found[1].0, 18);
        assert_eq!(attributes(found[1].1), [(1, 5_u32.to_ne_bytes().as_slice())]);
    }

    #[test]
    fn answers_that_are_cut_off_are_no_answers() {
        let mut bytes = Message::new(16, 0, &[]).finish(1);
        assert_eq!(messages(&bytes).unwrap().len(), 1);
        bytes[0] = 200;
        assert!(messages(&bytes).is_err());
        bytes[0] = 3;
        assert!(messages(&bytes).is_err());
        assert!(attributes(&[9, 0, 1, 0, 1]).is_empty());
        assert!(attributes(&[0, 0, 1, 0, 1]).is_empty());
    }
}
