//! The little that the operations need of a connection, so that each is written once for both
//! databases: run a statement with values, read columns by their place.

use std::future::Future;

use sqlx::{PgConnection, Row, SqliteConnection, postgres::PgRow, sqlite::SqliteRow};

use super::{CatalogError, Result};

/// A value for a statement's `$n`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Int(i64),
    Text(&'a str),
    MaybeText(Option<&'a str>),
    Bytes(&'a [u8]),
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<super::Timestamp> for Value<'_> {
    fn from(time: super::Timestamp) -> Self {
        Self::Int(time.0)
    }
}

impl<'a, T: AsRef<str> + ?Sized> From<&'a T> for Value<'a> {
    fn from(text: &'a T) -> Self {
        Self::Text(text.as_ref())
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(text: Option<&'a str>) -> Self {
        Self::MaybeText(text)
    }
}

/// A connection, and the statements that each database has in its own words.
pub(super) trait Statements: Send {
    /// What a query gives.
    type Row: Columns;
    /// Whether others write beside this connection, so that rows must be locked.
    const LOCKS: bool;

    /// `$1` a repository's name, `$2` references as JSON (see `ops::manifests`), `$3` how many:
    /// those that the manifest may not be stored without and that are missing, in the order given.
    const MISSING_REFERENCES: &'static str;
    /// `$1` a repository's name, `$2` references as JSON: how deep the deepest child that is there
    /// is nested, -1 when none is.
    const CHILD_DEPTH: &'static str;
    /// `$1` a manifest's id, `$2` its references as JSON.
    const ADD_REFERENCES: &'static str;
    /// `$1` the new end, `$2` references as JSON, `$3` the end before which a lease is renewed.
    const RENEW_LEASES: &'static str;

    /// `$1` a repository's name, `$2` a digest: the manifest's id, and nobody else refers to it anew
    /// before the end of the transaction.
    const LOCK_MANIFEST: &'static str;
    /// `$1` a repository's name, `$2` references as JSON: the children that are there, which nobody
    /// collects before the end of the transaction.
    const HOLD_CHILDREN: &'static str;
    /// The same for blobs, whatever clocks say of their leases.
    const HOLD_BLOBS: &'static str;
    /// `$1` a digest: the manifest's body, and nobody else decides whether it goes before the end of the
    /// transaction.
    const LOCK_BODY: &'static str;

    /// Runs a statement and says how many rows it changed.
    fn execute(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<u64>> + Send;

    /// Runs a statement to its end and gives all its rows.
    fn rows(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<Vec<Self::Row>>> + Send;

    /// The one row there is at most.
    fn row(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<Option<Self::Row>>> + Send {
        async move { Ok(self.rows(sql, values).await?.pop()) }
    }
}

/// A row's columns, by place from 0.
pub(super) trait Columns: Send + Sized {
    fn int(&self, at: usize) -> Result<i64>;
    fn text(&self, at: usize) -> Result<String>;
    fn maybe_text(&self, at: usize) -> Result<Option<String>>;
    fn bytes(&self, at: usize) -> Result<Vec<u8>>;
}

/// The statements whose only difference is how a JSON array becomes rows
/// (n, digest, kind, optional).
macro_rules! over_references {
    ($references:literal, $ordered_lock:literal, $lock:literal, $hold:literal) => {
        // `NOT (kind = 1 AND …)`: a child that is there as a blob will do.
        const MISSING_REFERENCES: &'static str = concat!(
            "SELECT r.digest, r.kind FROM (", $references, ") r WHERE r.optional = 0 \
             AND NOT EXISTS (SELECT 1 FROM blob_links l \
                 WHERE l.repo_id = (SELECT id FROM repositories WHERE name = $1) AND l.digest = r.digest \
                 AND NOT EXISTS (SELECT 1 FROM blobs q WHERE q.digest = l.digest AND q.quarantined_at IS NOT NULL)) \
             AND NOT (r.kind = 1 AND EXISTS (SELECT 1 FROM manifests m \
                 WHERE m.repo_id = (SELECT id FROM repositories WHERE name = $1) AND m.digest = r.digest)) \
             ORDER BY r.n LIMIT $3"
        );
        const CHILD_DEPTH: &'static str = concat!(
            "SELECT CAST(COALESCE(MAX(m.depth), -1) AS BIGINT) FROM manifests m \
             WHERE m.repo_id = (SELECT id FROM repositories WHERE name = $1) \
             AND m.digest IN (SELECT r.digest FROM (", $references, ") r WHERE r.kind = 1)"
        );
        const ADD_REFERENCES: &'static str = concat!(
            "INSERT INTO manifest_refs (parent, repo_id, child, kind, optional) \
             SELECT m.id, m.repo_id, r.digest, r.kind, r.optional FROM manifests m, (", $references, ") r \
             WHERE m.id = $1 \
             ON CONFLICT (parent, child, kind) DO NOTHING"
        );
        const RENEW_LEASES: &'static str = concat!(
            "UPDATE blobs SET lease_until = $1 WHERE digest IN (SELECT b.digest FROM blobs b \
             WHERE b.lease_until < $3 AND b.digest IN (SELECT r.digest FROM (", $references, ") r)",
            $ordered_lock, ")"
        );
        const LOCK_MANIFEST: &'static str = concat!(
            "SELECT id FROM manifests \
             WHERE repo_id = (SELECT id FROM repositories WHERE name = $1) AND digest = $2",
            $lock
        );
        const HOLD_CHILDREN: &'static str = concat!(
            "SELECT m.id FROM manifests m \
             WHERE m.repo_id = (SELECT id FROM repositories WHERE name = $1) \
             AND m.digest IN (SELECT r.digest FROM (", $references, ") r WHERE r.kind = 1)",
            $hold
        );
        const HOLD_BLOBS: &'static str = concat!(
            "SELECT m.digest FROM blobs m WHERE EXISTS (SELECT 1 FROM repositories WHERE name = $1) \
             AND m.digest IN (SELECT r.digest FROM (", $references, ") r)",
            $hold
        );
        const LOCK_BODY: &'static str =
            concat!("SELECT digest FROM manifest_bodies WHERE digest = $1", $lock);
    };
}

