//! Between the registry and its database: a wire that can be cut.
//!
//! It reads only as much of what the server says (PostgreSQL, message formats) as it takes to see that a transaction
//! was committed.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{HarnessError, Result};

const BUFFER: usize = 64 << 10;
/// `CommandComplete` with the tag `COMMIT`.
const COMMITTED: &[u8] = b"C\0\0\0\x0bCOMMIT\0";

#[derive(Debug, Default)]
struct State {
    /// Answers to so many more commits never come.
    cuts: AtomicUsize,
    /// So many have not come.
    cut: AtomicUsize,
    /// After a cut nobody is let in.
    close_after: AtomicBool,
    closed: AtomicBool,
}

/// The wire; it ends with this handle.
#[derive(Debug)]
pub struct Wire {
    address: SocketAddr,
    state: Arc<State>,
}

impl Wire {
    /// Before a database on this port of loopback.
    pub fn start(port: u16) -> Result<Self> {
        let fault = || HarnessError::file("the wire's socket");
        let listener = TcpListener::bind("127.0.0.1:0").map_err(fault())?;
        let address = listener.local_addr().map_err(fault())?;
        let state = Arc::new(State::default());
        let shared = Arc::downgrade(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // The handle is gone: so is everybody who could ask.
                let Some(state) = shared.upgrade() else { return };
                if state.closed.load(Ordering::SeqCst) {
                    continue;
                }
                std::thread::spawn(move || {
                    // A side that hangs up ends the pair.
                    let _ended = forward(client, port, &state);
                });
            }
        });
        Ok(Self { address, state })
    }

    /// Its end for clients.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The connection that the next commit comes back on is cut before it does. With `and_close` nobody is let in
    /// after that, until [`Self::open`].
    pub fn cut_next_commit(&self, and_close: bool) {
        self.state.close_after.store(and_close, Ordering::SeqCst);
        self.state.cut.store(0, Ordering::SeqCst);
        self.state.cuts.store(1, Ordering::SeqCst);
    }

    /// Whether it was cut since it was told to.
    #[must_use]
    pub fn was_cut(&self) -> bool {
        self.state.cut.load(Ordering::SeqCst) > 0
    }

    /// Lets everybody in again.
    pub fn open(&self) {
        self.state.closed.store(false, Ordering::SeqCst);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.state = Arc::default();
        // Wakes the accepting thread, which then finds nobody left.
        drop(TcpStream::connect(self.address));
    }
}

fn forward(mut client: TcpStream, port: u16, state: &Arc<State>) -> io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let _ended = io::copy(&mut from_client, &mut to_server);
        let _gone = to_server.shutdown(Shutdown::Both);
    });
    let mut buffer = vec![0; BUFFER];
    let result = loop {
        let read = match server.read(&mut buffer) {
            Ok(0) => break Ok(()),
            Ok(read) => read,
            Err(error) => break Err(error),
        };
        let said = &buffer[..read];
        if said.windows(COMMITTED.len()).any(|window| window == COMMITTED) && state.takes_a_cut() {
            break Ok(());
        }
        // Also when it was cut elsewhere: the whole wire is closed then.
        if state.closed.load(Ordering::SeqCst) {
            break Ok(());
        }
        if let Err(error) = client.write_all(said) {
            break Err(error);
        }
    };
    let _gone = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
    result
}

impl State {
    fn takes_a_cut(&self) -> bool {
        let taken = self.cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if taken.is_ok() {
            if self.close_after.load(Ordering::SeqCst) {
                self.closed.store(true, Ordering::SeqCst);
            }
            self.cut.fetch_add(1, Ordering::SeqCst);
        }
        taken.is_ok()
    }
}
