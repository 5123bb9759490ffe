//! The members of a tar file: where each one's content lies.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use tar::Header;

use super::{
    header::{self, BLOCK, Block, Kind, padded},
    pax::Fields,
};
use crate::{Error, Result, disk::Opener};

/// Most members of a file.
const MAX_MEMBERS: usize = 200_000;
/// Most bytes of a member's name, and of an extended header.
const MAX_NAME: usize = 4096;
const MAX_EXTENSION: u64 = 1024 * 1024;
/// Most links that are followed to a file.
const MAX_LINKS: usize = 8;

/// A tar file that is open, and what is in it. Clones share both.
#[derive(Clone, Debug)]
pub(crate) struct TarIndex(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: Arc<File>,
    path: PathBuf,
    members: BTreeMap<String, Member>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Member {
    File {
        begin: u64,
        size: u64,
    },
    /// Another member's name.
    Link(String),
    Sparse,
    /// A name that stands twice: two readers could see two images.
    Twice,
}

impl TarIndex {
    /// Reads the headers of a whole file. Content is skipped. `path` is for messages.
    ///
    /// # Errors
    /// `Error::Integrity` if it is no tar file, ends too early, or has a name that leads out of it (C10).
    pub(crate) fn read(file: File, path: &Path) -> Result<Self> {
        let length = file.metadata().map_err(Error::file(path))?.len();
        let mut walk =
            Walk { file: &file, length, at: 0, global: Fields::default(), members: BTreeMap::new() };
        let in_file = |fault| match fault {
            Error::Integrity(fault) => Error::Integrity(format!("{}: {fault}", path.display())),
            other => other,
        };
        walk.run(path).map_err(in_file)?;
        let members = walk.members;
        Ok(Self(Arc::new(Inner { file: Arc::new(file), path: path.to_owned(), members })))
    }

    /// Where it is, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.0.path
    }

    /// Beginning and length of a file, links followed; `None` if it is not there.
    pub(crate) fn find(&self, name: &str) -> Result<Option<(u64, u64)>> {
        let fault = |what: &str| {
            Error::Integrity(format!("{}: \"{}\" {what}", self.path().display(), name.escape_debug()))
        };
        let mut name = name.to_owned();
        for _ in 0..MAX_LINKS {
            match self.0.members.get(&name) {
                None => return Ok(None),
                Some(Member::File { begin, size }) => return Ok(Some((*begin, *size))),
                Some(Member::Link(target)) => name.clone_from(target),
                Some(Member::Sparse) => {
                    return Err(fault("is stored as a sparse file; make the archive without --sparse"));
                }
                Some(Member::Twice) => return Err(fault("stands in it twice")),
            }
        }
        Err(fault("is a link to a link without an end"))
    }

    /// A file's content.
    pub(crate) fn open(&self, name: &str) -> Result<Option<Opener>> {
        let path = self.path().join(name);
        Ok(self.find(name)?.map(|(begin, size)| Opener::Range(self.0.file.clone(), path, begin, size)))
    }

    /// A small file's content.
    ///
    /// # Errors
    /// `Error::Integrity` if it has more than `limit` bytes.
    pub(crate) fn read_file(&self, name: &str, limit: u64) -> Result<Option<Bytes>> {
        let Some((begin, size)) = self.find(name)? else { return Ok(None) };
        let path = || self.path().join(name);
        let length = usize::try_from(size).ok().filter(|_| size <= limit).ok_or_else(|| {
            let path = path();
            Error::Integrity(format!("{}: {size} bytes; such a file may have {limit}", path.display()))
        })?;
        let mut content = vec![0; length];
        self.0.file.read_exact_at(&mut content, begin).map_err(Error::file(path()))?;
        Ok(Some(content.into()))
    }
}

struct Walk<'a> {
    file: &'a File,
    length: u64,
    at: u64,
    global: Fields,
    members: BTreeMap<String, Member>,
}

