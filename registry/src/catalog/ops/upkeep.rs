//! Records, quarantine, and what `check`, `recover` and `import` look at.

use berth_oci::{Digest, MediaType, RepoName, Tag};
use bytes::Bytes;

use super::{
    Columns, Result, Statements, Value, corrupt, manifests, parsed, quotas::QuotaStatements, unsigned,
};
use crate::{
    catalog::{
        BlobRow, Dangling, Lease, ManifestPut, ManifestRecord, ObjectKey, Place, Record, RecordName,
        Recordable, Restoration, Restored, StoredBlob, TagRecord, Unrecorded,
    },
    clock::Timestamp,
};

const MANIFEST: i64 = 0;
const TAG: i64 = 1;

/// The change's number and the manifest in one statement, so that no change comes between.
const MANIFEST_RECORD: &str = "SELECT \
     COALESCE((SELECT u.sequence FROM unrecorded u WHERE u.repo = $1 AND u.kind = 0 AND u.name = $2), 0), \
     COALESCE(m.id, 0), COALESCE(m.pushed_at, 0), m.media_type, COALESCE(b.body, $3) \
     FROM (SELECT 1 AS one) AS always LEFT JOIN manifests m \
         ON m.repo_id = (SELECT id FROM repositories WHERE name = $1) AND m.digest = $2 \
     LEFT JOIN manifest_bodies b ON b.digest = m.digest";
const BLOBS_OF: &str = "SELECT DISTINCT b.digest, b.size, b.object_key FROM manifest_refs r \
     JOIN blobs b ON b.digest = r.child WHERE r.parent = $1 ORDER BY b.digest";
const TAG_RECORD: &str = "SELECT \
     COALESCE((SELECT u.sequence FROM unrecorded u WHERE u.repo = $1 AND u.kind = 1 AND u.name = $2), 0), \
     COALESCE(t.updated_at, 0), m.digest \
     FROM (SELECT 1 AS one) AS always LEFT JOIN tags t \
         ON t.repo_id = (SELECT id FROM repositories WHERE name = $1) AND t.name = $2 \
     LEFT JOIN manifests m ON m.id = t.manifest";
const UNRECORDED: &str =
    "SELECT sequence, repo, kind, name FROM unrecorded WHERE sequence <= $1 ORDER BY sequence LIMIT $2";
const LAST_UNRECORDED: &str = "SELECT COALESCE(MAX(sequence), 0) FROM unrecorded";
const ALL_RECORDED: &str = "DELETE FROM unrecorded";

const PROGRESS: &str = "SELECT state FROM progress WHERE task = $1";
const SET_PROGRESS: &str = "INSERT INTO progress (task, state) VALUES ($1, $2) \
     ON CONFLICT (task) DO UPDATE SET state = excluded.state";

const BLOBS_AFTER: &str = "SELECT digest, size, object_key, COALESCE(quarantined_at, -1) FROM blobs \
     WHERE digest > $1 ORDER BY digest LIMIT $2";
const STORED_BLOB: &str =
    "SELECT digest, size, object_key, COALESCE(quarantined_at, -1) FROM blobs WHERE digest = $1";
const QUARANTINE: &str = "UPDATE blobs SET quarantined_at = COALESCE(quarantined_at, $3) \
     WHERE digest = $1 AND object_key = $2";
const RELEASE: &str = "UPDATE blobs SET quarantined_at = NULL WHERE digest = $1 AND object_key = $2";
const QUARANTINED: &str = "SELECT COUNT(*) FROM blobs WHERE quarantined_at IS NOT NULL";

const MANIFESTS_AFTER: &str = "SELECT m.id, r.name, m.digest FROM manifests m JOIN repositories r ON r.id = m.repo_id \
     WHERE m.id > $1 ORDER BY m.id LIMIT $2";
const TAGS_AFTER: &str = "SELECT t.repo_id, r.name, t.name FROM tags t JOIN repositories r ON r.id = t.repo_id \
     WHERE t.repo_id = $1 AND t.name > $2 OR t.repo_id > $1 ORDER BY t.repo_id, t.name LIMIT $3";

