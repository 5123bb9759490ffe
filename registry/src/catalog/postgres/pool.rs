//! The connections of a replica.
//!
//! A pool of our own rather than sqlx's, which asks each connection that comes back whether it is well
//! and waits for the answer without end: whoever is cut off from the database at that moment has lost
//! the connection's place for as long as the kernel goes on trying, a quarter of an hour. Here a
//! connection comes back only when what ran on it came to its end, and is looked at when it is taken
//! out again after a while; one that was left in the middle is dropped and makes room at once.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{Connection, PgConnection};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};

use super::{
    address::Address,
    retry::{is_loss, is_unsettled},
};
use crate::catalog::{BoxError, CatalogError, Result};

/// How long a caller waits for a connection, new or free.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(100);
/// A connection that was idle for longer is asked whether it still is one.
const FRESH: Duration = Duration::from_secs(1);
/// One that does not answer for so long is none.
const ANSWER: Duration = Duration::from_secs(1);
/// One that nobody needed for so long is closed, and one that is so old.
const IDLE: Duration = Duration::from_mins(10);
const OLD: Duration = Duration::from_mins(30);
/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// The server gives up first, so that what a caller gave up on does not go on there.
///
/// A replica that vanished without a word holds what it had locked for half a minute at most.
const LIMITS: &str = "SET statement_timeout = '8s'; SET idle_in_transaction_session_timeout = '15s'; \
     SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; \
     SET tcp_user_timeout = 25000";

/// Nobody gave a connection back in time.
#[derive(Debug, thiserror::Error)]
#[error("no connection to the database in {CONNECT:?}: {0}")]
struct Exhausted(#[source] BoxError);

/// Connections to one database.
#[derive(Clone, Debug)]
pub(super) struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    address: Address,
    places: Arc<Semaphore>,
    count: u32,
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    connection: PgConnection,
    made: Instant,
    since: Instant,
}

impl Pool {
    /// Room for `count` connections; none is made yet.
    pub(super) fn new(address: Address, count: u32) -> Self {
        let places = Arc::new(Semaphore::new(usize::try_from(count).unwrap_or(Semaphore::MAX_PERMITS)));
        Self(Arc::new(Inner { address, places, count, idle: Mutex::default() }))
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        // No holder of the lock leaves the list half changed.
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection, which goes back when it is dropped.
    ///
    /// # Errors
    /// [`CatalogError::Unavailable`] when there is none in [`CONNECT`].
    pub(super) async fn acquire(&self) -> Result<Lent> {
        let mut last = None;
        match timeout(CONNECT, self.take(&mut last)).await {
            Ok(taken) => taken,
            Err(late) => {
                let why = last.map_or_else(|| BoxError::from(late), BoxError::from);
                Err(CatalogError::Unavailable(Exhausted(why).into()))
            }
        }
    }

    async fn take(&self, last: &mut Option<CatalogError>) -> Result<Lent> {
        let place = self.0.places.clone().acquire_owned().await;
        let place = place.map_err(|closed| CatalogError::Unavailable(closed.into()))?;
        loop {
            let Some(mut idle) = self.pop() else { break };
            // The last that came back is the first to go, so that after a loss all are looked at.
            if idle.since.elapsed() <= FRESH
                || matches!(timeout(ANSWER, idle.connection.ping()).await, Ok(Ok(())))
            {
                return Ok(self.lent(idle.connection, idle.made, place));
            }
        }
        loop {
            match self.connect().await {
                Ok(connection) => return Ok(self.lent(connection, Instant::now(), place)),
                // It starts, say, or another takes its place: so long as the caller has time.
                Err(error) => *last = Some(error),
            }
            sleep(PAUSE).await;
        }
    }

    fn pop(&self) -> Option<Idle> {
        let mut idle = self.idle();
        let newest = idle.pop();
        idle.retain(|idle| idle.since.elapsed() < IDLE);
        newest.filter(|idle| idle.made.elapsed() < OLD)
    }

    async fn connect(&self) -> Result<PgConnection> {
        let mut connection = self.0.address.connect().await?;
        sqlx::raw_sql(LIMITS).execute(&mut connection).await?;
        Ok(connection)
    }

    fn lent(&self, connection: PgConnection, made: Instant, place: OwnedSemaphorePermit) -> Lent {
        Lent { connection: Some(connection), made, pool: self.clone(), well: false, _place: place }
    }

    /// Waits for what is lent, at most `limit`, and closes everything. `false` when something was not
    /// given back in time.
    pub(super) async fn close(&self, limit: Duration) -> bool {
        let all = timeout(limit, self.0.places.acquire_many(self.0.count)).await;
        let returned = matches!(all, Ok(Ok(_)));
        self.0.places.close();
        let idle = std::mem::take(&mut *self.idle());
        let farewells = idle.into_iter().map(|idle| timeout(FAREWELL, idle.connection.close()));
        // The server notices the end of a connection as well as a farewell.
        futures_util::future::join_all(farewells).await;
        returned
    }
}

/// A connection in use.
#[derive(Debug)]
pub(super) struct Lent {
    /// Nothing only while it is being dropped.
    connection: Option<PgConnection>,
    made: Instant,
    pool: Pool,
    well: bool,
    _place: OwnedSemaphorePermit,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take().filter(|_| self.well && self.made.elapsed() < OLD) {
            self.pool.idle().push(Idle { connection, made: self.made, since: Instant::now() });
        }
    }
}

impl Lent {
    /// The connection.
    pub(super) fn connection(&mut self) -> Result<&mut PgConnection> {
        self.connection
            .as_mut()
            .ok_or_else(|| CatalogError::Unavailable("the connection was given back".into()))
    }

    /// Says how it ended: what nobody says this of is closed.
    pub(super) fn after<T>(&mut self, outcome: &Result<T>) {
        self.well = match outcome {
            Ok(_) => true,
            Err(error) => !is_loss(error) && !is_unsettled(error),
        };
    }
}
