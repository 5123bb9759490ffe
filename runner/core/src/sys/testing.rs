//! Tests that change what belongs to a process (its namespaces, its root) run in a copy of it.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::BorrowedFd,
};

use rustix::{
    pipe::{PipeFlags, pipe_with},
    process::{Pid, WaitOptions, waitpid},
    thread::{UnshareFlags, move_into_link_name_space},
};

/// Runs a test in a process of its own, in which the harness' main thread waits for the one test and nobody else is: a
/// copy of a process in which others work could wait for ever for a lock that somebody held who is not in the copy.
pub(crate) fn alone(test: impl FnOnce()) {
    const MARK: &str = "BERTH_TEST_ALONE";
    if std::env::var_os(MARK).is_some() {
        return test();
    }
    let name = std::thread::current().name().unwrap().to_owned();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--test-threads=1", "--nocapture"])
        .env(MARK, "1")
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Runs `work` in a copy of this process (see [`alone`]) and answers its words; what it panics with is the error.
#[expect(unsafe_code, reason = "rustix has no fork")]
pub(crate) fn in_child(work: impl FnOnce() -> String + std::panic::UnwindSafe) -> Result<String, String> {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().count();
    assert!(threads <= 2, "{threads} threads: the test has to be run by `alone`");
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    // SAFETY: but for this thread there is one that waits, so that nobody holds a lock; the child runs `work` and ends without running
    // what the harness registered for exit.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    if pid == 0 {
        drop(read);
        // What goes wrong is told once, by who asked.
        std::panic::set_hook(Box::new(|_| {}));
        let (mark, text) = match std::panic::catch_unwind(work) {
            Ok(text) => ('+', text),
            Err(panic) => {
                let words = panic.downcast_ref::<String>().cloned();
                let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()));
                ('-', words.unwrap_or_default())
            }
        };
        let written = File::from(write).write_all(format!("{mark}{text}").as_bytes());
        // SAFETY: takes a number and does not return.
        unsafe { libc::_exit(i32::from(written.is_err())) }
    }
    drop(write);
    let mut text = String::new();
    File::from(read).read_to_string(&mut text).unwrap();
    let status = waitpid(Pid::from_raw(pid), WaitOptions::empty()).unwrap();
    match text.strip_prefix('+') {
        Some(text) => Ok(text.to_owned()),
        None => Err(text.strip_prefix('-').map_or_else(|| format!("{status:?}"), str::to_owned)),
    }
}

/// New namespaces for this (single-threaded) process.
#[expect(unsafe_code, reason = "to unshare descriptors would be unsound; namespaces are not")]
pub(crate) fn unshare(flags: UnshareFlags) {
    assert!(!flags.contains(UnshareFlags::FILES));
    // SAFETY: the table of descriptors stays shared, so no owned descriptor changes its meaning.
    unsafe { rustix::thread::unshare_unsafe(flags) }.unwrap();
}

/// Enters a user namespace as its root.
#[expect(unsafe_code, reason = "rustix sets the ids of a thread alone, by unsafe calls or not at all")]
pub(crate) fn become_root_of(user_namespace: BorrowedFd<'_>) {
    move_into_link_name_space(user_namespace, None).unwrap();
    // SAFETY: these take numbers and a null pointer with the length 0.
    unsafe {
        assert_eq!(libc::setgroups(0, std::ptr::null()), 0);
        assert_eq!(libc::setresgid(0, 0, 0), 0);
        assert_eq!(libc::setresuid(0, 0, 0), 0);
    }
}
