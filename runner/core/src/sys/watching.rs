//! What a process that watches others needs: how a process ended that was another's child, and memory given back while
//! there is nothing to do.
#![expect(unsafe_code, reason = "rustix has no PIDFD_GET_INFO, no safe madvise, and no unshare that is safe")]

use std::{
    fs, io,
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
};

use rustix::{
    event::{PollFd, Timespec},
    mm::{Advice, madvise},
    param::page_size,
};

/// Closes what a process was started with, from `first` on. Only at its very beginning: nothing may own any of them.
///
/// # Errors
/// Before Linux 5.9, which has no such call.
pub fn close_inherited(first: u32) -> io::Result<()> {
    // SAFETY: takes three numbers. The contract says that nothing in this process owns a descriptor yet.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first.max(3), libc::c_uint::MAX, 0) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Gives the calling process, which has one thread, a mount namespace of its own: what it mounts goes with it, and what
/// others mount is still seen.
///
/// # Errors
/// Where the user may not.
pub fn own_mounts() -> io::Result<()> {
    use rustix::{
        mount::{MountPropagationFlags, mount_change},
        thread::{UnshareFlags, unshare_unsafe},
    };
    // SAFETY: the table of descriptors stays shared with nobody: only the mount namespace is new.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS)? };
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    Ok(())
}

/// `struct pidfd_info` up to its exit code, in the size of its first version (64 bytes).
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroupid: u64,
    pid: u32,
    tgid: u32,
    ppid: u32,
    ids: [u32; 8],
    exit_code: i32,
}

const _: () = assert!(size_of::<PidfdInfo>() == 64);

/// The wait status of a process that has ended and was waited for by its own parent; `None` where this kernel
/// (before 6.15) does not keep it, or it was not waited for yet.
///
/// # Errors
/// The kernel's, but not that it does not know the question.
pub fn exit_status_of(pidfd: BorrowedFd<'_>) -> io::Result<Option<i32>> {
    const PIDFD_INFO_EXIT: u64 = 1 << 3;
    // _IOWR(0xFF, 11, struct pidfd_info)
    const PIDFD_GET_INFO: libc::c_ulong = (3 << 30) | (64 << 16) | (0xFF << 8) | 11;
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
    // SAFETY: the request carries the size of the structure, which is what the kernel reads and writes.
    let done = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO as _, &raw mut info) };
    if done < 0 {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::ENOTTY | libc::EINVAL | libc::ESRCH) => Ok(None),
            _ => Err(error),
        };
    }
    Ok((info.mask & PIDFD_INFO_EXIT != 0).then_some(info.exit_code))
}

