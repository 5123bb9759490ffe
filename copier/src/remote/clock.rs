//! Time and chance, so that a test can steer both.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use async_trait::async_trait;

/// What the client knows of time.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync {
    /// Time that only goes forward.
    fn now(&self) -> Instant;

    /// The calendar's time, for dates that servers send.
    fn date(&self) -> SystemTime;

    /// Lets this much time pass.
    async fn sleep(&self, span: Duration);

    /// An even chance from 0 up to 1: spreads clients that wait for the same server.
    fn chance(&self) -> f64;
}

/// The machine's own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn date(&self) -> SystemTime {
        SystemTime::now()
    }

    async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }

    fn chance(&self) -> f64 {
        rand::random()
    }
}

/// How long the client waits, and how often it tries again. The default is for real networks.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// Time and chance.
    pub clock: Arc<dyn Clock>,
    /// For a connection to be made, with its TLS handshake.
    pub connect: Duration,
    /// For the head of an answer to a request without a body.
    pub head: Duration,
    /// For an answer once the whole of an upload was sent: a registry verifies before it answers.
    pub commit: Duration,
    /// For the next bytes of a body that is sent to be taken.
    pub idle: Duration,
    /// A body that comes has to bring [`Self::least`] bytes for each second of this, of waiting for it: one that
    /// trickles is as good as silent.
    pub window: Duration,
    /// Bytes a second.
    pub least: u64,
    /// Times that one step is tried again, where that is safe.
    pub retries: u32,
    /// The longest that a server may make the client wait, in one answer.
    pub longest_wait: Duration,
    /// Requests at once for one host. Halved by a 429, and grown back.
    pub in_flight: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            connect: Duration::from_secs(30),
            head: Duration::from_secs(120),
            commit: Duration::from_secs(900),
            idle: Duration::from_secs(120),
            window: Duration::from_secs(60),
            least: 1024,
            retries: 5,
            longest_wait: Duration::from_secs(600),
            in_flight: 3,
        }
    }
}
