//! A file's bytes, cut where a rolling checksum says, so that equal parts of files become equal chunks.

use std::io;

use berth_hash::{Hasher, Kind};
use berth_oci::Digest;

use super::frames::Frames;

/// A chunk ends, on average, every 64 KiB.
const SPLIT_MASK: u32 = (1 << 16) - 1;
/// So many zeros are a chunk of their own.
const HOLE_BYTES: u64 = 1 << 10;
static ZEROS: [u8; 16 << 10] = [0; 16 << 10];

/// A part of a file.
pub(super) struct Chunk {
    /// Where it begins in the file.
    pub(super) from: u64,
    pub(super) size: u64,
    /// Where its frame begins in the layer.
    pub(super) offset: u64,
    pub(super) digest: Digest,
    pub(super) zeros: bool,
}

/// What became of a file.
pub(super) struct Packed {
    pub(super) chunks: Vec<Chunk>,
    /// Where the frame behind it begins.
    pub(super) end: u64,
    /// Of the whole file, if it has bytes.
    pub(super) digest: Option<Digest>,
    pub(super) crc: Option<u64>,
}

/// Takes a file's bytes.
pub(super) struct Payload {
    whole: Hasher,
    crc: Crc64,
    chunk: Hasher,
    roll: Roll,
    zeros: u64,
    chunks: Vec<Chunk>,
    /// Where the next chunk begins in the file.
    from: u64,
    /// Where its frame begins, once the first byte came.
    offset: Option<u64>,
}

impl Payload {
    pub(super) fn new() -> Self {
        let hasher = || Hasher::new(Kind::Sha256);
        let (roll, crc) = (Roll::new(), Crc64(0));
        Self {
            whole: hasher(),
            crc,
            chunk: hasher(),
            roll,
            zeros: 0,
            chunks: Vec::new(),
            from: 0,
            offset: None,
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8], frames: &mut Frames<'_>) -> io::Result<()> {
        self.whole.update(bytes);
        self.crc.update(bytes);
        let mut at = 0;
        while at < bytes.len() {
            if bytes[at] == 0 {
                let run = bytes[at..].iter().take_while(|byte| **byte == 0).count();
                self.zeros += run as u64;
                at += run;
                continue;
            }
            self.flush_zeros(frames)?;
            let data = &bytes[at..];
            let mut taken = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
            let split = data[..taken].iter().position(|byte| self.roll.split(*byte));
            taken = split.map_or(taken, |place| place + 1);
            self.data(&data[..taken], frames)?;
            if split.is_some() {
                self.cut(false, frames)?;
            }
            at += taken;
        }
        Ok(())
    }

    /// Zeros before a byte, or before the end: a hole, or data like any other.
    fn flush_zeros(&mut self, frames: &mut Frames<'_>) -> io::Result<()> {
        let zeros = std::mem::take(&mut self.zeros);
        let hole = zeros >= HOLE_BYTES;
        if hole {
            self.cut(false, frames)?;
            self.roll.skip_zeros(zeros);
        }
        let mut left = zeros;
        while left > 0 {
            let most = ZEROS.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let split = if hole { None } else { (0..most).position(|_| self.roll.split(0)) };
            let taken = split.map_or(most, |place| place + 1);
            self.data(&ZEROS[..taken], frames)?;
            if split.is_some() {
                self.cut(false, frames)?;
            }
            left -= taken as u64;
        }
        if hole { self.cut(true, frames) } else { Ok(()) }
    }

    fn data(&mut self, bytes: &[u8], frames: &mut Frames<'_>) -> io::Result<()> {
        if self.offset.is_none() {
            self.offset = Some(frames.end()?);
        }
        self.chunk.update(bytes);
        frames.write(bytes)
    }

    fn cut(&mut self, zeros: bool, frames: &mut Frames<'_>) -> io::Result<()> {
        let Some(offset) = self.offset.take() else { return Ok(()) };
        frames.end()?;
        let hasher = std::mem::replace(&mut self.chunk, Hasher::new(Kind::Sha256));
        let size = hasher.len();
        self.chunks.push(Chunk { from: self.from, size, offset, digest: Digest::from_hasher(hasher), zeros });
        self.from += size;
        Ok(())
    }

    pub(super) fn finish(mut self, frames: &mut Frames<'_>) -> io::Result<Packed> {
        self.flush_zeros(frames)?;
        self.cut(false, frames)?;
        if self.chunks.is_empty() {
            return Ok(Packed { chunks: Vec::new(), end: 0, digest: None, crc: None });
        }
        let end = frames.end()?;
        let digest = Some(Digest::from_hasher(self.whole));
        Ok(Packed { chunks: self.chunks, end, digest, crc: Some(self.crc.0) })
    }
}

/// The rolling checksum of rsync and bup over 64 bytes, by which containers/storage cuts as well: chunks are found again
/// in layers that it made.
struct Roll {
    sums: (u32, u32),
    window: [u8; 64],
    at: usize,
}

const WINDOW: u32 = 64;
const OFFSET: u32 = 31;

impl Roll {
    fn new() -> Self {
        Self { sums: (WINDOW * OFFSET, WINDOW * (WINDOW - 1) * OFFSET), window: [0; 64], at: 0 }
    }

    fn roll(&mut self, byte: u8) {
        let drop = u32::from(std::mem::replace(&mut self.window[self.at], byte));
        self.at = (self.at + 1) % self.window.len();
        let first = self.sums.0.wrapping_add(u32::from(byte)).wrapping_sub(drop);
        let second = self.sums.1.wrapping_add(first).wrapping_sub(WINDOW * (drop + OFFSET));
        self.sums = (first, second);
    }

    /// Takes a byte; whether a chunk ends behind it.
    fn split(&mut self, byte: u8) -> bool {
        self.roll(byte);
        self.sums.1 & SPLIT_MASK == SPLIT_MASK
    }

    fn skip_zeros(&mut self, zeros: u64) {
        // Past a window of zeros nothing changes any more but the place in it.
        let rounds = if zeros > 4096 { 4096 + zeros % u64::from(WINDOW) } else { zeros };
        for _ in 0..rounds {
            self.roll(0);
        }
    }
}

/// CRC-64 of ISO 3309, as tar-splits have it.
struct Crc64(u64);

static CRC64: [u64; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut crc = at as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xd800_0000_0000_0000 } else { crc >> 1 };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
    }
    table
};

impl Crc64 {
    fn update(&mut self, bytes: &[u8]) {
        let crc = bytes
            .iter()
            .fold(!self.0, |crc, byte| CRC64[usize::from(crc.to_le_bytes()[0] ^ byte)] ^ (crc >> 8));
        self.0 = !crc;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_has_its_published_check_value() {
        let mut crc = Crc64(0);
        crc.update(b"12345");
        crc.update(b"6789");
        assert_eq!(crc.0, 0xb909_56c7_75a4_1001);
    }

    #[test]
    fn skipped_zeros_leave_the_state_of_rolled_ones() {
        for zeros in [0, 1, 63, 64, 1024, 4096, 4097, 5000, 10_000] {
            let (mut one, mut other) = (Roll::new(), Roll::new());
            for byte in 0..100 {
                one.roll(byte);
                other.roll(byte);
            }
            one.skip_zeros(zeros);
            (0..zeros).for_each(|_| other.roll(0));
            assert_eq!(one.sums, other.sums, "{zeros}");
        }
    }
}
