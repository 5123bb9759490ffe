//! A proxy between a client and a registry that counts what passes.
//!
//! It forwards bytes untouched and reads only the heads of requests (RFC 9112), so that neither side behaves otherwise
//! than without it. What is no HTTP, like a TLS greeting, is forwarded and counted as a connection alone.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{HarnessError, Result};

const BUFFER: usize = 256 << 10;
const MAX_HEAD: usize = 64 << 10;

/// What passed since the last reset.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// Connections that were opened.
    pub connections: usize,
    /// Of those, the ones that carried at least one request.
    pub used: usize,
    /// Requests by kind: `HEAD manifest`, `GET blob`, `POST upload`, `GET tags`, `GET /v2/`, …
    pub requests: BTreeMap<String, usize>,
    /// Bytes from the client.
    pub sent: u64,
    /// Bytes to the client.
    pub received: u64,
}

impl Counts {
    /// All requests.
    #[must_use]
    pub fn total(&self) -> usize {
        self.requests.values().sum()
    }
}

/// The proxy; it ends with this handle.
#[derive(Debug)]
pub struct CountingProxy {
    address: SocketAddr,
    counts: Arc<Mutex<Counts>>,
}

impl CountingProxy {
    /// Listens on a free port of loopback and forwards to `upstream` (`127.0.0.1:PORT`).
    pub fn start(upstream: &str) -> Result<Self> {
        Self::with_rate(upstream, None)
    }

    /// One through which all clients together send so many bytes a second at most.
    pub fn slow(upstream: &str, rate: u64) -> Result<Self> {
        Self::with_rate(upstream, Some(rate))
    }

    fn with_rate(upstream: &str, rate: Option<u64>) -> Result<Self> {
        let fault = HarnessError::file("the proxy's socket");
        let listener = TcpListener::bind("127.0.0.1:0").map_err(fault)?;
        let address = listener.local_addr().map_err(HarnessError::file("the proxy's socket"))?;
        let counts = Arc::new(Mutex::new(Counts::default()));
        let (shared, upstream) = (Arc::downgrade(&counts), upstream.to_owned());
        let pace = Arc::new(Mutex::new(Instant::now()));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // The handle is gone: so is everybody who could ask.
                let Some(counts) = shared.upgrade() else { return };
                let (upstream, pace) = (upstream.clone(), rate.map(|rate| (rate, Arc::clone(&pace))));
                std::thread::spawn(move || {
                    // A side that hangs up ends the pair; the client sees what it would have seen.
                    let _ended = forward(client, &upstream, &counts, pace.as_ref());
                });
            }
        });
        Ok(Self { address, counts })
    }

    /// `127.0.0.1:PORT`, as in the name of an image.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// What passed since the last call, and begins anew.
    pub fn take(&self) -> Counts {
        std::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for CountingProxy {
    fn drop(&mut self) {
        self.counts = Arc::default();
        // Wakes the accepting thread, which then finds nobody left.
        drop(TcpStream::connect(self.address));
    }
}

/// Bytes a second, and when the next may be sent.
type Pace = (u64, Arc<Mutex<Instant>>);

/// Waits until its turn to send so many bytes has come.
fn wait(pace: &Pace, bytes: usize) {
    let turn = {
        let mut next = pace.1.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = (*next).max(Instant::now());
        *next = turn + Duration::from_secs(1).mul_f64(bytes as f64 / pace.0 as f64);
        turn
    };
    std::thread::sleep(turn.saturating_duration_since(Instant::now()));
}

fn forward(
    mut client: TcpStream,
    upstream: &str,
    counts: &Arc<Mutex<Counts>>,
    pace: Option<&Pace>,
) -> io::Result<()> {
    let mut server = TcpStream::connect(upstream)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let add =
        |what: &mut dyn FnMut(&mut Counts)| what(&mut counts.lock().unwrap_or_else(PoisonError::into_inner));
    add(&mut |counts| counts.connections += 1);
    let (mut from_server, mut to_client) = (server.try_clone()?, client.try_clone()?);
    let back = Arc::clone(counts);
    let answers = std::thread::spawn(move || {
        let _ended = pump(&mut from_server, &mut to_client, |bytes| {
            back.lock().unwrap_or_else(PoisonError::into_inner).received += bytes.len() as u64;
        });
        let _gone = to_client.shutdown(Shutdown::Write);
    });
    let (mut reader, mut first) = (Requests::default(), true);
    let result = pump(&mut client, &mut server, |bytes| {
        if let Some(pace) = pace {
            wait(pace, bytes.len());
        }
        let kinds = reader.take(bytes);
        add(&mut |counts| {
            counts.sent += bytes.len() as u64;
            for kind in &kinds {
                *counts.requests.entry(kind.clone()).or_default() += 1;
            }
            if first && !kinds.is_empty() {
                counts.used += 1;
                first = false;
            }
        });
    });
    let _gone = server.shutdown(Shutdown::Write);
    drop(answers.join());
    result
}

fn pump(from: &mut TcpStream, to: &mut TcpStream, mut seen: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        seen(&buffer[..read]);
        to.write_all(&buffer[..read])?;
    }
}

