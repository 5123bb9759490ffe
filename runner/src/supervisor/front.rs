//! The caller's input and output, where the supervisor is the command itself.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::{
    event::PollFlags,
    fs::{FileType, fstat, major, minor},
    io::Errno,
};

use super::terminal::Raw;

/// What may be written at once where `poll` said that something may be: so much fits into a pipe then, and the write
/// does not wait.
const AT_ONCE: usize = 4096;

/// Whether a descriptor of the caller's may be a container's own: a pipe, a socket, or the null device. A terminal could
/// be read, set and typed into from inside, and a file be opened anew by `/proc/self/fd` with other rights than the
/// caller opened it with. What goes between the container and those goes through a pipe.
pub(crate) fn may_be_handed(fd: impl AsFd) -> bool {
    fstat(fd).is_ok_and(|stat| match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo | FileType::Socket => true,
        FileType::CharacterDevice => (major(stat.st_rdev), minor(stat.st_rdev)) == (1, 3),
        _ => false,
    })
}

/// A file, pipe or terminal that takes what it can.
#[derive(Debug)]
pub(crate) struct Sink {
    fd: Option<OwnedFd>,
    pending: Vec<u8>,
    regular: bool,
    lost: bool,
}

impl Sink {
    /// Writes to `fd`.
    pub(crate) fn new(fd: Option<OwnedFd>) -> Self {
        let regular = fd
            .as_ref()
            .and_then(|fd| fstat(fd).ok())
            .is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
        Self { fd, pending: Vec::new(), regular, lost: false }
    }

    /// Whether something waits to be taken.
    pub(crate) fn waits(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether its reader went away.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Takes text; what cannot be written waits.
    pub(crate) fn push(&mut self, text: &[u8]) {
        if self.fd.is_some() {
            self.pending.extend_from_slice(text);
            if self.regular {
                self.flush();
            }
        }
    }

    /// Writes one piece, after `poll` said so.
    pub(crate) fn write_piece(&mut self) {
        let Some(fd) = &self.fd else { return };
        let length = if self.regular { self.pending.len() } else { self.pending.len().min(AT_ONCE) };
        match rustix::io::write(fd, &self.pending[..length]) {
            Ok(written) => {
                self.pending.drain(..written);
                if self.pending.is_empty() {
                    self.pending = Vec::new();
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_reader_is_gone) => {
                self.fd = None;
                self.lost = true;
                self.pending = Vec::new();
            }
        }
    }

    /// Writes all that waits, however long that takes.
    pub(crate) fn flush(&mut self) {
        while self.waits() {
            if let Some(fd) = &self.fd
                && super::parcel::ready(fd.as_fd(), PollFlags::OUT, None).is_err()
            {
                return;
            }
            self.write_piece();
        }
    }

    /// The descriptor, while something waits.
    pub(crate) fn poll(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().filter(|_| self.waits()).map(AsFd::as_fd)
    }
}

/// The caller's three.
#[derive(Debug)]
pub(crate) struct Front {
    /// Read while the container takes input.
    pub(crate) input: Option<OwnedFd>,
    /// Standard output.
    pub(crate) out: Sink,
    /// Standard error.
    pub(crate) err: Sink,
    /// Signals are handed on to the container.
    pub(crate) sig_proxy: bool,
    /// The terminal, made raw until this is dropped.
    pub(crate) raw: Option<Raw>,
}

impl Front {
    /// Whether something waits to be taken; then no more is read from the container.
    pub(crate) fn waits(&self) -> bool {
        self.out.waits() || self.err.waits()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn only_what_cannot_be_opened_anew_is_handed_over() {
        let open = |path: &str| std::fs::File::open(path).unwrap();
        let (read, write) = std::io::pipe().unwrap();
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(may_be_handed(&read) && may_be_handed(&write) && may_be_handed(&one));
        assert!(may_be_handed(open("/dev/null")));
        assert!(!may_be_handed(open("/dev/zero")), "it stands for every other device, terminals too");
        assert!(!may_be_handed(tempfile::tempfile().unwrap()) && !may_be_handed(open("/")));
    }

    #[test]
    fn a_full_pipe_does_not_hold_the_writer() {
        let (mut read, write) = std::io::pipe().unwrap();
        let mut sink = Sink::new(Some(OwnedFd::from(write)));
        sink.push(&vec![b'x'; 200_000]);
        let mut pieces = 0;
        while let Some(fd) = sink.poll() {
            let now = Some(std::time::Instant::now());
            if !super::super::parcel::ready(fd, PollFlags::OUT, now).unwrap() {
                break;
            }
            sink.write_piece();
            pieces += 1;
        }
        assert!(sink.waits() && pieces >= 15, "{pieces}");
        let mut taken = vec![0; 65_536];
        read.read_exact(&mut taken).unwrap();
        drop(read);
        sink.write_piece();
        assert!(sink.is_lost() && !sink.waits(), "a reader that is gone ends it");
    }
}
