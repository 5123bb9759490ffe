//! A packed folder becomes a folder again. Its members are believed nothing (C10, U1–U4, U10, U11): every name is walked
//! from a directory handle without following links, and what would lie outside is refused.

use std::{
    collections::BTreeMap,
    fs::{File, Permissions},
    io::{self, BufReader, Read, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use berth_oci::{Algorithm, Digest, Hasher};
use flate2::read::MultiGzDecoder;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, linkat, openat, statat, symlinkat, unlinkat};

use super::{
    tar_stream::{Member, TarStream, Type},
    title::{Title, stays_below},
};
use crate::{
    Error, Result,
    disk::{Folder, Scratch},
};

/// Most members.
const MAX_MEMBERS: usize = 1_000_000;
/// Bytes that every folder may have.
const FLOOR: u64 = 1 << 30;
/// Bytes of content for each compressed byte beyond that: real files stay far below.
const RATIO: u64 = 200;

/// Unpacks `packed` (gzip, then tar), whose members are called `name/…`, into `folder`, which is `name`'s own.
///
/// # Errors
/// `Error::Integrity` for what is no such file, leads out, is larger than any honest folder of its compressed size, or
/// has not the digest that was told of the tar file. What was written by then stays for the caller to remove.
pub(crate) fn unpack(
    packed: File,
    compressed: u64,
    name: &str,
    tar_digest: Option<&Digest>,
    folder: &Folder,
) -> Result<()> {
    let budget = compressed.saturating_mul(RATIO).max(FLOOR);
    let plain = Budget { inner: MultiGzDecoder::new(BufReader::new(packed)), left: budget };
    let algorithm = tar_digest.map_or(Algorithm::Sha256, Digest::algorithm);
    let mut stream = TarStream::new(Hashing { inner: plain, hasher: Hasher::new(algorithm.into()) });
    let mut modes = BTreeMap::from([(Vec::new(), 0o755)]);
    let mut count = 0;
    while let Some(member) = stream.next()? {
        count += 1;
        if count > MAX_MEMBERS {
            return Err(Error::Integrity(format!("{name}: more than {MAX_MEMBERS} files")));
        }
        place(&mut stream, &member, name, folder, &mut modes)?;
    }
    // Behind the end there may be padding, which belongs to the digest.
    let mut rest = stream.into_inner();
    io::copy(&mut rest, &mut io::sink())
        .map_err(|fault| Error::Integrity(format!("{name}: the packed folder: {fault}")))?;
    let found = Digest::from_hasher(rest.hasher);
    if let Some(told) = tar_digest.filter(|told| **told != found) {
        return Err(Error::Integrity(format!("{name}: the tar file is {found}, and {told} was told")));
    }
    // Last and deepest first: a folder that may not be written is filled by then.
    for (path, mode) in modes.into_iter().rev() {
        enter(folder, &path)?.set_mode(mode)?;
    }
    folder.sync()
}

fn place<R: Read>(
    stream: &mut TarStream<R>,
    member: &Member,
    name: &str,
    folder: &Folder,
    modes: &mut BTreeMap<Vec<String>, u32>,
) -> Result<()> {
    let title = Title::parse(&member.name)?;
    let refuse = |why: &str| Err(Error::Integrity(format!("\"{title}\" in the packed folder {name}: {why}")));
    let [first, below @ ..] = title.parts() else { return refuse("it has no name") };
    if first != name {
        return refuse("it does not lie in the folder that the artifact names");
    }
    let [parents @ .., own] = below else {
        // The folder itself.
        return match member.kind {
            Type::Folder => {
                modes.insert(Vec::new(), member.mode);
                Ok(())
            }
            _ => refuse("it is in the place of the folder itself"),
        };
    };
    let parent = make(folder, parents)?;
    match member.kind {
        Type::Folder => {
            make(folder, below)?;
            modes.insert(below.to_vec(), member.mode);
            Ok(())
        }
        Type::File => {
            let scratch = Scratch::new(&parent)?;
            let mut file = scratch.file()?;
            write(stream, &mut file, &title, &parent.path_of(own))?;
            file.set_permissions(Permissions::from_mode(member.mode & 0o777))
                .map_err(Error::file(parent.path_of(own)))?;
            scratch.keep(&parent, own)
        }
        Type::Symlink if stays_below(parents, &member.link) => {
            replace(&parent, own, |name| symlinkat(&member.link, parent.handle(), name))
        }
        Type::Symlink => refuse("it is a link that leads out of the folder"),
        Type::HardLink => {
            let target = Title::parse(&member.link)?;
            let [first, inside @ ..] = target.parts() else { return refuse("a link to nothing") };
            let [folders @ .., file] = inside else { return refuse("a hard link to the folder") };
            if first != name {
                return refuse("it is a hard link that leads out of the folder");
            }
            let from = enter(folder, folders)?.0;
            if kind_of(&from, file)? != Some(FileType::RegularFile) {
                return refuse("it is a hard link to what is no file");
            }
            replace(&parent, own, |name| {
                linkat(from.handle(), file.as_str(), parent.handle(), name, AtFlags::empty())
            })
        }
        Type::Other => refuse("it is neither a file, a folder nor a link"),
    }
}

/// What cannot be read is the artifact's fault, and what cannot be written this machine's.
fn write(from: &mut impl Read, to: &mut File, title: &Title, path: &Path) -> Result<()> {
    let mut piece = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut piece);
        match read.map_err(|fault| Error::Integrity(format!("\"{title}\" in the packed folder: {fault}")))? {
            0 => return Ok(()),
            count => to.write_all(&piece[..count]).map_err(Error::file(path))?,
        }
    }
}

