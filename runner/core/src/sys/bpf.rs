//! bpf(2), as far as programs that decide about devices need it.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
};

use rustix::io::Errno;

/// `struct bpf_insn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Instruction {
    pub(crate) code: u8,
    /// Target in the lower half, source in the upper (little-endian machines).
    pub(crate) registers: u8,
    pub(crate) offset: i16,
    pub(crate) immediate: i32,
}

const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_DETACH: libc::c_int = 9;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const PROG_QUERY: libc::c_int = 16;

const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 1 << 1;

/// More than one program is there only between two updates, or where another runtime put its own beside.
const MOST_PROGRAMS: usize = 64;

/// The members of `union bpf_attr` that are used, each zero-filled behind its end as the kernel wants it.
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
    replaced: u32,
}

#[repr(C)]
struct Query {
    target: u32,
    kind: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    padding: u32,
}

#[repr(C)]
struct ById {
    id: u32,
    next: u32,
    flags: u32,
}

/// What may be handed to bpf(2).
///
/// # Safety
/// The type is `repr(C)`, is a member of `union bpf_attr` by its layout, has no padding, and every address in a value
/// of it is valid for what its command does with it.
#[expect(unsafe_code, reason = "the kernel trusts what is in it")]
unsafe trait Attribute {}

#[expect(unsafe_code, reason = "the kernel trusts what is in it")]
// SAFETY: the layout of the commands BPF_PROG_LOAD in linux/bpf.h: 48 bytes without padding. Values are made only in
// `load_device_program`, with the addresses of a slice and a string that outlive the call.
unsafe impl Attribute for Load {}
#[expect(unsafe_code, reason = "the kernel trusts what is in it")]
// SAFETY: the layout of BPF_PROG_ATTACH and BPF_PROG_DETACH: five numbers, no address.
unsafe impl Attribute for Attach {}
#[expect(unsafe_code, reason = "the kernel trusts what is in it")]
// SAFETY: the layout of BPF_PROG_QUERY with its padding as a member. Values are made only in `device_programs`, with the
// address of an array of `count` numbers that outlives the call.
unsafe impl Attribute for Query {}
#[expect(unsafe_code, reason = "the kernel trusts what is in it")]
// SAFETY: the layout of BPF_PROG_GET_FD_BY_ID: three numbers, no address.
unsafe impl Attribute for ById {}

fn bpf<T: Attribute>(command: libc::c_int, attribute: &mut T) -> io::Result<libc::c_long> {
    #[expect(unsafe_code, reason = "neither rustix nor libc has a function for bpf(2)")]
    // SAFETY: the pointer and size are those of `attribute`, which is borrowed mutably for the call: the kernel writes
    // to it (the count of a query) and keeps neither. What it points to is valid by the promise of `Attribute`.
    let answer =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attribute), size_of::<T>()) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

fn owned(answer: libc::c_long) -> io::Result<OwnedFd> {
    let fd = RawFd::try_from(answer).map_err(|_| io::Error::from(Errno::BADF))?;
    #[expect(unsafe_code, reason = "a new descriptor comes as a number")]
    // SAFETY: `answer` is what BPF_PROG_LOAD or BPF_PROG_GET_FD_BY_ID answered: a descriptor made for this caller,
    // which nobody else knows (the kernel sets close-on-exec on it).
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The number of a descriptor as the kernel's structures have it.
fn number(fd: &OwnedFd) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// Loads a program of type `BPF_PROG_TYPE_CGROUP_DEVICE`.
pub(crate) fn load_device_program(program: &[Instruction]) -> io::Result<OwnedFd> {
    let mut load = Load {
        kind: PROG_TYPE_CGROUP_DEVICE,
        count: program.len().try_into().map_err(|_| io::Error::from(Errno::TOOBIG))?,
        instructions: program.as_ptr() as u64,
        // It calls no function of the kernel that asks for another.
        license: c"Apache".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
    };
    bpf(PROG_LOAD, &mut load).and_then(owned)
}

/// Puts a program on a group, beside those that are there: a device must pass all of them.
pub(crate) fn attach_device_program(group: &OwnedFd, program: &OwnedFd) -> io::Result<()> {
    let mut attach = Attach {
        target: number(group),
        program: number(program),
        kind: CGROUP_DEVICE,
        flags: ALLOW_MULTI,
        replaced: 0,
    };
    bpf(PROG_ATTACH, &mut attach).map(drop)
}

/// The ids of the device programs that are on a group itself.
pub(crate) fn device_programs(group: &OwnedFd) -> io::Result<Vec<u32>> {
    let mut ids = [0u32; MOST_PROGRAMS];
    let mut query = Query {
        target: number(group),
        kind: CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        ids: ids.as_mut_ptr() as u64,
        count: ids.len().try_into().map_err(|_| io::Error::from(Errno::TOOBIG))?,
        padding: 0,
    };
    bpf(PROG_QUERY, &mut query)?;
    Ok(ids.into_iter().take(query.count as usize).collect())
}

/// Takes a program off a group. One that is gone is content.
pub(crate) fn detach_device_program(group: &OwnedFd, id: u32) -> io::Result<()> {
    let program = match bpf(PROG_GET_FD_BY_ID, &mut ById { id, next: 0, flags: 0 }) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => return Ok(()),
        answer => owned(answer?)?,
    };
    let mut detach = Attach {
        target: number(group),
        program: number(&program),
        kind: CGROUP_DEVICE,
        flags: 0,
        replaced: 0,
    };
    match bpf(PROG_DETACH, &mut detach) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => Ok(()),
        done => done.map(drop),
    }
}
