//! What a container wrote, in files that never grow beyond what was allowed.
//!
//! A line is `TIME STREAM F|P TEXT` (the form that Kubernetes reads): `P` says that the text goes on in the next line
//! of its stream. Nothing is held back: what was read is written, so that a prompt is there at once and memory does not
//! grow with the length of a line.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{
    error::{Result, While},
    folders::Folders,
    record::LogOptions,
};

/// Bytes that are written at once.
const AT_ONCE: usize = 32 << 10;

/// Where output came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output, and everything of a terminal.
    Out,
    /// Standard error.
    Err,
}

impl Stream {
    fn name(self) -> &'static [u8] {
        match self {
            Self::Out => b"stdout",
            Self::Err => b"stderr",
        }
    }
}

/// The folder of a container's log.
pub(crate) fn folder(folders: &Folders, id: &berth_runtime::ContainerId) -> PathBuf {
    folders.container(id).join("log")
}

/// The file that is written; older ones have `.1`, `.2` behind it.
pub(crate) fn file(folder: &Path, age: u32) -> PathBuf {
    folder.join(if age == 0 { "container.log".to_owned() } else { format!("container.log.{age}") })
}

/// The log that is written.
#[derive(Debug)]
pub(crate) struct Log {
    folder: PathBuf,
    file: Option<File>,
    size: u64,
    options: LogOptions,
    lines: Vec<u8>,
    lost: u64,
}