const BODIES_AFTER: &str =
    "SELECT digest, body FROM manifest_bodies WHERE digest > $1 ORDER BY digest LIMIT $2";
const MEND_BODY: &str = "UPDATE manifest_bodies SET body = $2 WHERE digest = $1";

const DANGLING: &str = "SELECT m.id, r.name, m.digest, c.child, c.kind \
     FROM manifests m JOIN repositories r ON r.id = m.repo_id JOIN manifest_refs c ON c.parent = m.id \
     WHERE m.id > $1 AND c.optional = 0 \
     AND NOT EXISTS (SELECT 1 FROM blob_links l WHERE l.repo_id = m.repo_id AND l.digest = c.child) \
     AND NOT (c.kind = 1 AND EXISTS ( \
         SELECT 1 FROM manifests d WHERE d.repo_id = m.repo_id AND d.digest = c.child)) \
     ORDER BY m.id, c.child LIMIT $2";
const TOO_SHALLOW: &str = "SELECT r.name, m.digest, d.digest FROM manifest_refs c \
     JOIN manifests m ON m.id = c.parent JOIN repositories r ON r.id = m.repo_id \
     JOIN manifests d ON d.repo_id = m.repo_id AND d.digest = c.child \
     WHERE c.kind = 1 AND c.optional = 0 AND m.depth <= d.depth LIMIT 100";
const POINTLESS_TAGS: &str = "SELECT COALESCE(r.name, CAST(t.repo_id AS TEXT)), t.name FROM tags t \
     LEFT JOIN repositories r ON r.id = t.repo_id LEFT JOIN manifests m ON m.id = t.manifest \
     WHERE r.id IS NULL OR m.id IS NULL OR m.repo_id <> t.repo_id LIMIT 100";
const BODILESS: &str = "SELECT m.digest FROM manifests m LEFT JOIN manifest_bodies b ON b.digest = m.digest \
     WHERE b.digest IS NULL OR octet_length(b.body) <> m.size LIMIT 100";

const ANYTHING: &str = "SELECT \
     CASE WHEN EXISTS (SELECT 1 FROM manifests) OR EXISTS (SELECT 1 FROM blobs) \
     OR EXISTS (SELECT 1 FROM uploads) OR EXISTS (SELECT 1 FROM tags) \
     THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END";
const TAG_TIME: &str = "SELECT t.updated_at, m.digest FROM tags t JOIN manifests m ON m.id = t.manifest \
     WHERE t.repo_id = (SELECT id FROM repositories WHERE name = $1) AND t.name = $2";
/// As if it had lost its last tag at `$3`: collection lets a manifest without one stay for a while after that.
const NOTE_ARRIVAL: &str = "INSERT INTO tag_losses (manifest, at) SELECT m.id, $3 FROM manifests m \
     WHERE m.repo_id = (SELECT id FROM repositories WHERE name = $1) AND m.digest = $2 ON CONFLICT DO NOTHING";
const MANIFEST_TIME: &str = "SELECT m.pushed_at FROM manifests m \
     WHERE m.repo_id = (SELECT id FROM repositories WHERE name = $1) AND m.digest = $2";

/// See [`crate::catalog::Upkeep::record`].
pub(crate) async fn record(db: &mut impl Statements, name: &RecordName) -> Result<Recordable> {
    match name {
        RecordName::Manifest(repo, digest) => manifest_record(db, repo, digest).await,
        RecordName::Tag(repo, tag) => tag_record(db, repo, tag).await,
    }
}

fn sequence(row: &impl Columns) -> Result<Option<i64>> {
    Ok(Some(row.int(0)?).filter(|sequence| *sequence > 0))
}

