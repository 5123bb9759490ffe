//! Messages with descriptors over a socket that keeps their bounds (`SOCK_SEQPACKET`): between the command line and a
//! supervisor, and from a supervisor to what it becomes by exec.

use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
        SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg,
        socketpair,
    },
};

/// The longest message.
pub(crate) const LONGEST: usize = 64 << 10;

/// The most descriptors in one message: what the kernel allows. Published ports are the many.
const MOST_DESCRIPTORS: usize = 253;

/// A message as it came.
#[derive(Debug, Default)]
pub(crate) struct Parcel {
    /// Its bytes; empty where the other side has closed.
    pub(crate) bytes: Vec<u8>,
    /// Descriptors that came along.
    pub(crate) fds: Vec<OwnedFd>,
}

/// Two ends of one connection.
pub(crate) fn pair() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

/// Sends one message whole; does not wait where `SendFlags::DONTWAIT` is said.
pub(crate) fn send(
    socket: impl AsFd,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> rustix::io::Result<()> {
    if bytes.len() > LONGEST || fds.len() > MOST_DESCRIPTORS {
        return Err(Errno::MSGSIZE);
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::MSGSIZE);
    }
    loop {
        match sendmsg(&socket, &[IoSlice::new(bytes)], &mut control, flags | SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            sent => return sent.map(|_| ()),
        }
    }
}

/// The next message; one that was too long is an error, and none of it is used.
pub(crate) fn receive(socket: impl AsFd, flags: RecvFlags) -> rustix::io::Result<Parcel> {
    let mut bytes = vec![0; LONGEST];
    let mut parcel = receive_into(socket, &mut bytes, flags)?;
    bytes.truncate(parcel.0);
    Ok(Parcel { bytes, fds: std::mem::take(&mut parcel.1) })
}

/// [`receive`] into the caller's space.
pub(crate) fn receive_into(
    socket: impl AsFd,
    bytes: &mut [u8],
    flags: RecvFlags,
) -> rustix::io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = loop {
        match recvmsg(&socket, &mut [IoSliceMut::new(bytes)], &mut control, flags | RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            got => break got?,
        }
    };
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    if got.flags.contains(ReturnFlags::TRUNC) || got.flags.contains(ReturnFlags::CTRUNC) {
        return Err(Errno::MSGSIZE);
    }
    Ok((got.bytes, fds))
}

/// Waits until `fd` has one of `wanted` or the deadline has passed.
pub(crate) fn ready(
    fd: BorrowedFd<'_>,
    wanted: PollFlags,
    deadline: Option<Instant>,
) -> rustix::io::Result<bool> {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let mut fds = [PollFd::from_borrowed_fd(fd, wanted)];
        match poll(&mut fds, left.map(timespec).as_ref()) {
            Ok(0) if left.is_some_and(|left| left.is_zero()) => return Ok(false),
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error),
        }
    }
}

/// A duration as `poll` takes it.
pub(crate) fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn descriptors_arrive_with_their_message() {
        let (ours, theirs) = pair().unwrap();
        let (mut read, write) = std::io::pipe().unwrap();
        send(&ours, b"one", &[write.as_fd()], SendFlags::empty()).unwrap();
        send(&ours, b"two", &[], SendFlags::empty()).unwrap();
        drop((ours, write));
        let first = receive(&theirs, RecvFlags::empty()).unwrap();
        assert_eq!((first.bytes.as_slice(), first.fds.len()), (&b"one"[..], 1));
        rustix::io::write(&first.fds[0], b"through").unwrap();
        drop(first);
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
        assert_eq!(
            receive(&theirs, RecvFlags::empty()).unwrap().bytes,
            b"two",
            "a closed end keeps what was sent"
        );
        assert!(receive(&theirs, RecvFlags::empty()).unwrap().bytes.is_empty());
    }

    #[test]
    fn a_message_that_is_too_long_is_refused_on_both_sides() {
        let (ours, theirs) = pair().unwrap();
        let long = vec![0; LONGEST + 1];
        assert_eq!(send(&ours, &long, &[], SendFlags::empty()), Err(Errno::MSGSIZE));
        rustix::net::send(&ours, &long, SendFlags::empty()).unwrap();
        assert_eq!(receive(&theirs, RecvFlags::empty()).unwrap_err(), Errno::MSGSIZE);
    }
}
