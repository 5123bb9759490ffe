//! What was deleted and can be brought back.

use std::collections::{HashSet, VecDeque};

use berth_oci::{Digest, ManifestReference, RepoName, Tag};

use super::{CollectionStatements, Columns, Result, Statements, json, parsed, statements};
use crate::{
    catalog::{
        Deleted, Horizon, Undeleted,
        ops::{ensure_repository, overtaken},
        sql,
    },
    clock::Timestamp,
};

/// Writes a tag that is to go down as deleted, and when its manifest lost it.
pub(crate) async fn bury_tag(
    db: &mut impl Statements,
    repo: &RepoName,
    tag: &Tag,
    burial: crate::catalog::Burial,
) -> Result<()> {
    let values = [repo.into(), tag.into(), burial.now.into()];
    if burial.keep {
        db.execute(statements::BURY_TAG, &values).await?;
    }
    db.execute(statements::NOTE_TAG_LOSS, &values).await?;
    Ok(())
}

/// See [`crate::catalog::Collection::expire_deleted`].
pub(crate) async fn expire<D: CollectionStatements>(db: &mut D, horizon: Horizon, limit: u32) -> Result<u64> {
    let values = [horizon.deleted.into(), i64::from(limit).into()];
    let tags = db.execute(statements::EXPIRE_TAGS, &values).await?;
    let rows = db.rows(statements::EXPIRED_MANIFESTS, &values).await?;
    let ids = rows.iter().map(|row| row.int(0)).collect::<Result<Vec<_>>>()?;
    let digests = rows.iter().map(|row| row.text(1)).collect::<Result<Vec<_>>>()?;
    if !ids.is_empty() {
        db.execute(D::EXPIRE_MANIFESTS, &[(&json(&ids)?).into()]).await?;
        super::manifests::drop_bodies(db, &json(&digests)?).await?;
    }
    // When a manifest lost a tag long ago makes no difference any more.
    let forgotten = horizon.untagged.unwrap_or(horizon.released).min(horizon.released);
    let losses = db.execute(statements::EXPIRE_LOSSES, &[forgotten.into(), i64::from(limit).into()]).await?;
    Ok(tags + ids.len() as u64 + losses)
}

/// See [`crate::catalog::Collection::deleted`].
pub(crate) async fn list(
    db: &mut impl Statements,
    repo: Option<&RepoName>,
    after: Option<(&RepoName, &ManifestReference)>,
    limit: u32,
    horizon: Horizon,
) -> Result<Vec<Deleted>> {
    let what = after.map_or_else(String::new, |(_, reference)| match reference {
        ManifestReference::Tag(tag) => format!(":{tag}"),
        ManifestReference::Digest(digest) => format!("@{digest}"),
    });
    let values = [
        repo.map_or("", |repo| repo.as_str()).into(),
        after.map_or("", |(repo, _)| repo.as_str()).into(),
        (&what).into(),
        horizon.deleted.into(),
        i64::from(limit).into(),
    ];
    let rows = db.rows(statements::DELETED, &values).await?;
    rows.iter()
        .map(|row| {
            let what = row.text(1)?;
            let reference = match what.strip_prefix('@') {
                Some(digest) => ManifestReference::Digest(parsed(digest)?),
                None => ManifestReference::Tag(parsed(what.trim_start_matches(':'))?),
            };
            Ok(Deleted {
                repo: parsed(&row.text(0)?)?,
                reference,
                digest: parsed(&row.text(2)?)?,
                deleted_at: Timestamp(row.int(3)?),
            })
        })
        .collect()
}

/// One of several manifests that come back together.
struct Buried {
    id: i64,
    digest: Digest,
    children: Vec<Digest>,
    /// What it cannot be without, and whether that is there now as what it must be.
    needs: Vec<(Digest, bool)>,
}

/// See [`crate::catalog::Collection::undelete`]. Looks at everything before it writes.
pub(crate) async fn undelete<D: CollectionStatements>(
    db: &mut D,
    repo: &RepoName,
    reference: &ManifestReference,
    horizon: Horizon,
) -> Result<Undeleted> {
    let top = match reference {
        ManifestReference::Digest(digest) => digest.clone(),
        ManifestReference::Tag(tag) => {
            let values = [repo.into(), tag.into(), horizon.deleted.into()];
            let Some(row) = db.row(statements::BURIED_TAG, &values).await? else {
                return Ok(Undeleted::Unknown);
            };
            if let Some(taken) = db.row(sql::MANIFEST_BY_TAG, &[repo.into(), tag.into()]).await? {
                return Ok(Undeleted::Taken(parsed(&taken.text(0)?)?));
            }
            parsed(&row.text(0)?)?
        }
    };
    let buried = dig(db, repo, &top, horizon).await?;
    let coming: HashSet<_> = buried.iter().map(|one| one.digest.clone()).collect();
    let lives = db.row(sql::MANIFEST_BY_DIGEST, &[repo.into(), (&top).into()]).await?.is_some();
    if !lives && !coming.contains(&top) {
        return Ok(match reference {
            ManifestReference::Tag(_) => Undeleted::Incomplete(top),
            ManifestReference::Digest(_) => Undeleted::Unknown,
        });
    }
    let lost =
        buried.iter().flat_map(|one| &one.needs).find(|(digest, there)| !there && !coming.contains(digest));
    if let Some((lost, _)) = lost {
        return Ok(Undeleted::Incomplete(lost.clone()));
    }
    let tags = tags_to_set(db, repo, reference, &top, horizon).await?;
    if buried.is_empty() && tags.is_empty() {
        return Ok(Undeleted::Unknown);
    }
    let manifests = restore(db, &buried, horizon.now).await?;
    set_tags(db, repo, &top, &tags, horizon.now).await?;
    Ok(Undeleted::Restored { manifests, tags })
}

