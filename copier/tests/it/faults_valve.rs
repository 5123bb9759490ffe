//! A proxy that can stop, or cut its connections, after so many bytes: a test decides when something is "in the middle".

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Small, so that counts are near what went by.
const BUFFER: usize = 16 << 10;
/// No test waits longer for a stream to come to where it should stop.
const LIMIT: Duration = Duration::from_secs(60);

/// Where bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the server.
    Up,
    /// To the client.
    Down,
}

/// The proxy; it ends with this handle.
pub(crate) struct Valve {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    up: u64,
    down: u64,
    hold: Option<(Way, u64)>,
    holding: bool,
    /// Bytes on one connection after which it is cut, and how often that happens still.
    cut: Option<(Way, u64)>,
    cuts_left: usize,
    cuts: usize,
    closed: bool,
}

impl State {
    fn passed(&mut self, way: Way) -> &mut u64 {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }
}

impl Valve {
    /// Listens on a free port of loopback and forwards to `upstream` (`127.0.0.1:PORT`).
    pub(crate) fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let (own, upstream) = (Arc::clone(&shared), upstream.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if own.lock().closed {
                    return;
                }
                let (shared, upstream) = (Arc::clone(&own), upstream.clone());
                std::thread::spawn(move || {
                    // A server that is down is a connection that ends at once.
                    let _ended = forward(&client, &upstream, &shared);
                    let _gone = client.shutdown(Shutdown::Both);
                });
            }
        });
        Self { address, shared }
    }

    /// `127.0.0.1:PORT`, as in the name of an image.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// From now on nothing goes on once so many bytes went this way, on all connections together.
    pub(crate) fn hold_after(&self, way: Way, bytes: u64) {
        let mut state = self.shared.lock();
        (state.up, state.down, state.hold, state.holding) = (0, 0, Some((way, bytes)), false);
    }

    /// Waits until it came to that.
    pub(crate) fn held(&self) {
        let state = self.shared.lock();
        let waited = self.shared.changed.wait_timeout_while(state, LIMIT, |state| !state.holding);
        assert!(!waited.unwrap().1.timed_out(), "so much never went by");
    }

    /// Lets everything go on.
    pub(crate) fn open(&self) {
        self.shared.lock().hold = None;
        self.shared.changed.notify_all();
    }

    /// Bytes to the server since [`Self::hold_after`] or the beginning.
    pub(crate) fn sent(&self) -> u64 {
        self.shared.lock().up
    }

    /// Bytes to the client since then.
    pub(crate) fn received(&self) -> u64 {
        self.shared.lock().down
    }

    /// Cuts connections once so many bytes went this way on one, so many times.
    pub(crate) fn cut_after(&self, way: Way, bytes: u64, times: usize) {
        let mut state = self.shared.lock();
        (state.cut, state.cuts_left, state.cuts) = (Some((way, bytes)), times, 0);
    }

    /// How many connections were cut.
    pub(crate) fn cuts(&self) -> usize {
        self.shared.lock().cuts
    }
}

impl Drop for Valve {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.open();
        // Wakes the accepting thread.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while held; then whether this connection is to be cut.
    fn pass(&self, way: Way, on_this: u64) -> bool {
        let mut state = self.lock();
        while let Some((held, bytes)) = state.hold
            && *state.passed(held) >= bytes
        {
            state.holding = true;
            self.changed.notify_all();
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let cut = state.cuts_left > 0 && state.cut.is_some_and(|(of, bytes)| of == way && on_this >= bytes);
        if cut {
            state.cuts_left -= 1;
            state.cuts += 1;
        }
        cut
    }
}

fn forward(client: &TcpStream, upstream: &str, shared: &Arc<Shared>) -> io::Result<()> {
    let server = TcpStream::connect(upstream)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from, to, own) = (server.try_clone()?, client.try_clone()?, Arc::clone(shared));
    let answers = std::thread::spawn(move || {
        let _ended = pump(&from, &to, Way::Down, &own);
        let _gone = to.shutdown(Shutdown::Write);
    });
    let ended = pump(client, &server, Way::Up, shared);
    let _gone = server.shutdown(Shutdown::Write);
    drop(answers.join());
    ended
}

fn pump(mut from: &TcpStream, mut to: &TcpStream, way: Way, shared: &Shared) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut on_this = 0;
    loop {
        if shared.pass(way, on_this) {
            let (_from, _to) = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
            return Ok(());
        }
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..read])?;
        on_this += read as u64;
        *shared.lock().passed(way) += read as u64;
    }
}
