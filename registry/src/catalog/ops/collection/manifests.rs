//! Manifests that nothing holds any more, and tags that retention retires.

use berth_oci::{RepoName, Tag};

use super::{CollectionStatements, Columns, Result, Statements, json, numbers, parsed, statements, stretch};
use crate::{
    catalog::{
        Burial, Collectable, Horizon, ManifestId, RecordName, Released, RemovedManifest, Stretch, TagAge,
        Unrecorded, ops::unsigned,
    },
    clock::Timestamp,
};

/// Rounds of one transaction: each may go one step down from index to child.
const STEPS: usize = 64;

/// See [`crate::catalog::Collection::collectable_manifests`].
pub(crate) async fn collectable(
    db: &mut impl Statements,
    after: ManifestId,
    window: u32,
    horizon: Horizon,
) -> Result<Stretch<Collectable, ManifestId>> {
    let none = Stretch { found: Vec::new(), next: None };
    let Some(cutoff) = horizon.untagged else { return Ok(none) };
    let last = stretch(db, statements::MANIFEST_STRETCH, after, window).await?;
    let Some(last) = last else { return Ok(none) };
    let values = [after.into(), cutoff.into(), 0.into(), last.into()];
    let rows = db.rows(statements::COLLECTABLE_MANIFESTS, &values).await?;
    let found = rows.iter().map(|row| Ok(Collectable { id: row.int(0)?, place: place(&row.text(1)?) }));
    Ok(Stretch { found: found.collect::<Result<_>>()?, next: Some(last) })
}

/// The first 64 bits of a digest.
fn place(digest: &str) -> u64 {
    let hex = digest.split_once(':').map_or(digest, |(_, hex)| hex);
    // Whatever has no such bits is as well collected first.
    u64::from_str_radix(hex.get(..16).unwrap_or_default(), 16).unwrap_or_default()
}

/// See [`crate::catalog::Collection::unrecorded_removals`].
pub(crate) async fn unrecorded_removals<D: CollectionStatements>(
    db: &mut D,
    removed: &[RemovedManifest],
) -> Result<Vec<Unrecorded>> {
    let pairs: Vec<_> = removed.iter().map(|gone| (&gone.repo, &gone.digest)).collect();
    let rows = db.rows(D::UNRECORDED_REMOVALS, &[(&json(&pairs)?).into()]).await?;
    rows.iter()
        .map(|row| {
            let name = RecordName::Manifest(parsed(&row.text(1)?)?, parsed(&row.text(2)?)?);
            Ok(Unrecorded { sequence: row.int(0)?, name })
        })
        .collect()
}

/// How manifests go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Going {
    /// What was pushed or lost a tag since stays.
    cutoff: Timestamp,
    /// Retention let go of them.
    is_released: bool,
    /// When, if they can be brought back.
    bury: Option<Timestamp>,
}

impl Going {
    /// By their age.
    pub(crate) fn untagged(horizon: Horizon) -> Option<Self> {
        horizon.untagged.map(|cutoff| Self { cutoff, is_released: false, bury: None })
    }

    /// Since retention let go of them.
    pub(crate) fn released(horizon: Horizon) -> Self {
        Self {
            cutoff: horizon.released,
            is_released: true,
            bury: horizon.keeps_deleted().then_some(horizon.now),
        }
    }
}

/// Those of these manifests that may go, each with what tells of it.
pub(crate) async fn condemned<D: CollectionStatements>(
    db: &mut D,
    ids: &[ManifestId],
    cutoff: Timestamp,
    is_released: bool,
) -> Result<Vec<(ManifestId, RemovedManifest)>> {
    let ids = json(ids)?;
    let values = [(&ids).into(), cutoff.into(), i64::from(is_released).into()];
    let rows = db.rows(D::CONDEMNED, &values).await?;
    rows.iter()
        .map(|row| {
            let (repo, digest) = (parsed(&row.text(1)?)?, parsed(&row.text(2)?)?);
            Ok((row.int(0)?, RemovedManifest { repo, digest, size: unsigned(row.int(3)?)? }))
        })
        .collect()
}

/// See [`crate::catalog::Collection::collect_manifests`].
pub(crate) async fn collect<D: CollectionStatements>(
    db: &mut D,
    ids: &[ManifestId],
    horizon: Horizon,
    most: u32,
) -> Result<Vec<RemovedManifest>> {
    match Going::untagged(horizon) {
        Some(going) => remove(db, ids.to_vec(), going, most).await,
        None => Ok(Vec::new()),
    }
}

