//! Copies of files with holes: an image of a few bytes may have a file that claims a tebibyte.

use std::{io, os::fd::BorrowedFd};

use rustix::{
    fs::{SeekFrom, fstat, ftruncate, seek},
    io::{Errno, pread, pwrite},
};

/// Read at once.
const PIECE: usize = 256 << 10;

/// Copies what a file holds to the same places of an empty one, which has its size and its holes afterwards: holes are
/// neither read nor written. A file that grows meanwhile is copied as long as it was.
///
/// # Errors
/// Of reading and writing.
pub fn copy_without_holes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let size = u64::try_from(fstat(from)?.st_size).unwrap_or(0);
    let mut buffer = vec![0; PIECE.min(usize::try_from(size).unwrap_or(PIECE))];
    let mut at = 0;
    while at < size {
        let begin = match seek(from, SeekFrom::Data(at)) {
            // Nothing but a hole up to its end.
            Err(Errno::NXIO) => break,
            found => found?,
        };
        let end = match seek(from, SeekFrom::Hole(begin)) {
            Err(Errno::NXIO) => break,
            found => found?.min(size),
        };
        at = begin;
        while at < end {
            let wanted = buffer.len().min(usize::try_from(end - at).unwrap_or(buffer.len()));
            let read = pread(from, &mut buffer[..wanted], at)?;
            if read == 0 {
                // It became shorter.
                return Ok(ftruncate(to, size)?);
            }
            let mut written = 0;
            while written < read {
                written += pwrite(to, &buffer[written..read], at + written as u64)?;
            }
            at += read as u64;
        }
    }
    Ok(ftruncate(to, size)?)
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        os::{
            fd::AsFd,
            unix::fs::{FileExt, MetadataExt},
        },
    };

    use super::*;

    #[test]
    fn what_a_file_holds_is_copied_and_its_holes_stay_holes() {
        let folder = tempfile::tempdir().unwrap();
        let open = |name: &str| {
            let mut options = File::options();
            options.read(true).write(true).create_new(true).open(folder.path().join(name)).unwrap()
        };
        let (from, to) = (open("from"), open("to"));
        let size = 1 << 40;
        from.set_len(size).unwrap();
        let noise: Vec<u8> = (0..700_000_u32).flat_map(u32::to_le_bytes).collect();
        from.write_all_at(&noise, 1 << 30).unwrap();
        from.write_all_at(b"end", size - 3).unwrap();
        copy_without_holes(from.as_fd(), to.as_fd()).unwrap();
        let about = to.metadata().unwrap();
        assert_eq!(about.len(), size);
        assert!(about.blocks() * 512 < 8 << 20, "{} blocks", about.blocks());
        let mut read = vec![0; noise.len()];
        to.read_exact_at(&mut read, 1 << 30).unwrap();
        assert!(read == noise);
        let mut end = [1; 5];
        to.read_exact_at(&mut end, size - 5).unwrap();
        assert_eq!(&end, b"\0\0end");
    }

    #[test]
    fn a_file_of_nothing_but_a_hole_and_an_empty_one_are_copied() {
        for size in [0, 1 << 42] {
            let (from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
            from.set_len(size).unwrap();
            copy_without_holes(from.as_fd(), to.as_fd()).unwrap();
            assert_eq!(to.metadata().unwrap().len(), size);
        }
    }
}
