//! Files → entries: ustar, with extended headers where a value does not fit (POSIX.1-2017 pax).

use std::{
    fs::{self, File, Metadata},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::Path,
};

use super::{BLOCK, MAX_SEGMENTS, MAX_SPARSE, Segment, holes};
use crate::error::{Result, RunnerError, While};

/// An entry that is being written.
struct Member<'a> {
    kind: u8,
    name: Vec<u8>,
    link: &'a [u8],
    mode: u32,
    uid: u32,
    gid: u32,
    size: u64,
    mtime: (i64, i64),
    device: (u32, u32),
    attributes: &'a [(Vec<u8>, Vec<u8>)],
}

/// What a file with holes is besides its entry.
struct Sparse<'a> {
    name: &'a [u8],
    size: u64,
}

/// What such an entry is called: who does not know of holes makes a file of this name.
const SPARSE_NAME: &[u8] = b"./GNUSparseFile.0/entry";

/// `length key=value\n`, where the length counts itself.
fn record(key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    for part in [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"] {
        out.extend_from_slice(part);
    }
}

fn octal(field: &mut [u8], value: u64) {
    let width = field.len() - 1;
    let text = format!("{value:0width$o}");
    field[..width].copy_from_slice(&text.as_bytes()[text.len() - width..]);
}

fn short(field: &mut [u8], value: &[u8]) {
    let length = value.len().min(field.len());
    field[..length].copy_from_slice(&value[..length]);
}

impl Member<'_> {
    fn header(&self, kind: u8, name: &[u8], size: u64) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let fits = |value: u64, bits: u32| if value >> bits == 0 { value } else { 0 };
        short(&mut block[..100], name);
        octal(&mut block[100..108], self.mode.into());
        octal(&mut block[108..116], fits(self.uid.into(), 21));
        octal(&mut block[116..124], fits(self.gid.into(), 21));
        octal(&mut block[124..136], fits(size, 33));
        octal(&mut block[136..148], fits(u64::try_from(self.mtime.0).unwrap_or(0), 33));
        block[156] = kind;
        short(&mut block[157..257], self.link);
        block[257..265].copy_from_slice(b"ustar\x0000");
        octal(&mut block[329..337], self.device.0.into());
        octal(&mut block[337..345], self.device.1.into());
        block[148..156].fill(b' ');
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        octal(&mut block[148..155], sum);
        block
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.write_with(out, None)
    }

    fn write_with(&self, out: &mut dyn Write, sparse: Option<&Sparse<'_>>) -> io::Result<()> {
        let mut records = Vec::new();
        let number = |value: u64| value.to_string().into_bytes();
        if let Some(sparse) = sparse {
            record(b"GNU.sparse.major", b"1", &mut records);
            record(b"GNU.sparse.minor", b"0", &mut records);
            record(b"GNU.sparse.name", sparse.name, &mut records);
            record(b"GNU.sparse.realsize", &number(sparse.size), &mut records);
        }
        if self.name.len() > 100 {
            record(b"path", &self.name, &mut records);
        }
        if self.link.len() > 100 {
            record(b"linkpath", self.link, &mut records);
        }
        for (key, id) in [(&b"uid"[..], self.uid), (b"gid", self.gid)] {
            if id >> 21 != 0 {
                record(key, &number(id.into()), &mut records);
            }
        }
        if self.size >> 33 != 0 {
            record(b"size", &number(self.size), &mut records);
        }
        let (seconds, nanoseconds) = self.mtime;
        if nanoseconds != 0 || !(0..1 << 33).contains(&seconds) {
            // Before 1970 the fraction counts away from zero as well.
            let text = match (seconds < 0, nanoseconds) {
                (_, 0) => format!("{seconds}"),
                (true, _) => format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanoseconds),
                (false, _) => format!("{seconds}.{nanoseconds:09}"),
            };
            record(b"mtime", text.as_bytes(), &mut records);
        }
        for (name, value) in self.attributes {
            record(&[b"SCHILY.xattr.", name.as_slice()].concat(), value, &mut records);
        }
        if !records.is_empty() {
            let plain = Member {
                attributes: &[],
                name: Vec::new(),
                link: b"",
                device: (0, 0),
                mtime: (0, 0),
                ..*self
            };
            out.write_all(&plain.header(b'x', b"./PaxHeaders/entry", records.len() as u64))?;
            records.resize(records.len().next_multiple_of(BLOCK), 0);
            out.write_all(&records)?;
        }
        out.write_all(&self.header(self.kind, &self.name, self.size))
    }
}

fn member<'a>(kind: u8, path: &Path, of: &Metadata) -> Member<'a> {
    let mut name = path.as_os_str().as_bytes().to_vec();
    if kind == b'5' {
        name.push(b'/');
    }
    Member {
        kind,
        name,
        link: b"",
        mode: of.mode() & 0o7777,
        uid: of.uid(),
        gid: of.gid(),
        size: 0,
        mtime: (of.mtime(), of.mtime_nsec()),
        device: (0, 0),
        attributes: &[],
    }
}

fn written(path: &Path, wrote: io::Result<()>) -> Result<()> {
    wrote.doing("writing the layer's entry", path)
}

