//! What the loop waits for, and who serves what is ready.

use std::{
    os::fd::{AsFd, BorrowedFd},
    time::Instant,
};

use berth_runtime::wait_at_rest;
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};

use super::{First, Watch};
use crate::{
    error::{Result, While},
    supervisor::{clients::Request, front::Front, log::Stream, parcel},
};

/// Who is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    Signals,
    First,
    Output(Stream, bool),
    Input,
    Listener,
    Client(u64),
    FrontIn,
    FrontOut,
    FrontErr,
}

impl Watch {
    /// Waits for anything until `due`; `at_rest` with as little memory as can be.
    pub(super) fn wait(
        &self,
        first: Option<&First>,
        due: Option<Instant>,
        at_rest: bool,
    ) -> Result<Vec<Ready>> {
        let mut poller = Poller::default();
        poller.add(Ready::Signals, self.signals.as_fd(), PollFlags::IN);
        if let Some(first) = first {
            poller.add(Ready::First, first.pidfd.as_fd(), PollFlags::IN);
        }
        if !self.front.as_ref().is_some_and(Front::waits) {
            for (stream, terminal, fd) in self.outputs() {
                poller.add(Ready::Output(stream, terminal), fd, PollFlags::IN);
            }
        }
        let input_waits = !self.input.is_empty();
        if let Some(sink) = self.streams.sink().filter(|_| input_waits) {
            poller.add(Ready::Input, sink.as_fd(), PollFlags::OUT);
        }
        poller.add(Ready::Listener, self.clients.listener().as_fd(), PollFlags::IN);
        for client in self.clients.iter() {
            poller.add(Ready::Client(client.number), client.as_fd(), client.wanted(input_waits));
        }
        if let Some(front) = &self.front {
            if let Some(fd) = front.input.as_ref().filter(|_| !input_waits) {
                poller.add(Ready::FrontIn, fd.as_fd(), PollFlags::IN);
            }
            if let Some(fd) = front.out.poll() {
                poller.add(Ready::FrontOut, fd, PollFlags::OUT);
            }
            if let Some(fd) = front.err.poll() {
                poller.add(Ready::FrontErr, fd, PollFlags::OUT);
            }
        }
        poller.wait(due, at_rest)
    }

    pub(super) fn outputs(&self) -> impl Iterator<Item = (Stream, bool, BorrowedFd<'_>)> {
        let streams = &self.streams;
        [
            (Stream::Out, false, &streams.out),
            (Stream::Err, false, &streams.err),
            (Stream::Out, true, &streams.terminal),
        ]
        .into_iter()
        .filter_map(|(stream, terminal, fd)| Some((stream, terminal, fd.as_ref()?.as_fd())))
    }

    pub(super) fn serve(&mut self, ready: Ready, first: &First) -> Result<()> {
        match ready {
            Ready::Signals => {
                while let Some(arrived) = self.signals.next().doing("reading", "signals")? {
                    self.signalled(arrived.signal, first)?;
                }
            }
            // Noted by `reap` or `lost`.
            Ready::First => self.reap(first)?,
            Ready::Output(stream, terminal) => {
                self.read_output(stream, terminal);
            }
            Ready::Input => self.write_input(),
            Ready::Listener => self.clients.accept(),
            Ready::Client(number) => {
                self.clients.flush(number);
                while let Some(request) = self.clients.read(number) {
                    let input = matches!(request, Request::Input(_));
                    self.answer(number, request, first);
                    if input {
                        break;
                    }
                }
            }
            Ready::FrontIn => self.read_front(),
            Ready::FrontOut => {
                if let Some(front) = &mut self.front {
                    front.out.write_piece();
                }
                self.drop_unread();
            }
            Ready::FrontErr => {
                if let Some(front) = &mut self.front {
                    front.err.write_piece();
                }
                self.drop_unread();
            }
        }
        Ok(())
    }
}

/// `poll` over descriptors with what they are.
#[derive(Debug, Default)]
struct Poller<'a> {
    who: Vec<Ready>,
    fds: Vec<PollFd<'a>>,
}

impl<'a> Poller<'a> {
    fn add(&mut self, one: Ready, fd: BorrowedFd<'a>, wanted: PollFlags) {
        self.who.push(one);
        self.fds.push(PollFd::from_borrowed_fd(fd, wanted));
    }

    fn wait(mut self, due: Option<Instant>, at_rest: bool) -> Result<Vec<Ready>> {
        let left = due.map(|due| parcel::timespec(due.saturating_duration_since(Instant::now())));
        let (fds, left) = (&mut self.fds, left.as_ref());
        match if at_rest { wait_at_rest(fds, left) } else { poll(fds, left) } {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).doing("waiting for", "the container"),
        }
        let ready = self.who.iter().zip(&self.fds).filter(|(_, fd)| !fd.revents().is_empty());
        Ok(ready.map(|(who, _)| *who).collect())
    }
}
