//! Pages, each sought by the last entry of the one before, never counted off.

use berth_oci::{Digest, MediaType, RepoName, Tag};

use super::{Columns, Result, Statements, corrupt, parsed, sql, unsigned};
use crate::catalog::ReferrerRow;

/// PostgreSQL has no text with a NUL in it. No name has one either, so whatever stands behind it in a
/// client's `last` makes no difference to which names come after.
fn sought(after: Option<&str>) -> &str {
    after.and_then(|after| after.split('\0').next()).unwrap_or("")
}

/// See [`crate::catalog::Catalog::repositories`].
pub(crate) async fn repositories(
    db: &mut impl Statements,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<RepoName>> {
    let rows = db.rows(sql::REPOSITORIES, &[sought(after).into(), i64::from(limit).into()]).await?;
    rows.iter().map(|row| parsed(&row.text(0)?)).collect()
}

/// See [`crate::catalog::Catalog::tags`].
pub(crate) async fn tags(
    db: &mut impl Statements,
    repo: &RepoName,
    after: Option<&str>,
    limit: u32,
) -> Result<Option<Vec<Tag>>> {
    let page = [repo.into(), sought(after).into(), i64::from(limit).into()];
    let rows = db.rows(sql::TAGS, &page).await?;
    if rows.is_empty() && db.row(sql::REPOSITORY, &[repo.into()]).await?.is_none() {
        return Ok(None);
    }
    rows.iter().map(|row| parsed(&row.text(0)?)).collect::<Result<_>>().map(Some)
}

/// See [`crate::catalog::Catalog::referrers`].
pub(crate) async fn referrers(
    db: &mut impl Statements,
    repo: &RepoName,
    subject: &Digest,
    artifact_type: Option<&str>,
    after: Option<&Digest>,
    limit: u32,
) -> Result<Vec<ReferrerRow>> {
    if artifact_type.is_some_and(|text| text.contains('\0')) {
        return Ok(Vec::new());
    }
    let after = after.map_or("", Digest::as_str);
    let mut values = vec![repo.into(), subject.into(), after.into(), i64::from(limit).into()];
    let sql = match artifact_type {
        Some(artifact_type) => {
            values.push(artifact_type.into());
            sql::REFERRERS_OF_TYPE
        }
        None => sql::REFERRERS,
    };
    db.rows(sql, &values).await?.iter().map(referrer).collect()
}

fn referrer(row: &impl Columns) -> Result<ReferrerRow> {
    Ok(ReferrerRow {
        digest: parsed(&row.text(0)?)?,
        media_type: MediaType::new(&row.text(1)?),
        size: unsigned(row.int(2)?)?,
        artifact_type: row.maybe_text(3)?.map(|text| MediaType::new(&text)),
        annotations: serde_json::from_str(&row.text(4)?).map_err(corrupt)?,
    })
}
