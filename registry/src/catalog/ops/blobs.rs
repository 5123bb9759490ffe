//! Blobs and who links them.

use berth_oci::{Digest, RepoName};

use super::{
    Columns, Result, Statements, overtaken,
    quotas::{self, Admission, Content, QuotaStatements},
    signed, sql, unsigned,
};
use crate::{
    catalog::{BlobRow, Committed, Lease, NamespaceRules, NewBlob, ObjectKey, Refusal},
    clock::Timestamp,
};

/// A blob and when its lease runs out.
pub(crate) struct Leased {
    pub(crate) blob: BlobRow,
    until: Timestamp,
}

impl Leased {
    fn read(row: &impl Columns, digest: &Digest) -> Result<Self> {
        let blob =
            BlobRow { digest: digest.clone(), size: unsigned(row.int(0)?)?, key: ObjectKey(row.text(1)?) };
        Ok(Self { blob, until: Timestamp(row.int(2)?) })
    }

    /// Whether less than half of the lease is left. Not at every look, since that would make
    /// every read a write.
    pub(crate) fn is_due(&self, lease: Lease) -> bool {
        self.until < renewed_before(lease)
    }
}

/// A lease that runs out before this moment is renewed.
pub(super) fn renewed_before(lease: Lease) -> Timestamp {
    lease.now + lease.length / 2
}

/// The blob, if `repo` links it. Reads only.
pub(crate) async fn linked(
    db: &mut impl Statements,
    repo: &RepoName,
    digest: &Digest,
) -> Result<Option<Leased>> {
    let row = db.row(sql::LINKED_BLOB, &[repo.into(), digest.into()]).await?;
    row.map(|row| Leased::read(&row, digest)).transpose()
}

/// The blob, if `repo` links it, with its lease renewed.
pub(crate) async fn linked_renewed(
    db: &mut impl Statements,
    repo: &RepoName,
    digest: &Digest,
    lease: Lease,
) -> Result<Option<BlobRow>> {
    match linked(db, repo, digest).await? {
        Some(_) => renew(db, digest, lease).await,
        None => Ok(None),
    }
}

async fn renew(db: &mut impl Statements, digest: &Digest, lease: Lease) -> Result<Option<BlobRow>> {
    let row = db.row(sql::RENEW_BLOB, &[digest.into(), lease.until().into()]).await?;
    row.map(|row| Ok(Leased::read(&row, digest)?.blob)).transpose()
}

/// See [`crate::catalog::Catalog::commit_blob`].
pub(crate) async fn commit(
    db: &mut impl QuotaStatements,
    new: &NewBlob,
    now: Timestamp,
    lease: Lease,
    rules: Option<&NamespaceRules>,
) -> Result<Result<Committed, Refusal>> {
    let (repo, admission) = match admit(db, rules, &new.repo, &new.digest, new.size).await? {
        Ok(admitted) => admitted,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let blob = insert_or_find(db, new, now, lease).await?;
    link(db, repo, &new.digest, &admission).await?;
    if let Some(upload) = new.upload {
        db.execute(sql::END_UPLOAD, &[upload.to_string().as_str().into()]).await?;
    }
    // By key, not by who inserted: when the answer to a first try was lost, the second finds its
    // own row, and must not tell the caller to delete the object in it.
    Ok(Ok(Committed { surplus: blob.key != new.key, blob }))
}

/// Asks whether the blob may be linked into a repository. That comes first of all, before anything is written.
async fn admit<'a>(
    db: &mut impl QuotaStatements,
    rules: Option<&NamespaceRules>,
    repo: &RepoName,
    digest: &'a Digest,
    size: u64,
) -> Result<Result<(i64, Admission<'a>), Refusal>> {
    let admission = match quotas::admit(db, rules, repo, Content::blob(digest, size)).await? {
        Ok(admission) => admission,
        Err(refusal) => return Ok(Err(refusal)),
    };
    Ok(quotas::repository(db, rules, repo).await?.map(|id| (id, admission)))
}

async fn insert_or_find(
    db: &mut impl Statements,
    new: &NewBlob,
    now: Timestamp,
    lease: Lease,
) -> Result<BlobRow> {
    let NewBlob { digest, size, key, .. } = new;
    let row = [digest.into(), signed(*size)?.into(), (&key.0).into(), lease.until().into(), now.into()];
    if db.execute(sql::ADD_BLOB, &row).await? == 1 {
        return Ok(BlobRow { digest: digest.clone(), size: *size, key: key.clone() });
    }
    if let Some(row) = db.row(sql::BLOB, &[digest.into()]).await? {
        if row.int(3)? != 0 {
            // Found to be damaged: this upload heals it.
            let row = [digest.into(), signed(*size)?.into(), (&key.0).into(), lease.until().into()];
            let row = db.row(sql::REPLACE_BLOB, &row).await?.ok_or_else(|| overtaken(digest))?;
            return Ok(Leased::read(&row, digest)?.blob);
        }
        let found = Leased::read(&row, digest)?;
        if !found.is_due(lease) {
            return Ok(found.blob);
        }
        if let Some(blob) = renew(db, digest, lease).await? {
            return Ok(blob);
        }
    }
    Err(overtaken(digest))
}

async fn link(db: &mut impl Statements, repo: i64, digest: &Digest, admission: &Admission<'_>) -> Result<()> {
    let linked = db.execute(sql::LINK_BLOB, &[repo.into(), digest.into()]).await?;
    if linked > 0 { admission.confirm(db).await } else { Ok(()) }
}

/// The blob, if `from` links it, or anybody. Reads only.
pub(crate) async fn mountable(
    db: &mut impl Statements,
    from: Option<&RepoName>,
    digest: &Digest,
) -> Result<Option<Leased>> {
    let row = match from {
        Some(from) => db.row(sql::LINKED_BLOB, &[from.into(), digest.into()]).await?,
        None => db.row(sql::BLOB_LINKED_ANYWHERE, &[digest.into()]).await?,
    };
    row.map(|row| Leased::read(&row, digest)).transpose()
}

/// See [`crate::catalog::Catalog::mount_blob`].
pub(crate) async fn mount(
    db: &mut impl QuotaStatements,
    from: Option<&RepoName>,
    to: &RepoName,
    digest: &Digest,
    lease: Lease,
    rules: Option<&NamespaceRules>,
) -> Result<Result<Option<BlobRow>, Refusal>> {
    let Some(found) = mountable(db, from, digest).await? else { return Ok(Ok(None)) };
    let (to, admission) = match admit(db, rules, to, digest, found.blob.size).await? {
        Ok(admitted) => admitted,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let blob = if found.is_due(lease) { renew(db, digest, lease).await? } else { Some(found.blob) };
    match blob {
        Some(_) => link(db, to, digest, &admission).await?,
        // It went since it was looked at; once more, and the look will tell.
        None => return Err(overtaken(digest)),
    }
    Ok(Ok(blob))
}

/// See [`crate::catalog::Catalog::unlink_blob`].
pub(crate) async fn unlink(db: &mut impl Statements, repo: &RepoName, digest: &Digest) -> Result<bool> {
    Ok(db.execute(sql::UNLINK_BLOB, &[repo.into(), digest.into()]).await? > 0)
}
