//! Sessions whose claims are in the row, so that any replica respects them.

use berth_oci::RepoName;
use sqlx::PgConnection;

use crate::{
    catalog::{
        Claim, Result, UploadId, UploadProgress, UploadRow, WriterId,
        database::{Statements, Value},
        ops::uploads::{get, progress_values, read},
    },
    clock::Timestamp,
};

const CLAIM: &str = "UPDATE uploads SET writer = $3, writer_until = $4 \
     WHERE id = $1 AND repo = $2 AND (writer IS NULL OR writer = $3 OR writer_until <= $5) \
     RETURNING id, repo, principal, created_at, received, hash, staging, expires_at";
const RENEW: &str = "UPDATE uploads SET writer_until = $3 WHERE id = $1 AND writer = $2";
const SAVE: &str = "UPDATE uploads SET received = $3, hash = $4, staging = $5, expires_at = $6, writer = NULL \
     WHERE id = $1 AND writer = $2";
const EXPIRED: &str = "SELECT id, repo, principal, created_at, received, hash, staging, expires_at \
     FROM uploads WHERE expires_at < $1 AND (writer IS NULL OR writer_until <= $1) ORDER BY expires_at LIMIT $2";

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

/// See [`crate::catalog::Catalog::save_upload`].
pub(super) async fn save(
    db: &mut PgConnection,
    id: UploadId,
    writer: WriterId,
    progress: &UploadProgress,
) -> Result<bool> {
    let (id, writer) = (id.to_string(), writer.0.to_string());
    let [offset, hash, staging, expires_at] = progress_values(progress)?;
    let values = [(&id).into(), (&writer).into(), offset, hash, staging, expires_at];
    Ok(db.execute(SAVE, &values).await? > 0)
}

/// Expired sessions that nobody is writing to.
pub(super) async fn expired(db: &mut PgConnection, now: Timestamp, limit: u32) -> Result<Vec<UploadRow>> {
    let rows = db.rows(EXPIRED, &[now.into(), i64::from(limit).into()]).await?;
    rows.iter().map(read).collect()
}
