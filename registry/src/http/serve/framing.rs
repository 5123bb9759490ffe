//! Follows the framing of HTTP/1 requests as their bytes come in, beside hyper's own parser.
//!
//! Two things are learned that hyper keeps to itself: when the first byte of a head arrived, for
//! the head's time-out, and whether a head carried both Content-Length and Transfer-Encoding
//! (RFC 9112, section 6.1: an attempt at request smuggling) or lines that end with LF alone. hyper
//! drops such a length silently and takes such lines; we answer 400. Nothing else is decided here
//! about what is a valid request: where this parser cannot follow it goes blind. hyper may still
//! follow, so a request whose head was not seen is refused: whoever blinds this parser must not get
//! past it.

/// What a head said about its body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// Content-Length; `None` too where it is not the plain number that everybody would read in it.
    length: Option<u64>,
    /// There is a Content-Length.
    sized: bool,
    chunked: bool,
    /// A line ended with LF alone. hyper takes that for an end (RFC 9112, section 2.2, lets it); a proxy before us may
    /// not, and has then seen one header where we see two.
    bare: bool,
}

impl Head {
    /// Both Content-Length and Transfer-Encoding, a Content-Length that readers may differ about, or lines that they may
    /// part differently.
    pub(super) fn is_ambiguous(self) -> bool {
        self.bare || self.sized && (self.chunked || self.length.is_none())
    }
}

/// Where in the stream of requests the connection is.
#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    /// Between requests; empty lines are skipped.
    #[default]
    Between,
    FirstLine,
    Head,
    Body(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
    /// HTTP/2, or bytes that hyper will refuse.
    Blind,
}

/// Of a line so much is kept: enough for any name and length.
const LINE: usize = 128;

#[derive(Debug, Default)]
pub(super) struct Framing {
    state: State,
    line: Vec<u8>,
    /// A line holds at most what a chunk's size or a header's start needs; this says that it held more.
    cut: bool,
    /// The last byte of the line so far, cut or not.
    last: u8,
    head: Head,
}

impl Framing {
    /// A head has begun and is not complete.
    pub(super) fn in_head(&self) -> bool {
        matches!(self.state, State::FirstLine | State::Head)
    }

    /// The last request came in whole.
    pub(super) fn at_rest(&self) -> bool {
        self.state == State::Between
    }

    /// Follows `bytes`; `complete` is called for each head that ends in them.
    pub(super) fn read(&mut self, mut bytes: &[u8], mut complete: impl FnMut(Head)) {
        while !bytes.is_empty() {
            match &mut self.state {
                State::Blind => return,
                State::Body(left) | State::ChunkData(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= taken as u64;
                    bytes = &bytes[taken..];
                    if *left == 0 {
                        self.state = match self.state {
                            State::ChunkData(_) => State::ChunkEnd,
                            _ => State::Between,
                        };
                    }
                }
                State::Between
                | State::FirstLine
                | State::Head
                | State::ChunkSize
                | State::ChunkEnd
                | State::Trailers => {
                    if let Some(rest) = self.take_line(bytes) {
                        bytes = rest;
                        self.end_line(&mut complete);
                        self.line.clear();
                        (self.cut, self.last) = (false, 0);
                    } else {
                        if self.state == State::Between && !matches!(self.line[..], [] | [b'\r']) {
                            self.state = State::FirstLine;
                        }
                        return;
                    }
                }
            }
        }
    }

    /// Adds to the line; what follows its end is returned when it did end.
    fn take_line<'b>(&mut self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let part = &bytes[..end.unwrap_or(bytes.len())];
        let room = LINE - self.line.len();
        self.line.extend_from_slice(&part[..part.len().min(room)]);
        self.cut |= part.len() > room;
        self.last = part.last().copied().unwrap_or(self.last);
        end.map(|end| &bytes[end + 1..])
    }

    fn end_line(&mut self, complete: &mut impl FnMut(Head)) {
        let line = match self.line.strip_suffix(b"\r") {
            Some(line) if !self.cut => line,
            _ => &self.line,
        };
        match self.state {
            State::Between if line.is_empty() => {}
            State::Between | State::FirstLine => {
                self.head = Head { bare: self.last != b'\r', ..Head::default() };
                // The preface of HTTP/2 looks like the first line of a head.
                self.state = if line.starts_with(b"PRI * HTTP/2") { State::Blind } else { State::Head };
            }
            State::Head if line.is_empty() => {
                self.head.bare |= self.last != b'\r';
                complete(self.head);
                self.state = match self.head {
                    Head { chunked: true, .. } => State::ChunkSize,
                    Head { sized: true, length: None, .. } => State::Blind,
                    Head { length: None | Some(0), .. } => State::Between,
                    Head { length: Some(length), .. } => State::Body(length),
                };
            }
            State::Head => {
                match header(line, self.cut) {
                    Some(Header::Length(length)) => {
                        let first = !self.head.sized;
                        self.head.length = length.filter(|_| first || self.head.length == length);
                        self.head.sized = true;
                    }
                    Some(Header::Encoding) => self.head.chunked = true,
                    None => {}
                }
                self.head.bare |= self.last != b'\r';
            }
            State::ChunkSize => {
                let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
                self.state =
                    match std::str::from_utf8(&line[..digits]).map(|hex| u64::from_str_radix(hex, 16)) {
                        // What was cut off may be more digits.
                        Ok(Ok(_)) if self.cut && digits == line.len() => State::Blind,
                        Ok(Ok(0)) => State::Trailers,
                        Ok(Ok(size)) => State::ChunkData(size),
                        Ok(Err(_)) | Err(_) => State::Blind,
                    };
            }
            State::ChunkEnd => self.state = if line.is_empty() { State::ChunkSize } else { State::Blind },
            State::Trailers if line.is_empty() => self.state = State::Between,
            State::Trailers | State::Body(_) | State::ChunkData(_) | State::Blind => {}
        }
    }
}

