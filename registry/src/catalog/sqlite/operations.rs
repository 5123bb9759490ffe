//! Each operation of the catalog, sent to where it belongs: memory, a reader or the writer.

use std::sync::Arc;

use async_trait::async_trait;
use berth_oci::{Digest, ManifestReference, RepoName, Tag};
use futures_util::future::BoxFuture;
use sqlx::SqliteConnection;

use super::{SqliteCatalog, cache::Looked, uploads, writer::Durability};
use crate::{
    catalog::{
        BlobRow, Burial, Catalog, Claim, Committed, IsFixed, Lease, ManifestDelete, ManifestPut, ManifestRow,
        NewBlob, NewManifest, Referrers, ReferrersLimit, Refusal, Result, UploadId, UploadProgress,
        UploadRow, WriterId, database::Statements, ops, sql,
    },
    clock::Timestamp,
};

/// Says what kind of closure it is, so that the compiler can tell.
pub(super) fn repeatable<T, R>(run: R) -> R
where
    R: for<'c> Fn(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T>> + Send + 'static,
{
    run
}

/// A closure that can be called again: what it uses is cloned for each call.
macro_rules! again {
    (|$db:ident| with $($used:ident),+ => $body:expr) => {
        repeatable(move |$db| {
            $(let $used = $used.clone();)+
            Box::pin(async move { $body.await })
        })
    };
}
pub(super) use again;

#[async_trait]
impl Catalog for SqliteCatalog {
    async fn ping(&self) -> Result<()> {
        self.reader().await?.row(sql::PING, &[]).await?;
        Ok(())
    }

    async fn repositories(&self, after: Option<&str>, limit: u32) -> Result<Vec<RepoName>> {
        ops::lists::repositories(&mut *self.reader().await?, after, limit).await
    }

    async fn blob(&self, repo: &RepoName, digest: &Digest, lease: Lease) -> Result<Option<BlobRow>> {
        let found = ops::blobs::linked(&mut *self.reader().await?, repo, digest).await?;
        let Some(found) = found else { return Ok(None) };
        if !found.is_due(lease) {
            return Ok(Some(found.blob));
        }
        // A lease needs no fsync: a push that power cut off starts anew, and is told what is missing.
        let (repo, digest) = (repo.clone(), digest.clone());
        let renew = again!(|db| with repo, digest => ops::blobs::linked_renewed(db, &repo, &digest, lease));
        self.writer.submit(Durability::Process, renew, |_| ()).await
    }

    async fn commit_blob(
        &self,
        blob: &NewBlob,
        now: Timestamp,
        lease: Lease,
    ) -> Result<Result<Committed, Refusal>> {
        let (blob, claims, rules) = (blob.clone(), Arc::clone(&self.claims), self.rules.load_full());
        let upload = blob.upload;
        let commit =
            again!(|db| with blob, rules => ops::blobs::commit(db, &blob, now, lease, rules.as_deref()));
        let after = move |committed: Option<&Result<Committed, Refusal>>| {
            if let (Some(Ok(_)), Some(upload)) = (committed, upload) {
                claims.forget(upload);
            }
        };
        self.writer.submit(Durability::Full, commit, after).await
    }

    async fn mount_blob(
        &self,
        from: Option<&RepoName>,
        to: &RepoName,
        digest: &Digest,
        _now: Timestamp,
        lease: Lease,
    ) -> Result<Result<Option<BlobRow>, Refusal>> {
        let (from, to, digest) = (from.cloned(), to.clone(), digest.clone());
        let rules = self.rules.load_full();
        // Most mounts that fail need no turn at the writer.
        let there = ops::blobs::mountable(&mut *self.reader().await?, from.as_ref(), &digest).await?;
        if there.is_none() {
            return Ok(Ok(None));
        }
        let mount = again!(|db| with from, to, digest, rules =>
            ops::blobs::mount(db, from.as_ref(), &to, &digest, lease, rules.as_deref()));
        self.write(mount).await
    }

    async fn unlink_blob(&self, repo: &RepoName, digest: &Digest) -> Result<bool> {
        let (repo, digest) = (repo.clone(), digest.clone());
        self.write(again!(|db| with repo, digest => ops::blobs::unlink(db, &repo, &digest))).await
    }

    async fn create_upload(&self, upload: &UploadRow) -> Result<()> {
        let upload = upload.clone();
        let create = again!(|db| with upload => ops::uploads::create(db, sql::ADD_UPLOAD, &upload));
        self.writer.submit(Durability::Process, create, |_| ()).await
    }

    async fn upload(&self, repo: &RepoName, id: UploadId) -> Result<Option<UploadRow>> {
        ops::uploads::get(&mut *self.reader().await?, repo, id).await
    }

