//! `logs`.

use std::{
    collections::VecDeque,
    fs::File,
    io::{BufRead, BufReader, BufWriter, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use clap::Args;
use jiff::Timestamp;
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::inotify,
    io::Errno,
};

use super::{Context, Globals, events, select::Selection};
use crate::{
    error::{Result, RunnerError, While},
    record::Desired,
    supervisor::{clients::Request, live::snapshot, log, remote},
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Containers
    #[arg(required_unless_present = "latest", value_name = "CONTAINER")]
    containers: Vec<String>,

    /// Go on with what is written, until the container ends
    #[arg(long, short)]
    follow: bool,

    /// The container that was created last
    #[arg(long, short, conflicts_with = "containers")]
    latest: bool,

    /// Put the container's name before each line
    #[arg(long, short)]
    names: bool,

    /// What was written since a time (2026-01-31T12:00:00Z) or duration before now (10m)
    #[arg(long)]
    since: Option<String>,

    /// What was written until a time or duration before now
    #[arg(long)]
    until: Option<String>,

    /// The last lines alone; all with -1
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    tail: i64,

    /// Put the time before each line
    #[arg(long, short)]
    timestamps: bool,

    /// Colours are left out
    #[arg(long, hide = true)]
    color: bool,
}

/// A line of the file.
struct Line<'a> {
    time: &'a str,
    error: bool,
    whole: bool,
    text: &'a [u8],
}

fn parse(line: &[u8]) -> Option<Line<'_>> {
    let line = line.strip_suffix(b"\n")?;
    let mut fields = line.splitn(4, |byte| *byte == b' ');
    let time = std::str::from_utf8(fields.next()?).ok()?;
    let error = fields.next()? == b"stderr";
    let whole = fields.next()? == b"F";
    Some(Line { time, error, whole, text: fields.next().unwrap_or_default() })
}

/// For the fuzz targets: a line is read as the log writes it.
pub(super) fn fuzzed(line: &[u8]) {
    let Some(Line { time, text, .. }) = parse(line) else { return };
    assert!(time.len() + text.len() < line.len());
}

struct Printer<'a> {
    arguments: &'a Arguments,
    /// Written as the log writes them, so that texts can be compared.
    since: Option<String>,
    until: Option<String>,
    name: Option<&'a str>,
    /// Whether a line was left open, of output and of errors.
    open: [bool; 2],
}

fn stamp(time: Timestamp) -> String {
    String::from_utf8_lossy(&log::stamp(time.into())).into_owned()
}

impl Printer<'_> {
    fn wanted(&self, line: &Line<'_>) -> bool {
        self.since.as_deref().is_none_or(|since| line.time >= since)
            && self.until.as_deref().is_none_or(|until| line.time <= until)
    }

    fn print(
        &mut self,
        line: &Line<'_>,
        out: &mut (impl Write + ?Sized),
        err: &mut (impl Write + ?Sized),
    ) -> std::io::Result<()> {
        let mut sink: Box<dyn Write + '_> = if line.error { Box::new(err) } else { Box::new(out) };
        let open = &mut self.open[usize::from(line.error)];
        if !*open {
            if let Some(name) = self.name {
                write!(sink, "{name} ")?;
            }
            if self.arguments.timestamps {
                write!(sink, "{} ", line.time)?;
            }
        }
        sink.write_all(line.text)?;
        if line.whole {
            sink.write_all(b"\n")?;
        }
        *open = !line.whole;
        Ok(())
    }
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    let _left_out = arguments.color;
    let selection = Selection {
        containers: arguments.containers.clone(),
        latest: arguments.latest,
        ..Default::default()
    };
    let time = |text: &Option<String>| text.as_deref().map(events::time).transpose();
    let (since, until) = (time(&arguments.since)?.map(stamp), time(&arguments.until)?.map(stamp));
    let meant = selection.meant(&context)?;
    let several = meant.len() > 1;
    if several && arguments.follow {
        return Err(RunnerError::Usage("--follow goes on with one container: name one".into()));
    }
    for meant in meant {
        let desired = meant.found?;
        if desired.log.none {
            return Err(RunnerError::Conflict(format!(
                "container {} keeps no log: it was created with --log-driver none",
                desired.name
            )));
        }
        let name = (arguments.names || several).then_some(desired.name.as_str());
        let printer =
            Printer { arguments, since: since.clone(), until: until.clone(), name, open: [false; 2] };
        match follow(&context, &desired, printer) {
            // `logs | head`: whoever reads has what they wanted.
            Err(RunnerError::Io { source, .. }) if source.kind() == std::io::ErrorKind::BrokenPipe => {}
            done => done?,
        }
    }
    Ok(0)
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

