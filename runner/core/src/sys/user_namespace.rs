//! A process that does nothing but hold a new user namespace.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::{
    io::{self, Errno},
    pipe::{PipeFlags, pipe_with},
    process::{self, Pid, Signal, WaitOptions},
};

use super::{clone::copy, descriptors::close_in_child_all_but};

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
        // SAFETY: `hold` makes system calls alone. It ends by them, so the copies of both descriptors are dropped nowhere.
        let pid = unsafe { copy(libc::CLONE_NEWUSER, || hold(&watch, &life)) }?;
        Ok(Self { pid, _life: life })
    }

    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }
}

/// The child: waits until its maker is gone or done. It keeps nothing open, so that neither its maker's locks nor the
/// lives of other holders, which other threads make meanwhile, hang on it.
#[expect(unsafe_code, reason = "the owner must not be dropped, here or anywhere, after this")]
fn hold(watch: &OwnedFd, life: &OwnedFd) -> i32 {
    if close_in_child_all_but(watch.as_fd()).is_err() {
        // Before Linux 5.9 the rest stays open, but the end of what it waits for must not.
        // SAFETY: takes a number. The copy of its owner in this process is neither used nor dropped again.
        unsafe { libc::close(life.as_raw_fd()) };
    }
    let mut nothing = [0_u8; 1];
    while matches!(io::read(watch, &mut nothing), Err(Errno::INTR)) {}
    0
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It is our own child that was not waited for, so the number is still its.
        if process::kill_process(self.pid, Signal::KILL).is_ok() {
            while matches!(process::waitpid(Some(self.pid), WaitOptions::empty()), Err(Errno::INTR)) {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_keeps_open_only_what_it_waits_for() {
        let holder = Holder::start().unwrap();
        let open = format!("/proc/{}/fd", holder.pid().as_raw_nonzero());
        for _ in 0..10_000 {
            if std::fs::read_dir(&open).unwrap().count() == 1 {
                return;
            }
            std::thread::yield_now();
        }
        panic!("{:?}", std::fs::read_dir(&open).unwrap().collect::<Vec<_>>());
    }

    #[test]
    fn a_holder_hears_no_signal_that_its_maker_handles() {
        let holder = Holder::start().unwrap();
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", holder.pid().as_raw_nonzero())).unwrap();
        let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
        let blocked = u64::from_str_radix(blocked.trim(), 16).unwrap();
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGUSR1, libc::SIGWINCH] {
            assert_ne!(blocked & (1 << (signal - 1)), 0, "{signal}");
        }
    }
}
