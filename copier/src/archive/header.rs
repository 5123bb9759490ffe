//! One header block of a tar file.

use tar::{EntryType, Header};

use crate::{Error, Result};

/// Bytes of a block; headers and content fill whole ones.
pub(crate) const BLOCK: u64 = 512;
/// One block's bytes.
pub(crate) type Block = [u8; 512];

/// What a header says of what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Symlink,
    HardLink,
    /// Its content is the next member's name.
    LongName,
    /// Its content is the next member's link.
    LongLink,
    /// Its content are fields of the next member.
    Pax,
    /// Its content are fields of all that follow.
    PaxGlobal,
    /// Its content has holes that are not in the file.
    Sparse,
    /// A directory, a device: nothing that an image lies in.
    Other,
}

/// Reads a header; `None` for a block of zeros, which ends the file.
///
/// # Errors
/// `Error::Integrity` for what is no header.
pub(crate) fn parse(block: &Block, at: u64) -> Result<Option<(Header, Kind, u64)>> {
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let fault = |what: &str| Error::Integrity(format!("no tar header at byte {at}: {what}"));
    let header = Header::from_byte_slice(block).clone();
    let sum: u32 =
        block[..148].iter().chain(&block[156..]).map(|byte| u32::from(*byte)).sum::<u32>() + 8 * 32;
    if header.cksum().map_err(|_| fault("its checksum is no number"))? != sum {
        return Err(fault("its checksum is wrong"));
    }
    // The field of 11 octal digits cannot overflow, but the binary form of GNU can.
    let size = header.entry_size().map_err(|_| fault("its size is no number"))?;
    if i64::try_from(size).is_err() {
        return Err(fault("its size is out of bounds"));
    }
    let kind = match header.entry_type() {
        EntryType::Regular | EntryType::Continuous => Kind::File,
        EntryType::Symlink => Kind::Symlink,
        EntryType::Link => Kind::HardLink,
        EntryType::GNULongName => Kind::LongName,
        EntryType::GNULongLink => Kind::LongLink,
        EntryType::XHeader => Kind::Pax,
        EntryType::XGlobalHeader => Kind::PaxGlobal,
        EntryType::GNUSparse => Kind::Sparse,
        _ => Kind::Other,
    };
    Ok(Some((header, kind, size)))
}

/// Blocks that hold `size` bytes, in bytes.
pub(crate) const fn padded(size: u64) -> u64 {
    size.div_ceil(BLOCK) * BLOCK
}