async fn manifest_record(db: &mut impl Statements, repo: &RepoName, digest: &Digest) -> Result<Recordable> {
    let row = db.row(MANIFEST_RECORD, &[repo.into(), digest.into(), Value::Bytes(&[])]).await?;
    let row = row.ok_or_else(|| corrupt("a row that is always there is not"))?;
    let sequence = sequence(&row)?;
    let (id, pushed_at) = (row.int(1)?, Timestamp(row.int(2)?));
    let Some(media_type) = row.maybe_text(3)? else { return Ok(Recordable { sequence, content: None }) };
    let blobs = db.rows(BLOBS_OF, &[id.into()]).await?;
    let blobs = blobs.iter().map(blob).collect::<Result<_>>()?;
    let (repo, digest, media_type) = (repo.clone(), digest.clone(), MediaType::new(&media_type));
    let record =
        ManifestRecord { repo, digest, media_type, pushed_at, blobs, body: Bytes::from(row.bytes(4)?) };
    Ok(Recordable { sequence, content: Some(Record::Manifest(record)) })
}

fn blob(row: &impl Columns) -> Result<BlobRow> {
    Ok(BlobRow { digest: parsed(&row.text(0)?)?, size: unsigned(row.int(1)?)?, key: ObjectKey(row.text(2)?) })
}

async fn tag_record(db: &mut impl Statements, repo: &RepoName, tag: &Tag) -> Result<Recordable> {
    let row = db.row(TAG_RECORD, &[repo.into(), tag.into()]).await?;
    let row = row.ok_or_else(|| corrupt("a row that is always there is not"))?;
    let (sequence, updated_at) = (sequence(&row)?, Timestamp(row.int(1)?));
    let digest = row.maybe_text(2)?.map(|text| parsed(&text)).transpose()?;
    let record = |digest| Record::Tag(TagRecord { repo: repo.clone(), tag: tag.clone(), digest, updated_at });
    Ok(Recordable { sequence, content: digest.map(record) })
}

/// See [`crate::catalog::Upkeep::unrecorded`].
pub(crate) async fn unrecorded(db: &mut impl Statements, upto: i64, limit: u32) -> Result<Vec<Unrecorded>> {
    let rows = db.rows(UNRECORDED, &[upto.into(), i64::from(limit).into()]).await?;
    let one = |row: &_| Ok(Unrecorded { sequence: Columns::int(row, 0)?, name: named(row, 1)? });
    rows.iter().map(one).collect()
}

fn named(row: &impl Columns, at: usize) -> Result<RecordName> {
    let (repo, name) = (parsed(&row.text(at)?)?, row.text(at + 2)?);
    match row.int(at + 1)? {
        MANIFEST => Ok(RecordName::Manifest(repo, parsed(&name)?)),
        TAG => Ok(RecordName::Tag(repo, parsed(&name)?)),
        other => Err(corrupt(format!("{other} is no kind of record"))),
    }
}

async fn number(db: &mut impl Statements, sql: &'static str) -> Result<i64> {
    db.row(sql, &[]).await?.ok_or_else(|| corrupt("an aggregate gave no row"))?.int(0)
}

/// See [`crate::catalog::Upkeep::last_unrecorded`].
pub(crate) async fn last_unrecorded(db: &mut impl Statements) -> Result<i64> {
    number(db, LAST_UNRECORDED).await
}

/// See [`crate::catalog::Upkeep::recorded`]. `take` is the database's own: `$1` sequences as JSON.
pub(crate) async fn recorded(
    db: &mut impl Statements,
    take: &'static str,
    sequences: &[i64],
) -> Result<Vec<i64>> {
    let json = serde_json::to_string(sequences).map_err(corrupt)?;
    db.rows(take, &[(&json).into()]).await?.iter().map(|row| row.int(0)).collect()
}

/// See [`crate::catalog::Upkeep::all_recorded`].
pub(crate) async fn all_recorded(db: &mut impl Statements) -> Result<()> {
    db.execute(ALL_RECORDED, &[]).await.map(drop)
}

/// See [`crate::catalog::Upkeep::progress`].
pub(crate) async fn progress(db: &mut impl Statements, task: &str) -> Result<Option<String>> {
    db.row(PROGRESS, &[task.into()]).await?.map(|row| row.text(0)).transpose()
}

