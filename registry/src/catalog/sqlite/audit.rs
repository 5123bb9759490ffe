//! Who did what.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    SqliteCatalog,
    operations::{again, repeatable},
    writer::Durability,
};
use crate::{
    catalog::{AuditLog, AuditPlace, AuditQuery, AuditRow, Result, ops},
    clock::Timestamp,
};

const ADD: &str = "INSERT INTO audit_log \
     (time, who, address, verb, repository, reference, digest, outcome, request_id, detail) \
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, \
     value ->> 7, value ->> 8, value ->> 9 FROM json_each($1)";

#[async_trait]
impl AuditLog for SqliteCatalog {
    async fn add_audit(&self, rows: &[AuditRow]) -> Result<()> {
        let rows: Arc<[AuditRow]> = rows.into();
        let add = again!(|db| with rows => ops::audit::add(db, ADD, &rows));
        // The log is behind what it tells of by a moment anyway: no fsync of its own.
        self.writer.submit(Durability::Process, add, |_| ()).await
    }

    async fn audit(&self, query: &AuditQuery) -> Result<Vec<(AuditPlace, AuditRow)>> {
        ops::audit::query(&mut *self.reader().await?, query).await
    }

    async fn drop_audit(&self, before: Timestamp, limit: u32) -> Result<u64> {
        let drop = repeatable(move |db| Box::pin(ops::audit::drop_before(db, before, limit)));
        self.writer.submit(Durability::Process, drop, |_| ()).await
    }
}
