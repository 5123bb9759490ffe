//! From files to a tar. Links stay links; sockets are left out.

use std::{
    ffi::{CStr, OsStr},
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt, fs::FileExt},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, fstatfs, openat, readlinkat, statat};

use super::{
    attributes,
    place::{Named, Place, file},
};
use crate::{
    error::{Result, RunnerError, While},
    unpack::{Segment, holes},
};

/// Folders that may lie in each other: each costs a descriptor while it is read.
const DEEPEST: usize = 400;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Filesystems that show the kernel: proc, sysfs, both kinds of control groups, devpts, mqueue, and what may lie in sysfs
/// (bpf, debugfs, securityfs, tracefs, pstore, efivarfs).
const KERNELS: [u32; 12] = [
    0x9FA0,
    0x6265_6572,
    0x0027_E0EB,
    0x6367_7270,
    0x1CD1,
    0x1980_0202,
    0xCAFE_4A11,
    0x6462_6720,
    0x7363_6673,
    0x7472_6163,
    0x6165_676C,
    0xDE5E_81E4,
];

/// How files are named in the tar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packed {
    /// Under the last name of the path; under `.` where `/.` stands behind it.
    Named,
    /// Relative to the path, which is not in it itself.
    Bare,
}

/// Writes what is at a path as a tar.
///
/// # Errors
/// [`RunnerError::NotFound`] where there is nothing; where it cannot be read or written.
pub(crate) fn pack(place: &Place, text: &str, follow: bool, packed: Packed, out: impl Write) -> Result<()> {
    let named = Named::of(text);
    let missing = || RunnerError::NotFound(format!("{text}: no such file or folder"));
    let follow = follow || named.folder || packed == Packed::Bare;
    let nofollow = if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
    let top = place.at(&named.path, OFlags::PATH | nofollow)?.ok_or_else(missing)?;
    let about = fstat(&top).doing("asking", &named.path)?;
    let kind = FileType::from_raw_mode(about.st_mode);
    let mut tar = tar::Builder::new(out);
    tar.mode(tar::HeaderMode::Complete);
    let name = match named.name() {
        Some(name) if !named.contents => PathBuf::from(name),
        Some(_) | None => PathBuf::from("."),
    };
    if kind == FileType::Directory {
        let folder = place.at(&named.path, OFlags::RDONLY | OFlags::DIRECTORY)?.ok_or_else(missing)?;
        let prefix = match packed {
            Packed::Bare => PathBuf::new(),
            Packed::Named => {
                attributes::pack(&mut tar, &folder, &name)?;
                entry(&mut tar, &name, &about, EntryOf::Folder)?;
                name
            }
        };
        walk(&mut tar, &folder, &prefix, Limits { deepest: DEEPEST, stays: place.is_alone() })?;
    } else if named.folder {
        return Err(RunnerError::NotFound(format!("{text}: it is no folder")));
    } else if kind == FileType::RegularFile {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | nofollow;
        let opened = place.at(&named.path, flags)?.ok_or_else(missing)?;
        content(&mut tar, &name, opened)?;
    } else if kind == FileType::Symlink {
        let target = readlinkat(&top, c"", Vec::new()).doing("reading", &named.path)?;
        entry(&mut tar, &name, &about, EntryOf::Link(&target))?;
    } else {
        entry(&mut tar, &name, &about, EntryOf::Node)?;
    }
    let mut out = tar.into_inner().doing("writing", "the tar")?;
    out.flush().doing("writing", "the tar")
}

/// How far a walk goes.
#[derive(Clone, Copy)]
struct Limits {
    /// Folders in each other.
    deepest: usize,
    /// Nothing that is mounted is entered.
    stays: bool,
}