/// See [`crate::catalog::Upkeep::set_progress`].
pub(crate) async fn set_progress(db: &mut impl Statements, task: &str, state: &str) -> Result<()> {
    db.execute(SET_PROGRESS, &[task.into(), state.into()]).await.map(drop)
}

/// See [`crate::catalog::Upkeep::blobs_after`].
pub(crate) async fn blobs_after(
    db: &mut impl Statements,
    after: Option<&Digest>,
    limit: u32,
) -> Result<Vec<StoredBlob>> {
    let page = [after.map_or("", Digest::as_str).into(), i64::from(limit).into()];
    let rows = db.rows(BLOBS_AFTER, &page).await?;
    rows.iter().map(stored).collect()
}

/// See [`crate::catalog::Upkeep::stored_blob`].
pub(crate) async fn stored_blob(db: &mut impl Statements, digest: &Digest) -> Result<Option<StoredBlob>> {
    db.row(STORED_BLOB, &[digest.into()]).await?.as_ref().map(stored).transpose()
}

fn stored(row: &impl Columns) -> Result<StoredBlob> {
    let since = row.int(3)?;
    Ok(StoredBlob { row: blob(row)?, quarantined_at: (since >= 0).then_some(Timestamp(since)) })
}

/// See [`crate::catalog::Upkeep::quarantine`].
pub(crate) async fn quarantine(
    db: &mut impl Statements,
    digest: &Digest,
    key: &ObjectKey,
    now: Timestamp,
) -> Result<bool> {
    Ok(db.execute(QUARANTINE, &[digest.into(), (&key.0).into(), now.into()]).await? > 0)
}

/// See [`crate::catalog::Upkeep::release`].
pub(crate) async fn release(db: &mut impl Statements, digest: &Digest, key: &ObjectKey) -> Result<bool> {
    Ok(db.execute(RELEASE, &[digest.into(), (&key.0).into()]).await? > 0)
}

/// See [`crate::catalog::Upkeep::quarantined`].
pub(crate) async fn quarantined(db: &mut impl Statements) -> Result<u64> {
    unsigned(number(db, QUARANTINED).await?)
}

/// See [`crate::catalog::Upkeep::names_after`].
pub(crate) async fn names_after(
    db: &mut impl Statements,
    after: &Place,
    limit: u32,
) -> Result<Vec<(Place, RecordName)>> {
    let limit = i64::from(limit);
    if let Place::Manifest(id) = after {
        let rows = db.rows(MANIFESTS_AFTER, &[(*id).into(), limit.into()]).await?;
        if !rows.is_empty() {
            return rows.iter().map(manifest_name).collect();
        }
    }
    let (repo, name) = match after {
        Place::Tag(repo, name) => (*repo, name.as_str()),
        Place::Manifest(_) => (0, ""),
    };
    let rows = db.rows(TAGS_AFTER, &[repo.into(), name.into(), limit.into()]).await?;
    rows.iter().map(tag_name).collect()
}

fn manifest_name(row: &impl Columns) -> Result<(Place, RecordName)> {
    let name = RecordName::Manifest(parsed(&row.text(1)?)?, parsed(&row.text(2)?)?);
    Ok((Place::Manifest(row.int(0)?), name))
}

fn tag_name(row: &impl Columns) -> Result<(Place, RecordName)> {
    let (repo, name) = (row.int(0)?, row.text(2)?);
    let tag = RecordName::Tag(parsed(&row.text(1)?)?, parsed(&name)?);
    Ok((Place::Tag(repo, name), tag))
}

/// See [`crate::catalog::Upkeep::bodies_after`].
pub(crate) async fn bodies_after(
    db: &mut impl Statements,
    after: Option<&Digest>,
    limit: u32,
) -> Result<Vec<(Digest, Bytes)>> {
    let page = [after.map_or("", Digest::as_str).into(), i64::from(limit).into()];
    let rows = db.rows(BODIES_AFTER, &page).await?;
    rows.iter().map(|row| Ok((parsed(&row.text(0)?)?, row.bytes(1)?.into()))).collect()
}

