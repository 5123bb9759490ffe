//! The one connection that writes, and the task that owns it.
//!
//! Callers hand in closures. While one transaction is being made durable the next writes gather;
//! up to [`BATCH`] of them then share one transaction and one fsync, and each is answered when it is
//! durable. When one of a batch fails before the commit, the transaction is rolled back and
//! each is run alone, so that no write suffers from another's failure. When the commit itself
//! fails, all of it fails, and none is tried again: what a failed fsync has lost stays lost.
//!
//! What nobody waits for (`submit_behind`) has a turn when nobody else waits, and a turn now and then where
//! somebody always does (`queue`); not while the log is long and being copied (`log`), so that those who wait are
//! not the ones who wait for that.
//!
//! Batches that hold only [`Durability::Process`] writes commit without an fsync
//! (`synchronous=NORMAL`): the next durable commit fsyncs them as well, since they are earlier in
//! the same log. They survive the death of the process; power may fail before. Whoever must know that they
//! survive that as well asks for it (`endure`).

use std::{
    fs::File,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::{BoxFuture, OptionFuture};
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::{sync::oneshot, task::JoinHandle};
use tracing::{error, warn};

use super::{
    log::{self, Log},
    queue::{Next, Waiting, Ways, queue},
};
use crate::catalog::{BoxError, CatalogError, Result, load::Load};

/// Writes after which the length of the log is looked at. One that nobody waits for may fill it by itself.
const LOOK_EVERY: usize = 32;

/// What a write has to survive once it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Durability {
    /// The death of the process.
    Process,
    /// A power failure.
    Full,
}

/// A write in the queue.
trait Job: Send {
    fn durability(&self) -> Durability;
    /// Runs it in the open transaction and keeps what it gave. Can be run again after a rollback.
    fn run<'c>(&'c mut self, db: &'c mut SqliteConnection) -> BoxFuture<'c, Result<()>>;
    /// Tells the caller, after the transaction's end.
    fn answer(self: Box<Self>, outcome: Result<()>);
}

struct Write<T, R, A> {
    durability: Durability,
    run: R,
    given: Option<T>,
    after: A,
    caller: oneshot::Sender<Result<T>>,
}

impl<T, R, A> Job for Write<T, R, A>
where
    T: Send,
    R: for<'c> Fn(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T>> + Send,
    A: FnOnce(Option<&T>) + Send,
{
    fn durability(&self) -> Durability {
        self.durability
    }

    fn run<'c>(&'c mut self, db: &'c mut SqliteConnection) -> BoxFuture<'c, Result<()>> {
        self.given = None;
        let work = (self.run)(db);
        Box::pin(async {
            self.given = Some(work.await?);
            Ok(())
        })
    }

    fn answer(self: Box<Self>, outcome: Result<()>) {
        let Self { given, after, caller, .. } = *self;
        let given = outcome.and_then(|()| given.ok_or_else(closed));
        after(given.as_ref().ok());
        // A caller that went away has its write all the same.
        let _ = caller.send(given);
    }
}

fn job<T, R, A>(durability: Durability, run: R, after: A) -> (Box<dyn Job>, oneshot::Receiver<Result<T>>)
where
    T: Send + 'static,
    R: for<'c> Fn(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T>> + Send + 'static,
    A: FnOnce(Option<&T>) + Send + 'static,
{
    let (caller, answer) = oneshot::channel();
    (Box::new(Write { durability, run, given: None, after, caller }), answer)
}

fn closed() -> CatalogError {
    CatalogError::Unavailable("the catalog is closed".into())
}

/// The way to the writer task.
pub(super) struct Writer {
    // Empty once closed.
    queue: Mutex<Option<Ways<Box<dyn Job>>>>,
    task: Mutex<Option<JoinHandle<()>>>,
    /// How long writes take that somebody waits for.
    pub(super) load: Arc<Load>,
}

impl Writer {
    /// Starts the task. `lock` is let go when its connection is closed.
    pub(super) fn start(options: SqliteConnectOptions, connection: SqliteConnection, lock: File) -> Self {
        let ((queue, waiting), load) = (queue(), Arc::<Load>::default());
        let owner = Owner {
            log: Log::new(options.clone()),
            options,
            connection: Some(connection),
            durability: Durability::Full,
            suspect: false,
            unlooked: 0,
        };
        let task = tokio::spawn(async move {
            owner.serve(waiting).await;
            drop(lock);
        });
        Self { queue: Mutex::new(Some(queue)), task: Mutex::new(Some(task)), load }
    }

