//! zstd:chunked, as containers/storage writes it: a zstd stream whose files can be fetched one by one.
//!
//! Tar headers and each chunk of a file are zstd frames of their own. Behind them stand three frames that decoders skip:
//! the table of contents (JSON in zstd), the tar-split (what it takes beside the files to make the tar stream again, JSON
//! lines in zstd), and a footer with the places of both, which the descriptor's annotations say as well. To anybody else it
//! is zstd.

mod frames;
mod header;
mod payload;
mod split;
mod toc;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashSet},
    io::{self, Read, Write},
};

use self::{
    frames::Frames,
    header::{Member, Members},
    payload::Payload,
    split::TarSplit,
    toc::{Entry, Toc},
};
use super::Level;
use crate::Error;

/// Digest of the compressed table of contents.
const CHECKSUM: &str = "io.github.containers.zstd-chunked.manifest-checksum";
/// Offset, length, length once decompressed, and type of the table of contents.
const POSITION: &str = "io.github.containers.zstd-chunked.manifest-position";
/// Offset, length and length once decompressed of the tar-split.
const SPLIT_POSITION: &str = "io.github.containers.zstd-chunked.tarsplit-position";

/// The only type of a table of contents (that of CRFS).
const MANIFEST_TYPE: u64 = 1;
const FOOTER_MAGIC: &[u8; 8] = b"GNUlInUx";
const BUFFER_BYTES: usize = 64 << 10;
/// Files and folders of one layer (U10).
const MEMBERS_MAX: usize = 1_000_000;
/// Readers refuse larger tables of contents, and so larger tar-splits.
const TABLE_BYTES_MAX: u64 = 150 << 20;

fn unsupported(reason: &str) -> io::Error {
    io::Error::other(Error::Unsupported(format!("zstd:chunked cannot hold this layer: {reason}; use zstd")))
}

fn wrong(fault: &str) -> io::Error {
    io::Error::other(Error::Integrity(format!("the layer is no tar archive: {fault}")))
}

/// Packs the tar stream `plain` and answers the annotations of its descriptor.
pub(super) fn write(
    plain: &mut dyn Read,
    out: &mut dyn Write,
    level: Level,
) -> io::Result<BTreeMap<String, String>> {
    let mut frames = Frames::new(out, level)?;
    let mut split = TarSplit::new(level)?;
    let mut toc = Toc::new(level)?;
    let mut names = HashSet::new();
    let mut members = Members::new(plain);
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Some(member) = members.next()? {
        frames.write(&member.raw)?;
        split.segment(&member.raw)?;
        if !names.insert(clean(&member.name)) {
            return Err(unsupported(&format!("{:?} is in it twice", member.name)));
        }
        if names.len() > MEMBERS_MAX {
            return Err(unsupported(&format!("it has more than {MEMBERS_MAX} members")));
        }
        write_member(&member, &mut members, &mut frames, &mut split, &mut toc, &mut buffer)?;
    }
    loop {
        let bytes = members.rest(&mut buffer)?;
        if bytes == 0 {
            break;
        }
        frames.write(&buffer[..bytes])?;
        split.segment(&buffer[..bytes])?;
    }
    frames.end()?;
    finish(frames, split, toc)
}

fn write_member(
    member: &Member,
    members: &mut Members<'_>,
    frames: &mut Frames<'_>,
    split: &mut TarSplit,
    toc: &mut Toc,
    buffer: &mut [u8],
) -> io::Result<()> {
    let mut payload = Payload::new();
    let mut left = member.payload;
    while left > 0 {
        let want = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        members.payload(&mut buffer[..want])?;
        payload.write(&buffer[..want], frames)?;
        left -= want as u64;
    }
    let packed = payload.finish(frames)?;
    split.file(&member.name, member.payload, packed.crc)?;
    for entry in Entry::of(member, packed) {
        toc.add(&entry)?;
    }
    Ok(())
}

/// A path as Go's `filepath.Clean` leaves it, by which tar-splits tell names apart.
fn clean(name: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let rooted = name.starts_with('/');
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    format!("{}{}", if rooted { "/" } else { "" }, parts.join("/"))
}

fn finish(mut frames: Frames<'_>, split: TarSplit, toc: Toc) -> io::Result<BTreeMap<String, String>> {
    let split = split.finish()?;
    let toc = toc.finish(&split.digest())?;
    let toc_at = frames.skippable(&toc.packed)?;
    let split_at = frames.skippable(&split.packed)?;
    let (toc_packed, split_packed) = (toc.packed.len() as u64, split.packed.len() as u64);
    let numbers =
        [toc_at, toc_packed, toc.plain_size, MANIFEST_TYPE, split_at, split_packed, split.plain_size];
    let mut footer: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    footer.extend_from_slice(FOOTER_MAGIC);
    frames.skippable(&footer)?;
    Ok([
        (CHECKSUM.to_owned(), toc.digest().to_string()),
        (POSITION.to_owned(), format!("{toc_at}:{toc_packed}:{}:{MANIFEST_TYPE}", toc.plain_size)),
        (SPLIT_POSITION.to_owned(), format!("{split_at}:{split_packed}:{}", split.plain_size)),
    ]
    .into())
}
