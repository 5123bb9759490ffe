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

/// The header of a file. Nothing in it depends on the day or on the machine.
///
/// # Errors
/// If the name does not fit, which none of ours does not.
pub(super) fn file(name: &str, size: u64) -> Result<Vec<u8>> {
    write(name, EntryType::Regular, 0o444, size)
}

/// The header of a folder.
///
/// # Errors
/// As [`file`].
pub(super) fn folder(name: &str) -> Result<Vec<u8>> {
    write(name, EntryType::Directory, 0o755, 0)
}

fn write(name: &str, kind: EntryType, mode: u32, size: u64) -> Result<Vec<u8>> {
    let fault = |fault: std::io::Error| Error::Other { what: format!("naming {name}"), source: fault.into() };
    // Only GNU's form has room for 8 GiB and more; everybody reads it.
    let mut header = if size < 1 << 33 { Header::new_ustar() } else { Header::new_gnu() };
    header.set_path(name).map_err(fault)?;
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    Ok(header.as_bytes().to_vec())
}