macro_rules! on_connection {
    ($connection:ty, $row:ty, $locks:literal, $references:literal, $ordered_lock:literal, $lock:literal, $hold:literal) => {
        impl Statements for $connection {
            type Row = $row;
            const LOCKS: bool = $locks;

            over_references!($references, $ordered_lock, $lock, $hold);

            async fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64> {
                Ok(with_values!(sql, values).execute(self).await?.rows_affected())
            }

            async fn rows(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<$row>> {
                Ok(with_values!(sql, values).fetch_all(self).await?)
            }
        }

        impl Columns for $row {
            fn int(&self, at: usize) -> Result<i64> {
                Ok(self.try_get(at)?)
            }
            fn text(&self, at: usize) -> Result<String> {
                Ok(self.try_get(at)?)
            }
            fn maybe_text(&self, at: usize) -> Result<Option<String>> {
                Ok(self.try_get(at)?)
            }
            fn bytes(&self, at: usize) -> Result<Vec<u8>> {
                Ok(self.try_get(at)?)
            }
        }
    };
}

macro_rules! with_values {
    ($sql:ident, $values:ident) => {{
        let mut query = sqlx::query($sql);
        for value in $values {
            query = match *value {
                Value::Int(number) => query.bind(number),
                Value::Text(text) => query.bind(text.to_owned()),
                Value::MaybeText(text) => query.bind(text.map(str::to_owned)),
                Value::Bytes(bytes) => query.bind(bytes.to_vec()),
            };
        }
        query
    }};
}

on_connection!(
    SqliteConnection,
    SqliteRow,
    false,
    "SELECT key AS n, value ->> 0 AS digest, value ->> 1 AS kind, value ->> 2 AS optional FROM json_each($2)",
    "",
    // One connection writes.
    "",
    ""
);
on_connection!(
    PgConnection,
    PgRow,
    true,
    "SELECT n, value ->> 0 AS digest, (value ->> 1)::bigint AS kind, (value ->> 2)::bigint AS optional \
     FROM jsonb_array_elements($2::jsonb) WITH ORDINALITY AS j (value, n)",
    // Two manifests with the same layers lock their rows in one order, so that neither waits for ever.
    " ORDER BY b.digest FOR NO KEY UPDATE OF b",
    " FOR UPDATE",
    " ORDER BY m.digest FOR KEY SHARE OF m"
);

impl From<sqlx::Error> for CatalogError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::RowNotFound
            | sqlx::Error::TypeNotFound { .. }
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Decode(_) => Self::Corrupt(error.into()),
            _ => Self::Unavailable(error.into()),
        }
    }
}
