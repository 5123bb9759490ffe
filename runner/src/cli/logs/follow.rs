//! One container's log as it grows: read from its files, watched for more.

use std::{
    collections::VecDeque,
    fs::File,
    io::{BufRead, BufReader, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::inotify,
    io::Errno,
};

use super::{Printer, parse};
use crate::{
    cli::Context,
    error::{Result, While},
    record::{Desired, files::private_folder},
    supervisor::{clients::Request, live::snapshot, log, remote},
};

/// A log, as far as it was printed.
pub(super) struct Log<'a> {
    desired: Desired,
    printer: Printer<'a>,
    folder: PathBuf,
    /// Tells of changes in the folder; made before the first line is read, so that none is missed.
    queue: OwnedFd,
    current: Option<BufReader<File>>,
    /// Its supervisor, which answers when the container ends.
    session: Option<OwnedFd>,
    ended: bool,
}

impl<'a> Log<'a> {
    pub(super) fn open(context: &Context, desired: Desired, printer: Printer<'a>) -> Result<Self> {
        let folder = log::folder(&context.folders, &desired.id);
        let queue = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
            .doing("watching", &folder)?;
        if printer.arguments.follow {
            private_folder(&folder)?;
            let flags =
                inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
            inotify::add_watch(&queue, &folder, flags).doing("watching", &folder)?;
        }
        Ok(Self { desired, printer, folder, queue, current: None, session: None, ended: false })
    }

    /// Prints what is there, or its last lines.
    pub(super) fn print_so_far(&mut self, out: &mut dyn Write, err: &mut dyn Write) -> Result<()> {
        let mut line = Vec::new();
        let mut tail = VecDeque::new();
        let most = usize::try_from(self.printer.arguments.tail).ok();
        for (path, file) in files(&self.folder)? {
            let mut reader = BufReader::with_capacity(64 << 10, file);
            while read_line(&mut reader, &mut line).doing("reading", &path)? {
                match most {
                    None => self.print(&line, out, err)?,
                    Some(most) if parse(&line).is_some_and(|line| self.printer.wanted(&line)) => {
                        tail.push_back(line.clone());
                        while tail.len() > most {
                            tail.pop_front();
                        }
                    }
                    Some(_) => {}
                }
            }
            self.current = Some(reader);
        }
        tail.iter().try_for_each(|line| self.print(line, out, err))
    }

    /// Asks its supervisor to tell of its end. A program that has ended may have left more in the pipe than its
    /// supervisor has written down by now.
    pub(super) fn listen(&mut self, context: &Context) -> Result<()> {
        let seen = snapshot(&context.records, &self.desired)?;
        if seen.condition.is_up() || seen.supervisor.is_some() {
            self.session = remote::reach(&context.records, &self.desired)?;
        }
        if let Some(session) = &self.session {
            remote::ask(session, &Request::Wait)?;
        }
        self.ended = self.session.is_none();
        Ok(())
    }

    /// Whether it ended before its log was last read.
    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Prints what was written since.
    pub(super) fn print_new(&mut self, out: &mut dyn Write, err: &mut dyn Write) -> Result<()> {
        let mut line = Vec::new();
        loop {
            self.print_rest(&mut line, out, err)?;
            // The one that follows the current one: it is newer by one than where the current one is now.
            let there = files(&self.folder)?;
            let is_current = |(_, file): &(PathBuf, File)| {
                self.current.as_ref().is_some_and(|reader| same(file, reader.get_ref()))
            };
            let next = there.iter().position(is_current).map_or(0, |at| at + 1);
            let Some((_, file)) = there.into_iter().nth(next) else { return Ok(()) };
            // Whatever was written to the old one between is read once more before it is left.
            self.print_rest(&mut line, out, err)?;
            self.current = Some(BufReader::with_capacity(64 << 10, file));
        }
    }

    fn print_rest(&mut self, line: &mut Vec<u8>, out: &mut dyn Write, err: &mut dyn Write) -> Result<()> {
        while let Some(reader) = &mut self.current
            && read_line(reader, line).doing("reading the log in", &self.folder)?
        {
            self.print(line, out, err)?;
        }
        Ok(())
    }

    fn print(&mut self, line: &[u8], out: &mut dyn Write, err: &mut dyn Write) -> Result<()> {
        let Some(line) = parse(line).filter(|line| self.printer.wanted(line)) else { return Ok(()) };
        self.printer.print(&line, out, err).doing("writing", "standard output")
    }
}

/// The files that are there, oldest first, opened: so a file that is turned over meanwhile is still read.
fn files(folder: &Path) -> Result<Vec<(PathBuf, File)>> {
    let mut found = Vec::new();
    for age in 0.. {
        let path = log::file(folder, age);
        match File::open(&path) {
            Ok(file) => found.push((path, file)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => break,
            Err(error) => return Err(error).doing("opening", &path),
        }
    }
    found.reverse();
    // Two may be the same where one was turned over between.
    found.dedup_by(|a, b| same(&a.1, &b.1));
    Ok(found)
}

fn same(a: &File, b: &File) -> bool {
    matches!((a.metadata(), b.metadata()), (Ok(a), Ok(b)) if a.ino() == b.ino())
}

/// Reads one whole line; what is written half stays for the next time.
fn read_line(reader: &mut BufReader<File>, line: &mut Vec<u8>) -> std::io::Result<bool> {
    line.clear();
    let length = reader.read_until(b'\n', line)?;
    if length > 0 && !line.ends_with(b"\n") {
        // Being written: read again from its beginning.
        reader.seek_relative(-i64::try_from(length).unwrap_or(0))?;
        return Ok(false);
    }
    Ok(length > 0)
}

/// Waits until one of them was written to, or its container has ended.
pub(super) fn wait(logs: &mut [Log<'_>]) -> Result<()> {
    let mut fds = Vec::new();
    for log in logs.iter() {
        // Whoever is here is followed, and so has a session.
        let session = log.session.as_ref().map_or(log.queue.as_fd(), AsFd::as_fd);
        fds.push(PollFd::from_borrowed_fd(log.queue.as_fd(), PollFlags::IN));
        fds.push(PollFd::from_borrowed_fd(session, PollFlags::IN));
    }
    loop {
        match poll(&mut fds, None) {
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error).doing("watching", "the log"),
        }
    }
    let ended: Vec<bool> = fds.chunks(2).map(|two| !two[1].revents().is_empty()).collect();
    drop(fds);
    for (log, ended) in logs.iter_mut().zip(ended) {
        log.ended = ended;
        let mut space = [0; 4096];
        while let Ok(1..) = rustix::io::read(&log.queue, &mut space) {}
    }
    Ok(())
}
