//! HTTP/1.1 with as little work as possible: on a small machine the load generator takes its share of the processor
//! from the server, so a comfortable client would flatten every difference.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How the end of a body is told (RFC 9112, section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
}

/// The head of a response.
#[derive(Debug)]
struct Head {
    status: u16,
    framing: Framing,
    location: Option<String>,
    /// Bytes up to and with the empty line.
    length: usize,
}

impl Head {
    /// `None` while the empty line has not arrived.
    fn parse(bytes: &[u8]) -> Option<io::Result<Self>> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        Some(Self::parse_lines(&bytes[..end], end + 4))
    }

    fn parse_lines(bytes: &[u8], length: usize) -> io::Result<Self> {
        let text = std::str::from_utf8(bytes).map_err(|_| bad("a head that is not text"))?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.get(9..12)?.parse().ok());
        let status = status.ok_or_else(|| bad("no status line"))?;
        let mut head = Self { status, framing: Framing::Length(0), location: None, length };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                head.framing = Framing::Length(value.parse().map_err(|_| bad("a bad length"))?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                head.framing = Framing::Chunked;
            } else if name.eq_ignore_ascii_case("location") {
                head.location = Some(value.to_owned());
            }
        }
        Ok(head)
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Path and query of `Location`.
    pub(super) location: Option<String>,
    pub(super) body: Vec<u8>,
}

/// One keep-alive connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    host: String,
    /// Bytes that arrived and were not taken yet.
    pending: Vec<u8>,
}

impl Connection {
    pub(super) async fn open(host: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, host: host.to_owned(), pending: Vec::with_capacity(16 << 10) })
    }

    /// The bytes of a request without a body, to send many times.
    pub(super) fn prepare(host: &str, method: &str, path: &str, headers: &str) -> Vec<u8> {
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n").into_bytes()
    }

    /// Sends prepared bytes and reads the answer, whose body is dropped. Returns status and length of the body.
    pub(super) async fn exchange(&mut self, request: &[u8], is_head: bool) -> io::Result<(u16, usize)> {
        self.stream.write_all(request).await?;
        let head = self.head().await?;
        let framing = if is_head { Framing::Length(0) } else { head.framing };
        let length = self.body(framing, None).await?;
        Ok((head.status, length))
    }

    /// Sends a request whose body is the parts, one after the other, and reads the whole answer.
    pub(super) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        parts: impl Iterator<Item = &[u8]> + Clone,
    ) -> io::Result<Answer> {
        let length: usize = parts.clone().map(<[u8]>::len).sum();
        let headers = format!("{headers}Content-Length: {length}\r\n");
        let request = Self::prepare(&self.host, method, path, &headers);
        self.stream.write_all(&request).await?;
        for part in parts {
            self.stream.write_all(part).await?;
        }
        let head = self.head().await?;
        let mut body = Vec::new();
        let framing = if method == "HEAD" { Framing::Length(0) } else { head.framing };
        self.body(framing, Some(&mut body)).await?;
        let location = head.location.map(|location| path_of(&location));
        Ok(Answer { status: head.status, location, body })
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.pending).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    async fn head(&mut self) -> io::Result<Head> {
        loop {
            if let Some(head) = Head::parse(&self.pending) {
                let head = head?;
                self.pending.drain(..head.length);
                return Ok(head);
            }
            self.more().await?;
        }
    }

    async fn body(&mut self, framing: Framing, mut kept: Option<&mut Vec<u8>>) -> io::Result<usize> {
        match framing {
            Framing::Length(length) => {
                self.take(length, kept).await?;
                Ok(length)
            }
            Framing::Chunked => {
                let mut total = 0;
                loop {
                    let size = self.line().await?;
                    let size = size.split(';').next().unwrap_or_default().trim();
                    let size = usize::from_str_radix(size, 16).map_err(|_| bad("a bad chunk"))?;
                    self.take(size, kept.as_deref_mut()).await?;
                    self.line().await?;
                    total += size;
                    if size == 0 {
                        return Ok(total);
                    }
                }
            }
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.pending.windows(2).position(|window| window == b"\r\n") {
                let line = String::from_utf8_lossy(&self.pending[..at]).into_owned();
                self.pending.drain(..at + 2);
                return Ok(line);
            }
            self.more().await?;
        }
    }

    async fn take(&mut self, mut left: usize, mut kept: Option<&mut Vec<u8>>) -> io::Result<()> {
        while left > 0 {
            if self.pending.is_empty() {
                self.more().await?;
            }
            let part = left.min(self.pending.len());
            if let Some(kept) = &mut kept {
                kept.extend_from_slice(&self.pending[..part]);
            }
            self.pending.drain(..part);
            left -= part;
        }
        Ok(())
    }
}

/// Servers may answer with an absolute URL or with a path; only the path is of use on an open connection.
fn path_of(location: &str) -> String {
    let rest = location.split_once("://").map(|(_, rest)| rest);
    let path = rest.map(|rest| rest.find('/').map_or("/", |at| &rest[at..]));
    path.unwrap_or(location).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_parsed_once_its_empty_line_is_there() {
        assert!(Head::parse(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n").is_none());
        let head = Head::parse(b"HTTP/1.1 202 Accepted\r\nLocation: http://a:1/v2/x?y\r\n\r\nrest")
            .unwrap()
            .unwrap();
        assert_eq!((head.status, head.framing, head.length), (202, Framing::Length(0), 54));
        assert_eq!(path_of(&head.location.unwrap()), "/v2/x?y");
        assert!(Head::parse(b"nonsense\r\n\r\n").unwrap().is_err());
    }
}
