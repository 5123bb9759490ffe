//! Signals that end a command which has something to clean up.

use std::{
    cell::Cell,
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd},
    process::{Child, ExitStatus},
};

use berth_runtime::Signals;
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    process::{Pid, PidfdFlags, pidfd_open},
};

use crate::{
    error::{Result, RunnerError, While},
    supervisor::signal,
};

/// What a person, a terminal or a service manager ends a command with.
pub(crate) const ENDING: [i32; 4] = [signal::HUP, signal::INT, signal::QUIT, signal::TERM];

/// While this lives those signals do not end the process: it asks for them, and cleans up first.
#[derive(Debug)]
pub(crate) struct Stop {
    signals: Signals,
    /// Whoever asks again hears it again.
    came: Cell<Option<u8>>,
}

impl Stop {
    /// Collects them.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn collect() -> Result<Self> {
        let signals = Signals::interrupting(&ENDING, &ENDING).doing("collecting", "signals")?;
        Ok(Self { signals, came: Cell::new(None) })
    }

    /// Whether one came.
    ///
    /// # Errors
    /// [`RunnerError::Interrupted`] where one did.
    pub(crate) fn check(&self) -> Result<()> {
        if self.came.get().is_none() {
            self.came.set(caught(&self.signals)?);
        }
        self.came.get().map_or(Ok(()), |signal| Err(RunnerError::Interrupted(signal)))
    }

    /// What was done, or that a signal stopped it, whatever error came of that.
    ///
    /// # Errors
    /// [`RunnerError::Interrupted`]; that of `done`.
    pub(crate) fn or<T>(&self, done: Result<T>) -> Result<T> {
        match done {
            Ok(done) => Ok(done),
            Err(error) => Err(self.check().err().unwrap_or(error)),
        }
    }

    /// What reads or writes until a signal comes.
    pub(crate) fn checked<T>(&self, inner: T) -> Checked<'_, T> {
        Checked { inner, stop: self }
    }

    /// Waits until a child ends, or a signal comes.
    ///
    /// # Errors
    /// [`RunnerError::Interrupted`]; the child runs on then.
    pub(crate) fn wait(&self, child: &mut Child, what: &str) -> Result<ExitStatus> {
        let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).doing("waiting for", what)?;
        self.ready(pidfd.as_fd(), what)?;
        child.wait().doing("waiting for", what)
    }

    /// Waits until something can be read, or a signal comes.
    ///
    /// # Errors
    /// [`RunnerError::Interrupted`].
    pub(crate) fn ready(&self, fd: BorrowedFd<'_>, what: &str) -> Result<()> {
        loop {
            let mut fds =
                [PollFd::from_borrowed_fd(fd, PollFlags::IN), PollFd::new(&self.signals, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error).doing("waiting for", what),
            }
            let ready = !fds[0].revents().is_empty();
            self.check()?;
            if ready {
                return Ok(());
            }
        }
    }
}

/// The first of [`ENDING`] among the signals that came; others are left out.
///
/// # Errors
/// The kernel's.
pub(crate) fn caught(signals: &Signals) -> Result<Option<u8>> {
    while let Some(arrived) = signals.next().doing("reading", "signals")? {
        if ENDING.contains(&arrived.signal) {
            return Ok(u8::try_from(arrived.signal).ok());
        }
    }
    Ok(None)
}

/// Reads or writes until a signal comes: then it fails, and [`Stop::or`] says why.
pub(crate) struct Checked<'a, T> {
    inner: T,
    stop: &'a Stop,
}

impl<T> Checked<'_, T> {
    fn check(&self) -> io::Result<()> {
        self.stop.check().map_err(io::Error::other)
    }
}

impl<T: Read> Read for Checked<'_, T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            self.check()?;
            match self.inner.read(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }
}

impl<T: Write> Write for Checked<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.check()?;
            match self.inner.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
