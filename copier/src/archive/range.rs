//! Ranges of a tar file that is being written, and what writes into them.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt,
    sync::Arc,
};

use super::header::{BLOCK, padded};
use crate::disk::Scratch;

/// Where the next member begins.
#[derive(Debug)]
pub(super) struct End {
    pub(super) at: u64,
    /// Ranges of content that was to be written and was not: begin of the header, and length of the content.
    free: Vec<(u64, u64)>,
    /// Ranges that are being written.
    pub(super) open: usize,
    pub(super) scratch: Option<Scratch>,
}

impl End {
    pub(super) const fn new(scratch: Scratch) -> Self {
        Self { at: 0, free: Vec::new(), open: 0, scratch: Some(scratch) }
    }

    /// Whether every range that was taken was filled.
    pub(super) const fn is_whole(&self) -> bool {
        self.open == 0 && self.free.is_empty()
    }

    /// Takes a range for a header and so many bytes.
    pub(super) fn begin(&mut self, size: u64) -> u64 {
        self.open += 1;
        if let Some(place) = self.free.iter().position(|(_, free)| *free == size) {
            return self.free.swap_remove(place).0;
        }
        let begin = self.at;
        self.at += BLOCK + padded(size);
        begin
    }

    /// Gives it back, filled or not.
    pub(super) fn close(&mut self, begin: u64, size: u64, whole: bool) {
        self.open -= 1;
        if !whole && begin + BLOCK + padded(size) == self.at {
            self.at = begin;
        } else if !whole {
            self.free.push((begin, size));
        }
    }
}

/// Writes into a file from a byte on.
pub(super) struct At {
    pub(super) file: Arc<File>,
    pub(super) at: u64,
}

impl Write for At {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.file.write_at(bytes, self.at)?;
        self.at += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A stream that takes one member after the other.
pub(super) struct Pipe(pub(super) Box<dyn Write + Send>);

impl std::fmt::Debug for Pipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pipe")
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
