//! How long writes take that somebody waits for.

use std::{
    future::Future,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

use super::Foreground;

/// Counts writes and their time. Two numbers that need not fit each other exactly.
#[derive(Debug, Default)]
pub(super) struct Load {
    writes: AtomicU64,
    micros: AtomicU64,
}

impl Load {
    /// Counts a write.
    pub(super) async fn timed<T>(&self, write: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let answer = write.await;
        let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.writes.fetch_add(1, Relaxed);
        self.micros.fetch_add(micros, Relaxed);
        answer
    }

    /// What was counted.
    pub(super) fn so_far(&self) -> Foreground {
        Foreground { writes: self.writes.load(Relaxed), micros: self.micros.load(Relaxed) }
    }
}
