//! What is different about sessions whose claims are in memory.

use sqlx::SqliteConnection;

use super::claims::Claims;
use crate::{
    catalog::{
        Result, UploadId, UploadProgress, UploadRow, WriterId,
        database::Statements,
        ops::uploads::{progress_values, read},
    },
    clock::Timestamp,
};

const SAVE: &str = "UPDATE uploads SET received = $2, hash = $3, staging = $4, expires_at = $5 WHERE id = $1";
pub(super) const EXPIRED: &str = "SELECT id, repo, principal, created_at, received, hash, staging, expires_at \
     FROM uploads WHERE expires_at < $1 ORDER BY expires_at LIMIT $2";

/// Saves the progress if the claim is the writer's, and keeps it from being taken over until the
/// transaction has ended.
pub(super) async fn save(
    db: &mut SqliteConnection,
    claims: &Claims,
    id: UploadId,
    writer: WriterId,
    progress: &UploadProgress,
) -> Result<bool> {
    if !claims.begin_saving(id, writer) {
        return Ok(false);
    }
    let [offset, hash, staging, expires_at] = progress_values(progress)?;
    Ok(db.execute(SAVE, &[id.to_string().as_str().into(), offset, hash, staging, expires_at]).await? > 0)
}

/// Expired sessions that nobody is writing to.
pub(super) async fn expired(
    db: &mut SqliteConnection,
    claims: &Claims,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<UploadRow>> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    // Room for every session that is left out.
    let enough = i64::try_from(limit.saturating_add(claims.count())).unwrap_or(i64::MAX);
    let rows = db.rows(EXPIRED, &[now.into(), enough.into()]).await?;
    let mut sessions = Vec::new();
    for row in &rows {
        let session = read(row)?;
        if sessions.len() < limit && !claims.is_held(session.id, now) {
            sessions.push(session);
        }
    }
    Ok(sessions)
}
