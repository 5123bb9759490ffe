//! Upload sessions, but for their claims: SQLite has those in memory, PostgreSQL in the row.

use berth_oci::RepoName;

use super::{Columns, Result, Statements, Value, corrupt, parsed, signed, sql, unsigned};
use crate::{
    catalog::{UploadId, UploadProgress, UploadRow},
    clock::Timestamp,
};

/// Reads the columns `id, repo, principal, created_at, received, hash, staging, expires_at`.
pub(crate) fn read(row: &impl Columns) -> Result<UploadRow> {
    Ok(UploadRow {
        id: UploadId(row.text(0)?.parse().map_err(corrupt)?),
        repo: parsed(&row.text(1)?)?,
        principal: row.text(2)?,
        created_at: Timestamp(row.int(3)?),
        progress: UploadProgress {
            offset: unsigned(row.int(4)?)?,
            hash: row.bytes(5)?,
            staging: row.bytes(6)?,
            expires_at: Timestamp(row.int(7)?),
        },
    })
}

/// See [`crate::catalog::Catalog::create_upload`]. `sql` is [`sql::ADD_UPLOAD`] in the database's own words.
pub(crate) async fn create(db: &mut impl Statements, sql: &'static str, upload: &UploadRow) -> Result<()> {
    let UploadRow { id, repo, principal, created_at, progress } = upload;
    let id = id.to_string();
    let [offset, hash, staging, expires_at] = progress_values(progress)?;
    let row = [
        (&id).into(),
        repo.into(),
        principal.into(),
        (*created_at).into(),
        offset,
        hash,
        staging,
        expires_at,
    ];
    db.execute(sql, &row).await?;
    Ok(())
}

/// As they stand in the statements that save them: offset, hash, staging, end.
pub(crate) fn progress_values(progress: &UploadProgress) -> Result<[Value<'_>; 4]> {
    let UploadProgress { offset, hash, staging, expires_at } = progress;
    Ok([signed(*offset)?.into(), Value::Bytes(hash), Value::Bytes(staging), (*expires_at).into()])
}

/// See [`crate::catalog::Catalog::upload`].
pub(crate) async fn get(
    db: &mut impl Statements,
    repo: &RepoName,
    id: UploadId,
) -> Result<Option<UploadRow>> {
    let row = db.row(sql::UPLOAD, &[id.to_string().as_str().into(), repo.into()]).await?;
    row.as_ref().map(read).transpose()
}

/// See [`crate::catalog::Catalog::has_upload`].
pub(crate) async fn exists(db: &mut impl Statements, id: UploadId) -> Result<bool> {
    const HAS_UPLOAD: &str = "SELECT 1 FROM uploads WHERE id = $1";
    Ok(db.row(HAS_UPLOAD, &[id.to_string().as_str().into()]).await?.is_some())
}

/// See [`crate::catalog::Catalog::count_uploads`].
pub(crate) async fn count(db: &mut impl Statements, most: u32) -> Result<u32> {
    match db.row(sql::COUNT_UPLOADS, &[i64::from(most).into()]).await? {
        Some(row) => u32::try_from(row.int(0)?).map_err(corrupt),
        None => Err(corrupt("an aggregate gave no row")),
    }
}

/// See [`crate::catalog::Catalog::delete_upload`]. `sql` is [`sql::DELETE_UPLOAD`] in the database's own words.
pub(crate) async fn delete(
    db: &mut impl Statements,
    sql: &'static str,
    repo: &RepoName,
    id: UploadId,
) -> Result<Option<UploadRow>> {
    let row = db.row(sql, &[id.to_string().as_str().into(), repo.into()]).await?;
    row.as_ref().map(read).transpose()
}
