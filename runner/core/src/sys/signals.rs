//! Signals as a descriptor, and which of them wait.
#![expect(unsafe_code, reason = "rustix has no signal handlers and masks")]

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    ptr,
    sync::atomic::{AtomicI32, AtomicUsize, Ordering},
};

use rustix::pipe::PipeFlags;

/// Where handlers write; -1 while nobody listens.
static ARRIVALS: AtomicI32 = AtomicI32::new(-1);

/// How many handlers run, on any thread: between reading [`ARRIVALS`] and writing, the descriptor must stay what it is.
static HANDLERS: AtomicUsize = AtomicUsize::new(0);

/// Signals that no longer end or interrupt this process but are read. They are handlers and not a mask, since
/// programs that are started meanwhile would keep a mask, and begin with no handler. Dropped, the default is back.
#[derive(Debug)]
pub struct Signals {
    read: OwnedFd,
    write: OwnedFd,
    signals: Vec<i32>,
}

/// One signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Its number.
    pub signal: i32,
    /// It was sent by the kernel (a key at the terminal), not by a process.
    pub by_kernel: bool,
}

impl Arrived {
    /// As it is read where the descriptor of [`Signals`] is read by something else: two bytes for each.
    #[must_use]
    pub fn of([signal, by_kernel]: [u8; 2]) -> Self {
        Self { signal: i32::from(signal), by_kernel: by_kernel != 0 }
    }
}

/// Writes two bytes: the signal, and whether the kernel sent it. A full pipe already tells that there is something.
extern "C" fn note(signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    HANDLERS.fetch_add(1, Ordering::SeqCst);
    let fd = ARRIVALS.load(Ordering::SeqCst);
    // SAFETY: the kernel hands a valid siginfo to a handler that was set with SA_SIGINFO; errno is this thread's own;
    // write may be called in a handler, and takes two bytes that live until it returns. The descriptor is that of a
    // `Signals`, which waits for this function before it closes it, or -1.
    unsafe {
        let errno = *libc::__errno_location();
        let bytes = [u8::try_from(signal).unwrap_or(0), u8::from((*info).si_code > 0)];
        libc::write(fd, bytes.as_ptr().cast(), bytes.len());
        *libc::__errno_location() = errno;
    }
    HANDLERS.fetch_sub(1, Ordering::SeqCst);
}

/// Has [`note`] called for a signal.
fn listen(signal: i32, flags: libc::c_int) -> io::Result<()> {
    // SAFETY: zeroes are a valid sigaction (no flag, an empty mask); `note` has the form that SA_SIGINFO asks for and
    // does only what a handler may.
    let done = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = note as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | flags;
        libc::sigaction(signal, &raw const action, ptr::null_mut())
    };
    if done != 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

impl Signals {
    /// Collects these from now on. One at a time in a process.
    ///
    /// # Errors
    /// The kernel's, for a number that is no signal; where they are collected already.
    pub fn collect(signals: &[i32]) -> io::Result<Self> {
        Self::interrupting(signals, &[])
    }

