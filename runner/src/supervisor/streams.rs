//! Standard input, output and error of a container: named pipes in its running folder, or a terminal.
//!
//! The pipes have names so that another supervisor can go on with them. A detached container holds both ends of its
//! output: without a reader it waits once the pipe is full, and is never sent `SIGPIPE` because its supervisor died. In
//! the foreground it holds the writing end alone, as any program whose reader may go away.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, mknodat};

use crate::error::{Result, While};

/// Our ends; what a container does not have is `None`, also once it has closed it.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    /// Writes to its standard input.
    pub(crate) input: Option<OwnedFd>,
    /// Reads its standard output.
    pub(crate) out: Option<OwnedFd>,
    /// Reads its standard error.
    pub(crate) err: Option<OwnedFd>,
    /// The master of its terminal.
    pub(crate) terminal: Option<OwnedFd>,
}

/// The container's ends, until it has them.
#[derive(Debug)]
pub(crate) struct Theirs {
    pub(crate) input: OwnedFd,
    pub(crate) out: OwnedFd,
    pub(crate) err: OwnedFd,
}

fn path(folder: &Path, name: &str) -> PathBuf {
    folder.join(name)
}

fn named_pipe(path: &Path) -> Result<()> {
    match mknodat(rustix::fs::CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(error).doing("making", path),
    }
    // Programs of any user in the container open /dev/stdout anew; from outside the folder keeps others away.
    fs::set_permissions(path, fs::Permissions::from_mode(0o666)).doing("making", path)
}

fn open(path: &Path, read: bool, write: bool, wait: bool) -> Result<OwnedFd> {
    let flags = if wait { OFlags::empty() } else { OFlags::NONBLOCK };
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = File::options().read(read).write(write).custom_flags(flags).open(path);
    file.map(OwnedFd::from).doing("opening", path)
}

/// Whether reads and writes of a descriptor wait.
fn waits(fd: &OwnedFd, wait: bool) -> rustix::io::Result<()> {
    let flags = fcntl_getfl(fd)?;
    let wanted = if wait { flags - OFlags::NONBLOCK } else { flags | OFlags::NONBLOCK };
    fcntl_setfl(fd, wanted)
}

impl Streams {
    /// Makes the pipes of a container in `folder`. Without `interactive` its standard input is empty.
    ///
    /// # Errors
    /// Where they cannot be made.
    pub(crate) fn make(folder: &Path, interactive: bool, keeps_both_ends: bool) -> Result<(Self, Theirs)> {
        let ends = |name: &str| -> Result<(OwnedFd, OwnedFd)> {
            let path = path(folder, name);
            named_pipe(&path)?;
            // A reader first: a writer alone would wait for one.
            let ours = open(&path, true, false, false)?;
            let theirs = open(&path, keeps_both_ends, true, true)?;
            Ok((ours, theirs))
        };
        let (out, their_out) = ends("stdout")?;
        let (err, their_err) = ends("stderr")?;
        let (input, their_input) = if interactive {
            let path = path(folder, "stdin");
            named_pipe(&path)?;
            let theirs = open(&path, true, false, false)?;
            let ours = open(&path, false, true, false)?;
            waits(&theirs, true).doing("opening", &path)?;
            (Some(ours), theirs)
        } else {
            (None, open(Path::new("/dev/null"), true, false, true)?)
        };
        let theirs = Theirs { input: their_input, out: their_out, err: their_err };
        Ok((Self { input, out: Some(out), err: Some(err), terminal: None }, theirs))
    }

    /// The terminal of a container.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn of_terminal(master: OwnedFd) -> Result<Self> {
        waits(&master, false).doing("preparing", "the terminal")?;
        Ok(Self { terminal: Some(master), ..Self::default() })
    }

    /// The output of a container whose supervisor died; its standard input ended then, and so did a terminal.
    ///
    /// # Errors
    /// Where a pipe that is there cannot be opened.
    pub(crate) fn adopt(folder: &Path) -> Result<Self> {
        let reader = |name: &str| -> Result<Option<OwnedFd>> {
            let path = path(folder, name);
            Ok(if path.exists() { Some(open(&path, true, false, false)?) } else { None })
        };
        Ok(Self { input: None, out: reader("stdout")?, err: reader("stderr")?, terminal: None })
    }

    /// Where its input is written.
    pub(crate) fn sink(&self) -> Option<&OwnedFd> {
        self.terminal.as_ref().or(self.input.as_ref())
    }

    /// Gives a terminal its size.
    pub(crate) fn resize(&self, rows: u16, columns: u16) -> io::Result<()> {
        let Some(terminal) = &self.terminal else { return Ok(()) };
        let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(rustix::termios::tcsetwinsize(terminal.as_fd(), size)?)
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::{Errno, read, write};

    use super::*;

    #[test]
    fn output_outlives_its_reader_where_the_container_holds_both_ends() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, theirs) = Streams::make(folder.path(), false, true).unwrap();
        drop(ours);
        write(&theirs.out, b"nobody reads").unwrap();
        let again = Streams::adopt(folder.path()).unwrap();
        let mut buffer = [0; 64];
        let length = read(again.out.as_ref().unwrap(), &mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"nobody reads");
        assert_eq!(read(again.out.as_ref().unwrap(), &mut buffer), Err(Errno::AGAIN));
        drop(theirs);
        assert_eq!(read(again.out.as_ref().unwrap(), &mut buffer), Ok(0), "it ended");
    }

    #[test]
    fn in_the_foreground_a_lost_reader_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, theirs) = Streams::make(folder.path(), false, false).unwrap();
        drop(ours);
        assert_eq!(write(&theirs.out, b"x"), Err(Errno::PIPE));
    }

    #[test]
    fn input_ends_when_ours_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let (mut ours, theirs) = Streams::make(folder.path(), true, true).unwrap();
        write(ours.sink().unwrap(), b"in").unwrap();
        let mut buffer = [0; 8];
        assert_eq!(read(&theirs.input, &mut buffer), Ok(2));
        ours.input = None;
        assert_eq!(read(&theirs.input, &mut buffer), Ok(0));
        let (_, empty) = Streams::make(folder.path(), false, true).unwrap();
        assert_eq!(read(&empty.input, &mut buffer), Ok(0));
    }
}
