//! One connection, and what it has not taken yet.

use std::{
    collections::VecDeque,
    os::fd::{AsFd, OwnedFd},
    time::Instant,
};

use rustix::{event::PollFlags, io::Errno, net::SendFlags};

use super::say;
use crate::supervisor::{order::Attach, parcel};

/// Bytes of output that a client may be behind.
const BEHIND: usize = 1 << 20;

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(super) fd: OwnedFd,
    /// Never another client's.
    pub(crate) number: u64,
    pub(super) since: Option<Instant>,
    pub(super) queue: VecDeque<Vec<u8>>,
    pub(super) queued: usize,
    pub(super) attach: Attach,
    pub(super) told_end: bool,
    pub(super) gone: bool,
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

    pub(super) fn flush(&mut self) {
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
