//! Control files: what is read from them and written to them, with errors that name the file and the value.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::Path,
};

use rustix::io::Errno;

use crate::{During, RuntimeError};

/// Writes a value in one call, as the kernel wants it.
pub(super) fn write(file: &Path, value: &str) -> Result<(), RuntimeError> {
    try_write(file, value).during(|| format!("writing {value:?} to {}", file.display()))
}

/// The same with the kernel's own error, for who knows what it means.
pub(super) fn try_write(file: &Path, value: &str) -> io::Result<()> {
    // Never made: a file that the kernel has not got would be a file on some other filesystem.
    OpenOptions::new().write(true).open(file)?.write_all(value.as_bytes())
}

/// Absence is an answer: of the file, or of its whole group.
pub(super) fn read(file: &Path) -> Result<Option<String>, RuntimeError> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if gone(&error) => Ok(None),
        Err(error) => Err(error).during(|| format!("reading {}", file.display())),
    }
}

/// Whether the group was removed.
pub(super) fn gone(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::NODEV))
}

/// Whether this user may not do it here.
pub(super) fn forbidden(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::ACCESS | Errno::PERM | Errno::ROFS))
}

/// A file of one number. `max` is none.
pub(super) fn number(file: &Path) -> Result<Option<u64>, RuntimeError> {
    let Some(text) = read(file)? else { return Ok(None) };
    match text.trim() {
        "max" => Ok(None),
        text => {
            text.parse().map(Some).map_err(io::Error::other).during(|| format!("reading {}", file.display()))
        }
    }
}

/// A number of a file with a key and a value per line.
pub(super) fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}
