//! Asks whether system calls are there, by calls that the kernel refuses for their arguments.

use rustix::io::Errno;

/// The kernel's answer to a call whose arguments are wrong.
fn answer(number: libc::c_long, arguments: [libc::c_ulong; 3]) -> Result<libc::c_long, Errno> {
    let [first, second, third] = arguments;
    #[expect(unsafe_code, reason = "the calls that are asked for have no function")]
    // SAFETY: the callers below pass null pointers with a length of 0 or a range that ends before it begins, which the
    // kernel refuses, or ask for a version; no memory of this process is read or written, no descriptor is touched.
    let answer = unsafe { libc::syscall(number, first, second, third) };
    if answer < 0 {
        Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::NOSYS))
    } else {
        Ok(answer)
    }
}

/// clone3(2), which filters of system calls often take away.
pub(crate) fn has_clone3() -> bool {
    answer(libc::SYS_clone3, [0, 0, 0]) != Err(Errno::NOSYS)
}

/// close_range(2); the range begins behind its end.
pub(crate) fn has_close_range() -> bool {
    answer(libc::SYS_close_range, [libc::c_ulong::from(u32::MAX), 0, 0]) != Err(Errno::NOSYS)
}

/// The version of Landlock; none where it is not there or switched off.
pub(crate) fn landlock_version() -> Option<u32> {
    const VERSION: libc::c_ulong = 1;
    answer(libc::SYS_landlock_create_ruleset, [0, 0, VERSION])
        .ok()
        .and_then(|version| version.try_into().ok())
}
