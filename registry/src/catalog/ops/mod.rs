//! The operations, written once for both databases. Each runs inside a transaction of the
//! caller's where it writes, and can be run again from the start when that failed.

use berth_oci::RepoName;

use super::{
    BoxError, CatalogError, Result,
    database::{Columns, Statements, Value},
    sql,
};

pub(super) mod accounts;
pub(super) mod audit;
pub(super) mod blobs;
pub(super) mod collection;
pub(super) mod lists;
pub(super) mod manifests;
pub(super) mod quotas;
pub(super) mod rules;
pub(super) mod tokens;
pub(super) mod upkeep;
pub(super) mod uploads;

/// A row cannot be what we wrote.
pub(super) fn corrupt(error: impl Into<BoxError>) -> CatalogError {
    CatalogError::Corrupt(error.into())
}

/// A row that was there a statement ago has been deleted by somebody else since. Only PostgreSQL
/// has a somebody else; it tries again.
#[derive(Debug, thiserror::Error)]
#[error("{0} was deleted in between")]
pub(super) struct Overtaken(String);

pub(super) fn overtaken(what: impl ToString) -> CatalogError {
    CatalogError::Unavailable(Overtaken(what.to_string()).into())
}

/// Reads what was a type of ours when it was written.
fn parsed<T>(text: &str) -> Result<T>
where
    T: std::str::FromStr<Err: Into<BoxError>>,
{
    text.parse().map_err(corrupt)
}

pub(super) fn unsigned(number: i64) -> Result<u64> {
    u64::try_from(number).map_err(corrupt)
}

fn signed(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(corrupt)
}

/// The repository's id; it comes to be if it is not there.
async fn ensure_repository(db: &mut impl Statements, repo: &RepoName) -> Result<i64> {
    let name: &[Value<'_>] = &[repo.into()];
    for sql in [sql::REPOSITORY, sql::ADD_REPOSITORY, sql::REPOSITORY] {
        if let Some(row) = db.row(sql, name).await? {
            return row.int(0);
        }
    }
    Err(overtaken(repo))
}
