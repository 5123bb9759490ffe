//! A registry that does what a test tells it, over a socket of its own.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use super::super::layout::{Layer, Layout, digest};

/// A request as it came, without its body.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    /// Path and query.
    pub(super) path: String,
    headers: Vec<(String, String)>,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The byte from which on it asks.
    pub(super) fn from(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// What to send back.
#[derive(Clone)]
pub(super) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Body,
}

#[derive(Clone)]
enum Body {
    Whole(Vec<u8>),
    /// This much under another length; then the connection closes.
    Cut(Vec<u8>, u64),
    /// These bytes, again and again, for as long as anybody reads.
    Endless(Vec<u8>),
}

impl Reply {
    pub(super) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: Body::Whole(body.into()) }
    }

    pub(super) fn cut(body: &[u8], announced: usize) -> Self {
        Self { status: 200, headers: Vec::new(), body: Body::Cut(body.to_vec(), announced as u64) }
    }

    pub(super) fn endless(piece: &[u8]) -> Self {
        Self { status: 200, headers: Vec::new(), body: Body::Endless(piece.to_vec()) }
    }

    pub(super) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// A manifest with its type and digest.
    pub(super) fn manifest(media_type: &str, body: &[u8]) -> Self {
        Self::new(200, body).with("Content-Type", media_type).with("Docker-Content-Digest", digest(body))
    }

    /// Content, or its rest from where the request asks.
    pub(super) fn content(body: &[u8], request: &Seen) -> Self {
        match request.from() {
            None => Self::new(200, body),
            Some(from) => {
                let range = format!("bytes {from}-{}/{}", body.len() - 1, body.len());
                Self::new(206, &body[from..]).with("Content-Range", range)
            }
        }
    }
}

type Handler = dyn Fn(&Seen) -> Reply + Send + Sync;

struct State {
    handler: Box<Handler>,
    seen: Mutex<Vec<Seen>>,
    sent: AtomicU64,
}

/// The server; its threads end with the test's process.
pub(super) struct Registry {
    address: SocketAddr,
    state: Arc<State>,
}

impl Registry {
    pub(super) fn start(ip: &str, handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state =
            Arc::new(State { handler: Box::new(handler), seen: Mutex::default(), sent: AtomicU64::new(0) });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let (Ok(connection), state) = (connection, Arc::clone(&shared)) else { continue };
                // A connection that breaks is what these tests are about.
                thread::spawn(move || state.serve(connection));
            }
        });
        Self { address, state }
    }

    /// Serves an image honestly, but for what `lie` answers.
    pub(super) fn of(
        layout: &Layout,
        layers: &[Layer],
        lie: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let honest = honest(layout, layers);
        Self::start("127.0.0.1", move |request| lie(request).unwrap_or_else(|| honest(request)))
    }

    pub(super) fn host(&self) -> String {
        self.address.to_string()
    }

    /// `127.0.0.1:PORT/image:1`.
    pub(super) fn name(&self) -> String {
        format!("{}/image:1", self.host())
    }

    /// Every request so far.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// How often a blob was asked for by GET.
    pub(super) fn fetched(&self, content: &[u8]) -> usize {
        let end = format!("/blobs/{}", digest(content));
        self.seen().iter().filter(|seen| seen.method == "GET" && seen.path.ends_with(&end)).count()
    }

    /// Bytes of bodies that were written.
    pub(super) fn sent(&self) -> u64 {
        self.state.sent.load(Ordering::SeqCst)
    }
}

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// What an honest registry answers.
pub(super) fn honest(
    layout: &Layout,
    layers: &[Layer],
) -> impl Fn(&Seen) -> Reply + Send + Sync + use<> + 'static {
    let (manifest, config) = (layout.manifest.clone(), layout.config.clone());
    let blobs = layers.iter().map(|layer| layer.bytes.clone()).chain([config]);
    let blobs: HashMap<String, Vec<u8>> = blobs.map(|blob| (digest(&blob).to_string(), blob)).collect();
    move |request| {
        let path = request.path.as_str();
        if path == "/v2/" {
            return Reply::new(200, "{}");
        }
        let last = path.rsplit('/').next().unwrap_or_default();
        if path.contains("/manifests/") && (last == "1" || last == digest(&manifest).as_str()) {
            return Reply::manifest(MANIFEST, &manifest);
        }
        match blobs.get(last) {
            Some(blob) => Reply::content(blob, request),
            None => Reply::new(404, ""),
        }
    }
}

impl State {
    fn serve(&self, mut connection: TcpStream) -> Option<()> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            match connection.read(&mut byte) {
                // TLS begins with 22: only plain HTTP is spoken here.
                Ok(1) if !(head.is_empty() && byte[0] == 22) => head.push(byte[0]),
                _ => return None,
            }
        }
        let head = String::from_utf8(head).ok()?;
        let mut lines = head.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.into(), value.into()));
        let seen = Seen { method, path, headers: lines.filter_map(header).collect() };
        self.seen.lock().unwrap().push(seen.clone());
        let reply = (self.handler)(&seen);
        let mut head = format!("HTTP/1.1 {} Status\r\nConnection: close\r\n", reply.status);
        for (name, value) in &reply.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match &reply.body {
            Body::Whole(body) => head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len())),
            Body::Cut(_, announced) => head.push_str(&format!("Content-Length: {announced}\r\n\r\n")),
            Body::Endless(_) => head.push_str("Transfer-Encoding: chunked\r\n\r\n"),
        }
        connection.write_all(head.as_bytes()).ok()?;
        if seen.method == "HEAD" {
            return Some(());
        }
        match &reply.body {
            Body::Whole(body) | Body::Cut(body, _) => self.write(&mut connection, body),
            Body::Endless(piece) => loop {
                self.write(&mut connection, format!("{:x}\r\n", piece.len()).as_bytes())?;
                self.write(&mut connection, piece)?;
                self.write(&mut connection, b"\r\n")?;
            },
        }
    }

    fn write(&self, connection: &mut TcpStream, bytes: &[u8]) -> Option<()> {
        connection.write_all(bytes).ok()?;
        self.sent.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        Some(())
    }
}
