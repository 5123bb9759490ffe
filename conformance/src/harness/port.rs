//! Ports that nobody else will take.

use std::collections::HashSet;
use std::net::TcpListener;
use std::sync::{Mutex, PoisonError};

use super::{HarnessError, Result};

/// Below the range from which the kernel picks ports for outgoing connections: a port of that range may be taken
/// between this look and the server's own `bind`, and again while a test restarts its server.
const RANGE: std::ops::Range<u16> = 20_000..32_000;
const TRIES: usize = 200;

/// A port on 127.0.0.1 that was free a moment ago and that this process hands out once.
pub fn free_port() -> Result<u16> {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let mut guard = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let given = guard.get_or_insert_default();
    for _ in 0..TRIES {
        let port = rand::random_range(RANGE);
        if !given.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            given.insert(port);
            return Ok(port);
        }
    }
    Err(HarnessError::Unexpected(format!("no free port in {RANGE:?} after {TRIES} tries")))
}
