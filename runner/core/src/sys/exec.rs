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
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: SIG_DFL is no handler; the two that cannot be changed, and those that the C library keeps for itself,
        // are refused with EINVAL, which changes nothing.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: the set is made by sigemptyset before it is read.
    let done = unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut())
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