impl Walk<'_> {
    fn run(&mut self, path: &Path) -> Result<()> {
        let mut long_name = None;
        let mut long_link = None;
        let mut fields = Fields::default();
        let mut block: Block = [0; 512];
        while self.at < self.length {
            if !self.read(&mut block, path)? {
                return Err(self.cut("a header"));
            }
            let Some((header, kind, size)) = header::parse(&block, self.at)? else { return Ok(()) };
            self.at += BLOCK;
            match kind {
                Kind::LongName => long_name = Some(self.extension(size, path)?),
                Kind::LongLink => long_link = Some(self.extension(size, path)?),
                Kind::Pax => fields = self.fields(size, path)?,
                Kind::PaxGlobal => self.global = self.fields(size, path)?,
                Kind::File | Kind::Symlink | Kind::HardLink | Kind::Sparse | Kind::Other => {
                    let own = std::mem::take(&mut fields);
                    self.member(&header, kind, size, own, long_name.take(), long_link.take())?;
                }
            }
        }
        if long_name.is_some() || long_link.is_some() || fields != Fields::default() {
            return Err(self.cut("an extended header without its member"));
        }
        Ok(())
    }

    fn member(
        &mut self,
        header: &Header,
        kind: Kind,
        size: u64,
        fields: Fields,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<()> {
        let name = fields.path.or(long_name).or_else(|| self.global.path.clone());
        let name = clean(&name.unwrap_or_else(|| header.path_bytes().into_owned()))?;
        let size = fields.size.or(self.global.size).unwrap_or(size);
        let begin = self.at;
        // Links and directories have no content, whatever their size says.
        let stored = if matches!(kind, Kind::File | Kind::Sparse) || size > 0 && kind == Kind::Other {
            size
        } else {
            0
        };
        self.skip(stored, &name)?;
        let link = || {
            let text = fields
                .link
                .or(long_link)
                .or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
            text.unwrap_or_default()
        };
        let member = match kind {
            Kind::File if fields.sparse => Member::Sparse,
            Kind::File => Member::File { begin, size },
            Kind::Sparse => Member::Sparse,
            Kind::HardLink => Member::Link(clean(&link())?),
            Kind::Symlink => Member::Link(resolve(&name, &link())?),
            _ => return Ok(()),
        };
        if self.members.len() == MAX_MEMBERS {
            return Err(Error::Integrity(format!("more than {MAX_MEMBERS} members")));
        }
        let before = self.members.insert(name.clone(), member.clone());
        // Links may well be repeated: they say the same.
        if before.is_some_and(|before| before != member) {
            self.members.insert(name, Member::Twice);
        }
        Ok(())
    }

    /// Goes behind content, which must be there as a whole; only its padding may be missing at the file's end.
    fn skip(&mut self, size: u64, name: &str) -> Result<()> {
        match self.at.checked_add(size) {
            Some(end) if end <= self.length => {
                self.at = self.at.saturating_add(padded(size));
                Ok(())
            }
            _ => Err(self.cut(&format!("\"{}\"", name.escape_debug()))),
        }
    }

    fn fields(&mut self, size: u64, path: &Path) -> Result<Fields> {
        let content = self.extension(size, path)?;
        Fields::parse(&content)
            .map_err(|fault| Error::Integrity(format!("an extended header before byte {}: {fault}", self.at)))
    }

    fn extension(&mut self, size: u64, path: &Path) -> Result<Vec<u8>> {
        let length = usize::try_from(size).ok().filter(|_| size <= MAX_EXTENSION).ok_or_else(|| {
            Error::Integrity(format!("an extended header of {size} bytes; {MAX_EXTENSION} is the most"))
        })?;
        let mut content = vec![0; length];
        if !self.read(&mut content, path)? {
            return Err(self.cut("an extended header"));
        }
        self.skip(size, "an extended header")?;
        Ok(content)
    }

    fn read(&self, into: &mut [u8], path: &Path) -> Result<bool> {
        match self.file.read_exact_at(into, self.at) {
            Ok(()) => Ok(true),
            Err(fault) if fault.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(fault) => Err(Error::file(path)(fault)),
        }
    }

    fn cut(&self, what: &str) -> Error {
        Error::Integrity(format!("ends after {} bytes, in the middle of {what}", self.length))
    }
}

/// A name from the file's root without `.` and doubled slashes.
///
/// # Errors
/// `Error::Integrity` if it leads out of the file (C10).
pub(super) fn clean(name: &[u8]) -> Result<String> {
    let text = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let fault = |rule: &str| {
        Error::Integrity(format!("the name \"{}\" {rule}", text[..text.len().min(200)].escape_ascii()))
    };
    if text.len() > MAX_NAME {
        return Err(fault("is longer than 4096 bytes"));
    }
    let text = std::str::from_utf8(text).map_err(|_| fault("is no UTF-8"))?;
    if text.starts_with('/') {
        return Err(fault("is absolute; names in an archive are relative"));
    }
    let parts = text.split('/').filter(|part| !part.is_empty() && *part != ".");
    let parts: Vec<&str> = parts.collect();
    if parts.contains(&"..") {
        return Err(fault("leads out of the archive"));
    }
    Ok(parts.join("/"))
}

/// What a symbolic link at `from` means.
fn resolve(from: &str, link: &[u8]) -> Result<String> {
    let fault =
        || Error::Integrity(format!("the link at \"{}\" leads out of the archive", from.escape_debug()));
    let link = std::str::from_utf8(link).map_err(|_| fault())?;
    if link.starts_with('/') || link.len() > MAX_NAME {
        return Err(fault());
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            parts.pop().ok_or_else(fault)?;
        } else {
            parts.push(part);
        }
    }
    Ok(parts.join("/"))
}
