//! Tar headers (POSIX pax, ustar, GNU), with their raw bytes.
//!
//! What is read here must be what the readers of a table of contents make of the same bytes, so everything that they
//! could read in another way is refused.

use std::{
    collections::BTreeMap,
    io::{self, Read},
};

use super::{unsupported, wrong};

pub(super) const BLOCK: usize = 512;
/// Extended headers and long names are at most this long (U10).
const EXTENSION_BYTES_MAX: u64 = 1 << 20;
const XATTR: &str = "SCHILY.xattr.";

/// One member of an archive.
#[derive(Default)]
pub(super) struct Member {
    /// Everything before its payload: the padding of what was before, extended headers, the header.
    pub(super) raw: Vec<u8>,
    /// Bytes of payload that follow.
    pub(super) payload: u64,
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) link: String,
    pub(super) mode: i64,
    pub(super) uid: i64,
    pub(super) gid: i64,
    pub(super) size: i64,
    pub(super) modified: Option<jiff::Timestamp>,
    pub(super) accessed: Option<jiff::Timestamp>,
    pub(super) changed: Option<jiff::Timestamp>,
    pub(super) device: (i64, i64),
    pub(super) xattrs: BTreeMap<String, Vec<u8>>,
}

/// Reads an archive's headers.
pub(super) struct Members<'a> {
    from: &'a mut dyn Read,
    raw: Vec<u8>,
    padding: usize,
}

type Records = BTreeMap<String, Vec<u8>>;

impl<'a> Members<'a> {
    pub(super) fn new(from: &'a mut dyn Read) -> Self {
        Self { from, raw: Vec::new(), padding: 0 }
    }

    /// The next member, or `None` at the archive's end; then [`Self::rest`] has what is left.
    pub(super) fn next(&mut self) -> io::Result<Option<Member>> {
        let padding = std::mem::take(&mut self.padding);
        self.exact(padding)?;
        let mut records = Records::new();
        let (mut long_name, mut long_link) = (None, None);
        loop {
            let Some(block) = self.block()? else { return self.end(&records) };
            if block.iter().all(|byte| *byte == 0) {
                // One block of zeros may be all there is; two are the end (POSIX pax, "Interchange Format").
                if self.block()?.is_some_and(|next| next.iter().any(|byte| *byte != 0)) {
                    return Err(wrong("something stands behind its end"));
                }
                return self.end(&records);
            }
            check_sum(&block)?;
            let size = number(&block[124..136])?;
            let size = u64::try_from(size).map_err(|_| wrong("a size is negative"))?;
            match block[156] {
                b'x' => records = parse_records(&self.extension(size)?)?,
                b'L' => long_name = Some(text_of(&self.extension(size)?)?),
                b'K' => long_link = Some(text_of(&self.extension(size)?)?),
                _ => {
                    let member = read_member(&block, &records, long_name, long_link)?;
                    self.padding = padding_of(member.payload);
                    return Ok(Some(Member { raw: std::mem::take(&mut self.raw), ..member }));
                }
            }
        }
    }

    fn end(&mut self, records: &Records) -> io::Result<Option<Member>> {
        if records.is_empty() { Ok(None) } else { Err(wrong("it ends behind an extended header")) }
    }

    /// Payload of the member that was read last, exactly as much as fits.
    pub(super) fn payload(&mut self, into: &mut [u8]) -> io::Result<()> {
        self.from.read_exact(into).map_err(short)
    }

    /// What is left behind the end: first what was read to find it.
    pub(super) fn rest(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.raw.is_empty() {
            return self.from.read(into);
        }
        let bytes = self.raw.len().min(into.len());
        into[..bytes].copy_from_slice(&self.raw[..bytes]);
        self.raw.drain(..bytes);
        Ok(bytes)
    }

    fn exact(&mut self, bytes: usize) -> io::Result<()> {
        let at = self.raw.len();
        self.raw.resize(at + bytes, 0);
        self.from.read_exact(&mut self.raw[at..]).map_err(short)
    }