    /// Runs a write and answers when it is as durable as it must be. `run` may be called more than
    /// once, each time in a transaction that holds nothing of its earlier runs. `after` is called once
    /// with what was committed, or `None`, before the answer is given, even if nobody waits for it any
    /// more; it is dropped uncalled if the write never ran.
    pub(super) async fn submit<T, R, A>(&self, durability: Durability, run: R, after: A) -> Result<T>
    where
        T: Send + 'static,
        R: for<'c> Fn(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T>> + Send + 'static,
        A: FnOnce(Option<&T>) + Send + 'static,
    {
        let written = async {
            let (job, answer) = job(durability, run, after);
            self.ways()?.ahead.send(job).await.map_err(|_| closed())?;
            answer.await.map_err(|_| closed())?
        };
        self.load.timed(written).await
    }

    /// As [`Writer::submit`], for work that nobody waits for.
    pub(super) async fn submit_behind<T, R, A>(&self, durability: Durability, run: R, after: A) -> Result<T>
    where
        T: Send + 'static,
        R: for<'c> Fn(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T>> + Send + 'static,
        A: FnOnce(Option<&T>) + Send + 'static,
    {
        let (job, answer) = job(durability, run, after);
        self.ways()?.behind.send(job).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Answers when all that was answered before survives a power failure. `mark` is a write that changes a page
    /// whenever it is run: a transaction that changes nothing would not be fsynced. It shares its transaction with
    /// writes that somebody waits for, where there are some.
    pub(super) async fn endure<R>(&self, mark: R) -> Result<()>
    where
        R: for<'c> Fn(&'c mut SqliteConnection) -> BoxFuture<'c, Result<()>> + Send + 'static,
    {
        let (job, answer) = job(Durability::Full, mark, |_| ());
        self.ways()?.ahead.send(job).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    fn ways(&self) -> Result<Ways<Box<dyn Job>>> {
        lock(&self.queue).clone().ok_or_else(closed)
    }

    /// Lets what waits be written, then checkpoints and closes. Later writes fail.
    pub(super) async fn close(&self) {
        drop(lock(&self.queue).take());
        let task = lock(&self.task).take();
        if let Some(Err(error)) = OptionFuture::from(task).await {
            error!("The catalog's writer ended badly: {error}");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Only whole values are put in and taken out.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a transaction failed.
enum Failure {
    /// One of its writes failed, and it was rolled back: the others may do.
    Write(CatalogError),
    /// It could not begin or commit.
    Transaction(CatalogError),
}

struct Owner {
    options: SqliteConnectOptions,
    log: Log,
    /// Empty after a failure that leaves its state in doubt.
    connection: Option<SqliteConnection>,
    /// What the connection's `synchronous` is set for.
    durability: Durability,
    /// An fsync has failed, so that the kernel may have thrown away pages of the log that it calls
    /// written. Nothing more goes into that log: it must first be copied whole into the database.
    suspect: bool,
    /// Writes since the log's length was looked at.
    unlooked: usize,
}

impl Owner {
    async fn serve(mut self, mut waiting: Waiting<Box<dyn Job>>) {
        let mut jobs = Vec::new();
        loop {
            // Without a connection nothing tends the log: the next write of any kind brings one, and has the log copied.
            let next = if self.connection.is_some() && self.log.is_full() {
                self.while_copied(&mut waiting, &mut jobs).await
            } else {
                waiting.next(&mut jobs).await
            };
            match next {
                Next::Ahead => self.unlooked += jobs.len(),
                Next::Behind => self.unlooked += LOOK_EVERY,
                Next::Closed => break,
            }
            if !jobs.is_empty() {
                self.write(&mut jobs).await;
            }
            if self.unlooked >= LOOK_EVERY {
                self.unlooked = 0;
                self.tend_log().await;
            }
        }
        if let Some(db) = self.connection {
            self.log.finish(db).await;
        }
    }

    /// What somebody waits for goes next, or nothing once the log was copied.
    async fn while_copied(
        &mut self,
        waiting: &mut Waiting<Box<dyn Job>>,
        jobs: &mut Vec<Box<dyn Job>>,
    ) -> Next {
        tokio::select! {
            biased;
            came = waiting.next_ahead(jobs) => if came { return Next::Ahead },
            () = self.log.copied() => {}
        }
        self.log.copied().await;
        self.unlooked = LOOK_EVERY;
        Next::Ahead
    }

    async fn write(&mut self, jobs: &mut Vec<Box<dyn Job>>) {
        match self.transaction(jobs).await {
            Ok(()) => jobs.drain(..).for_each(|job| job.answer(Ok(()))),
            Err(Failure::Write(_)) if jobs.len() > 1 => self.one_by_one(jobs).await,
            Err(Failure::Write(error) | Failure::Transaction(error)) => {
                let mut each = copies(error);
                jobs.drain(..).for_each(|job| job.answer(Err(each())));
            }
        }
    }

    async fn one_by_one(&mut self, jobs: &mut Vec<Box<dyn Job>>) {
        for mut job in jobs.drain(..) {
            match self.transaction(std::slice::from_mut(&mut job)).await {
                Ok(()) => job.answer(Ok(())),
                Err(Failure::Write(error) | Failure::Transaction(error)) => job.answer(Err(error)),
            }
        }
    }

    /// Runs the jobs in one transaction. The connection is only kept when it is known to be well.
    async fn transaction(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), Failure> {
        let durability = jobs.iter().map(|job| job.durability()).max().unwrap_or(Durability::Full);
        let mut db = self.connection(durability).await.map_err(Failure::Transaction)?;
        let mut open =
            db.begin_with("BEGIN IMMEDIATE").await.map_err(|error| Failure::Transaction(error.into()))?;
        for job in jobs {
            if let Err(error) = job.run(&mut open).await {
                // Fails when SQLite rolled back by itself, as it does when the disk is full.
                if open.rollback().await.is_ok() {
                    self.connection = Some(db);
                }
                return Err(Failure::Write(error));
            }
        }
        if let Err(error) = open.commit().await {
            error!("The catalog could not commit: {error}");
            self.suspect = true;
            return Err(Failure::Transaction(error.into()));
        }
        self.connection = Some(db);
        Ok(())
    }

    /// The connection, ready for a transaction.
    async fn connection(&mut self, durability: Durability) -> Result<SqliteConnection> {
        let mut db = match self.connection.take() {
            Some(db) => db,
            None => {
                self.durability = Durability::Full;
                self.options.connect().await?
            }
        };
        if self.suspect {
            // One that is under way has failed as well, or does no harm.
            self.log.settle().await.ok();
            log::copy_whole(&mut db).await?;
            self.suspect = false;
        }
        if self.durability != durability {
            // Takes effect when it is compiled, so it must be compiled each time: not a cached statement.
            let set = match durability {
                Durability::Process => "PRAGMA synchronous = NORMAL",
                Durability::Full => "PRAGMA synchronous = FULL",
            };
            sqlx::raw_sql(set).execute(&mut db).await?;
            self.durability = durability;
        }
        Ok(db)
    }

    async fn tend_log(&mut self) {
        let Some(db) = &mut self.connection else { return };
        if let Err(error) = self.log.tend(db).await {
            warn!("The catalog's log could not be copied into the database: {error}");
            self.suspect = true;
        }
    }
}

/// The same error for every write of a batch.
fn copies(error: CatalogError) -> impl FnMut() -> CatalogError {
    let (kind, error): (fn(BoxError) -> CatalogError, BoxError) = match error {
        CatalogError::Unavailable(error) => (CatalogError::Unavailable, error),
        CatalogError::Corrupt(error) => (CatalogError::Corrupt, error),
    };
    let error: Arc<dyn std::error::Error + Send + Sync> = error.into();
    move || kind(Box::new(Arc::clone(&error)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sqlx::sqlite::SqliteJournalMode;
    use tokio::{runtime, time::timeout};

    use super::*;

    fn make(db: &mut SqliteConnection) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            sqlx::raw_sql("CREATE TABLE made (n)").execute(db).await?;
            Ok(())
        })
    }

    #[test]
    fn what_nobody_waits_for_is_written_after_a_commit_failed_on_a_full_log() {
        let data = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new().filename(data.path().join("catalog.db"));
        let options = options.create_if_missing(true).journal_mode(SqliteJournalMode::Wal);
        // Its own, which can be left behind: a task that never waits keeps a runtime from ending.
        let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let written = runtime.block_on(async {
            let ((ways, waiting), log) = (queue(), Log::full(options.clone()));
            let durability = Durability::Full;
            let owner = Owner { options, log, connection: None, durability, suspect: true, unlooked: 0 };
            let served = tokio::spawn(owner.serve(waiting));
            let (job, answer) = job(Durability::Process, make, |_| ());
            ways.behind.send(job).await.ok().unwrap();
            let written = timeout(Duration::from_secs(20), answer).await;
            drop(ways);
            if written.is_ok() {
                served.await.unwrap();
            }
            written
        });
        runtime.shutdown_background();
        written.expect("it has its turn").unwrap().unwrap();
    }
}
