//! What one client may take: time, connections, head sizes.

use std::time::Duration;

/// The limits of a server. The defaults suit a registry on the open internet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From a connection's start, or a head's first byte, to the end of the head (and for the TLS handshake).
    pub head_timeout: Duration,
    /// How long a connection without a request is kept.
    pub idle_timeout: Duration,
    /// How long a client may take no bytes of an answer.
    pub write_timeout: Duration,
    /// Over so long a window of waiting for a request's body...
    pub body_window: Duration,
    /// ...at least so many bytes per second must come.
    pub body_rate: u64,
    /// Connections in total. Fewer where the process may not open twice as many files.
    pub connections: usize,
    /// Connections from one address (one /64 of IPv6); not counted for loopback and trusted proxies.
    pub connections_per_address: usize,
    /// Bytes of a request's head. An HTTP/1 head has 100 headers at most.
    pub head_size: usize,
    /// Requests at a time on one HTTP/2 connection.
    pub streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            body_window: Duration::from_secs(30),
            body_rate: 1024,
            connections: 10_000,
            connections_per_address: 256,
            head_size: 64 << 10,
            streams: 128,
        }
    }
}
