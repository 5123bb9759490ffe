//! Reading files with a bound.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
};

use crate::{Error, Result};

/// The largest configuration file that is read, in bytes.
pub const MAX_FILE: usize = 4 << 20;
/// The most files that are read of one folder.
const MAX_FILES: usize = 4096;

/// Whether anything has this name, be it a link to nothing. What cannot be looked at is taken for there, so that reading it
/// tells why.
pub(crate) fn is_there(path: &Path) -> bool {
    !matches!(path.symlink_metadata(), Err(error) if error.kind() == ErrorKind::NotFound)
}

/// The file's bytes, or `None` if it is not there.
pub(super) fn file(path: &Path) -> Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::file(path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes).map_err(Error::file(path))?;
    if bytes.len() > MAX_FILE {
        let fault = format!("larger than {MAX_FILE} bytes, which no configuration file should be");
        return Err(Error::Configuration { path: path.to_owned(), fault });
    }
    Ok(Some(bytes))
}

/// The file's text, or `None` if it is not there.
pub(super) fn text(path: &Path) -> Result<Option<String>> {
    let Some(bytes) = file(path)? else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|error| {
        let fault = format!("not UTF-8 from byte {} on", error.utf8_error().valid_up_to());
        Error::Configuration { path: path.to_owned(), fault }
    })?;
    Ok(Some(text))
}

/// The files (not folders) of a folder with one of these extensions, sorted by name; none if it is not there.
pub(super) fn folder(path: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::file(path)(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.map_err(Error::file(path))?.path();
        let fits = file.extension().and_then(OsStr::to_str).is_some_and(|ext| extensions.contains(&ext));
        if !fits || file.is_dir() {
            continue;
        }
        if files.len() == MAX_FILES {
            let fault = format!("more than {MAX_FILES} files of configuration");
            return Err(Error::Configuration { path: path.to_owned(), fault });
        }
        files.push(file);
    }
    files.sort();
    Ok(files)
}
