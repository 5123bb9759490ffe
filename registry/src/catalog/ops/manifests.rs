//! Manifests, what they refer to, and the tags that point at them.

use berth_oci::{Digest, ManifestReference, MediaType, RepoName, Tag};
use bytes::Bytes;

use super::{
    Columns, Result, Statements, Value,
    blobs::renewed_before,
    collection::statements::CollectionStatements,
    corrupt, overtaken, parsed,
    quotas::{self, Content, QuotaStatements},
    sql,
};
use crate::{
    catalog::{
        Burial, Damaged, IsFixed, Lease, ManifestDelete, ManifestPut, ManifestRef, ManifestRow,
        NamespaceRules, NewManifest, RefKind,
    },
    clock::Timestamp,
};

/// How many missing references are named.
const MISSING_LIMIT: i64 = 100;

/// What [`RefKind`] is in a row.
const fn kind_number(kind: RefKind) -> i64 {
    match kind {
        RefKind::Blob => 0,
        RefKind::Child => 1,
    }
}

pub(super) fn kind_of(number: i64) -> Result<RefKind> {
    match number {
        0 => Ok(RefKind::Blob),
        1 => Ok(RefKind::Child),
        other => Err(corrupt(format!("{other} is no kind of reference"))),
    }
}

/// All references as one value, `[[digest, kind, optional], …]`: one statement takes ten thousand.
fn as_json(references: &[ManifestRef]) -> Result<String> {
    let rows: Vec<_> =
        references.iter().map(|r| (&r.digest, kind_number(r.kind), i64::from(r.optional))).collect();
    serde_json::to_string(&rows).map_err(corrupt)
}

/// See [`crate::catalog::Catalog::put_manifest`]. Checks before it writes: when something is
/// missing, the transaction holds nothing that would have to be undone, renewed leases apart.
///
/// What the manifest refers to is held before it is looked for: whatever is there then, collection
/// leaves alone until the references say why it must.
pub(crate) async fn put<D: QuotaStatements>(
    db: &mut D,
    new: &NewManifest,
    now: Timestamp,
    lease: Lease,
    rules: Option<&NamespaceRules>,
) -> Result<ManifestPut> {
    let references = as_json(&new.references)?;
    hold(db, new, &references, lease).await?;
    if new.references.iter().any(|r| !r.optional) {
        let missing = missing(db, &new.repo, &references).await?;
        if !missing.is_empty() {
            return Ok(ManifestPut::Missing(missing));
        }
    }
    let depth = depth(db, new, &references).await?;
    if usize::try_from(depth).map_err(corrupt)? > new.max_depth {
        return Ok(ManifestPut::TooDeep);
    }
    for tag in &new.fixed {
        let held = db.row(sql::MANIFEST_BY_TAG, &[(&new.repo).into(), tag.into()]).await?;
        if let Some(held) = held
            && held.text(0)? != new.digest.as_str()
        {
            return Ok(ManifestPut::TagFixed(tag.clone()));
        }
    }
    let content = Content::manifest(&new.digest, new.body.len());
    let admission = match quotas::admit(db, rules, &new.repo, content).await? {
        Ok(admission) => admission,
        Err(refusal) => return Ok(ManifestPut::Refused(refusal)),
    };
    let repo = match quotas::repository(db, rules, &new.repo).await? {
        Ok(repo) => repo,
        Err(refusal) => return Ok(ManifestPut::Refused(refusal)),
    };
    let (id, created) = insert_or_touch(db, repo, new, depth, now).await?;
    if created {
        admission.confirm(db).await?;
    }
    if created && !new.references.is_empty() {
        db.execute(D::ADD_REFERENCES, &[id.into(), (&references).into()]).await?;
    }
    // In one order, so that two pushes of several tags never wait for each other.
    let mut tags: Vec<&Tag> = new.tags.iter().collect();
    tags.sort_unstable();
    tags.dedup();
    let mut moved = Vec::new();
    for tag in tags {
        let fixed = new.fixed.contains(tag);
        if !fixed {
            let held = db.row(sql::MANIFEST_BY_TAG, &[(&new.repo).into(), tag.into()]).await?;
            let held = held.map(|held| parsed::<Digest>(&held.text(0)?)).transpose()?;
            moved.extend(held.filter(|held| *held != new.digest).map(|held| (tag.clone(), held)));
        }
        let set = if fixed { sql::SET_FIXED_TAG } else { sql::SET_TAG };
        let changed = db.execute(set, &[repo.into(), tag.into(), id.into(), now.into()]).await?;
        if changed == 0 {
            // Another push set it since it was looked at; once more, and the look will tell.
            return Err(overtaken(tag));
        }
    }
    Ok(ManifestPut::Stored { created, moved })
}

