//! One block of 512 bytes: names, numbers, checksum (POSIX.1-2017 pax, "ustar Interchange Format", and GNU's variant).

use super::{BLOCK, Fault};

/// What follows a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// A file, with its content.
    File,
    /// Another name for an entry before.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    Character,
    /// A block device.
    Block,
    /// A folder.
    Folder,
    /// A named pipe.
    Fifo,
    /// Extended headers of the next entry.
    Pax,
    /// Extended headers of all entries that follow.
    PaxGlobal,
    /// The next entry's name, where it is long.
    LongName,
    /// The next entry's target, where it is long.
    LongLink,
    /// A file with holes, GNU's first form.
    GnuSparse,
}

impl Type {
    /// Whether only a header stands for it: the size in it means nothing.
    pub(super) fn header_only(self) -> bool {
        matches!(
            self,
            Self::HardLink | Self::Symlink | Self::Character | Self::Block | Self::Folder | Self::Fifo
        )
    }
}

/// A header, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Type,
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    /// Bytes that follow, as the header has it.
    pub(super) size: u64,
    /// Seconds; before 1970 in GNU's form alone.
    pub(super) mtime: i64,
    pub(super) device: (u32, u32),
}

/// A field that ends at its first NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    &field[..end]
}

/// A number: octal digits between spaces and NULs, or base 256 where the first bit is set.
pub(super) fn number(field: &[u8], what: &str) -> Result<i64, Fault> {
    let bad = || Fault::rule(format!("its {what} is no number that tar can hold"));
    if let Some(first) = field.first().filter(|first| **first & 0x80 != 0) {
        // Two's complement of as many bytes as there are; the first bit is the mark.
        let negative = first & 0x40 != 0;
        let mut value: i64 = if negative { -1 } else { 0 };
        for (at, byte) in field.iter().enumerate() {
            let byte = match (at, negative) {
                (0, true) => byte | 0x80,
                (0, false) => byte & 0x7f,
                _ => *byte,
            };
            value = value.checked_mul(256).ok_or_else(bad)?;
            value |= i64::from(byte);
        }
        return Ok(value);
    }
    let trimmed = text(field).trim_ascii();
    let mut value: i64 = 0;
    for digit in trimmed {
        if !(b'0'..=b'7').contains(digit) {
            return Err(bad());
        }
        value = value.checked_mul(8).ok_or_else(bad)? + i64::from(digit - b'0');
    }
    Ok(value)
}

fn natural(field: &[u8], what: &str) -> Result<u64, Fault> {
    let value = number(field, what)?;
    u64::try_from(value).map_err(|_| Fault::rule(format!("its {what} is below zero")))
}

/// The sum over a header, its own field taken as spaces: as unsigned and, as old programs have it, signed bytes.
fn sums(block: &[u8; BLOCK]) -> (i64, i64) {
    let (mut unsigned, mut signed) = (0, 0);
    for (at, byte) in block.iter().enumerate() {
        let byte = if (148..156).contains(&at) { b' ' } else { *byte };
        unsigned += i64::from(byte);
        signed += i64::from(byte.cast_signed());
    }
    (unsigned, signed)
}

impl Header {
    /// Reads a block that is not all zero.
    pub(super) fn read(block: &[u8; BLOCK]) -> Result<Self, Fault> {
        let (unsigned, signed) = sums(block);
        let told = number(&block[148..156], "checksum")?;
        if told != unsigned && told != signed {
            return Err(Fault::rule("the checksum of its header is wrong: the archive is damaged"));
        }
        let ustar = &block[257..263] == b"ustar\0" && &block[263..265] == b"00";
        let gnu = &block[257..265] == b"ustar  \0";
        let mut name = text(&block[..100]).to_vec();
        let prefix = text(&block[345..500]);
        if ustar && !prefix.is_empty() {
            name = [prefix, b"/", &name].concat();
        }
        let kind = match block[156] {
            // Before POSIX, a name that ends so was a folder's.
            0 if name.ends_with(b"/") => Type::Folder,
            0 | b'0' | b'7' => Type::File,
            b'1' => Type::HardLink,
            b'2' => Type::Symlink,
            b'3' => Type::Character,
            b'4' => Type::Block,
            b'5' => Type::Folder,
            b'6' => Type::Fifo,
            b'x' => Type::Pax,
            b'g' => Type::PaxGlobal,
            b'L' => Type::LongName,
            b'K' => Type::LongLink,
            b'S' if gnu => Type::GnuSparse,
            other => {
                return Err(Fault::rule(format!("entries of type {:?} are not unpacked", char::from(other))));
            }
        };
        let device = if matches!(kind, Type::Character | Type::Block) {
            let part = |field: &[u8]| {
                let number = natural(field, "device number")?;
                u32::try_from(number).map_err(|_| Fault::rule("its device number is too large"))
            };
            (part(&block[329..337])?, part(&block[337..345])?)
        } else {
            (0, 0)
        };
        let mode = natural(&block[100..108], "mode")? & 0o7777;
        Ok(Self {
            kind,
            name,
            link: text(&block[157..257]).to_vec(),
            mode: u32::try_from(mode).unwrap_or_default(),
            uid: natural(&block[108..116], "user id")?,
            gid: natural(&block[116..124], "group id")?,
            size: natural(&block[124..136], "size")?,
            mtime: number(&block[136..148], "time")?,
            device,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        assert_eq!(number(b"0000644\0", "mode").unwrap(), 0o644);
        assert_eq!(number(b"  17 \0\0\0", "mode").unwrap(), 0o17);
        assert_eq!(number(b"\0\0\0\0\0\0\0\0", "mode").unwrap(), 0);
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1], "size").unwrap(), (2 << 32) + 1);
        assert_eq!(number(&[0xff; 12], "time").unwrap(), -1);
        assert_eq!(number(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe], "time").unwrap(), -2);
        for bad in [&b"0x1"[..], b"9", b"-1", &[0x80, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], b"1 1"] {
            assert!(number(bad, "size").is_err(), "{bad:?}");
        }
        assert!(natural(&[0xff; 12], "size").is_err());
    }

    #[test]
    fn a_header_of_the_tar_crate_reads_back() {
        let mut made = tar::Header::new_gnu();
        made.set_path("usr/bin/env").unwrap();
        made.set_mode(0o4755);
        made.set_uid(3_000_000_000);
        made.set_gid(7);
        made.set_size(9);
        made.set_mtime(1_700_000_000);
        made.set_cksum();
        let read = Header::read(made.as_bytes()).unwrap();
        assert_eq!((read.kind, read.name.as_slice()), (Type::File, &b"usr/bin/env"[..]));
        assert_eq!((read.mode, read.uid, read.gid, read.size), (0o4755, 3_000_000_000, 7, 9));
        assert_eq!(read.mtime, 1_700_000_000);
        let mut damaged = *made.as_bytes();
        damaged[0] ^= 1;
        assert!(matches!(Header::read(&damaged), Err(Fault::Rule(rule)) if rule.contains("checksum")));
    }
}
