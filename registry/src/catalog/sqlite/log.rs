//! The write-ahead log, kept short by copying it into the database.
//!
//! The bulk of it is copied over a connection of its own, while writes go on: SQLite lets one write while
//! another copies, and what is copied waits for the disk several times. The log can only begin anew when
//! all of it has been copied, so the little that came meanwhile is then copied by the writer itself.

use std::mem;

use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::task::JoinHandle;
use tracing::warn;

use crate::catalog::{
    CatalogError, Result,
    database::{Columns, Statements},
};

/// Pages of 4 KiB that wait in the log when a copy begins.
const LONG: i64 = 4000;
/// As few as this are copied while writes wait.
const SHORT: i64 = 500;
/// From so many on, what nobody waits for comes after the copy that is under way: what a copy leaves is what came
/// meanwhile, and has to become little.
const FULL: i64 = 8000;
/// Of so many pages no log is longer, where no reader keeps it: writes then wait for the copy.
const LONGEST: i64 = 16_000;

/// How the copying stands.
enum Copying {
    /// Nothing is copied now; the connection for it, once there is one.
    Idle(Option<SqliteConnection>),
    /// A copy is under way.
    UnderWay(JoinHandle<Result<SqliteConnection>>),
    /// A copy came to its end.
    Ended(Result<SqliteConnection>),
}

/// The log of one database.
pub(super) struct Log {
    options: SqliteConnectOptions,
    copying: Copying,
    /// What the last look saw.
    seen: Length,
    /// Whether the last copy came no further, since a reader needs what is there.
    is_kept: bool,
}

/// Pages in the log, and how many of them are in the database too.
#[derive(Clone, Copy, Default)]
struct Length {
    pages: i64,
    copied: i64,
}

impl Length {
    fn rest(self) -> i64 {
        self.pages - self.copied
    }
}

impl Log {
    pub(super) fn new(options: SqliteConnectOptions) -> Self {
        Self { options, copying: Copying::Idle(None), seen: Length::default(), is_kept: false }
    }

    /// A long one whose last copy failed.
    #[cfg(test)]
    pub(super) fn full(options: SqliteConnectOptions) -> Self {
        let copying = Copying::Ended(Err(CatalogError::Unavailable("the copy failed".into())));
        Self { copying, seen: Length { pages: FULL, copied: 0 }, ..Self::new(options) }
    }

    /// Whether what nobody waits for is to come after the copy that is under way. Not where a reader keeps the log
    /// long, since no copy makes it shorter then.
    pub(super) fn is_full(&self) -> bool {
        !matches!(self.copying, Copying::Idle(_)) && self.seen.pages >= FULL && !self.is_kept
    }

    /// Waits until no copy is under way. Nothing is lost when it is dropped.
    pub(super) async fn copied(&mut self) {
        if let Copying::UnderWay(copy) = &mut self.copying {
            let copied = copy.await;
            let copied = copied.map_err(|error| CatalogError::Unavailable(error.into()));
            self.copying = Copying::Ended(copied.and_then(|copied| copied));
        }
    }

    /// Looks how long the log is, and sees to it that it gets no longer. Called between transactions with
    /// the writer's connection.
    ///
    /// # Errors
    /// When a copy failed, now or beside the writes before: what the log holds may not be what was written.
    pub(super) async fn tend(&mut self, writer: &mut SqliteConnection) -> Result<()> {
        let length = match length(writer).await {
            Ok(length) => length,
            Err(error) => {
                warn!("The catalog's log cannot be looked at: {error}");
                self.seen = Length::default();
                return Ok(());
            }
        };
        let before = mem::replace(&mut self.seen, length);
        let was_copied = match &self.copying {
            Copying::Idle(_) => false,
            Copying::UnderWay(copy) if !copy.is_finished() && length.pages < LONGEST => return Ok(()),
            Copying::UnderWay(_) | Copying::Ended(_) => true,
        };
        self.settle().await?;
        // What was copied meanwhile is not in the first look.
        let length = if was_copied { self::length(writer).await? } else { length };
        if was_copied {
            self.is_kept = length.copied <= before.copied && length.pages >= before.pages;
        }
        self.seen = length;
        if length.pages >= LONGEST || (was_copied && length.rest() <= SHORT) {
            checkpoint(writer, "PRAGMA wal_checkpoint(PASSIVE)").await?;
        } else if was_copied || length.rest() > LONG {
            self.begin();
        }
        Ok(())
    }

    fn begin(&mut self) {
        let Copying::Idle(kept) = mem::replace(&mut self.copying, Copying::Idle(None)) else { return };
        let options = self.options.clone();
        self.copying = Copying::UnderWay(tokio::spawn(async move {
            let mut db = match kept {
                Some(db) => db,
                None => options.connect().await?,
            };
            checkpoint(&mut db, "PRAGMA wal_checkpoint(PASSIVE)").await?;
            Ok(db)
        }));
    }

    /// Waits for the copy that is under way, if one is.
    ///
    /// # Errors
    /// When it failed.
    pub(super) async fn settle(&mut self) -> Result<()> {
        self.copied().await;
        self.copying = match mem::replace(&mut self.copying, Copying::Idle(None)) {
            Copying::Ended(copied) => Copying::Idle(Some(copied?)),
            other => other,
        };
        Ok(())
    }

    /// Copies the whole log and closes the writer's connection. What cannot be copied is read from the log at the
    /// next start.
    pub(super) async fn finish(mut self, mut writer: SqliteConnection) {
        if let Err(error) = self.settle().await {
            warn!("The catalog's log could not be copied into the database: {error}");
        }
        if let Copying::Idle(Some(db)) = self.copying
            && let Err(error) = db.close().await
        {
            warn!("A connection of the catalog did not close well: {error}");
        }
        if let Err(error) = copy_whole(&mut writer).await {
            warn!("The catalog's log stays: {error}");
        }
        if let Err(error) = writer.close().await {
            warn!("The catalog did not close well: {error}");
        }
    }
}

/// Copies all of the log and empties it. No copy may be under way.
pub(super) async fn copy_whole(writer: &mut SqliteConnection) -> Result<()> {
    checkpoint(writer, "PRAGMA wal_checkpoint(TRUNCATE)").await.map(drop)
}

async fn length(db: &mut SqliteConnection) -> Result<Length> {
    checkpoint(db, "PRAGMA wal_checkpoint(NOOP)").await
}

/// Runs a checkpoint; how long the log is then.
async fn checkpoint(db: &mut SqliteConnection, sql: &'static str) -> Result<Length> {
    let row = db.row(sql, &[]).await?.ok_or_else(|| CatalogError::Corrupt("no answer".into()))?;
    let (busy, pages, copied) = (row.int(0)?, row.int(1)?, row.int(2)?);
    if busy != 0 {
        return Err(CatalogError::Unavailable("the log is in use".into()));
    }
    Ok(Length { pages, copied })
}
