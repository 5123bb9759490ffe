//! A process that does nothing but hold a new user namespace.

use std::os::fd::OwnedFd;

use rustix::{
    io::{self, Errno},
    pipe::{PipeFlags, pipe_with},
    process::{self, Pid, Signal, WaitOptions},
};

/// The process; ended and reaped when dropped.
#[derive(Debug)]
pub(crate) struct Holder {
    pid: Pid,
    /// The process ends when the last copy of this end is closed, so it never outlives its maker.
    _life: OwnedFd,
}

impl Holder {
    /// Starts it.
    #[expect(unsafe_code, reason = "rustix has no clone")]
    pub(crate) fn start() -> io::Result<Self> {
        let (watch, life) = pipe_with(PipeFlags::CLOEXEC)?;
        let flags = libc::CLONE_NEWUSER | libc::SIGCHLD;
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: without CLONE_VM this is fork(2): the child has its own copy of everything and goes on from here on
        // the same stack. It does nothing but system calls that touch no memory shared with other threads' locks
        // (`hold` neither allocates nor returns), so a lock held by another thread at this moment cannot matter.
        // All pointers are null, which the flags allow.
        let answer =
            unsafe { libc::syscall(libc::SYS_clone, libc::c_long::from(flags), none, none, none, none) };
        match i32::try_from(answer).map_err(|_| Errno::INVAL)? {
            0 => hold(&watch, life),
            pid if pid > 0 => {
                let pid = Pid::from_raw(pid).ok_or(Errno::CHILD)?;
                Ok(Self { pid, _life: life })
            }
            _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)),
        }
    }

    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }
}

/// The child: waits until its maker is gone or done.
#[expect(unsafe_code, reason = "the child must not run the handlers that its maker registered for exit")]
fn hold(watch: &OwnedFd, life: OwnedFd) -> ! {
    drop(life);
    let mut nothing = [0_u8; 1];
    while matches!(io::read(watch, &mut nothing), Err(Errno::INTR)) {}
    // SAFETY: takes a number and does not return.
    unsafe { libc::_exit(0) }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It is our own child that was not waited for, so the number is still its.
        if process::kill_process(self.pid, Signal::KILL).is_ok() {
            while matches!(process::waitpid(Some(self.pid), WaitOptions::empty()), Err(Errno::INTR)) {}
        }
    }
}
