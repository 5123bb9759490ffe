//! Views of the runtime's program file that cannot be written, and execution from them.
#![expect(unsafe_code, reason = "execveat has no wrapper")]

use std::{
    ffi::CString,
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    ptr,
};

use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create},
    mount::{OpenTreeFlags, open_tree},
};

use super::mount_attr::{MountAttr, mount_setattr};

/// A mount of the file that is in no namespace and is read-only.
pub(crate) fn read_only_view(file: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let view = open_tree(file, c"", flags)?;
    mount_setattr(view.as_fd(), false, &MountAttr { set: libc::MOUNT_ATTR_RDONLY, ..MountAttr::default() })?;
    Ok(view)
}

/// A copy in memory that nobody can change.
pub(crate) fn sealed_copy(file: OwnedFd) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels since 6.3 ask whether such a file may be executed; older ones refuse the question.
    let copy = match memfd_create(c"program", flags | MemfdFlags::EXEC) {
        Err(rustix::io::Errno::INVAL) => memfd_create(c"program", flags)?,
        other => other?,
    };
    let mut copy = File::from(copy);
    io::copy(&mut File::from(file), &mut copy)?;
    fcntl_add_seals(&copy, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    // A descriptor that may write keeps the file from being executed.
    Ok(File::open(format!("/proc/self/fd/{}", copy.as_raw_fd()))?.into())
}

/// Executes an open file. Answers only where that failed.
pub(crate) fn execute(program: &OwnedFd, args: &[CString], env: &[CString]) -> io::Error {
    let pointers = |texts: &[CString]| -> Vec<*const libc::c_char> {
        texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
    };
    let (argv, envp) = (pointers(args), pointers(env));
    // SAFETY: the path is an empty text and both arrays hold NUL-terminated texts and end with a null pointer; all live
    // until the call answers, which it does only where it failed.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            argv.as_ptr(),
            envp.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    io::Error::last_os_error()
}
