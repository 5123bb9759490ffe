//! Sessions whose claims are in the row, so that any replica respects them.

use berth_oci::RepoName;
use sqlx::PgConnection;

use crate::{
    catalog::{
        Claim, Result, UploadId, UploadProgress, UploadRow, WriterId,
        database::{Statements, Value},
        ops::uploads::{self as ops, get, progress_values, read},
        sql,
    },
    clock::Timestamp,
};

/// Evaluated for each row that a statement changes. A session was never promised to outlive a power
/// failure, so that the statement's own commit need not wait for the disk; content does, in a
/// transaction where this stands nowhere. It holds until the end of the transaction.
macro_rules! lazily {
    () => {
        "set_config('synchronous_commit', 'off', true)"
    };
}

const CREATE: &str = concat!(sql::add_upload!(), " RETURNING ", lazily!());
const DELETE: &str = concat!(sql::delete_upload!(), ", ", lazily!());
const CLAIM: &str = concat!(
    "UPDATE uploads SET writer = $3, writer_until = $4 \
     WHERE id = $1 AND repo = $2 AND (writer IS NULL OR writer = $3 OR writer_until <= $5) \
     RETURNING id, repo, principal, created_at, received, hash, staging, expires_at, ",
    lazily!()
);
const RENEW: &str =
    concat!("UPDATE uploads SET writer_until = $3 WHERE id = $1 AND writer = $2 RETURNING ", lazily!());
const SAVE: &str = concat!(
    "UPDATE uploads SET received = $3, hash = $4, staging = $5, expires_at = $6, writer = NULL \
     WHERE id = $1 AND writer = $2 RETURNING ",
    lazily!()
);
const SAVED: &str = "SELECT received FROM uploads \
     WHERE id = $1 AND writer IS NULL AND received = $2 AND hash = $3 AND staging = $4 AND expires_at = $5";
const EXPIRED: &str = "SELECT id, repo, principal, created_at, received, hash, staging, expires_at \
     FROM uploads WHERE expires_at < $1 AND (writer IS NULL OR writer_until <= $1) ORDER BY expires_at LIMIT $2";

/// See [`crate::catalog::Catalog::create_upload`].
pub(super) async fn create(db: &mut PgConnection, upload: &UploadRow) -> Result<()> {
    ops::create(db, CREATE, upload).await
}

/// See [`crate::catalog::Catalog::delete_upload`].
pub(super) async fn delete(
    db: &mut PgConnection,
    repo: &RepoName,
    id: UploadId,
) -> Result<Option<UploadRow>> {
    ops::delete(db, DELETE, repo, id).await
}

/// See [`crate::catalog::Catalog::claim_upload`].
pub(super) async fn claim(
    db: &mut PgConnection,
    repo: &RepoName,
    id: UploadId,
    writer: WriterId,
    now: Timestamp,
    until: Timestamp,
) -> Result<Claim> {
    let (name, writer) = (id.to_string(), writer.0.to_string());
    let values = [Value::from(&name), repo.into(), (&writer).into(), until.into(), now.into()];
    if let Some(row) = db.row(CLAIM, &values).await? {
        return Ok(Claim::Held(read(&row)?));
    }
    Ok(get(db, repo, id).await?.map_or(Claim::Unknown, Claim::Busy))
}

/// See [`crate::catalog::Catalog::renew_claim`].
pub(super) async fn renew(
    db: &mut PgConnection,
    id: UploadId,
    writer: WriterId,
    until: Timestamp,
) -> Result<bool> {
    let (id, writer) = (id.to_string(), writer.0.to_string());
    Ok(db.execute(RENEW, &[(&id).into(), (&writer).into(), until.into()]).await? > 0)
}

/// See [`crate::catalog::Catalog::save_upload`]. May be run again: what is saved already is saved.
pub(super) async fn save(
    db: &mut PgConnection,
    id: UploadId,
    writer: WriterId,
    progress: &UploadProgress,
) -> Result<bool> {
    let (id, writer) = (id.to_string(), writer.0.to_string());
    let [offset, hash, staging, expires_at] = progress_values(progress)?;
    let values = [(&id).into(), (&writer).into(), offset, hash, staging, expires_at];
    if db.execute(SAVE, &values).await? > 0 {
        return Ok(true);
    }
    // The answer to an earlier try may have been lost.
    Ok(db.row(SAVED, &[(&id).into(), offset, hash, staging, expires_at]).await?.is_some())
}

/// Expired sessions that nobody is writing to.
pub(super) async fn expired(db: &mut PgConnection, now: Timestamp, limit: u32) -> Result<Vec<UploadRow>> {
    let rows = db.rows(EXPIRED, &[now.into(), i64::from(limit).into()]).await?;
    rows.iter().map(read).collect()
}
