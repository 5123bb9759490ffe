//! Runs what the database refused for no fault of ours once more.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use sqlx::{Postgres, Transaction};
use tokio::time::{sleep, timeout_at};

use crate::catalog::{CatalogError, Result, ops::Overtaken};

/// Times that an operation is tried at most.
const TRIES: u32 = 8;
/// How long all tries together may take. Longer than the server's own limit on a statement: this is for
/// a server that does not answer at all. A request that fails may make two calls, and is answered
/// within thirty seconds also then.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

/// Runs an operation in a transaction, again from the start when another one was in its way, or when
/// the connection was lost before the commit was sent.
///
/// After that, whether the commit took place is not known: [`Unsettled`], and the operation has its
/// own way to find out.
macro_rules! transact {
    ($self:ident, |$db:ident| $work:expr) => {
        $self.load.timed(async { $crate::catalog::postgres::retry::behind!($self, |$db| $work) }).await
    };
}

/// As `transact`, for work that nobody waits for.
macro_rules! behind {
    ($self:ident, |$db:ident| $work:expr) => {
        $crate::catalog::postgres::retry::tried!(async {
            let mut lent = $self.pool.acquire().await?;
            let mut open = sqlx::Connection::begin(lent.connection()?).await?;
            let outcome = {
                let $db = &mut *open;
                $work.await
            };
            let outcome = $crate::catalog::postgres::retry::end(open, outcome).await;
            lent.after(&outcome);
            outcome
        })
    };
}

/// As `transact`, for an operation that does no harm when it is done twice: also again when it is not
/// known whether it was committed.
macro_rules! transact_again {
    ($self:ident, |$db:ident| $work:expr) => {
        match $crate::catalog::postgres::retry::transact!($self, |$db| $work) {
            Err(error) if $crate::catalog::postgres::retry::is_unsettled(&error) => {
                $crate::catalog::postgres::retry::transact!($self, |$db| $work)
            }
            outcome => outcome,
        }
    };
}

/// Runs an operation that only reads, or that may be run twice as well as once, again when the
/// connection was lost. Each statement is a transaction of its own, which spares two ways to the server
/// and back.
macro_rules! repeat {
    ($self:ident, |$db:ident| $work:expr) => {
        $crate::catalog::postgres::retry::tried!(async {
            let mut lent = $self.pool.acquire().await?;
            let outcome = {
                let $db = lent.connection()?;
                $work.await
            };
            lent.after(&outcome);
            outcome
        })
    };
}

/// As `repeat`, for an operation that must not be run twice, by one statement alone: when the connection
/// is lost, whether it took place is not known, and it is the caller's to ask again.
macro_rules! change {
    ($self:ident, |$db:ident| $work:expr) => {
        $crate::catalog::postgres::retry::tried!(async {
            let mut lent = $self.pool.acquire().await?;
            let outcome = {
                let $db = lent.connection()?;
                $work.await
            };
            lent.after(&outcome);
            outcome.map_err($crate::catalog::postgres::retry::unsettled)
        })
    };
}

/// As `repeat`, by the name of what it mostly does.
macro_rules! read {
    ($self:ident, |$db:ident| $work:expr) => {
        $crate::catalog::postgres::retry::repeat!($self, |$db| $work)
    };
}

/// Tries until there is an answer, or a failure that is not worth another try.
macro_rules! tried {
    ($once:expr) => {{
        let mut tries = $crate::catalog::postgres::retry::Tries::new();
        loop {
            match tries.limited($once).await {
                Err(error) if tries.again(&error).await => {}
                outcome => break outcome,
            }
        }
    }};
}

pub(super) use {behind, change, read, repeat, transact, transact_again, tried};

/// A commit was sent, and its answer never came.
#[derive(Debug, thiserror::Error)]
#[error("whether it was committed is not known: {0}")]
pub(super) struct Unsettled(#[source] sqlx::Error);

/// Commits what went well and rolls back what did not.
pub(super) async fn end<T>(open: Transaction<'_, Postgres>, outcome: Result<T>) -> Result<T> {
    match outcome {
        Ok(given) => match open.commit().await {
            Ok(()) => Ok(given),
            // The server's own word: it has been undone.
            Err(error) if error.as_database_error().is_some() && !is_farewell(&error) => Err(error.into()),
            Err(error) => Err(CatalogError::Unavailable(Unsettled(error).into())),
        },
        Err(error) => {
            // Where it cannot be rolled back there is no connection, and so no transaction either.
            open.rollback().await?;
            Err(error)
        }
    }
}

/// How often an operation was tried, and until when it may be.
#[derive(Debug)]
pub(super) struct Tries {
    count: u32,
    until: Instant,
}

impl Tries {
    pub(super) fn new() -> Self {
        Self { count: 0, until: Instant::now() + LIMIT }
    }

    /// Lets one try take no longer than what is left of [`LIMIT`].
    pub(super) async fn limited<T>(&self, once: impl Future<Output = Result<T>>) -> Result<T> {
        let late = |late: tokio::time::error::Elapsed| Err(CatalogError::Unavailable(late.into()));
        timeout_at(self.until.into(), once).await.unwrap_or_else(late)
    }

    /// Whether to try again, after a moment's wait.
    pub(super) async fn again(&mut self, error: &CatalogError) -> bool {
        self.count += 1;
        if self.count >= TRIES || !(is_conflict(error) || is_loss(error)) {
            return false;
        }
        sleep(Duration::from_millis(1 << self.count)).await;
        true
    }
}

/// The reason below an error, where it is of this type.
fn cause<T: std::error::Error + 'static>(error: &CatalogError) -> Option<&T> {
    match error {
        CatalogError::Unavailable(cause) => cause.downcast_ref(),
        CatalogError::Corrupt(_) => None,
    }
}

/// Whether a commit's answer was lost.
pub(super) fn is_unsettled(error: &CatalogError) -> bool {
    cause::<Unsettled>(error).is_some()
}

/// What a loss is where the statement was its own commit.
pub(super) fn unsettled(error: CatalogError) -> CatalogError {
    match error {
        CatalogError::Unavailable(cause) if is_broken(&*cause) => match cause.downcast::<sqlx::Error>() {
            Ok(cause) => CatalogError::Unavailable(Unsettled(*cause).into()),
            Err(cause) => CatalogError::Unavailable(cause),
        },
        error => error,
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
pub(super) fn is_loss(error: &CatalogError) -> bool {
    match error {
        CatalogError::Unavailable(cause) => is_broken(&**cause),
        CatalogError::Corrupt(_) => false,
    }
}

fn is_broken(cause: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    cause.downcast_ref::<sqlx::Error>().is_some_and(|error| {
        matches!(error, sqlx::Error::Io(_) | sqlx::Error::Protocol(_)) || is_farewell(error)
    })
}

/// admin_shutdown, crash_shutdown and cannot_connect_now are said before the connection is closed;
/// read_only_sql_transaction by a server that has become another's standby.
fn is_farewell(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("57P01" | "57P02" | "57P03" | "25006"))
}
