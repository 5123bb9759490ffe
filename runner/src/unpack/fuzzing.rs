//! For the fuzz targets in `runner/fuzz`.

use std::path::{Component, Path};

use super::{
    Content, Fault, MAX_DEPTH, MAX_PATH, MAX_SEGMENTS, MAX_XATTRS, Parser, RecipeReader, Step,
    name::Named,
    stream::{Entry, Kind},
};

/// What a parser found, and whether it kept its promises.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    /// Every byte that went in, as it came out.
    bytes: Vec<u8>,
    entries: Vec<String>,
    /// Bytes of the present file that are to come.
    left: Option<u64>,
}

/// A path that leads nowhere but below the folder where it is used.
fn contained(path: &Path) {
    assert!(path.components().all(|part| matches!(part, Component::Normal(_))), "{path:?}");
    assert!(path.as_os_str().len() <= MAX_PATH && path.components().count() <= MAX_DEPTH);
}

impl Content for Seen {
    fn literal(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        assert!(self.left.is_none(), "a header in the middle of a file");
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn entry(&mut self, entry: Entry) -> Result<(), Fault> {
        assert!(self.left.is_none(), "an entry in the middle of a file");
        match &entry.named {
            Named::Entry(path) | Named::Whiteout(path) => {
                contained(path);
                assert_ne!(path.as_os_str().len(), 0);
            }
            Named::Opaque(path) => contained(path),
            Named::Root | Named::Ignored => {}
        }
        match &entry.kind {
            Kind::HardLink(target) => contained(target),
            Kind::File { size, stored, map } => {
                let map = map.as_deref();
                assert!(map.is_none_or(|map| map.len() <= MAX_SEGMENTS));
                let sum = map.map(|map| map.iter().map(|piece| piece.length).sum::<u64>());
                assert_eq!(sum.unwrap_or(*size), *stored);
                assert!(map.is_none_or(|map| map.iter().all(|piece| piece.offset + piece.length <= *size)));
                self.left = Some(*stored);
            }
            Kind::Symlink(_) | Kind::Device(..) | Kind::Folder | Kind::Fifo => {}
        }
        assert!(entry.xattrs.len() <= MAX_XATTRS && entry.times.nanoseconds < 1_000_000_000);
        self.entries.push(format!("{entry:?}"));
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let left = self.left.as_mut().expect("content of no file");
        *left = left.checked_sub(bytes.len() as u64).expect("more content than was said");
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        assert_eq!(self.left.take(), Some(0), "the file is not whole");
        Ok(())
    }
}

fn read(bytes: &[u8], piece: usize) -> (Seen, Option<String>) {
    let (mut parser, mut seen) = (Parser::default(), Seen::default());
    let fed = bytes.chunks(piece).try_for_each(|piece| parser.feed(piece, &mut seen));
    let fault = fed.and_then(|()| parser.finish()).err().map(|fault| format!("{fault:?}"));
    (seen, fault)
}

/// Reads the tar of a layer, twice: in pieces of another size it means the same.
///
/// # Panics
/// If bytes get lost on the way, a name leads out of the layer, or a limit is passed.
pub(crate) fn layer(bytes: &[u8]) {
    let (seen, fault) = read(bytes, 1 << 16);
    assert!(bytes.starts_with(&seen.bytes));
    assert!(fault.is_some() || seen.bytes == bytes);
    let (again, its) = read(bytes, 7);
    assert_eq!((&seen.entries, &fault), (&again.entries, &its));
}

/// Reads a recipe, packed and as what comes out of its packing.
///
/// # Panics
/// If it has more pieces than are written.
pub(crate) fn recipe(bytes: &[u8]) {
    let packed = zstd::encode_all(bytes, 1).unwrap_or_default();
    for text in [bytes, &packed] {
        let Ok(mut reader) = RecipeReader::new(text) else { continue };
        while let Ok(step) = reader.step() {
            match step {
                Step::Literal(length) => {
                    let mut room = [0; 512];
                    let mut left = length;
                    while left > 0 {
                        let wanted = usize::try_from(left).unwrap_or(room.len()).min(room.len());
                        match reader.literal(&mut room[..wanted]) {
                            Ok(0) | Err(_) => return,
                            Ok(read) => left -= read as u64,
                        }
                    }
                }
                Step::Pieces { map, .. } => assert!(map.len() <= MAX_SEGMENTS),
                Step::End => break,
                Step::File { .. } | Step::Object { .. } => {}
            }
        }
    }
}
