//! Operations whose commit may be lost on its way back.
//!
//! Once a commit was sent and the connection broke, the change has been made or it has not. Neither "it
//! failed" is right then, nor doing it once more: a tag would be set again over what another has set
//! since. So each operation looks whether what it wrote is there, and only if it is not begins anew.

use berth_oci::{Digest, RepoName, Tag};

use super::{
    PostgresCatalog,
    retry::{is_unsettled, read, transact},
    uploads,
};
use crate::{
    catalog::{
        Burial, IsFixed, Lease, ManifestDelete, ManifestPut, NewManifest, Result, UploadId, UploadRow,
        database::{Columns, Statements},
        ops, sql,
    },
    clock::Timestamp,
};

impl PostgresCatalog {
    /// See [`crate::catalog::Catalog::put_manifest`].
    pub(super) async fn put_manifest_once(
        &self,
        manifest: &NewManifest,
        now: Timestamp,
        lease: Lease,
    ) -> Result<ManifestPut> {
        let rules = self.rules.load_full();
        let mut said = None;
        let outcome = transact!(self, |db| async {
            let outcome = ops::manifests::put(db, manifest, now, lease, rules.as_deref()).await?;
            said = Some(outcome.clone());
            Ok(outcome)
        });
        match (outcome, said) {
            (Err(error), Some(said)) if is_unsettled(&error) => {
                let values = [(&manifest.repo).into(), (&manifest.digest).into(), now.into()];
                if read!(self, |db| db.row(sql::PUSHED_AT, &values))?.is_some() {
                    return Ok(said);
                }
                transact!(self, |db| ops::manifests::put(db, manifest, now, lease, rules.as_deref()))
            }
            (outcome, _) => outcome,
        }
    }

    /// See [`crate::catalog::Catalog::delete_manifest`].
    pub(super) async fn delete_manifest_once(
        &self,
        repo: &RepoName,
        digest: &Digest,
        fixed: &IsFixed,
        burial: Burial,
    ) -> Result<ManifestDelete> {
        // A manifest that is pushed again has another id.
        let mut deleted = None;
        let outcome = transact!(self, |db| async {
            let id = match db
                .row(<sqlx::PgConnection as Statements>::LOCK_MANIFEST, &[repo.into(), digest.into()])
                .await?
            {
                Some(row) => row.int(0)?,
                None => return Ok(ManifestDelete::Absent),
            };
            let outcome = ops::manifests::delete(db, repo, digest, fixed, burial).await?;
            deleted = Some((id, outcome.clone()));
            Ok(outcome)
        });
        match (outcome, deleted) {
            (Err(error), Some((id, said))) if is_unsettled(&error) => {
                if read!(self, |db| db.row(sql::MANIFEST_BY_ID, &[id.into()]))?.is_none() {
                    return Ok(said);
                }
                transact!(self, |db| ops::manifests::delete(db, repo, digest, fixed, burial))
            }
            (outcome, _) => outcome,
        }
    }

    /// See [`crate::catalog::Catalog::delete_tag`].
    pub(super) async fn delete_tag_once(&self, repo: &RepoName, tag: &Tag, burial: Burial) -> Result<bool> {
        let mut before = None;
        let outcome = transact!(self, |db| async {
            before = setting(db, repo, tag).await?;
            ops::manifests::delete_tag(db, repo, tag, burial).await
        });
        match outcome {
            Err(error) if is_unsettled(&error) => {
                if before.is_none() || read!(self, |db| setting(db, repo, tag))? != before {
                    return Ok(before.is_some());
                }
                transact!(self, |db| ops::manifests::delete_tag(db, repo, tag, burial))
            }
            outcome => outcome,
        }
    }

    /// See [`crate::catalog::Catalog::unlink_blob`].
    pub(super) async fn unlink_blob_once(&self, repo: &RepoName, digest: &Digest) -> Result<bool> {
        let mut was_there = false;
        let outcome = transact!(self, |db| async {
            was_there = ops::blobs::unlink(db, repo, digest).await?;
            Ok(was_there)
        });
        match outcome {
            // A link is or is not: taking it out again is taking it out.
            Err(error) if is_unsettled(&error) => {
                Ok(transact!(self, |db| ops::blobs::unlink(db, repo, digest))? || was_there)
            }
            outcome => outcome,
        }
    }

    /// See [`crate::catalog::Catalog::delete_upload`].
    pub(super) async fn delete_upload_once(
        &self,
        repo: &RepoName,
        id: UploadId,
    ) -> Result<Option<UploadRow>> {
        let mut before = None;
        let outcome = transact!(self, |db| async {
            before = uploads::delete(db, repo, id).await?;
            Ok(before.clone())
        });
        match outcome {
            // No session ever has the id of another.
            Err(error) if is_unsettled(&error) => {
                Ok(transact!(self, |db| uploads::delete(db, repo, id))?.or(before))
            }
            outcome => outcome,
        }
    }
}

/// Which setting of a tag stands.
async fn setting(db: &mut sqlx::PgConnection, repo: &RepoName, tag: &Tag) -> Result<Option<(i64, i64)>> {
    let row = db.row(sql::TAG, &[repo.into(), tag.into()]).await?;
    row.map(|row| Ok((row.int(0)?, row.int(1)?))).transpose()
}
