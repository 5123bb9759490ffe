//! seccomp(2).

use std::io;

use libc::{sock_filter, sock_fprog};

/// Puts a filter of system calls on the calling thread (on all of them with `SECCOMP_FILTER_FLAG_TSYNC`), for good.
/// The caller has `no_new_privs` or `CAP_SYS_ADMIN`. Allocates nothing.
pub(crate) fn install(program: &[sock_filter], flags: u32) -> io::Result<()> {
    let too_long = || io::Error::from(rustix::io::Errno::INVAL);
    let filter = sock_fprog {
        len: program.len().try_into().map_err(|_| too_long())?,
        // The kernel only reads it; the field is not const because other calls share the structure.
        filter: program.as_ptr().cast_mut(),
    };
    #[expect(unsafe_code, reason = "neither rustix nor libc has a function for seccomp(2)")]
    // SAFETY: `filter` is a `sock_fprog` whose pointer and length are those of `program`, which outlives the call; the
    // kernel copies both and writes to neither. SECCOMP_SET_MODE_FILTER takes exactly these three arguments.
    let answer =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const filter) };
    match answer {
        0 => Ok(()),
        // TSYNC answers the thread that could not follow.
        thread if thread > 0 => {
            Err(io::Error::other(format!("thread {thread} has a filter of its own and cannot take this one")))
        }
        _ => Err(io::Error::last_os_error()),
    }
}