/// Finds the heads of requests in a stream of one client's bytes.
#[derive(Debug, Default)]
struct Requests {
    state: State,
    /// Bytes of a head or of a line that has not ended yet.
    pending: Vec<u8>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    Body(u64),
    ChunkSize,
    /// Bytes left of a chunk, with its line end.
    Chunk(u64),
    Trailers,
    /// Not HTTP.
    Opaque,
}

impl Requests {
    /// Kinds of the requests whose heads end in these bytes.
    fn take(&mut self, mut bytes: &[u8]) -> Vec<String> {
        let mut kinds = Vec::new();
        while !bytes.is_empty() {
            match self.state {
                State::Opaque => return kinds,
                State::Body(left) | State::Chunk(left) => {
                    let part = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = &bytes[part..];
                    let left = left - part as u64;
                    self.state = match (left, &self.state) {
                        (0, State::Chunk(_)) => State::ChunkSize,
                        (0, _) => State::Head,
                        (_, State::Chunk(_)) => State::Chunk(left),
                        _ => State::Body(left),
                    };
                }
                State::Head | State::ChunkSize | State::Trailers => {
                    let end = if self.state == State::Head { &b"\r\n\r\n"[..] } else { b"\r\n" };
                    self.pending.push(bytes[0]);
                    bytes = &bytes[1..];
                    if self.pending.ends_with(end) {
                        let line = std::mem::take(&mut self.pending);
                        self.line(&line, &mut kinds);
                    } else if self.pending.len() > MAX_HEAD || self.is_no_method() {
                        self.state = State::Opaque;
                    }
                }
            }
        }
        kinds
    }

    fn is_no_method(&self) -> bool {
        self.state == State::Head && !self.pending[0].is_ascii_alphabetic()
    }

    fn line(&mut self, line: &[u8], kinds: &mut Vec<String>) {
        let text = String::from_utf8_lossy(line);
        self.state = match self.state {
            State::Head => {
                let (kind, next) = head(&text);
                kinds.push(kind);
                next
            }
            State::ChunkSize => {
                match u64::from_str_radix(text.trim().split(';').next().unwrap_or_default(), 16) {
                    Ok(0) => State::Trailers,
                    Ok(size) => State::Chunk(size + 2),
                    Err(_) => State::Opaque,
                }
            }
            State::Trailers if text.trim().is_empty() => State::Head,
            _ => State::Trailers,
        };
    }
}

fn head(text: &str) -> (String, State) {
    let mut lines = text.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut next = State::Head;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("transfer-encoding") {
            next = State::ChunkSize;
        } else if name.eq_ignore_ascii_case("content-length")
            && let Ok(length @ 1..) = value.trim().parse()
        {
            next = State::Body(length);
        }
    }
    (format!("{method} {}", place(target)), next)
}

/// What kind of thing a path of the distribution specification names.
fn place(target: &str) -> &'static str {
    let path = target.split('?').next().unwrap_or_default();
    let names = [
        ("/blobs/uploads/", "upload"),
        ("/blobs/", "blob"),
        ("/manifests/", "manifest"),
        ("/tags/list", "tags"),
        ("/token", "token"),
        ("/referrers/", "referrers"),
    ];
    let known = names.iter().find(|(part, _)| path.contains(part)).map(|(_, name)| *name);
    known.unwrap_or(if path.trim_end_matches('/') == "/v2" { "/v2/" } else { "other" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(bytes: &[u8], piece: usize) -> Vec<String> {
        let mut requests = Requests::default();
        bytes.chunks(piece).flat_map(|part| requests.take(part)).collect()
    }

    #[test]
    fn requests_are_found_behind_bodies_of_every_framing_and_in_pieces_of_any_size() {
        let wire = b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n\
            POST /v2/a/b/blobs/uploads/?mount=x HTTP/1.1\r\nContent-Length: 0\r\n\r\n\
            PUT /v2/a/blobs/uploads/7?digest=x HTTP/1.1\r\ncontent-length: 21\r\n\r\nGET /no HTTP/1.1\r\n\r\n.\
            PATCH /v2/a/blobs/uploads/7 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\n01234\r\n2\r\n01\r\n0\r\n\r\n\
            HEAD /v2/a/manifests/latest HTTP/1.1\r\n\r\nGET /v2/a/blobs/sha256:0 HTTP/1.1\r\n\r\n";
        let expected = ["GET /v2/", "POST upload", "PUT upload", "PATCH upload", "HEAD manifest", "GET blob"];
        for piece in [1, 2, 7, 64, 4096] {
            assert_eq!(kinds(wire, piece), expected, "pieces of {piece}");
        }
    }

    #[test]
    fn a_tls_greeting_is_no_request() {
        assert!(kinds(b"\x16\x03\x01\x02\x00\r\n\r\nGET /v2/ HTTP/1.1\r\n\r\n", 3).is_empty());
    }
}
