//! The end of every push: bytes verified, made durable, made visible, in this order.

use berth_oci::{Digest, RepoName};
use tracing::warn;

use super::{
    Blobs, UploadError,
    hash::{Hash, digest_of},
};
use crate::{
    catalog::{BlobRow, CatalogError, NewBlob, ObjectKey, UploadId},
    storage::StageWriter,
};

impl Blobs {
    /// Verifies the bytes and makes them a durable object. Nothing is left of them if that fails.
    pub(super) async fn seal(
        &self,
        hash: Hash,
        writer: Box<dyn StageWriter>,
        digest: &Digest,
        size: u64,
    ) -> Result<ObjectKey, UploadError> {
        let mismatch = |actual| UploadError::Digest { expected: digest.clone(), actual };
        if hash.algorithm() == digest.algorithm() {
            let actual = hash.digest();
            if actual != *digest {
                if let Err(error) = writer.abandon().await {
                    warn!("Bytes that did not match their digest stay until a sweep: {error}");
                }
                return Err(mismatch(actual));
            }
            return Ok(writer.finish(digest).await?);
        }
        // Chunks came before the algorithm was known. The object is read again before anybody
        // else can see it.
        let key = writer.finish(digest).await?;
        let (store, budget) = (&*self.inner.store, &self.inner.budget);
        let checked = digest_of(store, &key, size, digest.algorithm(), budget).await;
        let refused = match checked {
            Ok(actual) if actual == *digest => return Ok(key),
            Ok(actual) => mismatch(actual),
            Err(error) => error.into(),
        };
        self.delete_orphan(&key).await;
        Err(refused)
    }

    /// Makes a durable object visible as a blob of `repo`, and ends its session.
    pub(super) async fn commit(
        &self,
        repo: &RepoName,
        digest: &Digest,
        size: u64,
        key: ObjectKey,
        upload: Option<UploadId>,
    ) -> Result<BlobRow, UploadError> {
        let blob = NewBlob { repo: repo.clone(), digest: digest.clone(), size, key, upload };
        let mut committed = self.inner.catalog.commit_blob(&blob, self.inner.clock.now(), self.lease()).await;
        if let Err(CatalogError::Unavailable(_)) = committed {
            // Its answer may have been lost after the deed. It is safe to repeat, and repeating tells.
            committed = self.inner.catalog.commit_blob(&blob, self.inner.clock.now(), self.lease()).await;
        }
        if let Ok(Ok(there)) = &committed
            && there.blob.key != blob.key
            && self.replaces(&there.blob).await
        {
            committed = self.inner.catalog.commit_blob(&blob, self.inner.clock.now(), self.lease()).await;
        }
        match committed {
            Ok(Ok(committed)) => {
                if committed.blob.key != blob.key {
                    self.delete_orphan(&blob.key).await;
                } else if self.inner.store.is_far() {
                    self.inner.seen.note(&committed.blob, self.inner.clock.now());
                }
                Ok(committed.blob)
            }
            Ok(Err(refusal)) => {
                // No row refers to the object, and none will.
                self.delete_orphan(&blob.key).await;
                if let Some(id) = upload {
                    self.inner.catalog.delete_upload(repo, id).await.ok(); // Or it expires.
                }
                Err(refusal.into())
            }
            Err(error) => {
                // The object stays: nobody can say that no row refers to it. The session's bytes
                // are in it, so the session is over.
                warn!(key = %blob.key, "Object {} of blob {digest} may be an orphan: {error}", blob.key);
                if let Some(id) = upload {
                    self.inner.catalog.delete_upload(repo, id).await.ok(); // Or it expires.
                }
                Err(error.into())
            }
        }
    }
}
