//! zstd frames one behind the other.

use std::io::{self, Write};

use berth_oci::{Algorithm, Digest};
use zstd::stream::raw::{CParameter, Encoder, InBuffer, Operation, OutBuffer};

use super::TABLE_BYTES_MAX;
use crate::compression::{
    Level,
    zstandard::{FIRST_LARGE_LEVEL, WINDOW_LOG_MAX},
};

/// Magic number of the first kind of skippable frames (RFC 8878, 3.1.2).
const SKIPPABLE: [u8; 4] = [0x50, 0x2a, 0x4d, 0x18];

/// Writes frames and knows where they begin.
pub(super) struct Frames<'a> {
    out: &'a mut dyn Write,
    packer: Packer,
    packed: Vec<u8>,
    offset: u64,
    open: bool,
}

impl<'a> Frames<'a> {
    pub(super) fn new(out: &'a mut dyn Write, level: Level) -> io::Result<Self> {
        Ok(Self { out, packer: Packer::new(level)?, packed: Vec::new(), offset: 0, open: false })
    }

    /// Writes into the open frame, or opens one.
    pub(super) fn write(&mut self, plain: &[u8]) -> io::Result<()> {
        if plain.is_empty() {
            return Ok(());
        }
        self.open = true;
        self.packer.write(plain, &mut self.packed)?;
        self.flush()
    }

    /// Ends the open frame, if there is one, and answers where the next begins.
    pub(super) fn end(&mut self) -> io::Result<u64> {
        if self.open {
            self.packer.end(&mut self.packed)?;
            self.flush()?;
            self.open = false;
        }
        Ok(self.offset)
    }

    /// Writes a frame that decoders skip, and answers where its content begins.
    pub(super) fn skippable(&mut self, content: &[u8]) -> io::Result<u64> {
        let size = u32::try_from(content.len()).map_err(io::Error::other)?;
        self.packed.extend_from_slice(&SKIPPABLE);
        self.packed.extend_from_slice(&size.to_le_bytes());
        let at = self.offset + self.packed.len() as u64;
        self.packed.extend_from_slice(content);
        self.flush()?;
        Ok(at)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&self.packed)?;
        self.offset += self.packed.len() as u64;
        self.packed.clear();
        Ok(())
    }
}

/// An encoder that can be used again for the next frame.
struct Packer(Encoder<'static>);

impl Packer {
    fn new(level: Level) -> io::Result<Self> {
        let mut encoder = Encoder::new(level.get())?;
        encoder.set_parameter(CParameter::ChecksumFlag(true))?;
        if level.get() >= FIRST_LARGE_LEVEL {
            encoder.set_parameter(CParameter::WindowLog(WINDOW_LOG_MAX))?;
        }
        Ok(Self(encoder))
    }

    fn write(&mut self, plain: &[u8], packed: &mut Vec<u8>) -> io::Result<()> {
        let mut input = InBuffer::around(plain);
        while input.pos() < plain.len() {
            room(packed, |out| self.0.run(&mut input, out))?;
        }
        Ok(())
    }

    fn end(&mut self, packed: &mut Vec<u8>) -> io::Result<()> {
        while room(packed, |out| self.0.finish(out, true))? > 0 {}
        self.0.reinit()
    }
}

fn room<T>(
    packed: &mut Vec<u8>,
    work: impl FnOnce(&mut OutBuffer<'_, Vec<u8>>) -> io::Result<T>,
) -> io::Result<T> {
    packed.reserve(16 << 10);
    let at = packed.len();
    work(&mut OutBuffer::around_pos(packed, at))
}

/// A table that is packed while it is made.
pub(super) struct Table {
    packer: Packer,
    packed: Vec<u8>,
    plain_size: u64,
}

/// A table that is done.
pub(super) struct Packed {
    pub(super) packed: Vec<u8>,
    pub(super) plain_size: u64,
}

impl Table {
    pub(super) fn new(level: Level) -> io::Result<Self> {
        Ok(Self { packer: Packer::new(level)?, packed: Vec::new(), plain_size: 0 })
    }

    pub(super) fn write(&mut self, plain: &[u8]) -> io::Result<()> {
        self.plain_size += plain.len() as u64;
        if self.plain_size > TABLE_BYTES_MAX {
            return Err(super::unsupported("its table of contents has more than 150 MiB"));
        }
        self.packer.write(plain, &mut self.packed)
    }

    pub(super) fn finish(mut self) -> io::Result<Packed> {
        self.packer.end(&mut self.packed)?;
        Ok(Packed { packed: self.packed, plain_size: self.plain_size })
    }
}

impl Packed {
    pub(super) fn digest(&self) -> Digest {
        Digest::of(Algorithm::Sha256, &self.packed)
    }
}
