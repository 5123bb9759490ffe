//! Who did what.

use async_trait::async_trait;

use super::{
    PostgresCatalog,
    retry::{change, read},
};
use crate::{
    catalog::{AuditLog, AuditPlace, AuditQuery, AuditRow, Result, ops},
    clock::Timestamp,
};

const ADD: &str = "INSERT INTO audit_log \
     (time, who, address, verb, repository, reference, digest, outcome, request_id, detail) \
     SELECT (value ->> 0)::bigint, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, \
     value ->> 7, value ->> 8, value ->> 9 \
     FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS j (value, n) ORDER BY n";

#[async_trait]
impl AuditLog for PostgresCatalog {
    async fn add_audit(&self, rows: &[AuditRow]) -> Result<()> {
        change!(self, |db| ops::audit::add(db, ADD, rows))
    }

    async fn audit(&self, query: &AuditQuery) -> Result<Vec<(AuditPlace, AuditRow)>> {
        read!(self, |db| ops::audit::query(db, query))
    }

    async fn drop_audit(&self, before: Timestamp, limit: u32) -> Result<u64> {
        change!(self, |db| ops::audit::drop_before(db, before, limit))
    }
}
