//! A plain TCP balancer before several servers, as a cloud's is.
//!
//! It knows nothing of registries: connections go round, one that is refused goes to the next server, and a server that
//! refused is left out for a moment.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::{HarnessError, Result};

const BUFFER: usize = 256 << 10;
const MAX_HEAD: usize = 64 << 10;
/// A server that refused is left out for so long.
const OUT: Duration = Duration::from_millis(200);
/// No server at all is waited for as long as a client waits for a connection.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(10);

/// What goes to the next server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hop {
    /// Each connection.
    Connection,
    /// Each request: the balancer asks the server to close the connection after it.
    Request,
}

#[derive(Debug)]
struct Backend {
    address: SocketAddr,
    out_until: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Inner {
    backends: Vec<Backend>,
    next: AtomicUsize,
    hop: Hop,
}

/// The balancer; it ends with this handle.
#[derive(Debug)]
pub struct Balancer {
    address: SocketAddr,
    inner: Arc<Inner>,
}

impl Balancer {
    /// Listens on a free port of loopback, before servers on these ports of loopback.
    pub fn start(ports: &[u16], hop: Hop) -> Result<Self> {
        let fault = || HarnessError::file("the balancer's socket");
        let listener = TcpListener::bind("127.0.0.1:0").map_err(fault())?;
        let address = listener.local_addr().map_err(fault())?;
        let backend = |&port: &u16| Backend {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            out_until: Mutex::new(None),
        };
        let inner =
            Arc::new(Inner { backends: ports.iter().map(backend).collect(), next: AtomicUsize::new(0), hop });
        let shared = Arc::downgrade(&inner);
        std::thread::spawn(move || accept(&listener, &shared));
        Ok(Self { address, inner })
    }

    /// `127.0.0.1:PORT`, as in the name of an image.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.inner =
            Arc::new(Inner { backends: Vec::new(), next: AtomicUsize::new(0), hop: Hop::Connection });
        // Wakes the accepting thread, which then finds nobody left.
        drop(TcpStream::connect(self.address));
    }
}

fn accept(listener: &TcpListener, shared: &Weak<Inner>) {
    for client in listener.incoming().flatten() {
        // The handle is gone: so is everybody who could ask.
        let Some(inner) = shared.upgrade() else { return };
        std::thread::spawn(move || {
            let Some(server) = inner.connect() else { return };
            let hop = inner.hop;
            drop(inner);
            // A side that hangs up ends the pair; the client sees what it would have seen.
            let _ended = forward(client, server, hop);
        });
    }
}

impl Inner {
    fn connect(&self) -> Option<TcpStream> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let first = self.next.fetch_add(1, Ordering::Relaxed);
            for at in first..first + self.backends.len() {
                let backend = &self.backends[at % self.backends.len()];
                let mut out = backend.out_until.lock().unwrap_or_else(PoisonError::into_inner);
                if out.is_some_and(|until| until > Instant::now()) {
                    continue;
                }
                match TcpStream::connect(backend.address) {
                    Ok(server) => {
                        *out = None;
                        return Some(server);
                    }
                    Err(_refused) => *out = Some(Instant::now() + OUT),
                }
            }
            std::thread::sleep(PAUSE);
        }
        None
    }
}

fn forward(mut client: TcpStream, mut server: TcpStream, hop: Hop) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    if hop == Hop::Request {
        let head = last_request(&mut client)?;
        server.write_all(&head)?;
    }
    let (mut from_server, mut to_client) = (server.try_clone()?, client.try_clone()?);
    let answers = std::thread::spawn(move || {
        let ended = pump(&mut from_server, &mut to_client);
        // Whichever way the server went, the client sees the same: an end, or a reset.
        let _gone = to_client.shutdown(if ended.is_ok() { Shutdown::Write } else { Shutdown::Both });
    });
    let result = pump(&mut client, &mut server);
    let _gone = server.shutdown(Shutdown::Write);
    drop(answers.join());
    result
}

fn pump(from: &mut TcpStream, to: &mut TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..read])?;
    }
}

/// Reads the head of a request and says in it that it is the last on its connection.
fn last_request(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let (mut head, mut buffer) = (Vec::new(), vec![0; MAX_HEAD]);
    loop {
        let read = client.read(&mut buffer)?;
        head.extend_from_slice(&buffer[..read]);
        // What is no HTTP, or has no end, goes on as it is: it is the server's to refuse.
        if read == 0 || head.len() > MAX_HEAD {
            return Ok(head);
        }
        if head.windows(4).any(|window| window == b"\r\n\r\n") {
            break;
        }
    }
    if let Some(line) = head.windows(2).position(|window| window == b"\r\n") {
        head.splice(line..line, *b"\r\nConnection: close");
    }
    Ok(head)
}
