//! `[server.limits]`: what one client may take.

use std::time::Duration;

use super::{
    faults::Faults,
    human::Size,
    section::{Keys, Section},
};

/// What one client may take: time, connections, head sizes. The defaults suit the open internet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From a connection's start, or a head's first byte, to the end of the head (and for the TLS handshake).
    pub head_timeout: Duration,
    /// How long a connection without a request is kept.
    pub idle_timeout: Duration,
    /// How long a client may take no bytes of an answer.
    pub write_timeout: Duration,
    /// Over so long a window of waiting for a client to take an answer...
    pub write_window: Duration,
    /// ...it must take at least so many bytes per second.
    pub write_rate: Size,
    /// Over so long a window of waiting for a request's body...
    pub body_window: Duration,
    /// ...at least so many bytes per second must come.
    pub body_rate: Size,
    /// Connections in total. Fewer where the process may not open twice as many files.
    pub connections: usize,
    /// Connections from one address (one /64 of IPv6); not counted for loopback and trusted proxies.
    pub connections_per_address: usize,
    /// Bytes of a request's head. An HTTP/1 head has 100 headers at most.
    pub head_size: Size,
    /// Requests at a time on one HTTP/2 connection.
    pub streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            write_window: Duration::from_secs(30),
            write_rate: Size(1024),
            body_window: Duration::from_secs(30),
            body_rate: Size(1024),
            connections: 10_000,
            connections_per_address: 256,
            head_size: Size(64 << 10),
            streams: 128,
        }
    }
}

impl Section for Limits {
    fn name(&self) -> &'static str {
        "server.limits"
    }

    fn about(&self) -> &'static str {
        "What one client may take."
    }

    fn keys(&mut self, keys: &mut dyn Keys) {
        keys.key(
            "head_timeout",
            "From a connection's start, or a request's first byte, to the end of the request's head.",
            &mut self.head_timeout,
        );
        keys.key("idle_timeout", "How long a connection without a request is kept.", &mut self.idle_timeout);
        keys.key(
            "write_timeout",
            "How long a client may take no bytes of an answer.",
            &mut self.write_timeout,
        );
        keys.key(
            "write_window",
            "A client must take an answer at write_rate bytes per second, measured over this time of waiting for it.",
            &mut self.write_window,
        );
        keys.key("write_rate", "Per second; see write_window. 0B lets any do.", &mut self.write_rate);
        keys.key(
            "body_window",
            "A request's body must come at body_rate bytes per second, measured over this time of waiting for it.",
            &mut self.body_window,
        );
        keys.key("body_rate", "Per second; see body_window.", &mut self.body_rate);
        keys.key(
            "connections",
            "Connections in total; fewer where the process may not open twice as many files.",
            &mut self.connections,
        );
        keys.key(
            "connections_per_address",
            "Connections from one address (one /64 of IPv6). Loopback and trusted proxies are not counted.",
            &mut self.connections_per_address,
        );
        keys.key("head_size", "Largest head of a request.", &mut self.head_size);
        keys.key("streams", "Requests at a time on one HTTP/2 connection.", &mut self.streams);
    }

    fn check(&mut self, faults: &mut Faults) {
        let times = [
            ("head_timeout", self.head_timeout),
            ("idle_timeout", self.idle_timeout),
            ("write_timeout", self.write_timeout),
            ("write_window", self.write_window),
            ("body_window", self.body_window),
        ];
        for (key, time) in times {
            if time.is_zero() || time > Duration::from_hours(24) {
                faults.add(format!("server.limits.{key}"), "must be more than 0s and no more than 24h");
            }
        }
        let zero = [
            ("connections", self.connections == 0),
            ("connections_per_address", self.connections_per_address == 0),
            ("streams", self.streams == 0),
        ];
        for (key, _) in zero.iter().filter(|(_, zero)| *zero) {
            faults.add(format!("server.limits.{key}"), "0 would let nobody in");
        }
        if !(Size(8 << 10)..=Size(1 << 20)).contains(&self.head_size) {
            faults.add("server.limits.head_size", "must be from 8KiB to 1MiB");
        }
    }
}