/// A deleted manifest with all deleted ones that it holds: children, referrers, and theirs.
async fn dig(
    db: &mut impl Statements,
    repo: &RepoName,
    top: &Digest,
    horizon: Horizon,
) -> Result<Vec<Buried>> {
    let mut found = Vec::new();
    let mut seen = HashSet::from([top.clone()]);
    let mut ahead = VecDeque::from([top.clone()]);
    while let Some(digest) = ahead.pop_front() {
        let values = [repo.into(), (&digest).into(), horizon.deleted.into()];
        if let Some(row) = db.row(statements::BURIED_MANIFEST, &values).await? {
            let one = read(db, row.int(0)?, digest.clone()).await?;
            ahead.extend(one.children.iter().filter(|child| seen.insert((*child).clone())).cloned());
            found.push(one);
        }
        for row in db.rows(statements::BURIED_REFERRERS, &values).await? {
            let referrer: Digest = parsed(&row.text(0)?)?;
            if seen.insert(referrer.clone()) {
                ahead.push_back(referrer);
            }
        }
    }
    Ok(found)
}

async fn read(db: &mut impl Statements, id: i64, digest: Digest) -> Result<Buried> {
    let mut one = Buried { id, digest, children: Vec::new(), needs: Vec::new() };
    for row in db.rows(statements::BURIED_REFS, &[id.into()]).await? {
        let child: Digest = parsed(&row.text(0)?)?;
        let (is_child, optional) = (row.int(1)? == 1, row.int(2)? == 1);
        let (blob, manifest) = (row.int(3)? == 1, row.int(4)? == 1);
        if !optional {
            one.needs.push((child.clone(), blob || is_child && manifest));
        }
        if is_child {
            one.children.push(child);
        }
    }
    Ok(one)
}

/// Of a tag, that one; of a manifest, those that went with it and are free.
async fn tags_to_set(
    db: &mut impl Statements,
    repo: &RepoName,
    reference: &ManifestReference,
    top: &Digest,
    horizon: Horizon,
) -> Result<Vec<Tag>> {
    if let ManifestReference::Tag(tag) = reference {
        return Ok(vec![tag.clone()]);
    }
    let mut free = Vec::new();
    for row in db.rows(statements::BURIED_TAGS_OF, &[repo.into(), top.into(), horizon.deleted.into()]).await?
    {
        let tag: Tag = parsed(&row.text(0)?)?;
        if db.row(sql::MANIFEST_BY_TAG, &[repo.into(), (&tag).into()]).await?.is_none() {
            free.push(tag);
        }
    }
    Ok(free)
}

async fn restore(db: &mut impl Statements, buried: &[Buried], now: Timestamp) -> Result<Vec<Digest>> {
    let mut manifests = Vec::new();
    // All manifests before the links: a child that is one needs none.
    for one in buried {
        if let Some(row) = db.row(statements::RESTORE_MANIFEST, &[one.id.into(), now.into()]).await? {
            db.execute(statements::RESTORE_REFS, &[one.id.into(), row.int(0)?.into()]).await?;
            manifests.push(one.digest.clone());
        }
    }
    for one in buried {
        db.execute(statements::RESTORE_LINKS, &[one.id.into()]).await?;
        db.execute(statements::UNBURY_MANIFEST, &[one.id.into()]).await?;
    }
    Ok(manifests)
}

/// Sets tags on a manifest that is there.
async fn set_tags<D: Statements>(
    db: &mut D,
    repo: &RepoName,
    digest: &Digest,
    tags: &[Tag],
    now: Timestamp,
) -> Result<()> {
    let row = db.row(D::LOCK_MANIFEST, &[repo.into(), digest.into()]).await?;
    let id = row.ok_or_else(|| overtaken(digest))?.int(0)?;
    let of = ensure_repository(db, repo).await?;
    for tag in tags {
        // Only where it is free: one that was pushed meanwhile is not overwritten.
        let values = [of.into(), tag.into(), id.into(), now.into()];
        if db.execute(sql::SET_FIXED_TAG, &values).await? == 0 {
            return Err(overtaken(tag));
        }
        db.execute(statements::UNBURY_TAG, &[repo.into(), tag.into()]).await?;
    }
    Ok(())
}