    /// A block, or `None` where the stream ends instead.
    fn block(&mut self) -> io::Result<Option<[u8; BLOCK]>> {
        let mut block = Vec::with_capacity(BLOCK);
        (&mut *self.from).take(BLOCK as u64).read_to_end(&mut block)?;
        self.raw.extend_from_slice(&block);
        match <[u8; BLOCK]>::try_from(block) {
            Ok(block) => Ok(Some(block)),
            Err(part) if part.is_empty() => Ok(None),
            Err(_) => Err(wrong("it ends in the middle of a block")),
        }
    }

    fn extension(&mut self, size: u64) -> io::Result<Vec<u8>> {
        if size > EXTENSION_BYTES_MAX {
            return Err(wrong("an extended header has more than 1 MiB"));
        }
        let at = self.raw.len();
        let size = usize::try_from(size).map_err(|_| wrong("an extended header is too long"))?;
        self.exact(size + padding_of(size as u64))?;
        Ok(self.raw[at..at + size].to_vec())
    }
}

fn short(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        wrong("it ends in the middle of a member")
    } else {
        error
    }
}

fn padding_of(size: u64) -> usize {
    // Less than a block.
    usize::try_from(size.wrapping_neg() % BLOCK as u64).unwrap_or_default()
}

fn check_sum(block: &[u8; BLOCK]) -> io::Result<()> {
    let bytes =
        || block.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { b' ' } else { *byte });
    let unsigned: i64 = bytes().map(i64::from).sum();
    let signed: i64 = bytes().map(|byte| i64::from(byte.cast_signed())).sum();
    let said = number(&block[148..156])?;
    if said == unsigned || said == signed { Ok(()) } else { Err(wrong("a header's checksum is wrong")) }
}

/// Octal digits between blanks, or GNU's big-endian numbers.
fn number(field: &[u8]) -> io::Result<i64> {
    if field.first().is_some_and(|first| first & 0x80 != 0) {
        let negative = field[0] & 0x40 != 0;
        let first = if negative { field[0] } else { field[0] & 0x7f };
        let start = if negative { -1 } else { 0 };
        let mut bytes = std::iter::once(first).chain(field[1..].iter().copied());
        return bytes
            .try_fold(start, |sum: i64, byte| sum.checked_mul(256)?.checked_add(i64::from(byte)))
            .ok_or_else(|| wrong("a number of a header is too large"));
    }
    let text = field.trim_ascii_start();
    let end = text.iter().position(|byte| matches!(byte, 0 | b' ')).unwrap_or(text.len());
    text[..end].iter().try_fold(0_i64, |sum, byte| match byte {
        b'0'..=b'7' => Ok(sum * 8 + i64::from(byte - b'0')),
        _ => Err(wrong("a number of a header is not octal")),
    })
}

fn text_of(field: &[u8]) -> io::Result<String> {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8(field[..end].to_vec()).map_err(|_| unsupported("a name in it is not UTF-8"))
}

/// Records of a pax extended header: `LENGTH KEY=VALUE\n`.
fn parse_records(mut bytes: &[u8]) -> io::Result<Records> {
    let fault = || wrong("an extended header is malformed");
    let mut records = Records::new();
    while !bytes.is_empty() {
        let blank = bytes
            .iter()
            .position(|byte| *byte == b' ')
            .filter(|at| (1..=7).contains(at))
            .ok_or_else(fault)?;
        let length = std::str::from_utf8(&bytes[..blank]).ok().filter(|digits| !digits.starts_with('+'));
        let length: usize = length.and_then(|digits| digits.parse().ok()).ok_or_else(fault)?;
        let record =
            bytes.get(blank + 1..length).and_then(|record| record.strip_suffix(b"\n")).ok_or_else(fault)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(fault)?;
        let key = String::from_utf8(record[..equals].to_vec()).map_err(|_| fault())?;
        if key.starts_with("GNU.sparse.") {
            return Err(unsupported("a file in it is sparse"));
        }
        records.insert(key, record[equals + 1..].to_vec());
        bytes = &bytes[length..];
    }
    Ok(records)
}

