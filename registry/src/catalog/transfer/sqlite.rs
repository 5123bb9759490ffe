//! The SQLite side of a move.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::Path,
};

use futures_util::TryStreamExt;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Row, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::{Cell, Kind, Move, Result, Side, Table, Tables, TransferError};
use crate::catalog::{
    OpenError,
    open::migrate,
    sqlite::{STEPS, lock},
};

/// A catalog in a folder, which nobody else can open meanwhile.
pub(super) struct Sqlite {
    db: SqliteConnection,
    /// The statements that make its triggers, while they are away.
    triggers: Vec<String>,
    _lock: Option<File>,
}

/// Tables that have rows as soon as a catalog is made.
pub(super) async fn seeded() -> Result<BTreeSet<String>> {
    let mut db = SqliteConnectOptions::new().in_memory(true).connect().await.map_err(OpenError::from)?;
    migrate(&mut db, STEPS).await?;
    let mut fresh = Sqlite { db, triggers: Vec::new(), _lock: None };
    let mut seeded = BTreeSet::new();
    for table in fresh.tables().await?.into_keys() {
        if fresh.count(&table).await? > 0 {
            seeded.insert(table);
        }
    }
    Ok(seeded)
}

impl Sqlite {
    pub(super) async fn open(folder: &Path) -> Result<Self> {
        let lock = lock::take(folder)?;
        lock::keep_private(folder)?;
        let options = SqliteConnectOptions::new()
            .filename(folder.join("catalog.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .disable_statement_logging();
        let mut db = options.connect().await.map_err(OpenError::from)?;
        migrate(&mut db, STEPS).await?;
        Ok(Self { db, triggers: Vec::new(), _lock: Some(lock) })
    }
}

impl Side for Sqlite {
    async fn tables(&mut self) -> Result<Tables> {
        let names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
                     AND name NOT LIKE '\\_sqlx\\_%' ESCAPE '\\'";
        let mut tables = BTreeMap::new();
        for row in sqlx::query(names).fetch_all(&mut self.db).await? {
            let name: String = row.try_get(0)?;
            let mut table = Table::default();
            let columns = sqlx::query("SELECT name, type FROM pragma_table_info($1)").bind(&name);
            for row in columns.fetch_all(&mut self.db).await? {
                let (column, kind): (String, String) = (row.try_get(0)?, row.try_get(1)?);
                let kind = match kind.as_str() {
                    "INTEGER" | "INT" => Kind::Int,
                    "TEXT" => Kind::Text,
                    "BLOB" => Kind::Bytes,
                    other => return Err(TransferError::Shape(format!("{name}.{column} is a {other}"))),
                };
                table.columns.insert(column, kind);
            }
            let parents = sqlx::query("SELECT \"table\" FROM pragma_foreign_key_list($1)").bind(&name);
            for row in parents.fetch_all(&mut self.db).await? {
                table.parents.insert(row.try_get(0)?);
            }
            tables.insert(name, table);
        }
        Ok(tables)
    }

    async fn count(&mut self, table: &str) -> Result<u64> {
        let count = AssertSqlSafe(format!("SELECT COUNT(*) FROM \"{table}\""));
        let count: i64 = sqlx::query(count).fetch_one(&mut self.db).await?.try_get(0)?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    async fn begin(&mut self, _: &[Move<'_>]) -> Result<()> {
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut self.db).await?;
        let triggers = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'";
        for row in sqlx::query(triggers).fetch_all(&mut self.db).await? {
            let (name, sql): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            sqlx::raw_sql(AssertSqlSafe(format!("DROP TRIGGER \"{name}\""))).execute(&mut self.db).await?;
            self.triggers.push(sql);
        }
        Ok(())
    }

    async fn clear(&mut self, table: &str) -> Result<()> {
        sqlx::query(AssertSqlSafe(format!("DELETE FROM \"{table}\""))).execute(&mut self.db).await?;
        Ok(())
    }

    async fn write(&mut self, one: &Move<'_>, rows: &[Vec<Cell>]) -> Result<()> {
        let mut query = sqlx::query(AssertSqlSafe(one.insert(rows.len(), "")));
        for cell in rows.iter().flatten() {
            query = match cell {
                Cell::Null => query.bind(None::<i64>),
                Cell::Int(number) => query.bind(*number),
                Cell::Text(text) => query.bind(text.clone()),
                Cell::Bytes(bytes) => query.bind(bytes.clone()),
            };
        }
        query.execute(&mut self.db).await?;
        Ok(())
    }

    async fn read(
        &mut self,
        one: &Move<'_>,
        mut take: impl AsyncFnMut(&[Vec<Cell>]) -> Result<()>,
    ) -> Result<()> {
        let select = AssertSqlSafe(format!("SELECT {} FROM \"{}\"", one.names(), one.table));
        let mut rows = sqlx::query(select).fetch(&mut self.db);
        let mut batch = Vec::new();
        while let Some(row) = rows.try_next().await? {
            let mut cells = Vec::with_capacity(one.columns.len());
            for (at, (_, kind)) in one.columns.iter().enumerate() {
                cells.push(match kind {
                    Kind::Int => row.try_get::<Option<i64>, _>(at)?.map_or(Cell::Null, Cell::Int),
                    Kind::Text => row.try_get::<Option<String>, _>(at)?.map_or(Cell::Null, Cell::Text),
                    Kind::Bytes => row.try_get::<Option<Vec<u8>>, _>(at)?.map_or(Cell::Null, Cell::Bytes),
                });
            }
            batch.push(cells);
            if batch.len() == one.batch() {
                take(&batch).await?;
                batch.clear();
            }
        }
        if batch.is_empty() { Ok(()) } else { take(&batch).await }
    }

    async fn commit(&mut self, _: &[Move<'_>]) -> Result<()> {
        for sql in std::mem::take(&mut self.triggers) {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.db).await?;
        }
        sqlx::raw_sql("COMMIT").execute(&mut self.db).await?;
        sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut self.db).await?;
        self.db.ping().await?;
        Ok(())
    }
}
