//! Runs what the database refused for no fault of ours once more.

use std::{future::Future, time::Duration};

use tokio::time::{sleep, timeout};

use crate::catalog::{CatalogError, Result, ops::Overtaken};

/// Times that an operation is tried at most.
const TRIES: u32 = 8;
/// How long one try may take. Longer than the server's own limit on a statement: this is for a
/// server that does not answer at all.
const LIMIT: Duration = Duration::from_secs(15);

/// Runs an operation in a transaction, again from the start when another one was in its way.
///
/// A connection lost on the way is not tried again: whether the commit took place cannot be known,
/// and a delete that succeeded must not be answered as if there had been nothing.
macro_rules! transact {
    ($self:ident, |$db:ident| $work:expr) => {
        $self.load.timed(async { $crate::catalog::postgres::retry::behind!($self, |$db| $work) }).await
    };
}

/// As `transact`, for work that nobody waits for.
macro_rules! behind {
    ($self:ident, |$db:ident| $work:expr) => {
        $crate::catalog::postgres::retry::tried!(after_conflict, async {
            let mut open = $self.pool.begin().await?;
            let given = {
                let $db = &mut *open;
                $work.await?
            };
            open.commit().await?;
            Ok(given)
        })
    };
}

/// As `transact`, for an operation that changes rows by one statement alone: that is a transaction of
/// its own, and spares two ways to the server and back.
macro_rules! change {
    ($self:ident, |$db:ident| $work:expr) => {
        $self
            .load
            .timed(async {
                $crate::catalog::postgres::retry::tried!(after_conflict, async {
                    let $db = &mut *$self.pool.acquire().await?;
                    $work.await
                })
            })
            .await
    };
}

/// Runs an operation that only reads, again when the connection was lost.
macro_rules! read {
    ($self:ident, |$db:ident| $work:expr) => {
        $crate::catalog::postgres::retry::tried!(after_loss, async {
            let $db = &mut *$self.pool.acquire().await?;
            $work.await
        })
    };
}

/// Tries until there is an answer, or a failure that is not worth another try.
macro_rules! tried {
    ($again:ident, $once:expr) => {{
        let mut tries = $crate::catalog::postgres::retry::Tries::default();
        loop {
            match $crate::catalog::postgres::retry::limited($once).await {
                Err(error) if tries.$again(&error).await => {}
                outcome => break outcome,
            }
        }
    }};
}

pub(super) use {behind, change, read, transact, tried};

/// Lets one try take no longer than [`LIMIT`].
pub(super) async fn limited<T>(once: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(LIMIT, once).await.unwrap_or_else(|late| Err(CatalogError::Unavailable(late.into())))
}

/// How often an operation was tried.
#[derive(Debug, Default)]
pub(super) struct Tries(u32);

impl Tries {
    /// Whether to try a write again, after a moment's wait.
    pub(super) async fn after_conflict(&mut self, error: &CatalogError) -> bool {
        is_conflict(error) && self.wait().await
    }

    /// Whether to try a read again, after a moment's wait.
    pub(super) async fn after_loss(&mut self, error: &CatalogError) -> bool {
        (is_conflict(error) || is_loss(error)) && self.wait().await
    }

    async fn wait(&mut self) -> bool {
        self.0 += 1;
        if self.0 >= TRIES {
            return false;
        }
        sleep(Duration::from_millis(1 << self.0)).await;
        true
    }
}

fn cause<T: std::error::Error + 'static>(error: &CatalogError) -> Option<&T> {
    match error {
        CatalogError::Unavailable(cause) => cause.downcast_ref(),
        CatalogError::Corrupt(_) => None,
    }
}

/// Another transaction was in the way, and this one has been undone for certain.
fn is_conflict(error: &CatalogError) -> bool {
    if cause::<Overtaken>(error).is_some() {
        return true;
    }
    let code = cause::<sqlx::Error>(error).and_then(sqlx::Error::as_database_error).and_then(|e| e.code());
    // serialization_failure, deadlock_detected, and foreign_key_violation: a row that was seen to be
    // there has been deleted since, or one that was seen to be unused is used now.
    matches!(code.as_deref(), Some("40001" | "40P01" | "23503"))
}

/// The connection broke.
fn is_loss(error: &CatalogError) -> bool {
    let Some(error) = cause::<sqlx::Error>(error) else { return false };
    // admin_shutdown and crash_shutdown are said before the connection is closed.
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(error, sqlx::Error::Io(_)) || matches!(code.as_deref(), Some("57P01" | "57P02"))
}