/// Keeps collection from what the manifest refers to: blobs by their leases, children by a lock.
async fn hold<D: Statements>(db: &mut D, new: &NewManifest, references: &String, lease: Lease) -> Result<()> {
    if new.references.is_empty() {
        return Ok(());
    }
    let leases = [lease.until().into(), references.into(), renewed_before(lease).into()];
    db.execute(D::RENEW_LEASES, &leases).await?;
    if D::LOCKS {
        db.rows(D::HOLD_BLOBS, &[(&new.repo).into(), references.into()]).await?;
    }
    if D::LOCKS && new.references.iter().any(|r| r.kind == RefKind::Child) {
        db.rows(D::HOLD_CHILDREN, &[(&new.repo).into(), references.into()]).await?;
    }
    Ok(())
}

/// Points a tag at a manifest that is there, as of `since`.
pub(super) async fn set_tag(
    db: &mut impl Statements,
    repo: &RepoName,
    digest: &Digest,
    tag: &Tag,
    since: Timestamp,
) -> Result<()> {
    match db.execute(sql::SET_TAG_BY_DIGEST, &[repo.into(), tag.into(), digest.into(), since.into()]).await? {
        0 => Err(overtaken(digest)),
        _ => Ok(()),
    }
}

/// How deep the manifest is nested. What a sparse index lacks counts nothing, so the bound holds
/// for what was there when each was pushed.
async fn depth<D: Statements>(db: &mut D, new: &NewManifest, references: &String) -> Result<i64> {
    if new.references.iter().all(|r| r.kind == RefKind::Blob) {
        return Ok(0);
    }
    match db.row(D::CHILD_DEPTH, &[(&new.repo).into(), references.into()]).await? {
        Some(row) => Ok(row.int(0)? + 1),
        None => Err(corrupt("an aggregate gave no row")),
    }
}

async fn missing<D: Statements>(
    db: &mut D,
    repo: &RepoName,
    references: &String,
) -> Result<Vec<ManifestRef>> {
    let values = [repo.into(), references.into(), MISSING_LIMIT.into()];
    let rows = db.rows(D::MISSING_REFERENCES, &values).await?;
    rows.iter()
        .map(|row| {
            Ok(ManifestRef { digest: parsed(&row.text(0)?)?, kind: kind_of(row.int(1)?)?, optional: false })
        })
        .collect()
}

/// The manifest's id in its repository, and whether it is new there.
async fn insert_or_touch(
    db: &mut impl Statements,
    repo: i64,
    new: &NewManifest,
    depth: i64,
    now: Timestamp,
) -> Result<(i64, bool)> {
    let digest = (&new.digest).into();
    let annotations = serde_json::to_string(&new.annotations).map_err(corrupt)?;
    db.execute(sql::ADD_BODY, &[digest, Value::Bytes(&new.body)]).await?;
    let row = [
        repo.into(),
        digest,
        new.media_type.as_str().into(),
        new.artifact_type.as_ref().map(MediaType::as_str).into(),
        i64::try_from(new.body.len()).map_err(corrupt)?.into(),
        new.subject.as_ref().map(Digest::as_str).into(),
        (&annotations).into(),
        now.into(),
        depth.into(),
    ];
    if let Some(row) = db.row(sql::ADD_MANIFEST, &row).await? {
        return Ok((row.int(0)?, true));
    }
    let touch = [repo.into(), digest, new.media_type.as_str().into(), now.into()];
    match db.row(sql::PUSH_MANIFEST_AGAIN, &touch).await? {
        Some(row) => Ok((row.int(0)?, false)),
        None => Err(overtaken(&new.digest)),
    }
}

/// A manifest without its bytes.
pub(crate) struct Resolved {
    pub(crate) digest: Digest,
    pub(crate) media_type: MediaType,
    pub(crate) subject: Option<Digest>,
}

impl Resolved {
    fn read(row: &impl Columns) -> Result<Self> {
        Ok(Self {
            digest: parsed(&row.text(0)?)?,
            media_type: MediaType::new(&row.text(1)?),
            subject: row.maybe_text(2)?.map(|text| parsed(&text)).transpose()?,
        })
    }