/// Waits as `poll` does, with as little memory as can be: free parts of the heap are given back, the part of the stack
/// that nothing lives in, and mapped pages of this program's file that were never written, which the kernel maps again
/// (from its cache) when they are needed. Between that and the waiting nothing else runs, which would bring them back:
/// the kernel maps a window of pages around each that is touched, so the calls here go to it directly and not through
/// the C library, whose pages are elsewhere.
///
/// To be called by a process with one thread.
///
/// # Errors
/// As `poll`. That memory was not given back is none.
pub fn wait_at_rest(fds: &mut [PollFd<'_>], timeout: Option<&Timespec>) -> rustix::io::Result<usize> {
    let mut mappings = [(0, 0); 8];
    let mut unused_stack = (0, 0);
    // Less memory is no condition of anything.
    if let Ok(text) = fs::read_to_string("/proc/self/smaps") {
        unwritten(&text, &mut mappings);
        unused_stack = below(&text, ptr::from_ref(&mappings).expose_provenance(), page_size());
    }
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number, and changes only what is free.
    unsafe {
        libc::malloc_trim(0);
    }
    // SAFETY: the pages are this thread's stack and lie below everything on it: `below` leaves room under a variable of
    // this function for its frame and those of what it calls, and answers whole pages, so that the kernel rounds nothing
    // up. Nothing refers to what was there. New pages hold zeros.
    let _kept = unsafe {
        madvise(ptr::with_exposed_provenance_mut(unused_stack.0), unused_stack.1, Advice::LinuxDontNeed)
    };
    for (start, length) in mappings.into_iter().filter(|(_, length)| *length > 0) {
        // SAFETY: a private mapping of a file that cannot be written and has no page of its own, neither in memory nor in
        // swap (`unwritten` asks for both; this process has one thread, which makes none meanwhile): dropped pages come
        // back from the file, as they do when the kernel drops them itself.
        let _kept =
            unsafe { madvise(ptr::with_exposed_provenance_mut(start), length, Advice::LinuxDontNeed) };
    }
    rustix::event::poll(fds, timeout)
}

/// Start and length of the whole pages (of `page` bytes) of the stack that lie at least 16 KiB below `here`, by
/// `/proc/PID/smaps`; nothing where `here` is not on it.
fn below(smaps: &str, here: usize, page: usize) -> (usize, usize) {
    const ROOM: usize = 16 << 10;
    let stack = smaps.lines().filter_map(range).find(|(from, to)| (*from..*to).contains(&here));
    stack.map_or((0, 0), |(from, _)| {
        let end = here.saturating_sub(ROOM) / page * page;
        (from, end.saturating_sub(from))
    })
}

/// The addresses at the start of a line, where it begins a mapping.
fn range(line: &str) -> Option<(usize, usize)> {
    let (from, to) = line.split_ascii_whitespace().next()?.split_once('-')?;
    Some((usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?))
}

/// Start and length of private mappings of files that are not writable and hold nothing but their file's content, by
/// `/proc/PID/smaps`. As many as there is room for; the rest of `found` stays. What was written before the mapping was
/// made read-only (a program's addresses, when it was started) has pages of its own, in memory or in swap.
fn unwritten(smaps: &str, found: &mut [(usize, usize)]) {
    let mut room = found.iter_mut();
    let mut mapping = None;
    for line in smaps.lines() {
        if let Some(own) = line.strip_prefix("Anonymous:") {
            mapping = mapping.filter(|_| own.trim() == "0 kB");
        }
        // Always there, and behind `Anonymous`.
        if let Some(own) = line.strip_prefix("Swap:") {
            let Some(range) = mapping.take().filter(|_| own.trim() == "0 kB") else { continue };
            let Some(free) = room.next() else { return };
            *free = range;
        }
        let Some((from, to)) = range(line) else { continue };
        let mut fields = line.split_ascii_whitespace().skip(1);
        let fixed = fields.next().is_some_and(|rights| matches!(rights, "r-xp" | "r--p"));
        let of_file = fields.nth(3).is_some_and(|path| path.starts_with('/'));
        mapping = (fixed && of_file).then_some((from, to - from));
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn how_a_child_of_another_ended_is_known_after_it_was_waited_for() {
        use rustix::process::{Pid, PidfdFlags, pidfd_open};
        let mut child = std::process::Command::new("/bin/sh")
            .args(["-c", "read x; exit 7"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        assert_eq!(exit_status_of(pidfd.as_fd()).unwrap(), None, "it lives");
        drop(child.stdin.take());
        child.wait().unwrap();
        let status = exit_status_of(pidfd.as_fd()).unwrap();
        // Kernels before 6.15 do not keep it.
        assert!(matches!(status, None | Some(0x700)), "{status:?}");
    }

    #[test]
    fn a_program_goes_on_after_its_memory_was_given_back() {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        assert_eq!(wait_at_rest(&mut [], Some(&now)), Ok(0));
        assert_eq!(format!("{:?}", [1, 2]), "[1, 2]");
    }

    #[test]
    fn of_the_stack_goes_what_lies_well_below_the_caller() {
        let smaps = "1000-9000 rw-p 0 0:0 0 [heap]\nRss: 4 kB\n70000-90000 rw-p 0 0:0 0 [stack]\nRss: 4 kB\n";
        assert_eq!(below(smaps, 0x8f123, 0x1000), (0x70000, 0x1b000));
        assert_eq!(below(smaps, 0x73fff, 0x1000), (0x70000, 0));
        assert_eq!(below(smaps, 0x91000, 0x1000), (0, 0));
        assert_eq!(below("", 0x91000, 0x1000), (0, 0));
    }

    #[test]
    fn larger_pages_of_the_stack_are_not_rounded_up_to_where_the_caller_is() {
        let smaps = "70000-90000 rw-p 0 0:0 0 [stack]\nRss: 4 kB\n";
        assert_eq!(below(smaps, 0x8f123, 0x10000), (0x70000, 0x10000));
        assert_eq!(below(smaps, 0x83123, 0x10000), (0x70000, 0));
    }

    #[test]
    fn what_was_written_is_no_copy_of_its_file() {
        let mapping = |range: &str, rights: &str, path: &str, [own, swapped]: [u32; 2]| {
            format!(
                "{range} {rights} 00000000 fe:00 12 {path}\nRss: 4 kB\nAnonymous: {own} kB\nSwap: {swapped} kB\n"
            )
        };
        let smaps = [
            mapping("1000-3000", "r--p", "/", [0, 0]),
            mapping("3000-4000", "r-xp", "/usr/bin/x (deleted)", [0, 0]),
            mapping("4000-5000", "r--p", "/usr/bin/x", [4, 0]),
            mapping("4800-5000", "r--p", "/usr/bin/x", [0, 4]),
            mapping("5000-6000", "rw-p", "/usr/bin/x", [0, 0]),
            mapping("6000-7000", "r--s", "/usr/bin/x", [0, 0]),
            mapping("7000-8000", "r--p", "[vvar]", [0, 0]),
            mapping("8000-9000", "r--p", "", [0, 0]),
        ];
        let mut found = [(0, 0); 3];
        unwritten(&smaps.concat(), &mut found);
        assert_eq!(found, [(0x1000, 0x2000), (0x3000, 0x1000), (0, 0)]);
    }
}
