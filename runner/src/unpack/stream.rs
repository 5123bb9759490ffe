//! Bytes in pieces of any size → entries and their contents.

use super::{
    BLOCK, Fault, MAX_ENTRIES, MAX_PATH, MAX_PAX, MAX_TRAILING, Segment,
    attributes::Times,
    header::{Header, Type},
    name::{self, Named},
    pax::Pax,
    sparse::{self, MapReader},
};

/// What an entry is, its names read but nothing of it tried yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file; what follows are its bytes or, where there is a map, its pieces.
    File { size: u64, stored: u64, map: Option<Vec<Segment>> },
    /// Another name for an entry before.
    HardLink(std::path::PathBuf),
    /// A symbolic link.
    Symlink(std::ffi::OsString),
    /// A device: whether of blocks, major, minor.
    Device(bool, u32, u32),
    /// A folder.
    Folder,
    /// A named pipe.
    Fifo,
}

/// An entry of the archive.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(super) named: Named,
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) times: Times,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Takes what the parser finds. Everything that goes in comes out once, in order, as a literal or as content.
pub(crate) trait Content {
    /// Bytes that are no file's content: headers, padding, the end.
    fn literal(&mut self, bytes: &[u8]) -> Result<(), Fault>;
    /// An entry begins. After one that is a file come its content and then [`Self::end`].
    fn entry(&mut self, entry: Entry) -> Result<(), Fault>;
    /// The next bytes of the file.
    fn content(&mut self, bytes: &[u8]) -> Result<(), Fault>;
    /// The file is whole.
    fn end(&mut self) -> Result<(), Fault>;
}

#[derive(Debug)]
enum State {
    /// Between entries.
    Header,
    /// In the body of an extended header; bytes left with padding.
    Extended { kind: Type, size: usize, left: usize, body: Vec<u8> },
    /// Blocks of GNU's first sparse map.
    GnuMap { header: Header, map: Vec<Segment> },
    /// Blocks of the map that stands before the content.
    PaxMap { entry: Entry, stored: u64, reader: MapReader },
    /// In a file.
    File { left: u64, padding: usize },
    /// In the padding behind one.
    Padding(usize),
    /// One block of zeros was seen.
    HalfEnd,
    /// Both were.
    Ended,
}

/// The parser. It keeps a block at most, and the extended headers of one entry.
#[derive(Debug)]
pub(crate) struct Parser {
    state: State,
    block: Vec<u8>,
    global: Pax,
    pax: Option<Pax>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    extended: usize,
    entries: u64,
    trailing: usize,
    name: Vec<u8>,
}

impl Default for Parser {
    fn default() -> Self {
        Self {
            state: State::Header,
            block: Vec::with_capacity(BLOCK),
            global: Pax::default(),
            pax: None,
            long_name: None,
            long_link: None,
            extended: 0,
            entries: 0,
            trailing: 0,
            name: Vec::new(),
        }
    }
}

fn padding(size: u64) -> usize {
    let over = size % BLOCK as u64;
    // Less than a block: it fits.
    if over == 0 { 0 } else { BLOCK - usize::try_from(over).unwrap_or_default() }
}

