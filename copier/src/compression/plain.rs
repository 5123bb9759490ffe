//! The plain bytes of packed content, hashed.

use std::io::{self, Read};

use berth_hash::{Hasher, Kind};
use berth_oci::Digest;

use super::{Form, Limits, Unpack, Unpacked, pump::Input};
use crate::Result;

/// A reader of plain bytes.
pub(super) struct Plain {
    unpacked: Unpacked,
    hasher: Hasher,
}

impl Plain {
    /// Looks at the first bytes and begins.
    pub(super) fn open(input: Input, unpack: Unpack, limits: Limits) -> Result<Self> {
        Ok(Self { unpacked: Unpacked::open(input, unpack, limits)?, hasher: Hasher::new(Kind::Sha256) })
    }

    /// The form that was undone, the digest of the plain bytes that were read and their number.
    pub(super) fn finish(self) -> (Form, Digest, u64) {
        let size = self.hasher.len();
        (self.unpacked.form(), Digest::from_hasher(self.hasher), size)
    }
}

impl Read for Plain {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.unpacked.read(into)?;
        self.hasher.update(&into[..bytes]);
        Ok(bytes)
    }
}