impl Log {
    /// Opens it, to go on at its end.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub(crate) fn open(folder: &Path, options: &LogOptions) -> Result<Self> {
        let mut log = Self {
            folder: folder.to_owned(),
            file: None,
            size: 0,
            options: options.clone(),
            lines: Vec::new(),
            lost: 0,
        };
        if !options.none {
            crate::record::files::private_folder(folder)?;
            log.reopen().doing("opening the log in", folder)?;
        }
        Ok(log)
    }

    fn reopen(&mut self) -> io::Result<()> {
        let file = File::options().create(true).append(true).mode(0o600).open(file(&self.folder, 0))?;
        self.size = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }

    /// Writes what was read at once from a stream. A disk that is full costs the text and not the container: the gap
    /// is told by the next line that can be written.
    pub(crate) fn write(&mut self, stream: Stream, text: &[u8]) {
        if self.options.none || text.is_empty() {
            return;
        }
        let now = stamp(SystemTime::now());
        let mut lines = std::mem::take(&mut self.lines);
        lines.clear();
        if self.lost > 0 {
            let told = format!("{} bytes of output are lost: the log could not be written", self.lost);
            push(&mut lines, &now, Stream::Err, true, told.as_bytes());
        }
        let mut since = 0;
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let whole = line.strip_suffix(b"\n");
            push(&mut lines, &now, stream, whole.is_some(), whole.unwrap_or(line));
            since += line.len();
            // A file is turned over between pieces, and many short lines are many times their text.
            if lines.len() >= AT_ONCE {
                self.put(&lines, since);
                lines.clear();
                since = 0;
            }
        }
        if !lines.is_empty() {
            self.put(&lines, since);
        }
        self.lines = lines;
    }

    fn put(&mut self, lines: &[u8], text: usize) {
        match self.append(lines) {
            Ok(()) => self.lost = 0,
            Err(_told_by_the_next_line) => self.lost += text as u64,
        }
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.size > 0 && self.size + lines.len() as u64 > self.options.max_size {
            self.turn_over()?;
        }
        if self.file.is_none() {
            self.reopen()?;
        }
        if let Some(file) = &mut self.file {
            if let Err(error) = file.write_all(lines) {
                // Half a line would be read as another one's beginning.
                file.set_len(self.size)?;
                return Err(error);
            }
            self.size += lines.len() as u64;
        }
        Ok(())
    }

    fn turn_over(&mut self) -> io::Result<()> {
        self.file = None;
        let oldest = self.options.max_files.max(1) - 1;
        if oldest == 0 {
            fs::remove_file(file(&self.folder, 0))?;
        }
        for age in (0..oldest).rev() {
            match fs::rename(file(&self.folder, age), file(&self.folder, age + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        self.reopen()
    }

    /// Gives back what it used while there was much to write.
    pub(crate) fn rest(&mut self) {
        self.lines = Vec::new();
    }
}

fn push(lines: &mut Vec<u8>, now: &[u8], stream: Stream, whole: bool, text: &[u8]) {
    lines.extend_from_slice(now);
    lines.push(b' ');
    lines.extend_from_slice(stream.name());
    lines.extend_from_slice(if whole { b" F " } else { b" P " });
    lines.extend_from_slice(text);
    lines.push(b'\n');
}

/// `2026-11-21T17:54:08.123456789Z`. By hand, since it runs for every piece of output in a process that is to stay
/// small.
pub(crate) fn stamp(time: SystemTime) -> [u8; 30] {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = since.as_secs();
    let (year, month, day) = civil(seconds / 86_400);
    let mut text = *b"0000-00-00T00:00:00.000000000Z";
    digits(&mut text[..4], year);
    digits(&mut text[5..7], month);
    digits(&mut text[8..10], day);
    digits(&mut text[11..13], seconds / 3600 % 24);
    digits(&mut text[14..16], seconds / 60 % 60);
    digits(&mut text[17..19], seconds % 60);
    digits(&mut text[20..29], u64::from(since.subsec_nanos()));
    text
}

fn digits(into: &mut [u8], mut number: u64) {
    for digit in into.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
}

/// Year, month and day of a day since 1970, in the Gregorian calendar (eras of 400 years that begin in March).
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (year + era * 400 + next, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(folder: &Path, age: u32) -> String {
        fs::read_to_string(file(folder, age)).unwrap()
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for seconds in [0, 951_782_400, 1_709_208_000, 4_102_444_799, 1_763_747_648, 1_735_689_599] {
            let time = UNIX_EPOCH + Duration::new(seconds, 123_456_789);
            let stamp = stamp(time);
            let expected = jiff::Timestamp::try_from(time).unwrap().to_string();
            assert_eq!(std::str::from_utf8(&stamp).unwrap(), expected);
        }
    }

    #[test]
    fn lines_have_time_stream_and_whether_they_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(folder.path(), &LogOptions::default()).unwrap();
        log.write(Stream::Out, b"one\ntw");
        log.write(Stream::Err, b"bad\n");
        log.write(Stream::Out, b"o\n");
        let text = written(folder.path(), 0);
        let tails: Vec<_> = text.lines().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!(tails, ["stdout F one", "stdout P tw", "stderr F bad", "stdout F o"]);
    }

    #[test]
    fn files_are_turned_over_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let options = LogOptions { none: false, max_size: 200, max_files: 3 };
        let mut log = Log::open(folder.path(), &options).unwrap();
        for number in 0..40 {
            log.write(Stream::Out, format!("line {number}\n").as_bytes());
        }
        let mut all = String::new();
        for age in [2, 1, 0] {
            let text = written(folder.path(), age);
            assert!(text.len() <= 200, "{}", text.len());
            all.push_str(&text);
        }
        assert!(!file(folder.path(), 3).exists());
        let numbers: Vec<u32> =
            all.lines().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
        assert_eq!(*numbers.last().unwrap(), 39);
        assert!(numbers.windows(2).all(|two| two[1] == two[0] + 1), "{numbers:?}");
    }

    #[test]
    fn a_log_is_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            Log::open(folder.path(), &LogOptions::default()).unwrap().write(Stream::Out, b"x\n");
        }
        assert_eq!(written(folder.path(), 0).lines().count(), 2);
        let none = LogOptions { none: true, ..LogOptions::default() };
        Log::open(&folder.path().join("none"), &none).unwrap().write(Stream::Out, b"x\n");
        assert!(!folder.path().join("none").exists());
    }

    /// A file system of four pages.
    struct Small(tempfile::TempDir);

    impl Small {
        fn new() -> Option<Self> {
            if !rustix::process::geteuid().is_root() {
                assert!(std::env::var_os("CI").is_none(), "needs root, to mount");
                eprintln!("skipped: needs root, to mount");
                return None;
            }
            let folder = tempfile::tempdir().unwrap();
            let mut mount = std::process::Command::new("mount");
            mount.args(["-t", "tmpfs", "-o", "size=16k,nr_inodes=10", "berth-test"]).arg(folder.path());
            assert!(mount.status().unwrap().success());
            Some(Self(folder))
        }
    }

    impl Drop for Small {
        fn drop(&mut self) {
            let _gone = std::process::Command::new("umount").arg(self.0.path()).status();
        }
    }

    #[test]
    fn a_disk_that_is_full_in_the_middle_of_a_line_leaves_whole_lines() {
        let Some(disk) = Small::new() else { return };
        let mut log = Log::open(disk.0.path(), &LogOptions::default()).unwrap();
        let filler = disk.0.path().join("filler");
        fs::write(&filler, [0; 8192]).unwrap();
        log.write(Stream::Out, b"before\n");
        log.write(Stream::Out, &[&[b'x'; 20_000][..], b"\n"].concat());
        fs::remove_file(&filler).unwrap();
        log.write(Stream::Out, b"after\n");
        let text = written(disk.0.path(), 0);
        let tails: Vec<_> = text.lines().map(|line| line.split_once(' ').unwrap().1).collect();
        let lost = "stderr F 20001 bytes of output are lost: the log could not be written";
        assert_eq!(tails, ["stdout F before", lost, "stdout F after"]);
    }

    #[test]
    fn a_full_disk_costs_text_and_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(folder.path(), &LogOptions::default()).unwrap();
        log.file = Some(File::options().write(true).open("/dev/full").unwrap());
        log.write(Stream::Out, b"lost\n");
        log.file = None;
        log.write(Stream::Out, b"kept\n");
        let text = written(folder.path(), 0);
        assert!(
            text.contains("stderr F 5 bytes of output are lost") && text.ends_with("stdout F kept\n"),
            "{text}"
        );
    }
}