fn walk(tar: &mut tar::Builder<impl Write>, folder: &OwnedFd, at: &Path, limits: Limits) -> Result<()> {
    if limits.deepest == 0 {
        return Err(RunnerError::Content(format!(
            "{}: more than {DEEPEST} folders in each other",
            at.display()
        )));
    }
    let mut names: Vec<_> = Vec::new();
    for found in Dir::read_from(folder).doing("reading", at)? {
        let found = found.doing("reading", at)?;
        if found.file_name() != c"." && found.file_name() != c".." {
            names.push(found.file_name().to_owned());
        }
    }
    names.sort();
    let device = fstat(folder).doing("asking", at)?.st_dev;
    for name in names {
        one(tar, (folder, device), &name, &at.join(OsStr::from_bytes(name.to_bytes())), limits)?;
    }
    Ok(())
}

fn one(
    tar: &mut tar::Builder<impl Write>,
    (folder, device): (&OwnedFd, u64),
    name: &CStr,
    at: &Path,
    limits: Limits,
) -> Result<()> {
    let about = match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        // It went while the folder was read.
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        about => about.doing("asking", at)?,
    };
    match FileType::from_raw_mode(about.st_mode) {
        FileType::Directory => {
            let inner = openat(folder, name, FOLDER, Mode::empty()).doing("opening", at)?;
            attributes::pack(tar, &inner, at)?;
            entry(tar, at, &about, EntryOf::Folder)?;
            if about.st_dev != device && (limits.stays || is_the_kernels(&inner).doing("asking", at)?) {
                return Ok(());
            }
            walk(tar, &inner, at, Limits { deepest: limits.deepest - 1, ..limits })
        }
        FileType::RegularFile => {
            let flags =
                OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            content(tar, at, openat(folder, name, flags, Mode::empty()).doing("opening", at)?)
        }
        FileType::Symlink => {
            let target = readlinkat(folder, name, Vec::new()).doing("reading", at)?;
            entry(tar, at, &about, EntryOf::Link(&target))
        }
        FileType::Fifo | FileType::CharacterDevice | FileType::BlockDevice => {
            entry(tar, at, &about, EntryOf::Node)
        }
        FileType::Socket | FileType::Unknown => Ok(()),
    }
}

/// Whether a folder shows the kernel and no files: those mounted below what is copied are left out, as empty folders.
fn is_the_kernels(folder: &OwnedFd) -> rustix::io::Result<bool> {
    let kind = fstatfs(folder)?.f_type;
    Ok(KERNELS.iter().any(|known| i128::from(*known) == i128::from(kind)))
}

enum EntryOf<'a> {
    Folder,
    Link(&'a CStr),
    Node,
}

fn header(about: &Stat) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(about.st_mode & 0o7777);
    header.set_uid(about.st_uid.into());
    header.set_gid(about.st_gid.into());
    header.set_mtime(u64::try_from(about.st_mtime).unwrap_or_default());
    header.set_size(0);
    header
}

fn entry(tar: &mut tar::Builder<impl Write>, at: &Path, about: &Stat, of: EntryOf<'_>) -> Result<()> {
    let mut header = header(about);
    let added = match of {
        EntryOf::Folder => {
            header.set_entry_type(tar::EntryType::Directory);
            tar.append_data(&mut header, at.join(""), io::empty())
        }
        EntryOf::Link(target) => {
            header.set_entry_type(tar::EntryType::Symlink);
            tar.append_link(&mut header, at, OsStr::from_bytes(target.to_bytes()))
        }
        EntryOf::Node => {
            header.set_entry_type(match FileType::from_raw_mode(about.st_mode) {
                FileType::Fifo => tar::EntryType::Fifo,
                FileType::BlockDevice => tar::EntryType::Block,
                _ => tar::EntryType::Char,
            });
            let set = header
                .set_device_major(rustix::fs::major(about.st_rdev))
                .and_then(|()| header.set_device_minor(rustix::fs::minor(about.st_rdev)));
            set.and_then(|()| tar.append_data(&mut header, at, io::empty()))
        }
    };
    added.doing("writing into the tar", at)
}

