//! Output to the log and to whoever listens; input to the container.

use std::collections::VecDeque;

use rustix::io::Errno;

use super::Watch;
use crate::supervisor::{clients::say, log::Stream};

/// Read at once.
const PIECE: usize = 64 << 10;

impl Watch {
    /// Reads one piece; `false` where nothing is there now, or never will be.
    pub(super) fn read_output(&mut self, stream: Stream, terminal: bool) -> bool {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(PIECE, 0);
        let slot = match (stream, terminal) {
            (_, true) => &mut self.streams.terminal,
            (Stream::Out, false) => &mut self.streams.out,
            (Stream::Err, false) => &mut self.streams.err,
        };
        let read = slot.as_ref().map_or(Ok(0), |fd| rustix::io::read(fd, &mut buffer));
        let more = match read {
            Ok(length @ 1..) => {
                let text = &buffer[..length];
                self.log.write(stream, text);
                let (kind, sink) = match stream {
                    Stream::Out => (say::OUT, self.front.as_mut().map(|front| &mut front.out)),
                    Stream::Err => (say::ERR, self.front.as_mut().map(|front| &mut front.err)),
                };
                if let Some(sink) = sink {
                    sink.push(text);
                }
                self.clients.output(kind, text);
                true
            }
            Err(Errno::AGAIN | Errno::INTR) => false,
            // Closed by the container; a terminal without anybody answers EIO.
            Ok(0) | Err(_) => {
                *slot = None;
                false
            }
        };
        self.buffer = buffer;
        more
    }

    /// A reader that went away is told to the container, as it would be told without us between.
    pub(super) fn drop_unread(&mut self) {
        let Some(front) = &self.front else { return };
        if self.clients.anybody_listens() {
            return;
        }
        if front.out.is_lost() {
            self.streams.out = None;
        }
        if front.err.is_lost() {
            self.streams.err = None;
        }
    }

    pub(super) fn write_input(&mut self) {
        let (front, _) = self.input.as_slices();
        if let Some(sink) = self.streams.sink() {
            match rustix::io::write(sink, front) {
                Ok(written) => drop(self.input.drain(..written)),
                Err(Errno::AGAIN | Errno::INTR) => {}
                // Nobody reads: what is sent from now on is for nobody.
                Err(_) => {
                    self.input = VecDeque::new();
                    self.streams.input = None;
                }
            }
        } else {
            self.input = VecDeque::new();
        }
        if self.input.is_empty() && self.input_ends {
            self.input_ends = false;
            self.streams.input = None;
        }
    }

    pub(super) fn read_front(&mut self) {
        let Some(front) = &mut self.front else { return };
        let mut typed = [0; 4096];
        match front.input.as_ref().map(|fd| rustix::io::read(fd, &mut typed)) {
            Some(Ok(length @ 1..)) => self.input.extend(&typed[..length]),
            Some(Err(Errno::AGAIN | Errno::INTR)) => {}
            Some(Ok(0) | Err(_)) | None => {
                front.input = None;
                self.input_ends = true;
            }
        }
        self.write_input();
    }

    pub(super) fn rest(&mut self) {
        self.buffer = Vec::new();
        self.log.rest();
        self.input.shrink_to_fit();
    }
}
