//! The members of a tar file, one after the other, as they come. Nothing of a member's size is held but its names.

use std::io::{self, Read};

use crate::{
    Error, Result,
    archive::{
        header::{self, Block, Kind, padded},
        pax::Fields,
    },
};

/// Most bytes of an extended header or a long name (U10).
const MAX_EXTENSION: u64 = 1024 * 1024;

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    /// Where a link leads.
    pub(super) link: String,
    pub(super) kind: Type,
    /// Bytes of content.
    pub(super) size: u64,
    pub(super) mode: u32,
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    File,
    Folder,
    Symlink,
    HardLink,
    /// Something that no artifact needs: a device, a pipe.
    Other,
}

/// Reads members in order.
pub(super) struct TarStream<R> {
    inner: R,
    at: u64,
    /// Bytes of the last member's content that were not read, and its padding.
    left: u64,
    padding: u64,
}

impl<R: Read> TarStream<R> {
    pub(super) const fn new(inner: R) -> Self {
        Self { inner, at: 0, left: 0, padding: 0 }
    }

    /// What was read from, once everything was.
    pub(super) fn into_inner(self) -> R {
        self.inner
    }

    /// The next member; what was not read of the last one is skipped.
    ///
    /// # Errors
    /// `Error::Integrity` for what is no tar file, is cut short, or wants to be read in two ways.
    pub(super) fn next(&mut self) -> Result<Option<Member>> {
        let (mut long_name, mut long_link) = (None, None);
        let mut fields = Fields::default();
        loop {
            self.skip()?;
            let Some(block) = self.block()? else { return Ok(None) };
            let Some((header, kind, size)) = header::parse(&block, self.at)? else { return Ok(None) };
            let is_extension = matches!(kind, Kind::LongName | Kind::LongLink | Kind::Pax | Kind::PaxGlobal);
            if is_extension {
                let content = self.extension(size)?;
                match kind {
                    Kind::LongName => long_name = Some(content),
                    Kind::LongLink => long_link = Some(content),
                    Kind::Pax => {
                        fields = Fields::parse(&content)
                            .map_err(|fault| self.fault(&format!("an extended header has {fault}")))?;
                    }
                    // Fields of everybody: comments, as git writes. Names in it would be everybody's name.
                    _ => {}
                }
                continue;
            }
            if kind == Kind::Sparse || fields.sparse {
                return Err(self.fault("a file with holes is not unpacked"));
            }
            if fields.size.is_some_and(|stated| stated != size) {
                return Err(self.fault("a member has two sizes"));
            }
            let mode = header.mode().map_err(|_| self.fault("a mode is no number"))?;
            let name = fields.path.or(long_name).unwrap_or_else(|| header.path_bytes().into_owned());
            let own_link = header.link_name_bytes().map(std::borrow::Cow::into_owned);
            let link = fields.link.or(long_link).or(own_link).unwrap_or_default();
            let kind = match (kind, header.entry_type().is_dir()) {
                (_, true) => Type::Folder,
                (Kind::File, _) if name.ends_with(b"/") => Type::Folder,
                (Kind::File, _) => Type::File,
                (Kind::Symlink, _) => Type::Symlink,
                (Kind::HardLink, _) => Type::HardLink,
                _ => Type::Other,
            };
            self.content(size);
            return Ok(Some(Member { name: self.text(&name)?, link: self.text(&link)?, kind, size, mode }));
        }
    }

    fn content(&mut self, size: u64) {
        self.left = size;
        self.padding = padded(size) - size;
    }

    fn text(&self, bytes: &[u8]) -> Result<String> {
        // GNU's long names end in a NUL.
        let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
        let text = std::str::from_utf8(bytes).map_err(|_| self.fault("a name is no UTF-8"))?;
        Ok(text.to_owned())
    }

    fn block(&mut self) -> Result<Option<Block>> {
        let mut block = [0; 512];
        let mut filled = 0;
        while filled < block.len() {
            match self.inner.read(&mut block[filled..]).map_err(|fault| self.broken(&fault))? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(self.fault("it ends within a header")),
                count => filled += count,
            }
        }
        self.at += block.len() as u64;
        Ok(Some(block))
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > MAX_EXTENSION {
            return Err(self.fault("an extended header has more than 1 MiB"));
        }
        self.content(size);
        let mut content = Vec::new();
        self.read_to_end(&mut content).map_err(|fault| self.broken(&fault))?;
        Ok(content)
    }

    fn skip(&mut self) -> Result<()> {
        let rest = self.left + self.padding;
        (self.left, self.padding) = (0, 0);
        let skipped = io::copy(&mut (&mut self.inner).take(rest), &mut io::sink());
        match skipped.map_err(|fault| self.broken(&fault))? {
            count if count == rest => {
                self.at += rest;
                Ok(())
            }
            _ => Err(self.fault("it ends within a member")),
        }
    }

    fn broken(&self, fault: &io::Error) -> Error {
        self.fault(&fault.to_string())
    }

    fn fault(&self, what: &str) -> Error {
        Error::Integrity(format!("the packed folder is no good tar file at byte {}: {what}", self.at))
    }
}

/// The content of the member that came last.
impl<R: Read> Read for TarStream<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.inner.read(&mut into[..most])?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends within a file"));
        }
        self.left -= count as u64;
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn long_names_links_and_content_come_as_they_were_written() {
        let mut builder = tar::Builder::new(Vec::new());
        let long = format!("x/{}/file", "d".repeat(300));
        let mut header = tar::Header::new_gnu();
        header.set_size(5);
        header.set_mode(0o644);
        builder.append_data(&mut header, &long, &b"hello"[..]).unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        header.set_mode(0o777);
        builder.append_link(&mut header, "x/link", &long).unwrap();
        let bytes = builder.into_inner().unwrap();
        let mut stream = TarStream::new(&bytes[..]);
        let file = stream.next().unwrap().unwrap();
        assert_eq!(
            (file.name.as_str(), file.kind, file.size, file.mode),
            (long.as_str(), Type::File, 5, 0o644)
        );
        let mut content = String::new();
        stream.read_to_string(&mut content).unwrap();
        assert_eq!(content, "hello");
        let link = stream.next().unwrap().unwrap();
        assert_eq!((link.kind, link.link.as_str()), (Type::Symlink, long.as_str()));
        assert_eq!(stream.next().unwrap(), None);
    }

    #[test]
    fn what_is_cut_short_is_an_error() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(600);
        header.set_mode(0o644);
        builder.append_data(&mut header, "a", &[7; 600][..]).unwrap();
        let bytes = builder.into_inner().unwrap();
        for length in [100, 512 + 10, 512 + 600] {
            let mut stream = TarStream::new(&bytes[..length]);
            let walked = (|| {
                while stream.next()?.is_some() {}
                Ok::<_, Error>(())
            })();
            assert_eq!(walked.unwrap_err().exit_code(), 4, "{length}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let mut stream = TarStream::new(&bytes[..]);
            while let Ok(Some(_)) = stream.next() {}
        }
    }
}
