//! The log of who did what.

use super::{Columns, Result, Statements, Value, corrupt};
use crate::{
    catalog::{AuditPlace, AuditQuery, AuditRow},
    clock::Timestamp,
};

macro_rules! select {
    ($of:literal) => {
        concat!(
            "SELECT time, id, who, address, verb, repository, reference, digest, outcome, request_id, detail \
             FROM audit_log WHERE ",
            $of,
            "time >= $1 AND (time, id) < ($2, $3) AND ($4 IS NULL OR verb = $4) \
             ORDER BY time DESC, id DESC LIMIT $5"
        )
    };
}
pub(crate) const ALL: &str = select!("");
/// What only says how partial its index is.
pub(crate) const OF_REPOSITORY: &str = select!("repository <> '' AND repository = $6 AND ");
pub(crate) const BY: &str = select!("who = $6 AND ");
pub(crate) const OF_REPOSITORY_BY: &str = select!("repository <> '' AND repository = $6 AND who = $7 AND ");
pub(crate) const DROP: &str = "DELETE FROM audit_log WHERE id IN \
     (SELECT id FROM audit_log WHERE time < $1 ORDER BY time, id LIMIT $2)";

/// See [`crate::catalog::AuditLog::add_audit`]. All rows as one value of one statement, `insert`, which each
/// database has in its own words.
pub(crate) async fn add(db: &mut impl Statements, insert: &'static str, rows: &[AuditRow]) -> Result<()> {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row.time.0,
                [&row.who, &row.address, &row.verb, &row.repository, &row.reference],
                [&row.digest, &row.outcome, &row.request_id, &row.detail],
            )
        })
        .map(|(time, first, last)| {
            let texts = first.into_iter().chain(last).map(|text| serde_json::Value::from(text.as_str()));
            std::iter::once(time.into()).chain(texts).collect::<Vec<serde_json::Value>>()
        })
        .collect();
    let json = serde_json::to_string(&rows).map_err(corrupt)?;
    db.execute(insert, &[(&json).into()]).await?;
    Ok(())
}

/// See [`crate::catalog::AuditLog::audit`].
pub(crate) async fn query(
    db: &mut impl Statements,
    query: &AuditQuery,
) -> Result<Vec<(AuditPlace, AuditRow)>> {
    let before = query.before.unwrap_or(AuditPlace { time: Timestamp(i64::MAX), id: i64::MAX });
    let mut values: Vec<Value<'_>> = vec![
        query.since.into(),
        before.time.into(),
        before.id.into(),
        query.verb.as_deref().into(),
        i64::from(query.limit).into(),
    ];
    let of = [&query.repository, &query.who].into_iter().flatten();
    values.extend(of.map(Value::from));
    let select = match (&query.repository, &query.who) {
        (None, None) => ALL,
        (Some(_), None) => OF_REPOSITORY,
        (None, Some(_)) => BY,
        (Some(_), Some(_)) => OF_REPOSITORY_BY,
    };
    db.rows(select, &values).await?.iter().map(read).collect()
}

fn read(row: &impl Columns) -> Result<(AuditPlace, AuditRow)> {
    let time = Timestamp(row.int(0)?);
    let read = AuditRow {
        time,
        who: row.text(2)?,
        address: row.text(3)?,
        verb: row.text(4)?,
        repository: row.text(5)?,
        reference: row.text(6)?,
        digest: row.text(7)?,
        outcome: row.text(8)?,
        request_id: row.text(9)?,
        detail: row.text(10)?,
    };
    Ok((AuditPlace { time, id: row.int(1)? }, read))
}

/// See [`crate::catalog::AuditLog::drop_audit`].
pub(crate) async fn drop_before(db: &mut impl Statements, before: Timestamp, limit: u32) -> Result<u64> {
    db.execute(DROP, &[before.into(), i64::from(limit).into()]).await
}
