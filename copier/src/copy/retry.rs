//! Whole operations are tried again (`--retry-times`, `--retry-delay`).

use std::time::Duration;

use tracing::warn;

use crate::{Error, Result, session::Retry};

/// Runs an operation, and again while it fails in a way that may pass: a connection that broke, a server's own fault,
/// a server that asks for patience. What the input, the content or a policy is to blame for fails at once.
///
/// # Errors
/// The last attempt's.
pub async fn retry<T>(retry: Retry, mut operation: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let mut attempt = 0;
    loop {
        match operation().await {
            Err(error) => pause(retry, &mut attempt, error).await?,
            done => return done,
        }
    }
}

/// Waits before the next attempt, for loops that cannot be a closure; `attempt` counts from 0.
///
/// # Errors
/// The attempt's own, where there is no next one.
pub(crate) async fn pause(retry: Retry, attempt: &mut u32, error: Error) -> Result<()> {
    if *attempt >= retry.times || !may_pass(&error) {
        return Err(error);
    }
    let delay = retry.delay.unwrap_or_else(|| Duration::from_secs(1 << (*attempt).min(6)));
    *attempt += 1;
    warn!("Failed, retrying in {delay:?} ... ({attempt}/{times}). Error: {error}", times = retry.times);
    tokio::time::sleep(delay).await;
    Ok(())
}

/// Whether the same operation may succeed a little later.
#[must_use]
pub fn may_pass(error: &Error) -> bool {
    match error.root() {
        Error::Network { .. } => true,
        Error::Registry { status, .. } => *status >= 500 || matches!(status, 408 | 429),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken() -> Error {
        Error::Network { what: "reading".to_owned(), source: "reset".into() }.context("copying")
    }

    fn status(status: u16) -> Error {
        Error::Registry { what: "writing".to_owned(), status, detail: String::new() }
    }

    async fn attempts(times: u32, make: impl Fn() -> Error) -> usize {
        let mut attempts = 0;
        let delay = Some(Duration::ZERO);
        let result: Result<()> = retry(Retry { times, delay }, async || {
            attempts += 1;
            Err(make())
        })
        .await;
        assert!(result.is_err());
        attempts
    }

    #[tokio::test]
    async fn what_may_pass_is_tried_as_often_as_asked() {
        assert_eq!(attempts(3, broken).await, 4);
        assert_eq!(attempts(2, || status(503)).await, 3);
        assert_eq!(attempts(2, || status(429)).await, 3);
        assert_eq!(attempts(0, broken).await, 1);
    }

    #[tokio::test]
    async fn what_cannot_pass_fails_at_once() {
        assert_eq!(attempts(3, || status(400)).await, 1);
        assert_eq!(attempts(3, || Error::Integrity("no".to_owned())).await, 1);
        assert_eq!(attempts(3, || Error::Refused("no".to_owned())).await, 1);
    }

    #[tokio::test]
    async fn the_first_success_ends_it() {
        let mut left = 2;
        let result = retry(Retry { times: 5, delay: Some(Duration::ZERO) }, async || {
            if left == 0 {
                return Ok("done");
            }
            left -= 1;
            Err(broken())
        })
        .await;
        assert_eq!(result.unwrap(), "done");
    }
}
