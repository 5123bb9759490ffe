//! Making processes: clone3 with a pidfd, into a control group, into new namespaces.
#![expect(
    unsafe_code,
    reason = "clone3 has no wrapper that allows namespaces, a pidfd and a control group at once"
)]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    panic::{AssertUnwindSafe, catch_unwind},
};

use rustix::{io::Errno, process::Pid};

use super::signals::without_signals;

/// A process made here.
#[derive(Debug)]
pub(crate) struct Child {
    /// Its id, as the process sees it that made it.
    pub(crate) pid: i32,
    /// A handle that never means another process.
    pub(crate) pidfd: OwnedFd,
}

/// What the new process is to be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CloneOptions<'a> {
    /// `CLONE_NEW*`.
    pub(crate) namespaces: u64,
    /// The child of the caller's parent, in place of the caller's.
    pub(crate) sibling: bool,
    /// The folder of the unified control group that it starts in.
    pub(crate) cgroup: Option<BorrowedFd<'a>>,
}

/// Version 2 of the kernel's structure (88 bytes).
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// How many threads this process has: after clone only the calling one lives on, and a lock that another one held
/// would stay locked.
fn threads() -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    // A folder has two links and one more per folder in it.
    Ok(std::fs::metadata("/proc/self/task")?.nlink().saturating_sub(2))
}

/// Makes a process that runs `child` and ends with what it answers. It is a copy of the caller's.
///
/// # Errors
/// The kernel's, and one that says so where the caller has more than one thread.
pub(crate) fn spawn(options: CloneOptions<'_>, child: impl FnOnce() -> i32) -> io::Result<Child> {
    // A sibling's maker is such a copy itself, and may no longer see its own /proc.
    if !options.sibling && threads()? != 1 {
        return Err(io::Error::other(
            "the calling process has more than one thread: call it before threads are made",
        ));
    }
    let mut pidfd: RawFd = -1;
    let mut flags =
        options.namespaces | CLONE_CLEAR_SIGHAND | u64::try_from(libc::CLONE_PIDFD).unwrap_or_default();
    let mut args = CloneArgs {
        pidfd: std::ptr::from_mut(&mut pidfd).expose_provenance() as u64,
        exit_signal: u64::try_from(libc::SIGCHLD).unwrap_or_default(),
        ..CloneArgs::default()
    };
    if options.sibling {
        flags |= u64::try_from(libc::CLONE_PARENT).unwrap_or_default();
        // The kernel takes the caller's own signal and refuses another.
        args.exit_signal = 0;
    }
    if let Some(folder) = options.cgroup {
        flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::try_from(folder.as_raw_fd()).unwrap_or_default();
    }
    args.flags = flags;
    // SAFETY: `args` has the layout of `struct clone_args` and outlives the call; `pidfd` is where the kernel writes one
    // int. Without CLONE_VM and with a null stack the child gets a copy of this address space and goes on on a copy of
    // this stack, as after fork. This process has one thread (checked above), so that no lock is held in the copy.
    let pid =
        unsafe { libc::syscall(libc::SYS_clone3, std::ptr::from_mut(&mut args), size_of::<CloneArgs>()) };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    if pid == 0 {
        // A panic must not unwind into the caller's frames, of which this process has a copy.
        let code = catch_unwind(AssertUnwindSafe(child)).unwrap_or(PANICKED);
        // SAFETY: ends the process at once; nothing of the caller's (buffers, guards) runs a second time.
        unsafe { libc::_exit(code) }
    }
    // SAFETY: the kernel opened this descriptor for us (CLONE_PIDFD) and nothing else owns it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Child { pid: i32::try_from(pid).map_err(io::Error::other)?, pidfd })
}

/// Makes a process that runs `child` and ends with what it answers: a copy of the calling thread alone, which hears no
/// signal but those that nobody can block. The caller's handlers would write there where only the caller reads.
///
/// # Errors
/// The kernel's.
///
/// # Safety
/// The caller may have other threads, so `child` does only what a handler of signals may: it makes system calls, and
/// neither allocates nor takes a lock nor panics.
pub(crate) unsafe fn copy(flags: libc::c_int, child: impl FnOnce() -> i32) -> rustix::io::Result<Pid> {
    let none = std::ptr::null_mut::<libc::c_void>();
    let flags = libc::c_long::from(flags | libc::SIGCHLD);
    without_signals(|| {
        // SAFETY: without CLONE_VM and with a null stack this is fork(2): the child has its own copy of everything and
        // goes on from here. All pointers are null, which is allowed without the flags that use them.
        match unsafe { libc::syscall(libc::SYS_clone, flags, none, none, none, none) } {
            0 => {
                let code = child();
                // SAFETY: ends the process at once; nothing of the caller's (buffers, guards) runs a second time.
                unsafe { libc::_exit(code) }
            }
            pid => i32::try_from(pid)
                .ok()
                .filter(|pid| *pid > 0)
                .and_then(Pid::from_raw)
                .ok_or_else(|| Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL)),
        }
    })
}

/// The caller's handlers of signals are not the child's: they may write where only the caller reads.
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
/// How a child ends that panicked.
const PANICKED: i32 = 70;
