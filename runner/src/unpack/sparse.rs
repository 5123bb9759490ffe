//! Maps of files with holes: GNU's first form in headers, and its PAX forms 0.0, 0.1 and 1.0.

use super::{BLOCK, Fault, MAX_SEGMENTS, MAX_SPARSE, header::number};

/// A piece of a file with holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Where it lies in the file.
    pub(crate) offset: u64,
    /// Its bytes; all of them follow in the archive.
    pub(crate) length: u64,
}

/// Checks a map against the file's size and the bytes that follow, so that who writes by it need not.
pub(super) fn check(map: &[Segment], real_size: u64, stored: u64) -> Result<(), Fault> {
    if real_size > MAX_SPARSE {
        return Err(Fault::rule(format!(
            "it claims {real_size} bytes with holes; {MAX_SPARSE} are allowed at most"
        )));
    }
    if map.len() > MAX_SEGMENTS {
        return Err(Fault::rule(format!("its map of holes has more than {MAX_SEGMENTS} pieces")));
    }
    let (mut end, mut sum) = (0u64, 0u64);
    for piece in map {
        let after = piece.offset.checked_add(piece.length).filter(|after| *after <= real_size);
        match after {
            Some(after) if piece.offset >= end => end = after,
            _ => {
                return Err(Fault::rule("the pieces of its map of holes overlap or lie outside of the file"));
            }
        }
        sum += piece.length;
    }
    if sum != stored {
        return Err(Fault::rule(format!("its map of holes has {sum} bytes, and {stored} follow")));
    }
    Ok(())
}

/// Adds the pairs of a GNU header (4 at 386) or of a block behind it (21 at 0) and says whether another block follows.
pub(super) fn gnu_block(block: &[u8; BLOCK], first: bool, map: &mut Vec<Segment>) -> Result<bool, Fault> {
    let (start, count, more) = if first { (386, 4, 482) } else { (0, 21, 504) };
    for pair in block[start..start + count * 24].chunks_exact(24) {
        if pair[0] == 0 {
            break;
        }
        let part = |field| {
            u64::try_from(number(field, "map of holes")?)
                .map_err(|_| Fault::rule("a number of its map of holes is below zero"))
        };
        map.push(Segment { offset: part(&pair[..12])?, length: part(&pair[12..])? });
    }
    if map.len() > MAX_SEGMENTS {
        return Err(Fault::rule(format!("its map of holes has more than {MAX_SEGMENTS} pieces")));
    }
    Ok(block[more] != 0)
}

/// The map that stands before the content in form 1.0: decimal numbers, one to a line, padded to whole blocks.
#[derive(Debug, Default)]
pub(super) struct MapReader {
    line: Vec<u8>,
    count: Option<u64>,
    offset: Option<u64>,
    map: Vec<Segment>,
}

impl MapReader {
    /// Takes a block; the map once it is whole.
    pub(super) fn block(&mut self, block: &[u8]) -> Result<Option<Vec<Segment>>, Fault> {
        for byte in block {
            if *byte != b'\n' {
                self.line.push(*byte);
                if self.line.len() > 20 {
                    return Err(Fault::rule("a line of its map of holes is too long"));
                }
                continue;
            }
            let number = super::pax::decimal(&std::mem::take(&mut self.line), "the map of holes")?;
            match (self.count, self.offset.take()) {
                (None, _) => self.count = Some(number),
                (Some(_), None) => self.offset = Some(number),
                (Some(_), Some(offset)) => self.map.push(Segment { offset, length: number }),
            }
            if self.count.is_some_and(|count| count > MAX_SEGMENTS as u64) {
                return Err(Fault::rule(format!("its map of holes has more than {MAX_SEGMENTS} pieces")));
            }
            if self.count == Some(self.map.len() as u64) {
                // The rest of the block is padding.
                return Ok(Some(std::mem::take(&mut self.map)));
            }
        }
        Ok(None)
    }
}
