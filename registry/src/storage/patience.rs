//! How long is waited for a bucket or a disk, and how often it is asked again.
//!
//! The library tries again after errors of the server and of connections. Here is what it leaves to others: answers that
//! came and make no sense, requests that cannot be told to be safe to repeat but are here, and a bound on the whole.

use std::time::Duration;

use object_store::Error;
use tokio::time::{Instant, sleep, timeout_at};

use super::{Result, StorageError, object::object_error};

/// Tries, with the library's own in each.
const TRIES: u32 = 3;
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(200);
/// Bytes that are given a second more.
const PER_SECOND: u64 = 2 << 20;

/// Bytes that a disk is given a second more for.
const DISK: u64 = 16 << 20;

/// How long a request may take before the client is told that storage does not answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience(pub(super) Duration);

impl Default for Patience {
    fn default() -> Self {
        Self(Duration::from_secs(20))
    }
}

/// Whether asking again could help.
fn may_pass(error: &Error) -> bool {
    !matches!(
        error,
        Error::NotFound { .. }
            | Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::AlreadyExists { .. }
            | Error::Precondition { .. }
            | Error::NotModified { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. }
            | Error::InvalidPath { .. }
            | Error::UnknownConfigurationKey { .. }
    )
}

impl Patience {
    /// So many thirds of it, for one step of several.
    pub(super) fn thirds(self, count: u32) -> Self {
        Self(self.0 * count / 3)
    }

    /// Asks once, and leaves it to the library to try again.
    pub(super) async fn once<T>(
        self,
        bytes: u64,
        asked: impl Future<Output = object_store::Result<T>>,
    ) -> object_store::Result<T> {
        let until = Instant::now() + self.0 + Duration::from_secs(bytes / PER_SECOND);
        timeout_at(until, asked).await.unwrap_or_else(|_elapsed| Err(self.over()))
    }

    /// Asks until there is an answer that asking again would not change. A try may send `bytes`, for which
    /// it has some more time; one that hangs leaves time for another.
    pub(super) async fn ask<T, F>(self, bytes: u64, mut ask: impl FnMut() -> F) -> object_store::Result<T>
    where
        F: Future<Output = object_store::Result<T>>,
    {
        let more = Duration::from_secs(bytes / PER_SECOND);
        let over = Instant::now() + self.0 + more;
        let mut tried = 0;
        loop {
            tried += 1;
            let until = over.min(Instant::now() + self.0 / 2 + more);
            let answer = timeout_at(until, ask()).await.unwrap_or_else(|_elapsed| Err(self.over()));
            match answer {
                Err(error) if may_pass(&error) && tried < TRIES && Instant::now() + PAUSE < over => {
                    tracing::debug!(tried, "Storage is asked again: {error}");
                    sleep(PAUSE).await;
                }
                answer => return answer,
            }
        }
    }

    fn over(self) -> Error {
        Error::Generic { store: "storage", source: format!("no answer in {:?}", self.0).into() }
    }

    /// Waits for a disk that has `bytes` to write. What it does after all is not heard of any more.
    pub(super) async fn wait<T>(self, bytes: u64, what: impl Future<Output = Result<T>>) -> Result<T> {
        let more = Duration::from_secs(bytes / DISK);
        match timeout_at(Instant::now() + self.0 + more, what).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(object_error(self.over())),
        }
    }
}

/// What could not be understood is as if nothing had come.
pub(super) fn unavailable(why: String) -> StorageError {
    StorageError::Unavailable(why.into())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn generic() -> Error {
        Error::Generic { store: "s", source: "x".into() }
    }

    #[tokio::test]
    async fn f7_what_hangs_is_asked_again_and_then_given_up_in_time() {
        let begun = Instant::now();
        let asked = AtomicU32::new(0);
        let hang = || {
            asked.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<object_store::Result<()>>()
        };
        let patience = Patience(Duration::from_millis(900));
        patience.ask(0, hang).await.unwrap_err();
        // Twice, since the first left time for another; and not for longer than is waited for in all.
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        patience.wait(0, std::future::pending::<Result<()>>()).await.unwrap_err();
    }

    #[tokio::test]
    async fn f8_an_answer_that_makes_no_sense_is_asked_for_again_and_a_clear_one_is_taken() {
        let mut answers = vec![Ok(7), Err(generic()), Err(generic())];
        assert_eq!(
            Patience::default().ask(0, || std::future::ready(answers.pop().unwrap())).await.unwrap(),
            7
        );
        let none = || Error::NotFound { path: "x".into(), source: "x".into() };
        let mut answers = vec![Ok(7), Err(none())];
        assert!(Patience::default().ask(0, || std::future::ready(answers.pop().unwrap())).await.is_err());
        let mut answers = vec![Ok(7), Err(generic()), Err(generic()), Err(generic())];
        assert!(Patience::default().ask(0, || std::future::ready(answers.pop().unwrap())).await.is_err());
    }
}
