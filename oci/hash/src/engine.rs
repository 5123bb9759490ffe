//! What is the same for both functions and both implementations: buffer, padding, saved form
//! (FIPS 180-4, sections 5.1 and 5.2).

use crate::compress::Compress;

/// FIPS 180-4, section 5.3.3.
pub(crate) const SHA256_START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// FIPS 180-4, section 5.3.5.
pub(crate) const SHA512_START: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

/// A word of the state: u32 or u64.
pub(crate) trait Word: Copy + PartialEq {
    /// Bytes of a word.
    const BYTES: usize;
    /// Appends the word, big-endian.
    fn put(self, out: &mut Vec<u8>);
    /// Takes a word off the front, big-endian; `None` if too few bytes are left.
    fn take(input: &mut &[u8]) -> Option<Self>;
}

macro_rules! word {
    ($type:ty) => {
        impl Word for $type {
            const BYTES: usize = size_of::<Self>();
            fn put(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
            fn take(input: &mut &[u8]) -> Option<Self> {
                let (word, rest) = input.split_first_chunk()?;
                *input = rest;
                Some(Self::from_be_bytes(*word))
            }
        }
    };
}
word!(u32);
word!(u64);

/// A hash under way. The first `len % BLOCK` bytes of `buffer` wait for the rest of their block.
#[derive(Clone)]
pub(crate) struct Engine<W, const BLOCK: usize> {
    state: [W; 8],
    buffer: [u8; BLOCK],
    len: u64,
    compress: Compress<W, BLOCK>,
}

impl<W: Word, const BLOCK: usize> Engine<W, BLOCK> {
    pub(crate) fn new(start: [W; 8], compress: Compress<W, BLOCK>) -> Self {
        Self { state: start, buffer: [0; BLOCK], len: 0, compress }
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes that wait in the buffer, always fewer than `BLOCK`.
    fn waiting(&self) -> usize {
        remainder::<BLOCK>(self.len)
    }

    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        let waiting = self.waiting();
        // Unreachable by counting; a restored count is below 2^61 and no slice is longer than 2^63.
        self.len = self.len.wrapping_add(bytes.len() as u64);
        if waiting > 0 {
            let room = &mut self.buffer[waiting..];
            let Some((fill, rest)) = bytes.split_at_checked(room.len()) else {
                room[..bytes.len()].copy_from_slice(bytes);
                return;
            };
            room.copy_from_slice(fill);
            (self.compress)(&mut self.state, std::slice::from_ref(&self.buffer));
            bytes = rest;
        }
        let (blocks, tail) = bytes.as_chunks::<BLOCK>();
        if !blocks.is_empty() {
            (self.compress)(&mut self.state, blocks);
        }
        self.buffer[..tail.len()].copy_from_slice(tail);
    }

    /// Pads (a one bit, zeros, the length in bits) and gives the state's bytes.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let bits = (u128::from(self.len) * 8).to_be_bytes();
        // The length field is an eighth of a block: 8 bytes for SHA-256, 16 for SHA-512.
        let field = BLOCK / 8;
        let waiting = self.waiting();
        self.buffer[waiting] = 0x80;
        self.buffer[waiting + 1..].fill(0);
        if waiting + 1 + field > BLOCK {
            (self.compress)(&mut self.state, std::slice::from_ref(&self.buffer));
            self.buffer.fill(0);
        }
        self.buffer[BLOCK - field..].copy_from_slice(&bits[bits.len() - field..]);
        (self.compress)(&mut self.state, std::slice::from_ref(&self.buffer));
        let mut out = Vec::with_capacity(8 * W::BYTES);
        self.state.into_iter().for_each(|word| word.put(&mut out));
        out
    }

    pub(crate) fn save(&self) -> Vec<u8> {
        let waiting = &self.buffer[..self.waiting()];
        let mut out = Vec::with_capacity(8 * W::BYTES + 8 + waiting.len());
        self.state.into_iter().for_each(|word| word.put(&mut out));
        out.extend_from_slice(&self.len.to_be_bytes());
        out.extend_from_slice(waiting);
        out
    }

    /// `None` where `saved` is no state that [`Self::save`] could have written.
    pub(crate) fn restore(start: [W; 8], compress: Compress<W, BLOCK>, mut saved: &[u8]) -> Option<Self> {
        let mut engine = Self::new(start, compress);
        for word in &mut engine.state {
            *word = W::take(&mut saved)?;
        }
        engine.len = u64::take(&mut saved)?;
        // The length in bits must fit SHA-256's field; for SHA-512 this is no loss in practice.
        if engine.len > u64::MAX / 8 || saved.len() != engine.waiting() {
            return None;
        }
        // Before the first whole block the state has not moved.
        if engine.len < BLOCK as u64 && engine.state != start {
            return None;
        }
        engine.buffer[..saved.len()].copy_from_slice(saved);
        Some(engine)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a remainder of BLOCK is below BLOCK")]
const fn remainder<const BLOCK: usize>(len: u64) -> usize {
    (len % BLOCK as u64) as usize
}
