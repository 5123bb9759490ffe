//! Compression levels, each format's in its own range.

use crate::{Error, Result, copy::CompressionFormat};

/// A level that its format has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level(i32);

impl Level {
    /// Takes a user's level, or the format's usual one: 6 of gzip's 0 to 9 (-1 means that too), 3 of zstd's 1 to 22.
    ///
    /// # Errors
    /// `Error::Usage` with the range.
    pub fn new(format: CompressionFormat, level: Option<i32>) -> Result<Self> {
        let (usual, range, name) = match format {
            CompressionFormat::Gzip => (6, -1..=9, "gzip"),
            CompressionFormat::Zstd => (3, 1..=22, "zstd"),
            CompressionFormat::ZstdChunked => (3, 1..=22, "zstd:chunked"),
        };
        match level {
            None => Ok(Self(usual)),
            Some(-1) if range.contains(&-1) => Ok(Self(usual)),
            Some(level) if range.contains(&level) => Ok(Self(level)),
            Some(level) => Err(Error::Usage(format!(
                "compression level {level}: {name} takes {} to {}",
                range.start(),
                range.end()
            ))),
        }
    }

    /// The number, as zlib and zstd know it.
    #[must_use]
    pub const fn get(self) -> i32 {
        self.0
    }
}