/// Removes, from holder to held. What is not come to is written down.
async fn remove<D: CollectionStatements>(
    db: &mut D,
    mut ids: Vec<ManifestId>,
    going: Going,
    most: u32,
) -> Result<Vec<RemovedManifest>> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut removed = Vec::new();
    for _ in 0..STEPS {
        let later = ids.split_off(ids.len().min(most.saturating_sub(removed.len())));
        release(db, &later, going).await?;
        if ids.is_empty() {
            return Ok(removed);
        }
        if D::LOCKS {
            ids = numbers(&db.rows(D::LOCK_MANIFESTS, &[(&json(&ids)?).into()]).await?)?;
        }
        let gone = condemned(db, &ids, going.cutoff, going.is_released).await?;
        if gone.is_empty() {
            // What is only too young to go is looked at again.
            release(db, &ids, going).await?;
            return Ok(removed);
        }
        let (rows, gone): (Vec<_>, Vec<_>) = gone.into_iter().unzip();
        ids = numbers(&db.rows(D::HELD, &[(&json(&rows)?).into()]).await?)?;
        ids.retain(|id| !rows.contains(id));
        if let Some(now) = going.bury {
            bury(db, &rows, now).await?;
        }
        drop_manifests(db, &rows, &gone).await?;
        removed.extend(gone);
    }
    release(db, &ids, going).await?;
    Ok(removed)
}

async fn drop_manifests<D: CollectionStatements>(
    db: &mut D,
    rows: &[ManifestId],
    gone: &[RemovedManifest],
) -> Result<()> {
    db.execute(D::REMOVE_MANIFESTS, &[(&json(rows)?).into()]).await?;
    let digests: Vec<_> = gone.iter().map(|manifest| &manifest.digest).collect();
    drop_bodies(db, &json(&digests)?).await
}

/// Drops those of these bodies that nothing needs any more.
pub(super) async fn drop_bodies<D: CollectionStatements>(db: &mut D, digests: &String) -> Result<()> {
    if D::LOCKS {
        db.rows(D::LOCK_BODIES, &[digests.into()]).await?;
    }
    db.execute(D::DROP_BODIES, &[digests.into()]).await.map(drop)
}

async fn release<D: CollectionStatements>(db: &mut D, ids: &[ManifestId], going: Going) -> Result<()> {
    if !ids.is_empty() {
        let ids = json(ids)?;
        let values = [(&ids).into(), i64::from(going.is_released).into()];
        db.execute(D::RELEASE, &values).await?;
    }
    Ok(())
}

/// Writes manifests that are to go, and their tags, down as deleted.
pub(crate) async fn bury<D: CollectionStatements>(
    db: &mut D,
    rows: &[ManifestId],
    now: Timestamp,
) -> Result<()> {
    let ids = json(rows)?;
    db.execute(D::BURY_TAGS, &[(&ids).into(), now.into()]).await?;
    db.execute(D::BURY_MANIFESTS, &[(&ids).into(), now.into()]).await?;
    db.execute(D::BURY_REFS, &[(&ids).into()]).await?;
    Ok(())
}

/// See [`crate::catalog::Collection::collect_released`].
pub(crate) async fn collect_released<D: CollectionStatements>(
    db: &mut D,
    after: ManifestId,
    horizon: Horizon,
    most: u32,
) -> Result<Released> {
    let rows = db.rows(statements::RELEASED, &[after.into(), i64::from(most).into()]).await?;
    let Some(last) = rows.last() else { return Ok(Released::default()) };
    let next = Some(last.int(0)?);
    let (mut buried, mut aged) = (Vec::new(), Vec::new());
    for row in &rows {
        if row.int(1)? == 1 { &mut buried } else { &mut aged }.push(row.int(0)?);
    }
    let mut removed = Vec::new();
    let ways = [(buried, Some(Going::released(horizon))), (aged, Going::untagged(horizon))];
    for (ids, going) in ways {
        if ids.is_empty() {
            continue;
        }
        // Untagged manifests are kept now: there is nothing to look at again.
        let cutoff = going.map_or(Timestamp(i64::MAX), |going| going.cutoff);
        if let Some(going) = going {
            removed.extend(remove(db, ids.clone(), going, most).await?);
        }
        db.execute(D::SETTLE, &[(&json(&ids)?).into(), cutoff.into()]).await?;
    }
    Ok(Released { removed, next })
}

/// See [`crate::catalog::Collection::tag_ages`].
pub(crate) async fn tag_ages(
    db: &mut impl Statements,
    repo: &RepoName,
    after: Option<&Tag>,
    limit: u32,
) -> Result<Vec<TagAge>> {
    let page = [repo.into(), after.map_or("", Tag::as_str).into(), i64::from(limit).into()];
    let rows = db.rows(statements::TAG_AGES, &page).await?;
    rows.iter()
        .map(|row| Ok(TagAge { tag: parsed(&row.text(0)?)?, pushed_at: Timestamp(row.int(1)?) }))
        .collect()
}

/// See [`crate::catalog::Collection::retire_tags`].
pub(crate) async fn retire<D: CollectionStatements>(
    db: &mut D,
    repo: &RepoName,
    tags: &[TagAge],
    burial: Burial,
) -> Result<Vec<Tag>> {
    let tags: Vec<_> = tags.iter().map(|age| (age.tag.as_str(), age.pushed_at.0)).collect();
    let tags = json(&tags)?;
    if burial.keep {
        db.execute(D::BURY_RETIRED, &[(&tags).into(), repo.into(), burial.now.into()]).await?;
    }
    db.execute(D::RELEASE_RETIRED, &[(&tags).into(), repo.into()]).await?;
    let gone = db.rows(D::RETIRE, &[(&tags).into(), repo.into()]).await?;
    gone.iter().map(|row| parsed(&row.text(0)?)).collect()
}