    /// Adds the bytes, as they come from memory.
    pub(crate) fn with(self, body: Bytes) -> ManifestRow {
        let Self { digest, media_type, subject } = self;
        ManifestRow { digest, media_type, body, subject }
    }
}

/// Bytes of a manifest as they come from the database: hashed once, before they are kept in memory or answered.
fn verified(digest: &Digest, body: Bytes) -> Result<Bytes> {
    // Rows of the catalog's own suite have digests of no content.
    #[cfg(test)]
    if crate::catalog::suite::is_made_up(digest) {
        return Ok(body);
    }
    if Digest::of(digest.algorithm(), &body) == *digest {
        Ok(body)
    } else {
        Err(corrupt(Damaged(digest.clone())))
    }
}

/// See [`crate::catalog::Catalog::manifest`].
pub(crate) async fn get(
    db: &mut impl Statements,
    repo: &RepoName,
    reference: &ManifestReference,
) -> Result<Option<ManifestRow>> {
    let row = match reference {
        ManifestReference::Tag(tag) => db.row(sql::WHOLE_MANIFEST_BY_TAG, &[repo.into(), tag.into()]).await?,
        ManifestReference::Digest(digest) => {
            db.row(sql::WHOLE_MANIFEST_BY_DIGEST, &[repo.into(), digest.into()]).await?
        }
    };
    row.map(|row| {
        let found = Resolved::read(&row)?;
        let body = verified(&found.digest, row.bytes(3)?.into())?;
        Ok(found.with(body))
    })
    .transpose()
}

/// What a reference stands for, without its bytes.
pub(crate) async fn resolve(
    db: &mut impl Statements,
    repo: &RepoName,
    reference: &ManifestReference,
) -> Result<Option<Resolved>> {
    let row = match reference {
        ManifestReference::Tag(tag) => db.row(sql::MANIFEST_BY_TAG, &[repo.into(), tag.into()]).await?,
        ManifestReference::Digest(digest) => {
            db.row(sql::MANIFEST_BY_DIGEST, &[repo.into(), digest.into()]).await?
        }
    };
    row.as_ref().map(Resolved::read).transpose()
}

/// A manifest's bytes, wherever it is.
pub(crate) async fn body(db: &mut impl Statements, digest: &Digest) -> Result<Option<Bytes>> {
    let row = db.row(sql::BODY, &[digest.into()]).await?;
    row.map(|row| verified(digest, row.bytes(0)?.into())).transpose()
}

/// See [`crate::catalog::Catalog::delete_manifest`].
pub(crate) async fn delete<D: CollectionStatements>(
    db: &mut D,
    repo: &RepoName,
    digest: &Digest,
    fixed: &IsFixed,
    burial: Burial,
) -> Result<ManifestDelete> {
    // Locked before its tags are read: whoever sets one waits for the end of this.
    let Some(row) = db.row(D::LOCK_MANIFEST, &[repo.into(), digest.into()]).await? else {
        return Ok(ManifestDelete::Absent);
    };
    let id = row.int(0)?;
    let tags = db.rows(sql::TAGS_OF, &[id.into()]).await?;
    let tags = tags.iter().map(|row| parsed(&row.text(0)?)).collect::<Result<Vec<Tag>>>()?;
    if let Some(tag) = tags.iter().find(|tag| fixed(tag)) {
        return Ok(ManifestDelete::TagFixed(tag.clone()));
    }
    if burial.keep {
        super::collection::bury(db, &[id], burial.now).await?;
    }
    // The manifest first and its tags by the cascade: a push also locks in this order, so that the
    // two never wait for each other.
    if db.execute(sql::DELETE_MANIFEST, &[id.into()]).await? == 0 {
        return Ok(ManifestDelete::Absent);
    }
    // Of two who delete the last two manifests of a body at once, neither sees that the other's is gone
    // before it is committed: so the second waits here for the first, and then looks.
    db.row(D::LOCK_BODY, &[digest.into()]).await?;
    db.execute(sql::DROP_BODY_IF_LAST, &[digest.into()]).await?;
    Ok(ManifestDelete::Deleted(tags))
}

/// See [`crate::catalog::Catalog::delete_tag`].
pub(crate) async fn delete_tag(
    db: &mut impl Statements,
    repo: &RepoName,
    tag: &Tag,
    burial: Burial,
) -> Result<bool> {
    super::collection::bury_tag(db, repo, tag, burial).await?;
    Ok(db.execute(sql::DELETE_TAG, &[repo.into(), tag.into()]).await? > 0)
}