/// A file with its content.
pub(crate) fn file(
    out: &mut dyn Write,
    path: &Path,
    of: &Metadata,
    attributes: &[(Vec<u8>, Vec<u8>)],
    content: File,
) -> Result<()> {
    let size = of.len();
    let member = member(b'0', path, of);
    if let Some(pieces) = holes_of(path, &content, size)? {
        return with_holes(out, path, Member { attributes, ..member }, size, &content, &pieces);
    }
    written(path, Member { size, attributes, ..member }.write(out))?;
    copied(out, path, &content, Segment { offset: 0, length: size })?;
    let padding = size.next_multiple_of(BLOCK as u64) - size;
    io::copy(&mut io::repeat(0).take(padding), out).doing("writing the layer's entry", path)?;
    Ok(())
}

fn holes_of(path: &Path, content: &File, size: u64) -> Result<Option<Vec<Segment>>> {
    match holes::pieces(content, size, MAX_SEGMENTS) {
        Ok(pieces) if size > MAX_SPARSE => Err(RunnerError::Content(format!(
            "{} has {size} bytes{}; {MAX_SPARSE} are the most that a file of a layer may have: make it smaller, or \
             remove it",
            path.display(),
            if pieces.is_some() { ", most of them holes" } else { "" }
        ))),
        Ok(pieces) => Ok(pieces),
        Err(holes::Fault::Pieces(most)) => Err(RunnerError::Content(format!(
            "{} has more than {most} pieces between its holes, which is the most that a layer's file may have: copy it \
             without holes, or remove it",
            path.display()
        ))),
        Err(holes::Fault::Failed(error)) => Err(error).doing("reading", path),
    }
}

/// GNU's form 1.0 of files with holes: the map stands before the content.
fn with_holes(
    out: &mut dyn Write,
    path: &Path,
    of: Member<'_>,
    size: u64,
    content: &File,
    pieces: &[Segment],
) -> Result<()> {
    // The last one is empty and says where the file ends, as GNU tar writes it.
    let end = Segment { offset: size, length: 0 };
    let mut map = format!("{}\n", pieces.len() + 1);
    for piece in pieces.iter().chain([&end]) {
        map.push_str(&format!("{}\n{}\n", piece.offset, piece.length));
    }
    let mut map = map.into_bytes();
    map.resize(map.len().next_multiple_of(BLOCK), 0);
    let stored = pieces.iter().map(|piece| piece.length).sum::<u64>();
    let name = of.name.clone();
    let sparse = Sparse { name: &name, size };
    let member = Member { name: SPARSE_NAME.to_vec(), size: map.len() as u64 + stored, ..of };
    written(path, member.write_with(out, Some(&sparse)))?;
    written(path, out.write_all(&map))?;
    for piece in pieces {
        copied(out, path, content, *piece)?;
    }
    let padding = stored.next_multiple_of(BLOCK as u64) - stored;
    io::copy(&mut io::repeat(0).take(padding), out).doing("writing the layer's entry", path).map(drop)
}

/// A piece of a file. One that a container writes to at this moment may shrink: the entry's size is settled.
fn copied(out: &mut dyn Write, path: &Path, content: &File, piece: Segment) -> Result<()> {
    let mut content = content;
    content.seek(SeekFrom::Start(piece.offset)).doing("reading", path)?;
    let copied = io::copy(&mut content.take(piece.length), out).doing("reading", path)?;
    let missing = piece.length - copied;
    io::copy(&mut io::repeat(0).take(missing), out).doing("writing the layer's entry", path).map(drop)
}

/// One more name of an entry before.
pub(crate) fn hard_link(out: &mut dyn Write, path: &Path, first: &Path, of: &Metadata) -> Result<()> {
    written(path, Member { link: first.as_os_str().as_bytes(), ..member(b'1', path, of) }.write(out))
}

/// Anything but a file; sockets are left out.
pub(crate) fn entry(
    out: &mut dyn Write,
    path: &Path,
    of: &Metadata,
    at: &Path,
    attributes: &[(Vec<u8>, Vec<u8>)],
) -> Result<()> {
    let kind = of.file_type();
    let device = (rustix::fs::major(of.rdev()), rustix::fs::minor(of.rdev()));
    let target;
    let made = if kind.is_dir() {
        Member { attributes, ..member(b'5', path, of) }
    } else if kind.is_symlink() {
        target = fs::read_link(at).doing("reading", at)?;
        Member { link: target.as_os_str().as_bytes(), ..member(b'2', path, of) }
    } else if kind.is_fifo() {
        member(b'6', path, of)
    } else if kind.is_char_device() {
        Member { device, ..member(b'3', path, of) }
    } else if kind.is_block_device() {
        Member { device, ..member(b'4', path, of) }
    } else {
        return Ok(());
    };
    written(path, made.write(out))
}

/// An empty file whose name is all.
pub(crate) fn whiteout(out: &mut dyn Write, path: &Path) -> Result<()> {
    let name = path.as_os_str().as_bytes().to_vec();
    let made = Member {
        kind: b'0',
        name,
        link: b"",
        mode: 0o644,
        uid: 0,
        gid: 0,
        size: 0,
        mtime: (0, 0),
        device: (0, 0),
        attributes: &[],
    };
    written(path, made.write(out))
}

/// The end of the archive.
pub(crate) fn end(out: &mut dyn Write) -> Result<(), RunnerError> {
    out.write_all(&[0; 2 * BLOCK]).doing("writing", "the layer")
}
