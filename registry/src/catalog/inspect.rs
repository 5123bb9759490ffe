//! A look at a catalog that changes nothing in it, whether or not a registry uses it.

use std::path::Path;

use sqlx::{ConnectOptions, Connection, Row, postgres::PgConnectOptions, sqlite::SqliteConnectOptions};

use super::{OpenError, postgres, sqlite, transfer::Place};
use crate::clock::Timestamp;

/// What a catalog says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The last step of its schema; `None` where there is no catalog yet.
    pub schema: Option<i64>,
    /// The last step that this version knows.
    pub newest: i64,
    /// Whether it knows of no push.
    pub empty: bool,
    /// The database's clock, where it has one of its own.
    pub clock: Option<Timestamp>,
}

const SCHEMA: &str = "SELECT MAX(version) FROM _sqlx_migrations WHERE success";

const EMPTY: &str = "SELECT NOT EXISTS (SELECT 1 FROM manifests) AND NOT EXISTS (SELECT 1 FROM blobs)";

/// Looks at a catalog.
///
/// # Errors
/// When it cannot be reached.
pub async fn inspect(place: &Place) -> Result<Inspection, OpenError> {
    match place {
        Place::Sqlite(folder) => in_folder(folder).await,
        Place::Postgres(url) => at_address(url).await,
    }
}

async fn in_folder(folder: &Path) -> Result<Inspection, OpenError> {
    let newest = sqlite::STEPS.last().map_or(0, |step| step.0);
    let file = folder.join("catalog.db");
    if !file.exists() {
        return Ok(Inspection { schema: None, newest, empty: true, clock: None });
    }
    let options = SqliteConnectOptions::new().filename(file).read_only(true).disable_statement_logging();
    let mut db = options.connect().await?;
    let schema = sqlx::query(SCHEMA).fetch_one(&mut db).await?.try_get(0)?;
    let empty = match schema {
        Some(_) => sqlx::query(EMPTY).fetch_one(&mut db).await?.try_get(0)?,
        None => true,
    };
    db.close().await?;
    Ok(Inspection { schema, newest, empty, clock: None })
}

async fn at_address(url: &str) -> Result<Inspection, OpenError> {
    let newest = postgres::STEPS.last().map_or(0, |step| step.0);
    let address: PgConnectOptions =
        url.parse().map_err(|error: sqlx::Error| OpenError::Address(error.into()))?;
    let address = address.application_name("berth-registry-doctor").disable_statement_logging();
    let mut db = address.connect().await?;
    let clock = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
    let clock: i64 = sqlx::query(clock).fetch_one(&mut db).await?.try_get(0)?;
    let there = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";
    let schema = match sqlx::query(there).fetch_one(&mut db).await?.try_get(0)? {
        true => sqlx::query(SCHEMA).fetch_one(&mut db).await?.try_get(0)?,
        false => None,
    };
    let empty = match schema {
        Some(_) => sqlx::query(EMPTY).fetch_one(&mut db).await?.try_get(0)?,
        None => true,
    };
    db.close().await?;
    Ok(Inspection { schema, newest, empty, clock: Some(Timestamp(clock)) })
}
