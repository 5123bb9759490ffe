//! Leads are session-level advisory locks, all of a replica's on one connection that does nothing else.
//!
//! The server gives the locks of a connection back when the connection is gone, and only then may
//! another replica take them. Who has them finds out in time: the connection is asked at each
//! [`Pace::beat`], and one that does not answer within [`Pace::patience`] is given up. So a lead is
//! lost at most `beat + patience` after the server freed it, its work stops [`Lead::STOP`] later, and
//! whoever has taken it over begins after [`Pace::handover`], which is longer than that.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use sqlx::{Connection, PgConnection};
use tokio::{
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{PostgresCatalog, address::Address};
use crate::catalog::{
    CatalogError, Lead, Leadership, Result,
    database::{Columns, Statements},
    leadership::Leading,
    ops::corrupt,
};

/// As the database's own list of connections calls it.
pub(super) const APPLICATION: &str = "berth-registry leader";
/// A replica that vanished without a word is noticed in about ten seconds.
const LIMITS: &str = "SET statement_timeout = '10s'; SET idle_session_timeout = 0; \
     SET tcp_keepalives_idle = 4; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3; \
     SET tcp_user_timeout = 10000";
const TAKE: &str = "SELECT CAST(pg_try_advisory_lock(hashtextextended('berth ' || $1, 0)) AS int)::bigint";
const GIVE_BACK: &str = "SELECT CAST(pg_advisory_unlock(hashtextextended('berth ' || $1, 0)) AS int)::bigint";
const BACKEND: &str = "SELECT pg_backend_pid()::bigint";
/// Questions that may wait.
const QUEUE: usize = 64;

/// How soon what is noticed.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Time between two signs of life.
    pub beat: Duration,
    /// A database that does not answer for so long is given up.
    pub patience: Duration,
    /// So long after it was taken a lead is given out.
    pub handover: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let (beat, patience) = (Duration::from_secs(1), Duration::from_secs(2));
        Self { beat, patience, handover: beat + patience + Lead::STOP + Duration::from_secs(1) }
    }
}

struct Ask {
    task: &'static str,
    answer: oneshot::Sender<Result<Option<Lead>>>,
}

/// The way to the connection that holds the locks.
#[derive(Debug)]
pub(super) struct Session {
    asks: mpsc::Sender<Ask>,
    end: CancellationToken,
    pace: Pace,
}

impl Session {
    /// Nothing is connected before somebody asks.
    pub(super) fn new(address: Address, pace: Pace) -> Self {
        let (asks, queue) = mpsc::channel(QUEUE);
        let end = CancellationToken::new();
        let keeper = Keeper {
            address: address.named(APPLICATION),
            pace,
            open: None,
            held: HashMap::new(),
            given_up: FuturesUnordered::new(),
            next: 0,
        };
        tokio::spawn(keeper.run(queue, end.clone()));
        Self { asks, end, pace }
    }

    /// Gives everything back.
    pub(super) async fn close(&self) {
        self.end.cancel();
        self.asks.closed().await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

#[async_trait]
impl Leadership for PostgresCatalog {
    async fn lead(&self, task: &'static str) -> Result<Option<Lead>> {
        let (answer, answered) = oneshot::channel();
        let closed = || CatalogError::Unavailable("the catalog is closed".into());
        self.session.asks.send(Ask { task, answer }).await.map_err(|_| closed())?;
        let Some(lead) = answered.await.map_err(|_| closed())?? else { return Ok(None) };
        // Whoever had it before may not know yet.
        match lead.lost().run_until_cancelled(tokio::time::sleep(self.session.pace.handover)).await {
            Some(()) => Ok(Some(lead)),
            None => Ok(None),
        }
    }
}

/// The connection, and which of the server's processes answers on it.
struct Open {
    connection: PgConnection,
    backend: i64,
}

struct Held {
    number: u64,
    end: Leading,
}

/// Minds the connection.
struct Keeper {
    address: Address,
    pace: Pace,
    open: Option<Open>,
    held: HashMap<&'static str, Held>,
    given_up: FuturesUnordered<BoxFuture<'static, (&'static str, u64)>>,
    next: u64,
}

impl Keeper {
    async fn run(mut self, mut queue: mpsc::Receiver<Ask>, end: CancellationToken) {
        let mut beat = interval(self.pace.beat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = end.cancelled() => break,
                Some((task, number)) = self.given_up.next() => self.give_back(task, number).await,
                ask = queue.recv() => match ask {
                    // A lead that nobody waits for any more is dropped, and so given back.
                    Some(ask) => drop(ask.answer.send(self.take(ask.task).await)),
                    None => break,
                },
                _ = beat.tick(), if self.open.is_some() => self.look().await,
            }
        }
        self.held.drain().for_each(|(_, held)| held.end.lost.cancel());
        if let Some(open) = self.open.take() {
            // The server notices the end of the connection as well as a farewell.
            let _farewell = timeout(self.pace.patience, open.connection.close()).await;
        }
    }