    /// [`Self::collect`], where those of `interrupting` end what the process waits for (a lock, a file): the call fails
    /// with `EINTR`. Until [`Self::let_finish`].
    ///
    /// # Errors
    /// As there.
    pub fn interrupting(signals: &[i32], interrupting: &[i32]) -> io::Result<Self> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        if ARRIVALS.compare_exchange(-1, write.as_raw_fd(), Ordering::SeqCst, Ordering::SeqCst).is_err() {
            return Err(io::Error::other("signals are collected already"));
        }
        let mut collecting = Self { read, write, signals: Vec::new() };
        for signal in signals {
            let flags = if interrupting.contains(signal) { 0 } else { libc::SA_RESTART };
            listen(*signal, flags)?;
            collecting.signals.push(*signal);
        }
        Ok(collecting)
    }

    /// From now on none of them ends what the process waits for.
    ///
    /// # Errors
    /// The kernel's.
    pub fn let_finish(&self) -> io::Result<()> {
        self.signals.iter().try_for_each(|signal| listen(*signal, libc::SA_RESTART))
    }

    /// The next one, if one came.
    ///
    /// # Errors
    /// The kernel's.
    pub fn next(&self) -> io::Result<Option<Arrived>> {
        let mut bytes = [0; 2];
        match rustix::io::read(&self.read, &mut bytes) {
            Ok(_) => Ok(Some(Arrived::of(bytes))),
            Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for signal in &self.signals {
            // SAFETY: the default is no handler. It was accepted for this number before.
            unsafe { libc::signal(*signal, libc::SIG_DFL) };
        }
        ARRIVALS.store(-1, Ordering::SeqCst);
        // A handler that another thread is in may know the number, which may soon mean another file. It does not wait.
        while HANDLERS.load(Ordering::SeqCst) != 0 {
            std::thread::yield_now();
        }
        let _closed_after_this = &self.write;
    }
}

/// Lets every signal interrupt: a program begins with the mask of the one that was there before it.
///
/// # Errors
/// None that the kernel documents.
pub fn unblock_signals() -> io::Result<()> {
    // SAFETY: zeroes are the empty set on Linux; sigprocmask reads it.
    let done = unsafe {
        let none: libc::sigset_t = std::mem::zeroed();
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut())
    };
    if done != 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Lets these wait, over an exec too, until they are unblocked: who executes itself anew loses none of them between its
/// old handlers and its new ones.
///
/// # Errors
/// The kernel's, for a number that is no signal.
pub fn block_signals(signals: &[i32]) -> io::Result<()> {
    // SAFETY: the set is made empty before it is used; all three calls take it alone.
    let done = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            if libc::sigaddset(&raw mut set, *signal) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut())
    };
    if done != 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Runs `work` while this thread hears no signal; those that come meanwhile come afterwards.
pub(super) fn without_signals<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: zeroes are room for a set; both sets are filled by the calls before they are read, and live until the end.
    // The calls fail only for what is no operation.
    unsafe {
        let (mut all, mut before): (libc::sigset_t, libc::sigset_t) =
            (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        let done = work();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut());
        done
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    /// One at a time in a process.
    static TURN: Mutex<()> = Mutex::new(());

    #[test]
    fn a_descriptor_is_not_closed_while_a_handler_may_write_to_it() {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let signals = Signals::collect(&[libc::SIGUSR1]).unwrap();
        let write = signals.write.as_raw_fd();
        let pipe = |fd: i32| std::fs::read_link(format!("/proc/self/fd/{fd}")).ok();
        let before = pipe(write);
        // What a handler does that is interrupted before it writes.
        HANDLERS.fetch_add(1, Ordering::SeqCst);
        let closing = std::thread::spawn(|| drop(signals));
        while ARRIVALS.load(Ordering::SeqCst) != -1 {
            std::thread::yield_now();
        }
        for _ in 0..1000 {
            std::thread::yield_now();
            assert_eq!(pipe(write), before);
        }
        HANDLERS.fetch_sub(1, Ordering::SeqCst);
        closing.join().unwrap();
        assert_ne!(pipe(write), before);
    }

    #[test]
    fn signals_are_read_and_told_apart() {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(Signals::collect(&[70]).is_err(), "there is no such signal");
        let signals = Signals::collect(&[libc::SIGUSR2]).unwrap();
        assert!(Signals::collect(&[libc::SIGUSR2]).is_err(), "one at a time");
        assert_eq!(signals.next().unwrap(), None);
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::USR2).unwrap();
        let arrived = loop {
            if let Some(arrived) = signals.next().unwrap() {
                break arrived;
            }
        };
        assert_eq!(arrived, Arrived { signal: libc::SIGUSR2, by_kernel: false });
    }
}