enum Header {
    Length(Option<u64>),
    Encoding,
}

fn header(line: &[u8], cut: bool) -> Option<Header> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    if name.eq_ignore_ascii_case(b"transfer-encoding") {
        Some(Header::Encoding)
    } else if name.eq_ignore_ascii_case(b"content-length") {
        let number = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
        Some(Header::Length(number.filter(|_| !cut)))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heads(pieces: &[&[u8]]) -> (Vec<Head>, Framing) {
        let (mut framing, mut heads) = (Framing::default(), Vec::new());
        for piece in pieces {
            framing.read(piece, |head| heads.push(head));
        }
        (heads, framing)
    }

    const STREAM: &[u8] =
        b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nPUT /a HTTP/1.1\r\ncontent-length: 33\r\n\r\n\
        GET / HTTP/1.1\r\nNot-A-Head: 1\r\n\r\nPATCH /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
        5;ext=1\r\nhello\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n\
        POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n";

    #[test]
    fn r31_both_lengths_are_seen_in_whichever_order_they_stand() {
        for order in [
            "Content-Length: 1\r\ntransfer-encoding: chunked",
            "TRANSFER-ENCODING:chunked\r\nContent-Length:1",
        ] {
            let (heads, _) = heads(&[format!("POST / HTTP/1.1\r\n{order}\r\n\r\n").as_bytes()]);
            assert!(heads[0].is_ambiguous());
        }
        let (heads, _) = heads(&[b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"]);
        assert!(!heads[0].is_ambiguous());
    }

    #[test]
    fn r31_a_length_that_readers_may_differ_about_is_ambiguous() {
        let many = |character: &str| character.repeat(200);
        for length in [format!("{}5", many(" ")), format!("{}5", many("0")), many("9"), "5, 5".to_owned()] {
            for also in ["", "Transfer-Encoding: chunked\r\n", "Content-Length: 5\r\n"] {
                let request = format!("POST / HTTP/1.1\r\nContent-Length: {length}\r\n{also}\r\n");
                let (heads, _) = heads(&[request.as_bytes()]);
                assert!(heads[0].is_ambiguous(), "{request}");
            }
        }
        let (heads, _) = heads(&[b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"]);
        assert!(!heads[0].is_ambiguous());
    }

    #[test]
    fn r31_a_line_that_ends_with_lf_alone_is_ambiguous_wherever_it_stands() {
        let long = format!("X: {}", "a".repeat(200));
        let lines = ["POST / HTTP/1.1", "X: a", "Content-Length: 5", long.as_str(), ""];
        for bare in 0..lines.len() {
            let end = |at: usize| if at == bare { "\n" } else { "\r\n" };
            let request: String =
                lines.iter().enumerate().map(|(at, line)| format!("{line}{}", end(at))).collect();
            for cut in 0..request.len() {
                let (heads, _) = heads(&[&request.as_bytes()[..cut], &request.as_bytes()[cut..]]);
                assert!(heads[0].is_ambiguous(), "{request:?} cut at {cut}");
            }
        }
        let (heads, _) = heads(&[lines.map(|line| format!("{line}\r\n")).concat().as_bytes()]);
        assert!(!heads[0].is_ambiguous());
    }

    #[test]
    fn r31_a_chunk_size_that_cannot_be_followed_blinds_and_makes_no_head_up() {
        let request = format!(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{}1e\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "0".repeat(200)
        );
        let (heads, framing) = heads(&[request.as_bytes()]);
        assert_eq!((heads.len(), framing.state), (1, State::Blind));
    }

    #[test]
    fn a_body_that_looks_like_a_head_is_none() {
        let (heads, framing) = heads(&[STREAM]);
        assert_eq!(heads.iter().map(|head| head.length).collect::<Vec<_>>(), [None, Some(33), None, Some(5)]);
        assert_eq!(
            heads.iter().map(|head| head.is_ambiguous()).collect::<Vec<_>>(),
            [false, false, false, true]
        );
        assert_eq!(framing.state, State::ChunkSize);
    }

    #[test]
    fn http2_is_left_alone() {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0";
        for cut in 0..preface.len() {
            let (heads, framing) = heads(&[&preface[..cut], &preface[cut..]]);
            assert!(heads.is_empty());
            assert_eq!(framing.state, State::Blind);
        }
    }

    proptest! {
        #[test]
        fn reads_of_any_size_tell_the_same(cuts in proptest::collection::vec(0..STREAM.len(), 0..20)) {
            let mut cuts = cuts;
            cuts.extend([0, STREAM.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|pair| &STREAM[pair[0]..pair[1]]).collect::<Vec<_>>();
            prop_assert_eq!(heads(&pieces).0, heads(&[STREAM]).0);
        }
    }
}