    async fn take(&mut self, task: &'static str) -> Result<Option<Lead>> {
        match self.held.get(task) {
            Some(held) if !held.end.given_up.is_cancelled() => return Ok(None),
            Some(held) => self.give_back(task, held.number).await,
            None => {}
        }
        match self.asked(TAKE, task).await {
            Ok(1) => {
                let (lead, end) = Lead::new();
                self.next += 1;
                let (number, given_up) = (self.next, end.given_up.clone());
                self.held.insert(task, Held { number, end });
                self.given_up.push(Box::pin(async move {
                    given_up.cancelled_owned().await;
                    (task, number)
                }));
                Ok(Some(lead))
            }
            Ok(_) => Ok(None),
            Err(error) => {
                self.lose(&error);
                Err(error)
            }
        }
    }

    async fn give_back(&mut self, task: &'static str, number: u64) {
        // One that was lost, and has perhaps been taken anew, has been given back by the server.
        if self.held.get(task).is_none_or(|held| held.number != number) {
            return;
        }
        self.held.remove(task);
        if let Err(error) = self.asked(GIVE_BACK, task).await {
            self.lose(&error);
        }
    }

    /// Asks for a sign of life. Where a pooler stands between, another of the server's processes may
    /// answer, and then nothing is held.
    async fn look(&mut self) {
        let Some(Open { connection, backend }) = &mut self.open else { return };
        let expected = *backend;
        let said = match timeout(self.pace.patience, connection.rows(BACKEND, &[])).await {
            Ok(Ok(rows)) => rows.first().map_or(Ok(0), |row| row.int(0)),
            Ok(Err(error)) => Err(error),
            Err(late) => Err(CatalogError::Unavailable(late.into())),
        };
        match said {
            Ok(backend) if backend == expected => {}
            Ok(_) => self.lose(&CatalogError::Unavailable(
                "a pooler gives each statement another connection; let it pool sessions, or connect directly"
                    .into(),
            )),
            Err(error) => self.lose(&error),
        }
    }

    /// Runs a statement on a task's lock, on a connection that is made where there is none.
    async fn asked(&mut self, sql: &'static str, task: &'static str) -> Result<i64> {
        let asked = async {
            let open = match &mut self.open {
                Some(open) => open,
                slot => slot.insert(connect(&self.address).await?),
            };
            let row = open.connection.row(sql, &[task.into()]).await?;
            row.ok_or_else(|| corrupt("a function gave no row"))?.int(0)
        };
        match timeout(self.pace.patience, asked).await {
            Ok(said) => said,
            Err(late) => Err(CatalogError::Unavailable(late.into())),
        }
    }

    /// The connection is of no use any more, and whatever was held by it is another's.
    fn lose(&mut self, error: &CatalogError) {
        self.open = None;
        for (task, held) in self.held.drain() {
            warn!(task, "The lead of {task} is lost: {error}");
            held.end.lost.cancel();
        }
    }
}

async fn connect(address: &Address) -> Result<Open> {
    let mut connection = address.connect().await?;
    sqlx::raw_sql(LIMITS).execute(&mut connection).await?;
    let backend =
        connection.row(BACKEND, &[]).await?.ok_or_else(|| corrupt("a function gave no row"))?.int(0)?;
    Ok(Open { connection, backend })
}