/// Makes the folders of a path.
fn make(folder: &Folder, path: &[String]) -> Result<Folder> {
    path.iter().try_fold(folder.clone(), |folder, name| folder.enter_or_create(name))
}

struct Entered(Folder);

impl Entered {
    fn set_mode(&self, mode: u32) -> Result<()> {
        rustix::fs::fchmod(self.0.handle(), Mode::from_raw_mode(mode & 0o777))
            .map_err(|fault| Error::file(self.0.path())(fault.into()))
    }
}

fn enter(folder: &Folder, path: &[String]) -> Result<Entered> {
    let entered = path.iter().try_fold(folder.clone(), |folder, name| {
        folder.enter(name)?.ok_or_else(|| {
            Error::Integrity(format!("{}: a link to what is not there", folder.path_of(name).display()))
        })
    });
    entered.map(Entered)
}

/// Puts a link in the place of what has its name, which is removed if it is no folder.
fn replace(parent: &Folder, name: &str, link: impl Fn(&str) -> rustix::io::Result<()>) -> Result<()> {
    let fault = |fault: rustix::io::Errno| Error::file(parent.path_of(name))(fault.into());
    match link(name) {
        Err(rustix::io::Errno::EXIST) => {
            unlinkat(parent.handle(), name, AtFlags::empty()).map_err(fault)?;
            link(name).map_err(fault)
        }
        done => done.map_err(fault),
    }
}

/// What stands under a name; links are not followed.
pub(super) fn kind_of(folder: &Folder, name: &str) -> Result<Option<FileType>> {
    match statat(folder.handle(), name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(about) => Ok(Some(FileType::from_raw_mode(about.st_mode))),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(fault) => Err(Error::file(folder.path_of(name))(fault.into())),
    }
}

/// A new folder beside the one that it will become; it goes away with the value, with all that is in it.
pub(super) struct Staging {
    pub(super) folder: Folder,
    parent: Folder,
    name: String,
    kept: bool,
}

impl Staging {
    pub(super) fn new(parent: &Folder) -> Result<Self> {
        let name = format!(".berth-folder-{:016x}", rand::random::<u64>());
        rustix::fs::mkdirat(parent.handle(), &name, Mode::from_raw_mode(0o700))
            .map_err(|fault| Error::file(parent.path_of(&name))(fault.into()))?;
        let folder = parent
            .enter(&name)?
            .ok_or_else(|| Error::Integrity(format!("{} was taken away", parent.path_of(&name).display())))?;
        Ok(Self { folder, parent: parent.clone(), name, kept: false })
    }

    /// Gives it its name, which nothing may have.
    pub(super) fn keep(mut self, name: &str) -> Result<()> {
        use rustix::fs::{RenameFlags, renameat_with};
        let flags = RenameFlags::NOREPLACE;
        renameat_with(self.parent.handle(), &self.name, self.parent.handle(), name, flags)
            .map_err(|fault| Error::file(self.parent.path_of(name))(fault.into()))?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // By its handle, wherever the path leads by now.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(handle) = openat(self.parent.handle(), &self.name, flags, Mode::empty()) else { return };
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&handle));
        if let Err(fault) = empty(Path::new(&path)) {
            tracing::debug!("{} stays: {fault}", self.parent.path_of(&self.name).display());
        }
        let _stays_if_not_empty = unlinkat(self.parent.handle(), &self.name, AtFlags::REMOVEDIR);
    }
}

fn empty(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Fails where more comes than may come.
struct Budget<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Budget<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            io::Error::other(
                "it grows to more than 1 GiB and 200 times its size, which no honest folder does",
            )
        })?;
        Ok(count)
    }
}

struct Hashing<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.hasher.update(&into[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
