//! Becoming another program.
#![expect(unsafe_code, reason = "execve and signal dispositions take raw pointers")]

use std::{ffi::CString, io, ptr};

/// Becomes `program`. Answers only where that failed.
pub(crate) fn execve(program: &CString, args: &[CString], env: &[CString]) -> io::Error {
    let pointers = |texts: &[CString]| -> Vec<*const libc::c_char> {
        texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
    };
    let (argv, envp) = (pointers(args), pointers(env));
    // SAFETY: all three are NUL-terminated texts, and both arrays end with a null pointer; all live until the call
    // answers, which it does only where it failed.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    io::Error::last_os_error()
}

/// Gives all signals their default effect and blocks none: Rust's start ignores SIGPIPE, and what is ignored or blocked
/// stays so over exec.
pub(crate) fn reset_signals() -> io::Result<()> {
    /// The kernel's `struct sigaction`: the C library's call refuses the two signals that it keeps for itself, and what
    /// the caller was started with may ignore those too.
    #[repr(C)]
    #[derive(Default)]
    struct Action {
        handler: usize,
        flags: libc::c_ulong,
        restorer: usize,
        mask: u64,
    }
    const LAST: libc::c_int = 64;
    let default = Action::default();
    for signal in (1..=LAST).filter(|signal| !matches!(*signal, libc::SIGKILL | libc::SIGSTOP)) {
        // SAFETY: zero is the default effect and no handler; the structure has the kernel's layout and the mask's size is
        // its size; nothing is written back.
        let done = unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                ptr::from_ref(&default),
                ptr::null_mut::<Action>(),
                size_of::<u64>(),
            )
        };
        if done < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // SAFETY: the set is made by sigemptyset before it is read.
    let done = unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut())
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