fn follow(context: &Context, desired: &Desired, mut printer: Printer<'_>) -> Result<()> {
    let folder = log::folder(&context.folders, &desired.id);
    let queue = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
        .doing("watching", &folder)?;
    if printer.arguments.follow {
        crate::record::files::private_folder(&folder)?;
        let flags = inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
        inotify::add_watch(&queue, &folder, flags).doing("watching", &folder)?;
    }
    let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
    let (mut out, mut err) = (BufWriter::with_capacity(64 << 10, stdout.lock()), stderr.lock());
    let mut lines = Vec::new();
    let mut tail = VecDeque::new();
    let most = usize::try_from(printer.arguments.tail).ok();
    let mut current = None;
    for (path, file) in files(&folder)? {
        let mut reader = BufReader::with_capacity(64 << 10, file);
        while read_line(&mut reader, &mut lines).doing("reading", &path)? {
            let Some(line) = parse(&lines).filter(|line| printer.wanted(line)) else { continue };
            match most {
                None => printer.print(&line, &mut out, &mut err).doing("writing", "standard output")?,
                Some(most) => {
                    tail.push_back(lines.clone());
                    while tail.len() > most {
                        tail.pop_front();
                    }
                }
            }
        }
        current = Some(reader);
    }
    for kept in tail {
        if let Some(line) = parse(&kept) {
            printer.print(&line, &mut out, &mut err).doing("writing", "standard output")?;
        }
    }
    out.flush().doing("writing", "standard output")?;
    if !printer.arguments.follow {
        return Ok(());
    }
    // A program that has ended may have left more in the pipe than its supervisor has written down by now.
    let seen = snapshot(&context.records, desired)?;
    let session = match seen.condition.is_up() || seen.supervisor.is_some() {
        true => remote::reach(&context.records, desired)?,
        false => None,
    };
    if let Some(session) = &session {
        remote::ask(session, &Request::Wait)?;
    }
    let mut ended = session.is_none();
    loop {
        let more = read_on(&folder, &mut current, &mut lines, &mut printer, &mut out, &mut err)?;
        out.flush().doing("writing", "standard output")?;
        if more {
            continue;
        }
        if ended {
            return Ok(());
        }
        ended = changed(&queue, session.as_ref())?;
    }
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

/// Prints what is there; whether the file was turned over and there is another to read.
fn read_on(
    folder: &Path,
    current: &mut Option<BufReader<File>>,
    lines: &mut Vec<u8>,
    printer: &mut Printer<'_>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<bool> {
    if let Some(reader) = current {
        while read_line(reader, lines).doing("reading the log in", folder)? {
            if let Some(line) = parse(lines).filter(|line| printer.wanted(line)) {
                printer.print(&line, out, err).doing("writing", "standard output")?;
            }
        }
    }
    // The one that follows the current one: it is newer by one than where the current one is now.
    let there = files(folder)?;
    let at =
        current.as_ref().and_then(|reader| there.iter().position(|(_, file)| same(file, reader.get_ref())));
    let next = at.map_or(0, |at| at + 1);
    match there.into_iter().nth(next) {
        Some((_, file)) => {
            // Whatever was written to the old one between is read once more before it is left.
            if let Some(reader) = current {
                while read_line(reader, lines).doing("reading the log in", folder)? {
                    if let Some(line) = parse(lines).filter(|line| printer.wanted(line)) {
                        printer.print(&line, out, err).doing("writing", "standard output")?;
                    }
                }
            }
            *current = Some(BufReader::with_capacity(64 << 10, file));
            Ok(true)
        }
        None => Ok(false),
    }
}

/// Waits for more in the folder or the end of the container; whether that came.
fn changed(queue: &OwnedFd, session: Option<&OwnedFd>) -> Result<bool> {
    loop {
        let mut fds = vec![PollFd::from_borrowed_fd(queue.as_fd(), PollFlags::IN)];
        fds.extend(session.map(|session| PollFd::from_borrowed_fd(session.as_fd(), PollFlags::IN)));
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error).doing("watching", "the log"),
        }
        let over = fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
        let mut space = [0; 4096];
        while let Ok(1..) = rustix::io::read(queue, &mut space) {}
        return Ok(over);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_log_are_read_back() {
        let line = parse(b"2026-11-21T17:54:08.123456789Z stderr P a b \n").unwrap();
        assert_eq!(line.text, b"a b ");
        assert!(line.error && !line.whole);
        assert_eq!(parse(b"T stdout F \n").unwrap().text, b"");
        assert!(parse(b"half a li").is_none());
    }
}
