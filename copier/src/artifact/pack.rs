//! A folder as one file: tar, then gzip. The same content gives the same bytes, whoever owns it and whenever it was
//! written.

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Seek, Write},
    os::unix::fs::MetadataExt,
    path::Path,
};

use berth_oci::{Algorithm, Digest, Hasher};
use flate2::{Compression, GzBuilder, write::GzEncoder};
use tar::{Builder, EntryType, Header};

use super::title::stays_below;
use crate::{Error, Result};

/// Deepest nesting of folders, which is what can be pulled again.
const MAX_DEPTH: usize = 64;

/// A packed folder.
pub(super) struct Packed {
    /// The compressed file, without a name, at its beginning.
    pub(super) file: File,
    /// Its bytes.
    pub(super) size: u64,
    /// Its digest.
    pub(super) digest: Digest,
    /// Digest of the tar file in it.
    pub(super) tar_digest: Digest,
}

/// Packs a folder; members are called `name/…`. The file is made in `temporary`.
///
/// # Errors
/// What cannot be read; and what could not be pulled again: devices, links that lead out.
pub(super) fn pack(folder: &Path, name: &str, temporary: &Path) -> Result<Packed> {
    let fault = Error::file(temporary);
    let file = tempfile::tempfile_in(temporary).map_err(fault)?;
    let writing = |source: io::Error| Error::File { path: folder.into(), source };
    let gzip: GzEncoder<Hashing<BufWriter<File>>> =
        GzBuilder::new().mtime(0).write(Hashing::new(BufWriter::new(file)), Compression::default());
    let mut tar = Builder::new(Hashing::new(gzip));
    tar.follow_symlinks(false);
    add_folder(&mut tar, folder, name, &mut vec![])?;
    let plain = tar.into_inner().map_err(writing)?;
    let tar_digest = Digest::from_hasher(plain.hasher);
    let packed = plain.inner.finish().map_err(writing)?;
    let size = packed.hasher.len();
    let digest = Digest::from_hasher(packed.hasher);
    let mut file = packed.inner.into_inner().map_err(|error| writing(error.into_error()))?;
    file.rewind().map_err(writing)?;
    Ok(Packed { file, size, digest, tar_digest })
}

fn add_folder<W: Write>(
    tar: &mut Builder<W>,
    folder: &Path,
    name: &str,
    below: &mut Vec<String>,
) -> Result<()> {
    if below.len() > MAX_DEPTH {
        return Err(Error::Usage(format!(
            "{}: folders may be {MAX_DEPTH} deep in an artifact",
            folder.display()
        )));
    }
    let about = fs::symlink_metadata(folder).map_err(Error::file(folder))?;
    let mut header = header(EntryType::Directory, about.mode(), 0);
    tar.append_data(&mut header, format!("{name}/"), io::empty()).map_err(Error::file(folder))?;
    let mut entries: Vec<_> =
        fs::read_dir(folder).and_then(Iterator::collect).map_err(Error::file(folder))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let file_name = entry.file_name();
        let file_name = file_name.to_str().ok_or_else(|| {
            Error::Usage(format!(
                "{}: the name is no UTF-8, and could not be pulled everywhere",
                path.display()
            ))
        })?;
        let member = format!("{name}/{file_name}");
        let kind = entry.file_type().map_err(Error::file(&path))?;
        if kind.is_dir() {
            below.push(file_name.to_owned());
            add_folder(tar, &path, &member, below)?;
            below.pop();
        } else if kind.is_file() {
            add_file(tar, &path, &member)?;
        } else if kind.is_symlink() {
            add_link(tar, &path, &member, below)?;
        } else {
            return Err(Error::Usage(format!(
                "{}: neither a file, a folder nor a link; leave it out of the folder",
                path.display()
            )));
        }
    }
    Ok(())
}

fn add_file<W: Write>(tar: &mut Builder<W>, path: &Path, member: &str) -> Result<()> {
    let file = File::open(path).map_err(Error::file(path))?;
    let about = file.metadata().map_err(Error::file(path))?;
    let mut header = header(EntryType::Regular, about.mode(), about.len());
    // A file that grows meanwhile is cut where it was; one that shrinks is an error.
    let mut content = Exactly { inner: BufReader::new(file), left: about.len() };
    tar.append_data(&mut header, member, &mut content).map_err(Error::file(path))
}

fn add_link<W: Write>(tar: &mut Builder<W>, path: &Path, member: &str, below: &[String]) -> Result<()> {
    let target = fs::read_link(path).map_err(Error::file(path))?;
    if !target.to_str().is_some_and(|target| stays_below(below, target)) {
        return Err(Error::Usage(format!(
            "{}: the link leads to {}, out of the folder, and could not be pulled",
            path.display(),
            target.display()
        )));
    }
    let mut header = header(EntryType::Symlink, 0o777, 0);
    tar.append_link(&mut header, member, target).map_err(Error::file(path))
}

/// Nobody's file of the epoch's beginning.
fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode & 0o777);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header
}

struct Exactly<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.inner.read(&mut into[..most])?;
        if count == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file became shorter while it was read",
            ));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

struct Hashing<W> {
    inner: W,
    hasher: Hasher,
}

impl<W> Hashing<W> {
    fn new(inner: W) -> Self {
        Self { inner, hasher: Hasher::new(Algorithm::Sha256.into()) }
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn tree(root: &Path, order: &[&str]) {
        for name in order {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, name).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        }
        symlink("../b", root.join("sub/link")).unwrap();
        fs::set_permissions(root.join("sub"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn the_same_content_gives_the_same_bytes() {
        let scratch = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| scratch.path().join(name));
        tree(&one, &["b", "sub/a", "c"]);
        tree(&two, &["c", "sub/a", "b"]);
        let [one, two] = [one, two].map(|root| pack(&root, "x", scratch.path()).unwrap());
        assert_eq!((one.digest, one.tar_digest.clone()), (two.digest, two.tar_digest));
        assert_eq!(one.file.metadata().unwrap().len(), one.size);

        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(one.file).read_to_end(&mut plain).unwrap();
        assert_eq!(Digest::of(Algorithm::Sha256, &plain), one.tar_digest);
        let mut archive = tar::Archive::new(&plain[..]);
        let names: Vec<_> =
            archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().display().to_string()).collect();
        assert_eq!(names, ["x/", "x/b", "x/c", "x/sub/", "x/sub/a", "x/sub/link"]);
    }

    #[test]
    fn a_link_that_leads_out_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("r");
        fs::create_dir(&root).unwrap();
        symlink("../secret", root.join("link")).unwrap();
        let error = pack(&root, "r", scratch.path()).err().unwrap().to_string();
        assert!(error.contains("out of the folder"), "{error}");
    }
}
