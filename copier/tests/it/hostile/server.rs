//! A registry that does what a test tells it, over a socket of its own.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether the server broke off in the middle of the body.
    pub(crate) cut: bool,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Method and path without the query.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.path.split('?').next().unwrap())
    }
}

/// What to send back.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// As it is, with its length.
    Whole(Vec<u8>),
    /// This much, under another length; then the connection closes.
    Cut(Vec<u8>, u64),
    /// In chunks, without a length.
    Chunked(Vec<u8>),
    /// These bytes again and again, for as long as anybody reads.
    Endless(&'static [u8]),
    /// Headers with a length and this much, and nothing more; the connection stays open.
    Stalled(Vec<u8>, u64),
    /// As [`Self::Stalled`], a byte after the other with a pause between.
    Trickling(Vec<u8>, u64),
    /// No answer at all: the connection closes.
    Nothing,
    /// No answer at all: the connection stays open.
    Silence,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: Body::Whole(body.into()) }
    }

    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub(crate) fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }
}

type Handler = dyn Fn(&Seen) -> Reply + Send + Sync;

struct Shared {
    handler: Box<Handler>,
    seen: Mutex<Vec<Seen>>,
    cuts: Mutex<VecDeque<usize>>,
    connections: Mutex<usize>,
    sent: Mutex<u64>,
}

/// The server; it stops when dropped.
pub(crate) struct Hostile {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hostile {
    /// On 127.0.0.1.
    pub(crate) async fn start(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1", None, handler).await
    }

    /// On any loopback address, with TLS where there is a certificate.
    pub(crate) async fn at(
        ip: &str,
        tls: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
        handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            seen: Mutex::default(),
            cuts: Mutex::default(),
            connections: Mutex::default(),
            sent: Mutex::default(),
        });
        let acceptor = tls.map(|(certificate, key)| {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let config = rustls::ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![certificate], key)
                .unwrap();
            TlsAcceptor::from(Arc::new(config))
        });
        let own = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            // Dropped with this task, so that no connection outlives the server.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                // Head and body go out in two writes; without this the second waits for the first one's receipt.
                stream.set_nodelay(true).unwrap();
                let (shared, acceptor) = (Arc::clone(&own), acceptor.clone());
                connections.spawn(async move {
                    // A connection that breaks is what these tests are about.
                    let _over = match acceptor {
                        Some(acceptor) => match acceptor.accept(stream).await {
                            Ok(stream) => serve(&shared, stream).await,
                            Err(_) => None,
                        },
                        None => serve(&shared, stream).await,
                    };
                });
            }
        });
        Self { address, shared, task }
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// The next request with a body is cut off after this many bytes of it.
    pub(crate) fn cut_next_body(&self, after: usize) {
        self.shared.cuts.lock().unwrap().push_back(after);
    }

    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Methods and paths so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen().iter().map(Seen::line).collect()
    }

    /// Connections that sent a request.
    pub(crate) fn connections(&self) -> usize {
        *self.shared.connections.lock().unwrap()
    }

    /// Bytes of bodies that were written.
    pub(crate) fn sent(&self) -> u64 {
        *self.shared.sent.lock().unwrap()
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(shared: &Shared, mut stream: S) -> Option<()> {
    let mut buffer = Vec::new();
    let mut counted = false;
    loop {
        let end = loop {
            if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
            // Not HTTP: a client that tries TLS first.
            if !buffer[0].is_ascii_uppercase() {
                stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.ok()?;
                return None;
            }
        };
        let head = String::from_utf8(buffer[..end].to_vec()).ok()?;
        let mut rest = buffer.split_off(end + 4);
        let mut lines = head.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())))
            .collect();
        if !std::mem::replace(&mut counted, true) {
            *shared.connections.lock().unwrap() += 1;
        }
        let mut seen = Seen { method, path, headers, body: Vec::new(), cut: false };
        let length: Option<usize> = seen.header("content-length").and_then(|length| length.parse().ok());
        let chunked = seen.header("transfer-encoding").is_some();
        let has_body = chunked || length.is_some_and(|length| length > 0);
        let cut = if has_body { shared.cuts.lock().unwrap().pop_front() } else { None };
        let done = |rest: &[u8]| match (chunked, cut, length) {
            (true, None, _) => rest.ends_with(b"0\r\n\r\n"),
            (true, Some(cut), _) => unchunked(rest).len() >= cut,
            (false, Some(cut), _) => rest.len() >= cut,
            (false, None, length) => rest.len() >= length.unwrap_or(0),
        };
        while !done(&rest) {
            if stream.read_buf(&mut rest).await.ok()? == 0 {
                return None;
            }
        }
        let mut body = if chunked { unchunked(&rest) } else { rest };
        buffer = Vec::new();
        if let Some(cut) = cut {
            body.truncate(cut);
            seen.cut = true;
        } else if !chunked {
            buffer = body.split_off(length.unwrap_or(0));
        }
        seen.body = body;
        let reply = (shared.handler)(&seen);
        let head_only = seen.method == "HEAD";
        shared.seen.lock().unwrap().push(seen);
        if cut.is_some() {
            return None;
        }
        answer(shared, &mut stream, reply, head_only).await?;
    }
}