impl Parser {
    /// The name of the entry at which the parser is, for errors; empty before the first.
    pub(crate) fn name(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.name)
    }

    /// Takes the next bytes.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], out: &mut impl Content) -> Result<(), Fault> {
        while !bytes.is_empty() {
            match &mut self.state {
                State::File { left, padding } => {
                    let take = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    let (now, rest) = bytes.split_at(take);
                    *left -= now.len() as u64;
                    bytes = rest;
                    out.content(now)?;
                    if *left == 0 {
                        let padding = *padding;
                        self.after_file(padding, out)?;
                    }
                }
                State::Padding(left) => {
                    let (now, rest) = bytes.split_at((*left).min(bytes.len()));
                    *left -= now.len();
                    bytes = rest;
                    out.literal(now)?;
                    if let State::Padding(0) = self.state {
                        self.state = State::Header;
                    }
                }
                State::Extended { left, body, .. } => {
                    let (now, rest) = bytes.split_at((*left).min(bytes.len()));
                    *left -= now.len();
                    bytes = rest;
                    body.extend_from_slice(now);
                    out.literal(now)?;
                    if *left == 0 {
                        self.extended_header()?;
                    }
                }
                State::Ended => {
                    out.literal(bytes)?;
                    self.trailing += bytes.iter().filter(|byte| **byte != 0).count();
                    if self.trailing > MAX_TRAILING {
                        return Err(Fault::rule("more than 1 MiB follows the end of the archive"));
                    }
                    return Ok(());
                }
                State::Header | State::HalfEnd | State::GnuMap { .. } | State::PaxMap { .. } => {
                    let (now, rest) = bytes.split_at((BLOCK - self.block.len()).min(bytes.len()));
                    self.block.extend_from_slice(now);
                    bytes = rest;
                    if self.block.len() == BLOCK {
                        let mut block = [0; BLOCK];
                        block.copy_from_slice(&self.block);
                        self.block.clear();
                        out.literal(&block)?;
                        self.take_block(&block, out)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The archive is at its end.
    pub(crate) fn finish(&self) -> Result<(), Fault> {
        let between = matches!(self.state, State::Header | State::HalfEnd | State::Ended);
        let pending = self.pax.is_some() || self.long_name.is_some() || self.long_link.is_some();
        if between && self.block.is_empty() && !pending {
            return Ok(());
        }
        Err(Fault::rule("the archive ends in its middle"))
    }

    fn after_file(&mut self, padding: usize, out: &mut impl Content) -> Result<(), Fault> {
        out.end()?;
        self.state = if padding > 0 { State::Padding(padding) } else { State::Header };
        Ok(())
    }

    fn take_block(&mut self, block: &[u8; BLOCK], out: &mut impl Content) -> Result<(), Fault> {
        let zero = block.iter().all(|byte| *byte == 0);
        match std::mem::replace(&mut self.state, State::Header) {
            State::Header if zero => {
                if self.pax.is_some() || self.long_name.is_some() || self.long_link.is_some() {
                    return Err(Fault::rule("the archive ends behind an extended header"));
                }
                self.state = State::HalfEnd;
                Ok(())
            }
            State::HalfEnd if zero => {
                self.state = State::Ended;
                Ok(())
            }
            State::HalfEnd => Err(Fault::rule("a block of zeros stands in the middle of the archive")),
            State::GnuMap { header, mut map } => {
                if sparse::gnu_block(block, false, &mut map)? {
                    self.state = State::GnuMap { header, map };
                    return Ok(());
                }
                let size = header.size;
                self.entry(header, size, Some(map), out)
            }
            State::PaxMap { entry, stored, mut reader } => {
                let stored = stored
                    .checked_sub(BLOCK as u64)
                    .ok_or_else(|| Fault::rule("its map of holes is longer than the entry"))?;
                match reader.block(block)? {
                    Some(map) => self.begin_sparse(entry, map, stored, out),
                    None => {
                        self.state = State::PaxMap { entry, stored, reader };
                        Ok(())
                    }
                }
            }
            _ => self.header(block, out),
        }
    }

    fn header(&mut self, block: &[u8; BLOCK], out: &mut impl Content) -> Result<(), Fault> {
        let header = Header::read(block)?;
        if matches!(header.kind, Type::Pax | Type::PaxGlobal | Type::LongName | Type::LongLink) {
            let limit =
                if matches!(header.kind, Type::LongName | Type::LongLink) { MAX_PATH + 1 } else { MAX_PAX };
            let size = usize::try_from(header.size).unwrap_or(usize::MAX);
            self.extended = self.extended.saturating_add(size).saturating_add(BLOCK);
            if size > limit || self.extended > MAX_PAX + 4 * BLOCK {
                return Err(Fault::rule(format!(
                    "its extended headers have {} bytes; a name may have {MAX_PATH}, all together {MAX_PAX}",
                    header.size
                )));
            }
            let left = size + padding(header.size);
            self.state = State::Extended { kind: header.kind, size, left, body: Vec::new() };
            return if left == 0 { self.extended_header() } else { Ok(()) };
        }
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(Fault::rule(format!("the layer has more than {MAX_ENTRIES} entries")));
        }
        if header.kind == Type::GnuSparse {
            let mut map = Vec::new();
            if sparse::gnu_block(block, true, &mut map)? {
                // The real size stands in the first header only.
                let mut header = header;
                header.link = block[483..495].to_vec();
                self.state = State::GnuMap { header, map };
                return Ok(());
            }
            let mut header = header;
            header.link = block[483..495].to_vec();
            let size = header.size;
            return self.entry(header, size, Some(map), out);
        }
        let size = if header.kind.header_only() { 0 } else { header.size };
        self.entry(header, size, None, out)
    }

    fn extended_header(&mut self) -> Result<(), Fault> {
        let State::Extended { kind, size, mut body, .. } = std::mem::replace(&mut self.state, State::Header)
        else {
            return Ok(());
        };
        body.truncate(size);
        match kind {
            Type::Pax => self.pax.get_or_insert_default().read(&body),
            Type::LongName => {
                self.long_name = Some(super::header::text(&body).to_vec());
                Ok(())
            }
            Type::LongLink => {
                self.long_link = Some(super::header::text(&body).to_vec());
                Ok(())
            }
            _ => {
                self.extended = 0;
                self.global.read(&body)?;
                let global = &self.global;
                if global.path.is_some()
                    || global.link.is_some()
                    || global.size.is_some()
                    || global.sparse.is_some()
                    || !global.xattrs.is_empty()
                {
                    return Err(Fault::rule(
                        "an extended header of all entries names a path, a size, holes or attributes, which readers of tar take differently",
                    ));
                }
                Ok(())
            }
        }
    }

    /// Puts an entry together from its headers.
    fn entry(
        &mut self,
        header: Header,
        size: u64,
        gnu_map: Option<Vec<Segment>>,
        out: &mut impl Content,
    ) -> Result<(), Fault> {
        self.extended = 0;
        let pax = self.pax.take().unwrap_or_default();
        let long_name = self.long_name.take();
        let long_link = self.long_link.take();
        let sparse = pax.sparse.filter(|_| header.kind == Type::File);
        let sparse_name = sparse.as_ref().and_then(|sparse| sparse.name.clone());
        self.name = sparse_name.or(pax.path).or(long_name).unwrap_or(header.name);
        let named = name::entry(&self.name)?;
        let stored = match pax.size.filter(|_| !header.kind.header_only()) {
            None => size,
            // Sizes of 8 GiB and more do not fit a header: writers leave 0 or the largest there.
            Some(told) if told == size || (told >= 1 << 33 && matches!(size, 0 | 0o77777777777)) => told,
            Some(told) => {
                return Err(Fault::rule(format!(
                    "its header says {size} bytes and its extended header {told}: readers of tar disagree which counts"
                )));
            }
        };
        let link = pax.link.or(long_link).unwrap_or_else(|| header.link.clone());
        let (uid, gid) = (pax.uid.or(self.global.uid), pax.gid.or(self.global.gid));
        let id = |told: Option<u64>, header: u64, what: &str| {
            let id = told.unwrap_or(header);
            u32::try_from(id)
                .ok()
                .filter(|id| *id != u32::MAX)
                .ok_or_else(|| Fault::rule(format!("its {what} {id} is beyond {}", u32::MAX - 1)))
        };
        let (seconds, nanoseconds) = pax.mtime.or(self.global.mtime).unwrap_or((header.mtime, 0));
        let kind = match header.kind {
            Type::HardLink => Kind::HardLink(name::link(&link)?),
            Type::Symlink => Kind::Symlink(name::symlink(&link)?),
            Type::Character => Kind::Device(false, header.device.0, header.device.1),
            Type::Block => Kind::Device(true, header.device.0, header.device.1),
            Type::Folder => Kind::Folder,
            Type::Fifo => Kind::Fifo,
            _ => Kind::File { size: stored, stored, map: None },
        };
        let entry = Entry {
            named,
            kind,
            mode: header.mode,
            uid: id(uid, header.uid, "user id")?,
            gid: id(gid, header.gid, "group id")?,
            times: Times { seconds, nanoseconds },
            xattrs: pax.xattrs,
        };
        if let Some(map) = gnu_map {
            let real = super::header::number(&header.link, "real size")?;
            let real = u64::try_from(real).map_err(|_| Fault::rule("its real size is below zero"))?;
            return self.begin_mapped(entry, map, real, stored, out);
        }
        if let Some(sparse) = sparse {
            let real = sparse.real_size.ok_or_else(|| Fault::rule("it has holes and no real size"))?;
            return match sparse.version {
                (0, _) => self.begin_mapped(entry, sparse.map, real, stored, out),
                (1, 0) => {
                    let entry = Entry { kind: Kind::File { size: real, stored, map: None }, ..entry };
                    self.state = State::PaxMap { entry, stored, reader: MapReader::default() };
                    Ok(())
                }
                (major, minor) => {
                    Err(Fault::rule(format!("files with holes of form {major}.{minor} are not unpacked")))
                }
            };
        }
        self.begin(entry, stored, out)
    }

    fn begin_sparse(
        &mut self,
        entry: Entry,
        map: Vec<Segment>,
        stored: u64,
        out: &mut impl Content,
    ) -> Result<(), Fault> {
        let Kind::File { size: real, .. } = entry.kind else { return self.begin(entry, stored, out) };
        self.begin_mapped(entry, map, real, stored, out)
    }

    fn begin_mapped(
        &mut self,
        entry: Entry,
        map: Vec<Segment>,
        real: u64,
        stored: u64,
        out: &mut impl Content,
    ) -> Result<(), Fault> {
        sparse::check(&map, real, stored)?;
        let entry = Entry { kind: Kind::File { size: real, stored, map: Some(map) }, ..entry };
        self.begin(entry, stored, out)
    }

    fn begin(&mut self, entry: Entry, stored: u64, out: &mut impl Content) -> Result<(), Fault> {
        let file = matches!(entry.kind, Kind::File { .. });
        out.entry(entry)?;
        match stored {
            _ if !file => {
                self.state = State::Header;
                Ok(())
            }
            0 => self.after_file(0, out),
            _ => {
                self.state = State::File { left: stored, padding: padding(stored) };
                Ok(())
            }
        }
    }
}
