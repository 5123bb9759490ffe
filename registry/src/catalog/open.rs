//! What a catalog needs before it can be used: a database of the right shape.

use std::{io, ops::Deref, path::PathBuf};

use sqlx::{
    Acquire, SqlSafeStr,
    migrate::{Migrate, Migration, MigrationType, Migrator},
};

use super::{BoxError, CatalogError};

/// Why a catalog could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the data directory.
    #[error("data directory locked: another process uses {}", .0.display())]
    Locked(PathBuf),
    /// The data directory cannot be made or used.
    #[error("the folder {} cannot be used: {source}", path.display())]
    Directory {
        /// What was touched.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// The address of the database cannot be read. It is not repeated, since it may hold a password.
    #[error("the address of the database cannot be read: {0}")]
    Address(#[source] BoxError),
    /// The database does not answer.
    #[error("the catalog cannot be opened: {0}")]
    Database(#[source] BoxError),
    /// The schema could not be brought up to date, or is that of a newer version.
    #[error("the catalog's schema does not fit this version: {0}")]
    Migration(#[source] BoxError),
}

impl From<sqlx::Error> for OpenError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

impl From<CatalogError> for OpenError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::Unavailable(error) | CatalogError::Corrupt(error) => Self::Database(error),
        }
    }
}

/// One step of the schema: its number, what it is for, its statements.
pub(super) type Step = (i64, &'static str, &'static str);

/// Brings the schema up to date, each step in a transaction of its own. Several replicas may do so
/// at once: they wait for each other.
pub(super) async fn migrate<'c, A>(connection: A, steps: &[Step]) -> Result<(), OpenError>
where
    A: Acquire<'c>,
    <A::Connection as Deref>::Target: Migrate,
{
    let migrations = steps
        .iter()
        .map(|&(number, purpose, sql)| {
            Migration::new(number, purpose.into(), MigrationType::Simple, sql.into_sql_str(), false)
        })
        .collect();
    Migrator::with_migrations(migrations)
        .run(connection)
        .await
        .map_err(|error| OpenError::Migration(error.into()))
}