/// See [`crate::catalog::Upkeep::mend_body`].
pub(crate) async fn mend_body(db: &mut impl Statements, digest: &Digest, body: &Bytes) -> Result<bool> {
    Ok(db.execute(MEND_BODY, &[digest.into(), Value::Bytes(body)]).await? > 0)
}

/// See [`crate::catalog::Upkeep::dangling_after`].
pub(crate) async fn dangling_after(
    db: &mut impl Statements,
    after: i64,
    limit: u32,
) -> Result<Vec<Dangling>> {
    let rows = db.rows(DANGLING, &[after.into(), i64::from(limit).into()]).await?;
    rows.iter().map(dangling).collect()
}

fn dangling(row: &impl Columns) -> Result<Dangling> {
    Ok(Dangling {
        parent_id: row.int(0)?,
        repo: parsed(&row.text(1)?)?,
        parent: parsed(&row.text(2)?)?,
        child: parsed(&row.text(3)?)?,
        kind: manifests::kind_of(row.int(4)?)?,
    })
}

/// See [`crate::catalog::Upkeep::contradictions`]: those that both databases can have.
pub(crate) async fn contradictions(db: &mut impl Statements) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for row in db.rows(TOO_SHALLOW, &[]).await? {
        let (repo, parent, child) = (row.text(0)?, row.text(1)?, row.text(2)?);
        found.push(format!("index {repo}@{parent} is not said to be deeper than its child {child}"));
    }
    for row in db.rows(POINTLESS_TAGS, &[]).await? {
        found.push(format!("tag {}:{} points at no manifest of its repository", row.text(0)?, row.text(1)?));
    }
    for row in db.rows(BODILESS, &[]).await? {
        found.push(format!("manifest {} has no body of its size", row.text(0)?));
    }
    Ok(found)
}

/// See [`crate::catalog::Upkeep::is_empty`].
pub(crate) async fn is_empty(db: &mut impl Statements) -> Result<bool> {
    Ok(number(db, ANYTHING).await? == 0)
}

/// See [`crate::catalog::Upkeep::restore`].
pub(crate) async fn restore(
    db: &mut impl QuotaStatements,
    restored: &Restored,
    lease: Lease,
) -> Result<Restoration> {
    let repo = &restored.manifest.repo;
    let mut newer = Vec::new();
    let mut set = Vec::new();
    for (tag, since) in &restored.tags {
        let held = db.row(TAG_TIME, &[repo.into(), tag.into()]).await?;
        match held {
            Some(held) if held.int(0)? > since.0 && held.text(1)? != restored.manifest.digest.as_str() => {
                newer.push(tag.clone());
            }
            // It has it already, and for how long is known better here.
            Some(held) if held.text(1)? == restored.manifest.digest.as_str() => {}
            _ => set.push((tag, *since)),
        }
    }
    // What is there was perhaps pushed again since.
    let known = db.row(MANIFEST_TIME, &[repo.into(), (&restored.manifest.digest).into()]).await?;
    let pushed_at = match known {
        Some(row) => Timestamp(row.int(0)?.max(restored.pushed_at.0)),
        None => restored.pushed_at,
    };
    // What was there once comes back whatever the limits of its namespace are.
    let put = manifests::put(db, &restored.manifest, pushed_at, lease, None).await?;
    if let ManifestPut::Stored { created, .. } = put {
        if created && set.is_empty() {
            // It was pushed long ago, and is here only now: what is to refer to it may be on its way.
            let row = [repo.into(), (&restored.manifest.digest).into(), lease.now.into()];
            db.execute(NOTE_ARRIVAL, &row).await?;
        }
        for (tag, since) in set {
            manifests::set_tag(db, repo, &restored.manifest.digest, tag, since).await?;
        }
    }
    Ok(Restoration { put, newer })
}
