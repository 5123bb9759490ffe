//! Log lines on their way to standard error: escaped, gathered, written by a thread of their own.
//!
//! A request must not wait for whoever reads the log. Lines gather in memory while the thread
//! writes the ones before; when a reader has stalled for so long that there is no more room, lines
//! are lost, and the log says how many.

use std::{
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

/// Bytes that may wait.
const ROOM: usize = 4 << 20;

static LINES: OnceLock<Arc<Lines>> = OnceLock::new();

#[derive(Debug, Default)]
struct Lines {
    waiting: Mutex<Waiting>,
    came: Condvar,
    written: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    lost: u64,
    writing: bool,
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, line: &[u8]) {
        let mut waiting = self.lock();
        if waiting.bytes.len() + line.len() > ROOM {
            waiting.lost += 1;
            return;
        }
        escape(line, &mut waiting.bytes);
        drop(waiting);
        self.came.notify_one();
    }

    fn write(&self, mut to: impl Write) {
        let mut batch = Vec::new();
        loop {
            let mut waiting = self.lock();
            waiting.writing = false;
            self.written.notify_all();
            while waiting.bytes.is_empty() && waiting.lost == 0 {
                waiting = self.came.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::swap(&mut batch, &mut waiting.bytes);
            let lost = std::mem::take(&mut waiting.lost);
            waiting.writing = true;
            drop(waiting);
            if lost > 0 {
                batch.extend_from_slice(format!("{lost} log lines were lost: nobody read them\n").as_bytes());
            }
            // There is nowhere to say that standard error is gone.
            let _nowhere = to.write_all(&batch);
            batch.clear();
            if batch.capacity() > ROOM / 16 {
                batch = Vec::new();
            }
        }
    }
}

/// Copies a line without its control characters: whatever a client put into a name or header,
/// neither a terminal nor a reader of lines is fooled. The line break at the end stays.
fn escape(line: &[u8], out: &mut Vec<u8>) {
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    if !text.iter().any(|byte| byte.is_ascii_control() || *byte == 0xC2) {
        out.extend_from_slice(text);
    } else {
        for character in String::from_utf8_lossy(text).chars() {
            if character.is_control() {
                out.extend(character.escape_default().map(|character| character as u8));
            } else {
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
    }
    out.push(b'\n');
}

/// Where tracing writes. One write is one event.
#[derive(Clone, Debug)]
pub(super) struct Stderr(Arc<Lines>);

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.add(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Stderr {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

/// Starts the thread that writes, once.
pub(super) fn start() -> io::Result<Stderr> {
    if let Some(lines) = LINES.get() {
        return Ok(Stderr(lines.clone()));
    }
    let lines = LINES.get_or_init(Arc::default).clone();
    let writer = lines.clone();
    thread::Builder::new().name("log".to_owned()).spawn(move || writer.write(io::stderr()))?;
    Ok(Stderr(lines))
}

/// Waits until every line is written, a second at most.
pub fn flush() {
    let Some(lines) = LINES.get() else { return };
    let pending = |waiting: &mut Waiting| waiting.writing || !waiting.bytes.is_empty();
    drop(lines.written.wait_timeout_while(lines.lock(), Duration::from_secs(1), pending));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(line: &str) -> String {
        let mut out = Vec::new();
        escape(line.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn r34_no_control_character_reaches_the_log() {
        assert_eq!(escaped("plain é\n"), "plain é\n");
        assert_eq!(escaped("a\r\nb\x1b[2Jc\u{9b}d\u{7f}\t\n"), "a\\r\\nb\\u{1b}[2Jc\\u{9b}d\\u{7f}\\t\n");
        assert_eq!(escaped("no end"), "no end\n");
    }

    #[test]
    fn lines_that_find_no_room_are_counted_and_the_count_is_written() {
        struct Pipe(std::sync::mpsc::Sender<Vec<u8>>);
        impl Write for Pipe {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let lines = Arc::new(Lines::default());
        let line = [b"x".repeat(ROOM / 2), b"\n".to_vec()].concat();
        for _ in 0..4 {
            lines.add(&line);
        }
        let (to, from) = std::sync::mpsc::channel();
        thread::spawn(move || lines.write(Pipe(to)));
        let written = String::from_utf8(from.recv().unwrap()).unwrap();
        assert!(written.ends_with("x\n3 log lines were lost: nobody read them\n"), "{}", written.len());
    }
}
