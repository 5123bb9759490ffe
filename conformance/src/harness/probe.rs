//! Waiting for a condition instead of for a time.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(10);
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks `condition` again and again until it answers with a value, or `limit` has passed (then `None`).
pub fn until<T>(limit: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if start.elapsed() >= limit {
            return None;
        }
        std::thread::sleep(PAUSE);
    }
}

/// How many times as long things may take, at most, because of what runs beside.
const MOST_CROWDED: f64 = 30.0;

/// `limit`, which is for a machine with nothing else to do, on this one as it is now: so many times as long as more
/// wants to run than there are processors. For bounds that the registry promises; for those of a test's own `until`
/// with a generous limit costs nothing.
pub fn fair(limit: Duration) -> Duration {
    let processors = std::thread::available_parallelism().map_or(1, |count| count.get());
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let processors = f64::from(u32::try_from(processors).unwrap_or(u32::MAX));
    limit.mul_f64((wanting(&load) / processors).clamp(1.0, MOST_CROWDED))
}

/// Tasks that run or want to, now or in the last minute, whichever is more.
fn wanting(load: &str) -> f64 {
    let mut words = load.split_whitespace();
    let minute = words.next().and_then(|word| word.parse().ok()).unwrap_or(0.0);
    let now = words.nth(2).and_then(|word| word.split_once('/')?.0.parse().ok()).unwrap_or(0.0);
    f64::max(minute, now)
}

/// Status of one HTTP/1.1 GET on loopback, over a connection of its own.
pub fn get_status(port: u16, path: &str) -> io::Result<u16> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, PROBE_TIMEOUT)?;
    stream.set_read_timeout(Some(PROBE_TIMEOUT))?;
    stream.set_write_timeout(Some(PROBE_TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut line = [0; 12];
    stream.read_exact(&mut line)?;
    std::str::from_utf8(&line[9..])
        .ok()
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no status line"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_grows_with_what_wants_to_run_and_never_shrinks() {
        for (load, tasks) in [
            ("0.10 9.00 9.00 1/512 7\n", 1.0),
            ("41.20 1 1 3/512 7", 41.2),
            ("1 1 1 12/9 7", 12.0),
            ("", 0.0),
        ] {
            assert!((wanting(load) - tasks).abs() < 1e-9, "{load}");
        }
        assert!(fair(Duration::from_secs(5)) >= Duration::from_secs(5));
    }
}
