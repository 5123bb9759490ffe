//! A process in the foreground: signals go on to it, its terminal is the caller's, and its end is this command's.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use berth_runtime::{Signals, send_signal};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::{Errno, read, write},
    process::{Signal, WaitId, WaitIdOptions, waitid},
    stdio::{stdin, stdout},
    termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize},
};

use crate::error::{Result, RunnerError};

/// Those that are for the program. A stop or an alarm is for this command.
const FORWARDED: [Signal; 7] =
    [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::USR1, Signal::USR2, Signal::CONT];

fn failed(what: &str, error: impl Into<io::Error>) -> RunnerError {
    RunnerError::Io { what: what.to_owned(), source: error.into() }
}

/// The caller's terminal as raw bytes; as it was again when this is dropped.
struct Raw(Termios);

impl Raw {
    fn begin() -> Result<Option<Self>> {
        if !isatty(stdin()) {
            return Ok(None);
        }
        let before = tcgetattr(stdin()).map_err(|error| failed("reading the terminal's settings", error))?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw)
            .map_err(|error| failed("setting the terminal", error))?;
        Ok(Some(Self(before)))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // The terminal may be gone; then there is nothing to restore.
        let _gone = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}

/// Signals are collected from before the process is made, so that none is lost.
pub(super) struct Attention(Signals);

impl Attention {
    pub(super) fn begin() -> Result<Self> {
        let numbers: Vec<i32> =
            FORWARDED.iter().chain([&Signal::WINCH]).map(|signal| signal.as_raw()).collect();
        Signals::collect(&numbers).map(Self).map_err(|error| failed("collecting signals", error))
    }

    /// Returns when the process ended, with the number for this command: its code, or 128 and its signal.
    pub(super) fn attend(&self, process: BorrowedFd<'_>, terminal: Option<&OwnedFd>) -> Result<u8> {
        let raw = terminal.map(|_| Raw::begin()).transpose()?.flatten();
        if let Some(master) = terminal {
            resize(master);
        }
        let outcome = self.relay(process, terminal);
        drop(raw);
        outcome?;
        let status = rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(process), WaitIdOptions::EXITED))
            .map_err(|error| failed("waiting for the program", error))?;
        let code = status.and_then(|status| {
            status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal))
        });
        Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
    }

    fn relay(&self, process: BorrowedFd<'_>, terminal: Option<&OwnedFd>) -> Result<()> {
        let mut typing = terminal.is_some();
        let mut showing = terminal.is_some();
        loop {
            let mut fds = vec![
                PollFd::from_borrowed_fd(process, PollFlags::IN),
                PollFd::from_borrowed_fd(self.0.as_fd(), PollFlags::IN),
            ];
            let shown = showing.then_some(terminal).flatten();
            if let Some(master) = shown {
                fds.push(PollFd::from_borrowed_fd(master.as_fd(), PollFlags::IN));
            }
            if typing {
                fds.push(PollFd::from_borrowed_fd(stdin(), PollFlags::IN));
            }
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(failed("waiting for the program", error)),
            }
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            drop(fds);
            if ready[1] {
                self.forward(process, terminal)?;
            }
            if let Some(master) = shown
                && ready[2]
            {
                showing = copy(master.as_fd(), stdout());
                // What the program wrote last is shown before its end is told.
                continue;
            }
            if typing
                && ready.last() == Some(&true)
                && let Some(master) = terminal
            {
                typing = copy(stdin(), master.as_fd());
            }
            if ready[0] {
                return Ok(());
            }
        }
    }

    fn forward(&self, process: BorrowedFd<'_>, terminal: Option<&OwnedFd>) -> Result<()> {
        while let Some(arrived) = self.0.next().map_err(|error| failed("reading signals", error))? {
            match (arrived.signal == Signal::WINCH.as_raw(), terminal) {
                (true, Some(master)) => resize(master),
                (true, None) => {}
                (false, _) => match send_signal(process, arrived.signal) {
                    Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {}
                    other => other.map_err(|error| failed("passing a signal on", error))?,
                },
            }
        }
        Ok(())
    }
}

/// The container's terminal is as large as the caller's.
fn resize(master: &OwnedFd) {
    if let Ok(size) = tcgetwinsize(stdin()) {
        // The program may have closed its side.
        let _closed = tcsetwinsize(master, size);
    }
}

/// Copies what is there; `false` when one side is closed.
fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> bool {
    let mut bytes = [0; 8192];
    let count = match read(from, &mut bytes) {
        Err(Errno::INTR | Errno::AGAIN) => return true,
        // The end of a terminal whose other side is closed is told as EIO.
        Ok(0) | Err(_) => return false,
        Ok(count) => count,
    };
    let mut left = &bytes[..count];
    while !left.is_empty() {
        match write(to, left) {
            Ok(written) => left = &left[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let _ready = poll(&mut [PollFd::from_borrowed_fd(to, PollFlags::OUT)], None);
            }
            Err(_) => return false,
        }
    }
    true
}
