//! How long writes take that somebody waits for.

use std::{
    future::Future,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use super::Foreground;

/// Counts writes and their time. Numbers that need not fit each other exactly.
#[derive(Debug, Default)]
pub(super) struct Load {
    writes: AtomicU64,
    micros: AtomicU64,
    behind: AtomicU64,
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Load {
    /// Counts a write.
    pub(super) async fn timed<T>(&self, write: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let answer = write.await;
        self.writes.fetch_add(1, Relaxed);
        self.micros.fetch_add(micros(begun.elapsed()), Relaxed);
        answer
    }

    /// Counts the time of a write that nobody waits for.
    pub(super) async fn behind<T>(&self, write: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let answer = write.await;
        self.behind.fetch_add(micros(begun.elapsed()), Relaxed);
        answer
    }

    /// What was counted.
    pub(super) fn so_far(&self) -> Foreground {
        Foreground {
            writes: self.writes.load(Relaxed),
            micros: self.micros.load(Relaxed),
            behind: self.behind.load(Relaxed),
        }
    }
}
