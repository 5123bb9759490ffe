//! Who did what.

use async_trait::async_trait;

use super::Result;
use crate::clock::Timestamp;

/// One thing that somebody did or was kept from doing. Texts are empty where they say nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditRow {
    /// When.
    pub time: Timestamp,
    /// Who, as [`crate::auth::Principal::key`] says it.
    pub who: String,
    /// From which address.
    pub address: String,
    /// What: `push`, `overwrite`, `delete`, `mount`, `login`, `admin`, …
    pub verb: String,
    /// With which repository.
    pub repository: String,
    /// With which tag, digest or endpoint.
    pub reference: String,
    /// The digest it came to.
    pub digest: String,
    /// How it ended: `done`, `denied`, `failed`.
    pub outcome: String,
    /// The request's id in the log.
    pub request_id: String,
    /// Anything more.
    pub detail: String,
}

/// A row's place in the log: rows of one moment are told apart by their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditPlace {
    /// Its time.
    pub time: Timestamp,
    /// Its number.
    pub id: i64,
}

/// Which rows are wanted. What is `None` is not asked about.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// Of this repository.
    pub repository: Option<String>,
    /// By this subject, as it is kept.
    pub who: Option<String>,
    /// Of this kind.
    pub verb: Option<String>,
    /// At this time or later.
    pub since: Timestamp,
    /// Before this place: where the last page ended.
    pub before: Option<AuditPlace>,
    /// Rows at most.
    pub limit: u32,
}

/// The log of who did what. Rows are added and, when they are old, dropped; none is ever changed.
#[async_trait]
pub trait AuditLog: Send + Sync {
    /// Adds rows. On SQLite they survive the death of the process when this returns, and a power failure with the
    /// next write of content; on PostgreSQL they are durable.
    async fn add_audit(&self, rows: &[AuditRow]) -> Result<()>;

    /// Rows with their places, the latest first.
    async fn audit(&self, query: &AuditQuery) -> Result<Vec<(AuditPlace, AuditRow)>>;

    /// Drops the oldest rows from before `before`, `limit` at most; how many there were.
    async fn drop_audit(&self, before: Timestamp, limit: u32) -> Result<u64>;
}