/// A file's bytes: as many as it had when it was opened, also where it is written meanwhile.
fn content(tar: &mut tar::Builder<impl Write>, at: &Path, opened: OwnedFd) -> Result<()> {
    let about = fstat(&opened).doing("asking", at)?;
    if FileType::from_raw_mode(about.st_mode) != FileType::RegularFile {
        return Err(RunnerError::Conflict(format!(
            "{} became something else while it was read",
            at.display()
        )));
    }
    let size = u64::try_from(about.st_size).unwrap_or_default();
    attributes::pack(tar, &opened, at)?;
    let mut header = header(&about);
    let opened = file(opened);
    let pieces = match holes::pieces(&opened, size, MOST_PIECES) {
        Ok(pieces) => pieces,
        Err(holes::Fault::Pieces(most)) => {
            return Err(RunnerError::Content(format!(
                "{}: more than {most} pieces between its holes: copy it there without holes first",
                at.display()
            )));
        }
        Err(holes::Fault::Failed(error)) => return Err(error).doing("reading", at),
    };
    let added = match pieces {
        None => {
            header.set_entry_type(tar::EntryType::Regular);
            header.set_size(size);
            let all = vec![Segment { offset: 0, length: size }];
            tar.append_data(&mut header, at, Pieces::of(opened, all))
        }
        Some(pieces) => {
            let map = with_holes(&mut header, &pieces, size).doing("writing into the tar", at)?;
            tar.append_data(&mut header, at, map.as_slice().chain(Pieces::of(opened, pieces)))
        }
    };
    added.doing("writing into the tar", at)
}

/// Pieces between the holes of one file.
const MOST_PIECES: usize = 1 << 20;

/// Makes a header that of a file with holes, in the form that GNU tar has always had; what does not fit into it is the
/// answer: blocks that follow.
fn with_holes(header: &mut tar::Header, pieces: &[Segment], size: u64) -> io::Result<Vec<u8>> {
    header.set_entry_type(tar::EntryType::GNUSparse);
    header.set_size(pieces.iter().map(|piece| piece.length).sum());
    // The last one is empty and says where the file ends.
    let end = Segment { offset: size, length: 0 };
    let all: Vec<&Segment> = pieces.iter().chain([&end]).collect();
    let head = header.as_gnu_mut().ok_or_else(|| io::Error::other("the header is none of GNU's"))?;
    head.set_real_size(size);
    let (first, rest) = all.split_at(all.len().min(head.sparse.len()));
    head.set_is_extended(!rest.is_empty());
    fill(&mut head.sparse, first);
    let mut blocks = Vec::new();
    let mut rest = rest;
    while !rest.is_empty() {
        let mut block = tar::GnuExtSparseHeader::new();
        let (now, later) = rest.split_at(rest.len().min(block.sparse.len()));
        fill(&mut block.sparse, now);
        block.set_is_extended(!later.is_empty());
        blocks.extend_from_slice(block.as_bytes());
        rest = later;
    }
    Ok(blocks)
}

fn fill(slots: &mut [tar::GnuSparseHeader], pieces: &[&Segment]) {
    for (slot, piece) in slots.iter_mut().zip(pieces) {
        slot.set_offset(piece.offset);
        slot.set_length(piece.length);
    }
}

/// Reads pieces of a file, with as many bytes as they had: what it lost meanwhile is zeros.
struct Pieces {
    file: File,
    left: std::vec::IntoIter<Segment>,
    now: Segment,
}

impl Pieces {
    fn of(file: File, pieces: Vec<Segment>) -> Self {
        Self { file, left: pieces.into_iter(), now: Segment { offset: 0, length: 0 } }
    }
}

impl Read for Pieces {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        while self.now.length == 0 {
            match self.left.next() {
                Some(piece) => self.now = piece,
                None => return Ok(0),
            }
        }
        let wanted = bytes.len().min(usize::try_from(self.now.length).unwrap_or(bytes.len()));
        let mut read = self.file.read_at(&mut bytes[..wanted], self.now.offset)?;
        if read == 0 {
            bytes[..wanted].fill(0);
            read = wanted;
        }
        self.now.offset += read as u64;
        self.now.length -= read as u64;
        Ok(read)
    }
}