/// The bytes of the chunks that came whole, and of the last one as far as it came.
fn unchunked(mut raw: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = raw.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&raw[..end]).unwrap(), 16).unwrap();
        raw = &raw[end + 2..];
        let there = size.min(raw.len());
        body.extend_from_slice(&raw[..there]);
        if raw.len() < size + 2 {
            break;
        }
        raw = &raw[size + 2..];
    }
    body
}

async fn answer<S: AsyncWrite + Unpin>(
    shared: &Shared,
    stream: &mut S,
    reply: Reply,
    head_only: bool,
) -> Option<()> {
    let mut head = format!("HTTP/1.1 {} Status\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let own_length = reply.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    match &reply.body {
        Body::Nothing => return None,
        Body::Silence => std::future::pending().await,
        Body::Whole(_) if own_length => {}
        Body::Whole(body) => head.push_str(&format!("Content-Length: {}\r\n", body.len())),
        Body::Cut(_, length) | Body::Stalled(_, length) | Body::Trickling(_, length) => {
            head.push_str(&format!("Content-Length: {length}\r\n"));
        }
        Body::Chunked(_) | Body::Endless(_) => head.push_str("Transfer-Encoding: chunked\r\n"),
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await.ok()?;
    if head_only {
        return Some(());
    }
    let count = |bytes: usize| *shared.sent.lock().unwrap() += bytes as u64;
    match reply.body {
        Body::Whole(body) => {
            stream.write_all(&body).await.ok()?;
            count(body.len());
        }
        Body::Cut(body, _) => {
            stream.write_all(&body).await.ok()?;
            count(body.len());
            stream.flush().await.ok()?;
            stream.shutdown().await.ok()?;
            return None;
        }
        Body::Stalled(body, _) => {
            stream.write_all(&body).await.ok()?;
            stream.flush().await.ok()?;
            std::future::pending::<()>().await;
        }
        Body::Trickling(body, _) => {
            for byte in body {
                stream.write_all(&[byte]).await.ok()?;
                stream.flush().await.ok()?;
                count(1);
                // What is tried out is time itself.
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            std::future::pending::<()>().await;
        }
        Body::Chunked(body) => {
            for piece in body.chunks(1000) {
                stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await.ok()?;
                stream.write_all(piece).await.ok()?;
                stream.write_all(b"\r\n").await.ok()?;
                count(piece.len());
            }
            stream.write_all(b"0\r\n\r\n").await.ok()?;
        }
        Body::Endless(piece) => {
            let chunk = piece.repeat(64 * 1024 / piece.len() + 1);
            loop {
                stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await.ok()?;
                stream.write_all(&chunk).await.ok()?;
                stream.write_all(b"\r\n").await.ok()?;
                count(chunk.len());
            }
        }
        Body::Nothing | Body::Silence => {}
    }
    stream.flush().await.ok()
}
