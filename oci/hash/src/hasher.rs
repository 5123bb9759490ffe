//! The public type: one hasher for two functions.

use std::fmt;

use crate::{
    Implementation, choice,
    engine::{self, Engine},
};

/// Which hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// SHA-256: 32 bytes of output, blocks of 64.
    Sha256,
    /// SHA-512: 64 bytes of output, blocks of 128.
    Sha512,
}

/// Why bytes are not a saved state of the function asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these {len} bytes are not a saved {kind:?} state; the hash has to be taken again from the content")]
pub struct RestoreError {
    /// The function that was asked for.
    pub kind: Kind,
    /// How many bytes there were.
    pub len: usize,
}

/// A hash under way, over bytes given piece by piece.
#[derive(Clone)]
pub struct Hasher(Function);

#[derive(Clone)]
enum Function {
    Sha256(Engine<u32, 64>),
    Sha512(Engine<u64, 128>),
}

impl Hasher {
    /// A hash of nothing so far, by the implementation that is faster on this processor.
    ///
    /// The first call in a process takes a fraction of a millisecond to find out which that is.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self::with(kind, Self::implementation(kind))
    }

    /// A hash of nothing so far, by a given implementation: for measurements and tests.
    #[must_use]
    pub fn with(kind: Kind, implementation: Implementation) -> Self {
        Self(match kind {
            Kind::Sha256 => Function::Sha256(Engine::new(engine::SHA256_START, implementation.sha256())),
            Kind::Sha512 => Function::Sha512(Engine::new(engine::SHA512_START, implementation.sha512())),
        })
    }

    /// The implementation that [`Self::new`] and [`Self::restore`] take: fixed for the process.
    #[must_use]
    pub fn implementation(kind: Kind) -> Implementation {
        match kind {
            Kind::Sha256 => choice::sha256(),
            Kind::Sha512 => choice::sha512(),
        }
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Function::Sha256(engine) => engine.update(bytes),
            Function::Sha512(engine) => engine.update(bytes),
        }
    }

    /// The hash of all bytes given: 32 or 64 bytes.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        match self.0 {
            Function::Sha256(engine) => engine.finish(),
            Function::Sha512(engine) => engine.finish(),
        }
    }

    /// The state so far, the same from every implementation: eight words big-endian (u32 for
    /// SHA-256, u64 for SHA-512), the count of bytes so far as a u64 big-endian, and the bytes of
    /// the block that is not whole yet. 40 to 103 bytes for SHA-256, 72 to 199 for SHA-512.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        match &self.0 {
            Function::Sha256(engine) => engine.save(),
            Function::Sha512(engine) => engine.save(),
        }
    }

    /// Continues from what [`Self::save`] gave, in this process or another.
    ///
    /// # Errors
    /// If `saved` has the wrong length for its byte count, counts 2^61 bytes or more, or has moved
    /// words before its first whole block. A state whose words were changed otherwise cannot be
    /// told from a good one: it ends in a wrong hash.
    pub fn restore(kind: Kind, saved: &[u8]) -> Result<Self, RestoreError> {
        Self::restore_with(kind, Self::implementation(kind), saved)
    }

    /// [`Self::restore`] by a given implementation: for measurements and tests.
    ///
    /// # Errors
    /// As [`Self::restore`].
    pub fn restore_with(
        kind: Kind,
        implementation: Implementation,
        saved: &[u8],
    ) -> Result<Self, RestoreError> {
        let function =
            match kind {
                Kind::Sha256 => Engine::restore(engine::SHA256_START, implementation.sha256(), saved)
                    .map(Function::Sha256),
                Kind::Sha512 => Engine::restore(engine::SHA512_START, implementation.sha512(), saved)
                    .map(Function::Sha512),
            };
        function.map(Self).ok_or(RestoreError { kind, len: saved.len() })
    }

    /// Which function this is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self.0 {
            Function::Sha256(_) => Kind::Sha256,
            Function::Sha512(_) => Kind::Sha512,
        }
    }

    /// Bytes given so far, those before a restore included.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a count of bytes, not a container")]
    pub fn len(&self) -> u64 {
        match &self.0 {
            Function::Sha256(engine) => engine.len(),
            Function::Sha512(engine) => engine.len(),
        }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hasher({:?}, {} bytes)", self.kind(), self.len())
    }
}
