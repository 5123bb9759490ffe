//! Where a file has holes, for archives that leave them out.

use std::{fs::File, io};

use rustix::{
    fs::{SeekFrom, seek},
    io::Errno,
};

use super::Segment;

/// Holes from this length on are worth a word in an archive: each costs a line of its map.
const HOLE: u64 = 64 << 10;

/// Why a file has no map.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It has more pieces than are taken.
    Pieces(usize),
    /// The system's.
    Failed(io::Error),
}

/// The pieces of a file of `size` bytes between its holes, or nothing where it has none worth a word; `most` at most.
///
/// # Errors
/// See [`Fault`].
pub(crate) fn pieces(file: &File, size: u64, most: usize) -> Result<Option<Vec<Segment>>, Fault> {
    let mut found: Vec<Segment> = Vec::new();
    let (mut at, mut holes) = (0, 0);
    while at < size {
        let begin = match seek(file, SeekFrom::Data(at)) {
            // Nothing but a hole up to its end.
            Err(Errno::NXIO) => size,
            begin => begin.map_err(failed)?.min(size),
        };
        let end = match seek(file, SeekFrom::Hole(begin)) {
            Err(Errno::NXIO) => size,
            end => end.map_err(failed)?.min(size),
        };
        let hole = begin - at;
        match found.last_mut() {
            Some(last) if hole < HOLE => last.length = end - last.offset,
            // What comes before the first byte of a short hole is of the file as well.
            None if hole < HOLE && end > at => found.push(Segment { offset: at, length: end - at }),
            _ => {
                holes += hole;
                if end > begin {
                    found.push(Segment { offset: begin, length: end - begin });
                }
            }
        }
        if found.len() > most {
            return Err(Fault::Pieces(most));
        }
        at = end;
    }
    Ok((holes > 0).then_some(found))
}

fn failed(error: Errno) -> Fault {
    Fault::Failed(error.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    fn found(size: u64, data: &[(u64, u64)], most: usize) -> Result<Option<Vec<(u64, u64)>>, Fault> {
        let file = tempfile::tempfile().unwrap();
        file.set_len(size).unwrap();
        for (at, length) in data {
            file.write_all_at(&vec![1; usize::try_from(*length).unwrap()], *at).unwrap();
        }
        let found = pieces(&file, size, most)?;
        Ok(found.map(|found| found.iter().map(|piece| (piece.offset, piece.length)).collect()))
    }

    #[test]
    fn long_holes_are_between_pieces_and_short_ones_in_them() {
        let (mib, block) = (1 << 20, 4096);
        assert_eq!(found(0, &[], 9).unwrap(), None);
        assert_eq!(found(3 * block, &[(0, 3 * block)], 9).unwrap(), None);
        assert_eq!(found(3 * block, &[(block, block)], 9).unwrap(), None, "a hole of a block");
        assert_eq!(found(1 << 40, &[], 9).unwrap(), Some(vec![]));
        let two = [(mib, block), (mib + 2 * block, block), (1 << 30, block)];
        assert_eq!(found(1 << 40, &two, 9).unwrap(), Some(vec![(mib, 3 * block), (1 << 30, block)]));
        assert_eq!(
            found(mib + block, &[(0, block), (mib, block)], 9).unwrap(),
            Some(vec![(0, block), (mib, block)])
        );
        assert!(matches!(
            found(1 << 30, &[(0, block), (mib, block), (2 * mib, block)], 2),
            Err(Fault::Pieces(2))
        ));
    }
}
