//! The PostgreSQL side of a move.

use std::{collections::BTreeMap, time::Duration};

use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, Row, postgres::PgConnectOptions};
use tokio::time::{Instant, sleep};

use super::{Cell, Kind, Move, Result, Side, Tables, TransferError};
use crate::catalog::{OpenError, open::migrate, postgres::STEPS};

/// Connections of a registry that has just ended are there for a moment.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connections of registries, but for this one.
const OTHERS: &str = "SELECT COUNT(*) FROM pg_stat_activity \
     WHERE datname = current_database() AND application_name = 'berth-registry' AND pid <> pg_backend_pid()";

/// A catalog in a database that no registry is connected to.
pub(super) struct Postgres {
    db: PgConnection,
}

/// What namespaces hold is then one number each, as in SQLite.
const ADD_UP: &str = "WITH lines AS (DELETE FROM namespace_ledger RETURNING namespace, bytes) \
     INSERT INTO namespace_usage AS u (namespace, bytes) \
     SELECT namespace, CAST(SUM(bytes) AS BIGINT) FROM lines GROUP BY namespace \
     ON CONFLICT (namespace) DO UPDATE SET bytes = u.bytes + excluded.bytes";

impl Postgres {
    pub(super) async fn open(url: &str) -> Result<Self> {
        let address: PgConnectOptions =
            url.parse().map_err(|error: sqlx::Error| OpenError::Address(error.into()))?;
        let address = address.application_name("berth-registry-migrate").disable_statement_logging();
        let mut db = address.connect().await.map_err(OpenError::from)?;
        let until = Instant::now() + PATIENCE;
        while sqlx::query(OTHERS).fetch_one(&mut db).await?.try_get::<i64, _>(0)? > 0 {
            if Instant::now() > until {
                return Err(TransferError::InUse);
            }
            sleep(Duration::from_millis(100)).await;
        }
        migrate(&mut db, STEPS).await?;
        sqlx::query(ADD_UP).execute(&mut db).await?;
        Ok(Self { db })
    }

    async fn run(&mut self, sql: String) -> Result<()> {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.db).await?;
        Ok(())
    }
}

impl Side for Postgres {
    async fn tables(&mut self) -> Result<Tables> {
        let columns = "SELECT table_name::text, column_name::text, data_type::text FROM information_schema.columns \
             WHERE table_schema = current_schema() AND is_generated = 'NEVER' AND table_name NOT LIKE '\\_sqlx\\_%'";
        let mut tables: Tables = BTreeMap::new();
        for row in sqlx::query(columns).fetch_all(&mut self.db).await? {
            let (name, column, kind): (String, String, String) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let kind = match kind.as_str() {
                "bigint" | "integer" | "smallint" => Kind::Int,
                "text" | "character varying" => Kind::Text,
                "bytea" => Kind::Bytes,
                other => return Err(TransferError::Shape(format!("{name}.{column} is a {other}"))),
            };
            tables.entry(name).or_default().columns.insert(column, kind);
        }
        let parents = "SELECT child.relname::text, parent.relname::text FROM pg_constraint c \
             JOIN pg_class child ON child.oid = c.conrelid JOIN pg_class parent ON parent.oid = c.confrelid \
             WHERE c.contype = 'f' AND child.relnamespace = current_schema()::regnamespace";
        for row in sqlx::query(parents).fetch_all(&mut self.db).await? {
            let (child, parent): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            tables.entry(child).or_default().parents.insert(parent);
        }
        Ok(tables)
    }

    async fn count(&mut self, table: &str) -> Result<u64> {
        let count = AssertSqlSafe(format!("SELECT COUNT(*) FROM \"{table}\""));
        let count: i64 = sqlx::query(count).fetch_one(&mut self.db).await?.try_get(0)?;
        Ok(count.unsigned_abs())
    }

    async fn begin(&mut self, moves: &[Move<'_>]) -> Result<()> {
        self.run("BEGIN".to_owned()).await?;
        for one in moves {
            self.run(format!("ALTER TABLE \"{}\" DISABLE TRIGGER USER", one.table)).await?;
        }
        Ok(())
    }

    async fn clear(&mut self, table: &str) -> Result<()> {
        self.run(format!("DELETE FROM \"{table}\"")).await
    }

    async fn write(&mut self, one: &Move<'_>, rows: &[Vec<Cell>]) -> Result<()> {
        // Also where a number would be generated: others refer to it.
        let mut query = sqlx::query(AssertSqlSafe(one.insert(rows.len(), "OVERRIDING SYSTEM VALUE")));
        for (cell, (_, kind)) in rows.iter().flatten().zip(one.columns.iter().cycle()) {
            query = match (cell, kind) {
                (Cell::Null, Kind::Int) => query.bind(None::<i64>),
                (Cell::Null, Kind::Text) => query.bind(None::<String>),
                (Cell::Null, Kind::Bytes) => query.bind(None::<Vec<u8>>),
                (Cell::Int(number), _) => query.bind(*number),
                (Cell::Text(text), _) => query.bind(text.clone()),
                (Cell::Bytes(bytes), _) => query.bind(bytes.clone()),
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
        let column = |(name, kind): &(&str, Kind)| match kind {
            Kind::Int => format!("\"{name}\"::bigint"),
            Kind::Text => format!("\"{name}\"::text"),
            Kind::Bytes => format!("\"{name}\""),
        };
        let columns: Vec<_> = one.columns.iter().map(column).collect();
        let select = AssertSqlSafe(format!("SELECT {} FROM \"{}\"", columns.join(", "), one.table));
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

    async fn commit(&mut self, moves: &[Move<'_>]) -> Result<()> {
        for one in moves {
            for (column, _) in one.columns.iter().filter(|(_, kind)| *kind == Kind::Int) {
                let sequence = "SELECT pg_get_serial_sequence(quote_ident($1), $2)";
                let row = sqlx::query(sequence).bind(one.table).bind(*column).fetch_one(&mut self.db).await?;
                let Some(sequence) = row.try_get::<Option<String>, _>(0)? else { continue };
                let table = one.table;
                self.run(format!(
                    "SELECT setval('{sequence}', COALESCE(MAX(\"{column}\"), 0) + 1, false) FROM \"{table}\""
                ))
                .await?;
            }
            self.run(format!("ALTER TABLE \"{}\" ENABLE TRIGGER USER", one.table)).await?;
        }
        self.run("COMMIT".to_owned()).await
    }
}
