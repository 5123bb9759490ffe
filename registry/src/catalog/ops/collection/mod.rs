//! What collection does to rows, for both databases.

mod blobs;
mod deleted;
mod estimate;
mod manifests;
pub(crate) mod statements;

pub(crate) use blobs::{collectable as collectable_blobs, doomed, forget, orphans, sweep};
pub(crate) use deleted::{bury_tag, expire, list as deleted_list, undelete};
pub(crate) use estimate::estimate;
pub(crate) use manifests::{
    bury, collect, collect_released, collectable as collectable_manifests, condemned, retire, tag_ages,
    unrecorded_removals,
};
use statements::CollectionStatements;

use super::{Columns, Result, Statements, corrupt, parsed};
use crate::catalog::{RepoName, Stretch};

/// A list as one value.
fn json(list: &(impl serde::Serialize + ?Sized)) -> Result<String> {
    serde_json::to_string(list).map_err(corrupt)
}

/// The first column of every row.
fn numbers(rows: &[impl Columns]) -> Result<Vec<i64>> {
    rows.iter().map(|row| row.int(0)).collect()
}

/// See [`crate::catalog::Collection::forget_empty_repositories`].
pub(crate) async fn forget_repositories(
    db: &mut impl Statements,
    after: i64,
    window: u32,
) -> Result<Stretch<RepoName, i64>> {
    let last = stretch(db, statements::REPOSITORY_STRETCH, after, window).await?;
    let Some(last) = last else { return Ok(Stretch { found: Vec::new(), next: None }) };
    let gone = db.rows(statements::FORGET_REPOSITORIES, &[after.into(), last.into()]).await?;
    let found = gone.iter().map(|row| parsed(&row.text(0)?)).collect::<Result<_>>()?;
    Ok(Stretch { found, next: Some(last) })
}

/// The last number of a stretch, if there is one.
async fn stretch(
    db: &mut impl Statements,
    sql: &'static str,
    after: i64,
    window: u32,
) -> Result<Option<i64>> {
    let row = db.row(sql, &[after.into(), i64::from(window).into()]).await?;
    let last = row.ok_or_else(|| corrupt("an aggregate gave no row"))?.int(0)?;
    Ok((last >= 0).then_some(last))
}

/// See [`crate::catalog::Collection::save_report`].
pub(crate) async fn save_report(db: &mut impl Statements, report: &str) -> Result<()> {
    db.execute(statements::SAVE_REPORT, &[report.into()]).await.map(drop)
}

/// Changes a page, whenever it is run.
pub(crate) async fn mark(db: &mut impl Statements) -> Result<()> {
    db.execute(statements::MARK, &[]).await.map(drop)
}

/// See [`crate::catalog::Collection::last_report`].
pub(crate) async fn last_report(db: &mut impl Statements) -> Result<Option<String>> {
    db.row(statements::LAST_REPORT, &[]).await?.map(|row| row.text(0)).transpose()
}
