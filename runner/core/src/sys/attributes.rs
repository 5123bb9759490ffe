//! What a process is to the scheduler, to the disks and to keyrings.
#![expect(unsafe_code, reason = "neither libc nor rustix wraps these calls")]

use std::{io, ptr};

fn answer(done: libc::c_long) -> io::Result<()> {
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sets the personality of this process.
pub(crate) fn personality(persona: libc::c_ulong) -> io::Result<()> {
    // SAFETY: the call takes a number.
    answer(libc::c_long::from(unsafe { libc::personality(persona) }))
}

/// Sets the I/O class (1 real time, 2 best effort, 3 idle) and the priority (0 to 7) of this process.
pub(crate) fn io_priority(class: i32, priority: i32) -> io::Result<()> {
    const WHO_PROCESS: libc::c_int = 1;
    const CLASS_SHIFT: i32 = 13;
    // SAFETY: the call takes three numbers.
    answer(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, (class << CLASS_SHIFT) | priority) })
}

/// The kernel's `struct sched_attr`, first version (48 bytes).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SchedulerAttributes {
    pub(crate) size: u32,
    pub(crate) policy: u32,
    pub(crate) flags: u64,
    pub(crate) nice: i32,
    pub(crate) priority: u32,
    pub(crate) runtime: u64,
    pub(crate) deadline: u64,
    pub(crate) period: u64,
}

/// Sets how this process is scheduled.
pub(crate) fn scheduler(mut attributes: SchedulerAttributes) -> io::Result<()> {
    attributes.size = 48;
    // SAFETY: the structure has the kernel's layout and says its own size; it lives over the call.
    answer(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, ptr::from_ref(&attributes), 0) })
}

/// Gives this process a session keyring of its own, so that it does not see the caller's keys.
pub(crate) fn new_session_keyring() -> io::Result<()> {
    const JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: a null name asks for a new anonymous keyring.
    answer(unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, ptr::null::<libc::c_char>()) })
}
