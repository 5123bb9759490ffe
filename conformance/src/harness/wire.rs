//! Between the registry and its database: a wire that can be cut.
//!
//! It reads only as much of what both sides say (PostgreSQL, message formats) as it takes to see that a transaction
//! was committed, and whether it was one of those that are asked for: a registry also commits what nobody waits for.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::{HarnessError, Result};

const BUFFER: usize = 64 << 10;
/// `CommandComplete` with the tag `COMMIT`.
const COMMITTED: &[u8] = b"C\0\0\0\x0bCOMMIT\0";
/// `Query` that begins a transaction.
const BEGIN: &[u8] = b"Q\0\0\0\x0aBEGIN\0";

#[derive(Debug, Default)]
struct State {
    /// Answers to so many more commits never come.
    cuts: AtomicUsize,
    /// So many have not come.
    cut: AtomicUsize,
    /// After a cut nobody is let in.
    close_after: AtomicBool,
    closed: AtomicBool,
    /// What the transactions that are cut have said.
    named: Vec<u8>,
}

/// What one client says in a transaction.
#[derive(Debug, Default)]
struct Said {
    /// The end of what was said before: a word may come in two pieces.
    tail: Vec<u8>,
    /// Whether this transaction has said the name.
    named: bool,
}

impl Said {
    fn hear(&mut self, piece: &[u8], name: &[u8]) {
        self.tail.extend_from_slice(piece);
        let find = |all: &[u8], word: &[u8]| all.windows(word.len()).rposition(|window| window == word);
        let (begun, named) = (find(&self.tail, BEGIN), find(&self.tail, name));
        self.named = match (begun, named) {
            (Some(begun), named) => named.is_some_and(|named| named > begun),
            (None, named) => self.named || named.is_some(),
        };
        // A word that is heard twice changes nothing: what counts is which of them came last.
        let keep = BEGIN.len().max(name.len()) - 1;
        self.tail.drain(..self.tail.len().saturating_sub(keep));
    }
}

/// The wire; it ends with this handle.
#[derive(Debug)]
pub struct Wire {
    address: SocketAddr,
    state: Arc<State>,
}

impl Wire {
    /// Before a database on this port of loopback. Only transactions that say `name` are cut.
    pub fn start(port: u16, name: &str) -> Result<Self> {
        let fault = || HarnessError::file("the wire's socket");
        let listener = TcpListener::bind("127.0.0.1:0").map_err(fault())?;
        let address = listener.local_addr().map_err(fault())?;
        let state = Arc::new(State { named: name.as_bytes().to_vec(), ..State::default() });
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

    /// The connection that the next such commit comes back on is cut before it does. With `and_close` nobody is let in
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
    let said = Arc::new(Mutex::new(Said::default()));
    let (hears, name) = (said.clone(), state.named.clone());
    std::thread::spawn(move || {
        let _ended = listen(&mut from_client, &mut to_server, &hears, &name);
        let _gone = to_server.shutdown(Shutdown::Both);
    });
    let mut buffer = vec![0; BUFFER];
    let result = loop {
        let read = match server.read(&mut buffer) {
            Ok(0) => break Ok(()),
            Ok(read) => read,
            Err(error) => break Err(error),
        };
        let answer = &buffer[..read];
        let committed = answer.windows(COMMITTED.len()).any(|window| window == COMMITTED);
        if committed && said.lock().is_ok_and(|said| said.named) && state.takes_a_cut() {
            break Ok(());
        }
        // Also when it was cut elsewhere: the whole wire is closed then.
        if state.closed.load(Ordering::SeqCst) {
            break Ok(());
        }
        if let Err(error) = client.write_all(answer) {
            break Err(error);
        }
    };
    let _gone = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
    result
}

/// Copies what the client says until it hangs up.
fn listen(from: &mut TcpStream, to: &mut TcpStream, said: &Mutex<Said>, name: &[u8]) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        // Before it is passed on: its answer may be there at once.
        said.lock().map_err(|_| io::ErrorKind::Other)?.hear(&buffer[..read], name);
        to.write_all(&buffer[..read])?;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn hears(pieces: &[&[u8]]) -> bool {
        let mut said = Said::default();
        pieces.iter().for_each(|piece| said.hear(piece, b"some/name"));
        said.named
    }

    #[test]
    fn a_transaction_is_named_by_what_it_says_after_its_begin() {
        assert!(hears(&[BEGIN, b"x some/name y"]));
        assert!(hears(&[BEGIN, b"x some", b"/name y", b"more"]));
        assert!(!hears(&[b"some/name", BEGIN, b"other"]));
        for at in 1..BEGIN.len() {
            assert!(!hears(&[b"x some/name y", &BEGIN[..at], &BEGIN[at..], b"other"]));
        }
    }
}
