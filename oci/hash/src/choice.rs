//! Which implementation runs: the faster one on this processor, found by a race at first use.
//!
//! A table of processor features would have to know how good each library is at each of them (on
//! x86 without SHA instructions AWS-LC is twice as fast as sha2, with them the two are close; for
//! SHA-512 and on ARM the answer differs again), and would be wrong after either library's next
//! release. A race needs no table. It costs a quarter of a millisecond once, and a wrong winner costs
//! speed, never correctness.

use std::{
    hint::black_box,
    sync::OnceLock,
    time::{Duration, Instant},
};

use crate::{
    compress::{self, Compress},
    engine::{self, Word},
};

/// One of the two libraries that compress blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Implementation {
    /// The `sha2` crate, Rust.
    Sha2,
    /// AWS-LC, C and assembly.
    AwsLc,
}

impl Implementation {
    /// Both, for tests and measurements.
    pub const ALL: [Self; 2] = [Self::Sha2, Self::AwsLc];

    pub(crate) fn sha256(self) -> Compress<u32, 64> {
        match self {
            Self::Sha2 => compress::sha256_sha2,
            Self::AwsLc => {
                compress::initialise_aws_lc();
                compress::sha256_aws_lc
            }
        }
    }

    pub(crate) fn sha512(self) -> Compress<u64, 128> {
        match self {
            Self::Sha2 => compress::sha512_sha2,
            Self::AwsLc => {
                compress::initialise_aws_lc();
                compress::sha512_aws_lc
            }
        }
    }
}

/// The faster implementation of SHA-256 here; the first call holds the race.
pub(crate) fn sha256() -> Implementation {
    static WINNER: OnceLock<Implementation> = OnceLock::new();
    *WINNER.get_or_init(|| race::<u32, 64>(engine::SHA256_START, Implementation::sha256))
}

/// The faster implementation of SHA-512 here; the first call holds the race.
pub(crate) fn sha512() -> Implementation {
    static WINNER: OnceLock<Implementation> = OnceLock::new();
    *WINNER.get_or_init(|| race::<u64, 128>(engine::SHA512_START, Implementation::sha512))
}

/// Bytes of one heat: long enough to drown the clock's cost, short enough to fit the first cache.
const HEAT_BYTES: usize = 16 * 1024;
/// Heats of each; the fastest counts, so that an interruption in one does not.
const HEATS: usize = 5;

fn race<W: Word, const BLOCK: usize>(
    start: [W; 8],
    compress_of: fn(Implementation) -> Compress<W, BLOCK>,
) -> Implementation {
    let input = vec![[0xa5; BLOCK]; HEAT_BYTES / BLOCK];
    let mut best = [Duration::MAX; 2];
    // In turns, so that a change of the clock rate in mid-race meets both.
    for _ in 0..HEATS {
        for (best, implementation) in best.iter_mut().zip(Implementation::ALL) {
            let compress = compress_of(implementation);
            let mut state = start;
            let begin = Instant::now();
            compress(&mut state, black_box(&input));
            black_box(state);
            *best = begin.elapsed().min(*best);
        }
    }
    if best[0] <= best[1] { Implementation::Sha2 } else { Implementation::AwsLc }
}
