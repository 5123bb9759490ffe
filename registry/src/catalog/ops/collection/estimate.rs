//! What a run would do, found out by running its questions against views that leave out what would be
//! gone by then.

use berth_oci::{RepoName, Tag};

use super::{CollectionStatements, Columns, Result, condemned, json, numbers, statements};
use crate::catalog::{
    Estimate, Horizon, ManifestId,
    ops::{corrupt, unsigned},
};

const WINDOW: u32 = 2000;
const BATCH: usize = 500;

/// Manifests whose last tags would be gone.
const SUPPOSED_RELEASED: &str = "SELECT DISTINCT t.manifest FROM gone_tags g \
     JOIN all_tags t ON t.repo_id = g.repo_id AND t.name = g.name WHERE t.manifest > $1 ORDER BY t.manifest LIMIT $2";
/// Blobs of a stretch that would go now: how many and their bytes.
const FREED_NOW: &str = "SELECT COUNT(*), CAST(COALESCE(SUM(b.size), 0) AS BIGINT) FROM blobs b \
     WHERE b.digest > $1 AND b.digest <= $2 AND b.lease_until < $3 \
     AND NOT EXISTS (SELECT 1 FROM blob_links l JOIN manifest_refs r ON r.child = l.digest \
         AND r.repo_id = l.repo_id WHERE l.digest = b.digest) \
     AND NOT EXISTS (SELECT 1 FROM deleted_refs d WHERE d.child = b.digest) \
     AND NOT EXISTS (SELECT 1 FROM all_refs a JOIN gone_manifests g ON g.id = a.parent \
         WHERE a.child = b.digest AND g.kept = 1)";
/// Blobs of a stretch that nothing would need in the end, and that what would be gone did need.
const FREED_IN_THE_END: &str = "SELECT COUNT(*), CAST(COALESCE(SUM(b.size), 0) AS BIGINT) FROM blobs b \
     WHERE b.digest > $1 AND b.digest <= $2 AND b.lease_until < $3 \
     AND EXISTS (SELECT 1 FROM all_refs a JOIN gone_manifests g ON g.id = a.parent WHERE a.child = b.digest) \
     AND NOT EXISTS (SELECT 1 FROM manifest_refs r WHERE r.child = b.digest)";

/// See [`crate::catalog::Collection::estimate`]; on a connection of its own, behind
/// [`CollectionStatements::SUPPOSE`].
pub(crate) async fn estimate<D: CollectionStatements>(
    db: &mut D,
    tags: &[(RepoName, Tag)],
    mut horizon: Horizon,
    forever: bool,
) -> Result<Estimate> {
    let keeps = horizon.keeps_deleted() && !forever;
    if forever {
        horizon.released = crate::clock::Timestamp(i64::MAX);
        horizon.now = horizon.released;
    }
    let mut found = Estimate::default();
    for some in tags.chunks(BATCH) {
        let pairs: Vec<_> = some.iter().map(|(repo, tag)| (repo.as_str(), tag.as_str())).collect();
        db.execute(D::SUPPOSE_TAGS, &[(&json(&pairs)?).into()]).await?;
    }
    for released in [SUPPOSED_RELEASED, statements::RELEASED] {
        let mut after = -1;
        loop {
            let rows = db.rows(released, &[after.into(), i64::from(WINDOW).into()]).await?;
            let ids = numbers(&rows)?;
            let Some(&last) = ids.last() else { break };
            after = last;
            suppose(db, ids, Some(horizon.released), true, keeps, &mut found).await?;
        }
    }
    if !forever {
        let mut after = -1;
        loop {
            let stretch = super::collectable_manifests(db, after, WINDOW, horizon).await?;
            let ids = stretch.found.iter().map(|manifest| manifest.id).collect();
            suppose(db, ids, horizon.untagged, false, keeps, &mut found).await?;
            match stretch.next {
                Some(next) => after = next,
                None => break,
            }
        }
    }
    blobs(db, if forever { FREED_IN_THE_END } else { FREED_NOW }, horizon, &mut found).await?;
    Ok(found)
}

/// Supposes these manifests gone, and what they held and nothing else does.
async fn suppose<D: CollectionStatements>(
    db: &mut D,
    ids: Vec<ManifestId>,
    cutoff: Option<crate::clock::Timestamp>,
    is_released: bool,
    keeps: bool,
    found: &mut Estimate,
) -> Result<()> {
    let Some(cutoff) = cutoff else { return Ok(()) };
    let mut ahead = ids;
    while !ahead.is_empty() {
        let later = ahead.split_off(ahead.len().min(BATCH));
        let gone = condemned(db, &ahead, cutoff, is_released).await?;
        let rows: Vec<_> = gone.iter().map(|(id, _)| *id).collect();
        let rows = json(&rows)?;
        let held = numbers(&db.rows(D::HELD, &[(&rows).into()]).await?)?;
        // What can be brought back goes on to need its blobs.
        let kept = i64::from(is_released && keeps);
        db.execute(D::SUPPOSE_MANIFESTS, &[(&rows).into(), kept.into()]).await?;
        found.manifests += gone.len() as u64;
        let gone: std::collections::HashSet<_> = gone.into_iter().map(|(id, _)| id).collect();
        ahead = later;
        ahead.extend(held.into_iter().filter(|id| !gone.contains(id)));
    }
    Ok(())
}

async fn blobs<D: CollectionStatements>(
    db: &mut D,
    freed: &'static str,
    horizon: Horizon,
    found: &mut Estimate,
) -> Result<()> {
    let mut after = String::new();
    loop {
        let end = db.row(statements::BLOB_STRETCH, &[(&after).into(), i64::from(WINDOW).into()]).await?;
        let end = end.map(|row| row.text(0)).transpose()?;
        let last = end.as_deref().unwrap_or("~");
        let row = db.row(freed, &[(&after).into(), last.into(), horizon.now.into()]).await?;
        let row = row.ok_or_else(|| corrupt("an aggregate gave no row"))?;
        found.blobs += unsigned(row.int(0)?)?;
        found.bytes += unsigned(row.int(1)?)?;
        match end {
            Some(end) => after = end,
            None => return Ok(()),
        }
    }
}
