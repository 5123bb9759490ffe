//! The runtime's own program file, which no container may write (CVE-2019-5736).
//!
//! A process that joins a container is this program until it executes the container's. A container could reach the file
//! through `/proc/PID/exe`, or have itself executed by `#!/proc/self/exe`, and write to it once it is no longer busy.
//! So this program runs from a read-only view of its file that nobody else can reach: a detached mount, or where mounts
//! are not allowed a sealed copy in memory.

use std::{
    ffi::{CString, OsString},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStringExt,
    },
};

use rustix::fs::{
    Access, AtFlags, Mode, OFlags, SealFlags, StatVfsMountFlags, accessat, fcntl_get_seals, fstat, fstatvfs,
};

use crate::{During, RuntimeError, sys::own_program};

const EXE: &str = "/proc/self/exe";

fn open() -> Result<OwnedFd, RuntimeError> {
    rustix::fs::open(EXE, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).during(|| format!("opening {EXE}"))
}

fn is_out_of_reach(file: &OwnedFd) -> Result<bool, RuntimeError> {
    let step = || format!("looking at {EXE}");
    if fstatvfs(file).during(step)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(true);
    }
    // Only files in memory have seals.
    if fcntl_get_seals(file).is_ok_and(|seals| seals.contains(SealFlags::WRITE)) {
        return Ok(true);
    }
    // Root of a container of an ordinary user has that user's rights outside, and no more.
    let user = rustix::process::geteuid();
    let foreign = fstat(file).during(step)?.st_uid != user.as_raw();
    Ok(!user.is_root()
        && foreign
        && accessat(file, c"", Access::WRITE_OK, AtFlags::EMPTY_PATH | AtFlags::EACCESS).is_err())
}

/// Whether containers may be entered by this process.
pub(crate) fn check() -> Result<(), RuntimeError> {
    if is_out_of_reach(&open()?)? {
        return Ok(());
    }
    Err(RuntimeError::Unsupported {
        what: "running containers from a program file that a container could write".into(),
        why: "the program has to call berth_runtime::protect_own_program first of all".into(),
    })
}

/// The read-only view that [`protect_own_program`] would begin again from, for a program that starts itself anyway and
/// so begins once. Nothing where this program is out of reach already, or no view can be made: then the program that is
/// started sees to it.
#[must_use]
pub fn own_program_out_of_reach() -> Option<OwnedFd> {
    let file = open().ok()?;
    if is_out_of_reach(&file).ok()? { None } else { own_program::read_only_view(file.as_fd()).ok() }
}

/// Makes sure that no container can write this program's file; where one could, the program begins again from a view
/// that it cannot write. To be called first of all, before threads are made and anything is opened. A program that
/// starts itself again should execute `/proc/self/exe`, which is that view.
///
/// # Errors
/// Where neither view can be made.
pub fn protect_own_program() -> Result<(), RuntimeError> {
    let file = open()?;
    if is_out_of_reach(&file)? {
        return Ok(());
    }
    let view = match own_program::read_only_view(file.as_fd()) {
        Ok(view) => view,
        // Mounts are not for this user.
        Err(_) => own_program::sealed_copy(file).during(|| format!("copying {EXE} into memory"))?,
    };
    let texts = |values: Vec<OsString>| -> Result<Vec<CString>, RuntimeError> {
        values
            .into_iter()
            .map(|value| CString::new(value.into_vec()).map_err(std::io::Error::other))
            .collect::<Result<_, _>>()
            .during(|| "reading own arguments".into())
    };
    let args = texts(std::env::args_os().collect())?;
    let env = texts(
        std::env::vars_os()
            .map(|(name, value)| {
                let mut variable = name;
                variable.push("=");
                variable.push(value);
                variable
            })
            .collect(),
    )?;
    Err(own_program::execute(&view, &args, &env)).during(|| "beginning again from a read-only view".into())
}
