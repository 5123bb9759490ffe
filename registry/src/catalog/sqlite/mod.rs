//! The embedded catalog: one SQLite file in the data directory, owned by one process.
//!
//! Writes go through one connection that gathers what waits into one transaction
//! (`writer`); reads through a few of their own, which WAL never makes wait. Since nobody else
//! writes, manifests are answered from memory (`cache`) and claims on upload sessions are only
//! in memory (`claims`).

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwapOption;
use futures_util::future::BoxFuture;
use sqlx::{
    ConnectOptions, Sqlite, SqliteConnection, SqlitePool,
    pool::PoolConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use self::{
    cache::Cache,
    claims::Claims,
    writer::{Durability, Writer},
};
use super::{
    NamespaceRules, OpenError, Result,
    open::{Step, migrate},
};

mod accounts;
mod audit;
mod cache;
mod claims;
mod collection;
mod leadership;
pub(super) mod lock;
mod log;
mod operations;
mod queue;
mod quotas;
mod rules;
#[cfg(test)]
mod tests;
mod tokens;
mod upkeep;
mod uploads;
mod writer;

pub(super) const STEPS: &[Step] = &[
    (1, "begin", include_str!("../migrations/sqlite/0001_begin.sql")),
    (2, "accounts", include_str!("../migrations/sqlite/0002_accounts.sql")),
    (3, "policy and audit", include_str!("../migrations/sqlite/0003_policy_and_audit.sql")),
    (4, "collection", include_str!("../migrations/sqlite/0004_collection.sql")),
    (5, "quotas", include_str!("../migrations/sqlite/0005_quotas.sql")),
    (6, "upkeep", include_str!("../migrations/sqlite/0006_upkeep.sql")),
    (7, "tokens", include_str!("../migrations/sqlite/0007_tokens.sql")),
];

/// How long a connection waits for another process that looks into the database.
const BUSY: Duration = Duration::from_secs(5);

/// What may be set.
#[derive(Clone, Copy, Debug)]
pub struct SqliteOptions {
    /// Memory for manifests, bytes.
    pub cache_bytes: u64,
    /// Connections that read at most.
    pub readers: u32,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { cache_bytes: 16 << 20, readers: 4 }
    }
}

/// The catalog in `catalog.db` of a data directory.
pub struct SqliteCatalog {
    path: PathBuf,
    /// How to open one more connection that reads, to suppose things on.
    aside: SqliteConnectOptions,
    readers: SqlitePool,
    writer: Writer,
    cache: Arc<Cache>,
    claims: Arc<Claims>,
    rules: ArcSwapOption<NamespaceRules>,
    leads: leadership::Leads,
}

impl fmt::Debug for SqliteCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteCatalog").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SqliteCatalog {
    /// Opens the catalog of a data directory, which is made if it is not there, and locks the
    /// directory until the catalog is closed and dropped.
    ///
    /// # Errors
    /// [`OpenError::Locked`] when another process has the directory.
    pub async fn open(data: &Path, options: SqliteOptions) -> Result<Self, OpenError> {
        let lock = lock::take(data)?;
        lock::keep_private(data)?;
        let path = data.join("catalog.db");
        let base = SqliteConnectOptions::new().filename(&path).disable_statement_logging();
        let writer = base
            .clone()
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            // As much as one transaction of collection reads and writes.
            .pragma("cache_size", "-8192")
            // What a statement would undo of itself otherwise goes to a file, page by page.
            .pragma("temp_store", "MEMORY")
            .row_buffer_size(512)
            // Checkpoints are the writer task's, which must hear when one fails.
            .pragma("wal_autocheckpoint", "0")
            .pragma("journal_size_limit", "67108864");
        let mut connection = writer.connect().await?;
        migrate(&mut connection, STEPS).await?;
        let aside = base.clone().read_only(true).busy_timeout(BUSY).row_buffer_size(256);
        let readers = SqlitePoolOptions::new()
            .max_connections(options.readers)
            .acquire_timeout(BUSY)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_lazy_with(aside.clone().pragma("cache_size", "-1024"));
        Ok(Self {
            path,
            aside,
            readers,
            writer: Writer::start(writer, connection, lock),
            cache: Arc::new(Cache::new(options.cache_bytes)),
            claims: Arc::default(),
            rules: ArcSwapOption::empty(),
            leads: leadership::Leads::default(),
        })
    }

    async fn reader(&self) -> Result<PoolConnection<Sqlite>> {
        Ok(self.readers.acquire().await?)
    }

    /// A write that a power failure must not undo once it was answered.
    async fn write<T, R>(&self, run: R) -> Result<T>
    where
        T: Send + 'static,
        R: for<'c> Fn(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T>> + Send + 'static,
    {
        self.writer.submit(Durability::Full, run, |_| ()).await
    }
}