fn read_member(
    block: &[u8; BLOCK],
    records: &Records,
    long_name: Option<String>,
    long_link: Option<String>,
) -> io::Result<Member> {
    let record = |key: &str| records.get(key).filter(|value| !value.is_empty());
    let record_text = |key: &str| record(key).map(|value| text_of(value)).transpose();
    let record_number = |key: &str, field: &[u8]| match record_text(key)? {
        Some(text) => text.parse().map_err(|_| wrong("a number of an extended header is none")),
        None => number(field),
    };
    let record_time = |key: &str| record_text(key)?.map(|text| time_of(&text)).transpose();
    let gnu = &block[257..265] == b"ustar  \0";
    let ustar = !gnu && &block[257..262] == b"ustar";
    let mut name = text_of(&block[..100])?;
    let prefix = if ustar { text_of(&block[345..500])? } else { String::new() };
    if !prefix.is_empty() {
        name = format!("{prefix}/{name}");
    }
    let name = record_text("path")?.or(long_name).unwrap_or(name);
    let size = record_number("size", &block[124..136])?;
    let (kind, has_payload) = match block[156] {
        0 if name.ends_with('/') => ("dir", false),
        0 | b'0' => ("reg", true),
        b'1' => ("hardlink", false),
        b'2' => ("symlink", false),
        b'3' => ("char", false),
        b'4' => ("block", false),
        b'5' => ("dir", false),
        b'6' => ("fifo", false),
        b'S' => return Err(unsupported("a file in it is sparse")),
        other => return Err(unsupported(&format!("it has a member of the type {:?}", char::from(other)))),
    };
    let gnu_time =
        |field: &[u8]| if gnu && field[0] != 0 { seconds(number(field)?).map(Some) } else { Ok(None) };
    let device = ustar || gnu;
    let xattr =
        |(key, value): (&String, &Vec<u8>)| Some((key.strip_prefix(XATTR)?.to_owned(), value.clone()));
    Ok(Member {
        raw: Vec::new(),
        payload: if has_payload { u64::try_from(size).map_err(|_| wrong("a size is negative"))? } else { 0 },
        kind,
        name,
        link: record_text("linkpath")?.or(long_link).map_or_else(|| text_of(&block[157..257]), Ok)?,
        mode: number(&block[100..108])?,
        uid: record_number("uid", &block[108..116])?,
        gid: record_number("gid", &block[116..124])?,
        size,
        modified: Some(record_time("mtime")?.map_or_else(|| seconds(number(&block[136..148])?), Ok)?),
        accessed: record_time("atime")?.map_or_else(|| gnu_time(&block[345..357]), |time| Ok(Some(time)))?,
        changed: record_time("ctime")?.map_or_else(|| gnu_time(&block[357..369]), |time| Ok(Some(time)))?,
        device: if device { (number(&block[329..337])?, number(&block[337..345])?) } else { (0, 0) },
        xattrs: records.iter().filter_map(xattr).collect(),
    })
}

fn seconds(seconds: i64) -> io::Result<jiff::Timestamp> {
    jiff::Timestamp::from_second(seconds).map_err(|_| wrong("a time is out of range"))
}

/// Seconds with a fraction, of which nine digits count.
fn time_of(text: &str) -> io::Result<jiff::Timestamp> {
    let fault = || wrong("a time of an extended header is malformed");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let second: i64 = whole.parse().map_err(|_| fault())?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(fault());
    }
    let nanosecond: i32 = format!("{:0<9.9}", fraction).parse().map_err(|_| fault())?;
    let nanosecond = if whole.starts_with('-') { -nanosecond } else { nanosecond };
    jiff::Timestamp::new(second, nanosecond).map_err(|_| fault())
}
