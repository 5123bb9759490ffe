//! Pages, each sought by the last entry of the one before, never counted off.

use berth_oci::{Digest, MediaType, RepoName, Tag};

use super::{Columns, Result, Statements, Value, corrupt, parsed, sql, unsigned};
use crate::catalog::{ReferrerRow, Referrers, ReferrersLimit};

/// PostgreSQL has no text with a NUL in it. No name has one either, so whatever stands behind it in a
/// client's `last` makes no difference to which names come after.
pub(super) fn sought(after: Option<&str>) -> &str {
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

/// What an entry weighs beside its annotations, roughly.
const REFERRER_BYTES: u64 = 300;
/// Behind every digest in byte order.
const LAST: &str = "~";

/// See [`crate::catalog::Catalog::referrers`]. Weighed before it is read: a page of manifests that
/// are all annotations would not fit into memory.
pub(crate) async fn referrers(
    db: &mut impl Statements,
    repo: &RepoName,
    subject: &Digest,
    artifact_type: Option<&str>,
    after: Option<&Digest>,
    limit: ReferrersLimit,
) -> Result<Referrers> {
    if artifact_type.is_some_and(|text| text.contains('\0')) {
        return Ok(Referrers::default());
    }
    let after = after.map_or("", Digest::as_str);
    let mut values: Vec<Value<'_>> = vec![repo.into(), subject.into(), after.into(), LAST.into()];
    // One more, to know whether the page is the last.
    values.push((i64::from(limit.entries) + 1).into());
    values.extend(artifact_type.map(Value::from));
    let (weigh, read) = match artifact_type {
        Some(_) => (sql::REFERRER_WEIGHTS_OF_TYPE, sql::REFERRERS_OF_TYPE),
        None => (sql::REFERRER_WEIGHTS, sql::REFERRERS),
    };
    let weights = db.rows(weigh, &values).await?;
    let (mut fits, mut bytes) = (0, 0_u64);
    for row in weights.iter().take(usize::try_from(limit.entries).unwrap_or(usize::MAX)) {
        bytes = bytes.saturating_add(REFERRER_BYTES).saturating_add(unsigned(row.int(1)?)?);
        // One entry always goes out, or a client would never come past it.
        if fits > 0 && bytes > limit.bytes {
            break;
        }
        fits += 1;
    }
    let more = fits < weights.len();
    let Some(last) = weights.get(..fits).and_then(<[_]>::last) else {
        return Ok(Referrers { rows: Vec::new(), more });
    };
    // Up to the last one and not so many: what was pushed since must not push another out.
    let last = last.text(0)?;
    values[3] = (&last).into();
    let rows = db.rows(read, &values).await?.iter().map(referrer).collect::<Result<_>>()?;
    Ok(Referrers { rows, more })
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