    async fn claim_upload(
        &self,
        repo: &RepoName,
        id: UploadId,
        writer: WriterId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Claim> {
        // The claim before the row: what it saved last is then in the row that is read.
        if !self.claims.take(id, writer, now, until) {
            return Ok(self.upload(repo, id).await?.map_or(Claim::Unknown, Claim::Busy));
        }
        let unkept = self.claims.unkept(id, writer);
        let Some(row) = self.upload(repo, id).await? else { return Ok(Claim::Unknown) };
        unkept.keep();
        Ok(Claim::Held(row))
    }

    async fn renew_claim(&self, id: UploadId, writer: WriterId, until: Timestamp) -> Result<bool> {
        Ok(self.claims.renew(id, writer, until))
    }

    async fn save_upload(&self, id: UploadId, writer: WriterId, progress: &UploadProgress) -> Result<bool> {
        let (progress, saving) = (progress.clone(), Arc::clone(&self.claims));
        let claims = Arc::clone(&self.claims);
        let save = again!(|db| with progress, saving => uploads::save(db, &saving, id, writer, &progress));
        let after = move |saved: Option<&bool>| match saved {
            Some(_) => claims.release(id, writer),
            None => claims.not_saved(id, writer),
        };
        self.writer.submit(Durability::Process, save, after).await
    }

    async fn delete_upload(&self, repo: &RepoName, id: UploadId) -> Result<Option<UploadRow>> {
        let (repo, claims) = (repo.clone(), Arc::clone(&self.claims));
        let delete = again!(|db| with repo => ops::uploads::delete(db, sql::DELETE_UPLOAD, &repo, id));
        let after = move |deleted: Option<&Option<UploadRow>>| {
            if let Some(Some(_)) = deleted {
                claims.forget(id);
            }
        };
        self.writer.submit(Durability::Process, delete, after).await
    }

    async fn expired_uploads(&self, now: Timestamp, limit: u32) -> Result<Vec<UploadRow>> {
        uploads::expired(&mut *self.reader().await?, &self.claims, now, limit).await
    }

    async fn has_upload(&self, id: UploadId) -> Result<bool> {
        ops::uploads::exists(&mut *self.reader().await?, id).await
    }

    async fn count_uploads(&self, most: u32) -> Result<u32> {
        ops::uploads::count(&mut *self.reader().await?, most).await
    }

    async fn put_manifest(
        &self,
        manifest: &NewManifest,
        now: Timestamp,
        lease: Lease,
    ) -> Result<ManifestPut> {
        let writing = self.cache.writing(&manifest.repo, Some(&manifest.digest), &manifest.tags);
        let (manifest, rules) = (manifest.clone(), self.rules.load_full());
        let put = again!(|db| with manifest, rules =>
            ops::manifests::put(db, &manifest, now, lease, rules.as_deref()));
        self.writer.submit(Durability::Full, put, move |_| drop(writing)).await
    }

    async fn manifest(&self, repo: &RepoName, reference: &ManifestReference) -> Result<Option<ManifestRow>> {
        let ticket = match self.cache.look(repo, reference) {
            Looked::Here(row) => return Ok(Some(row.as_ref().clone())),
            Looked::Ask(ticket) => ticket,
        };
        let row = ops::manifests::get(&mut *self.reader().await?, repo, reference).await?;
        if let Some(row) = &row {
            self.cache.add(&ticket, repo, reference, row);
        }
        Ok(row)
    }

    async fn delete_manifest(
        &self,
        repo: &RepoName,
        digest: &Digest,
        fixed: IsFixed,
        burial: Burial,
    ) -> Result<ManifestDelete> {
        let writing = self.cache.writing(repo, Some(digest), &[]);
        let (repo, digest) = (repo.clone(), digest.clone());
        let delete = again!(|db| with repo, digest, fixed => ops::manifests::delete(db, &repo, &digest, &fixed, burial));
        let after = move |deleted: Option<&ManifestDelete>| match deleted {
            Some(ManifestDelete::Deleted(tags)) => writing.forget_tags(tags),
            Some(ManifestDelete::Absent | ManifestDelete::TagFixed(_)) | None => drop(writing),
        };
        self.writer.submit(Durability::Full, delete, after).await
    }

    async fn delete_tag(&self, repo: &RepoName, tag: &Tag, burial: Burial) -> Result<bool> {
        let writing = self.cache.writing(repo, None, std::slice::from_ref(tag));
        let (repo, tag) = (repo.clone(), tag.clone());
        let delete = again!(|db| with repo, tag => ops::manifests::delete_tag(db, &repo, &tag, burial));
        self.writer.submit(Durability::Full, delete, move |_| drop(writing)).await
    }

    async fn tags(&self, repo: &RepoName, after: Option<&str>, limit: u32) -> Result<Option<Vec<Tag>>> {
        ops::lists::tags(&mut *self.reader().await?, repo, after, limit).await
    }

    async fn referrers(
        &self,
        repo: &RepoName,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<&Digest>,
        limit: ReferrersLimit,
    ) -> Result<Referrers> {
        ops::lists::referrers(&mut *self.reader().await?, repo, subject, artifact_type, after, limit).await
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
