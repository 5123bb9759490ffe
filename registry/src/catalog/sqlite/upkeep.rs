//! What `check`, `recover`, `import` and `migrate` ask of a catalog.

use async_trait::async_trait;
use berth_oci::Digest;
use bytes::Bytes;

use super::{SqliteCatalog, operations::again, operations::repeatable, writer::Durability};
use crate::{
    catalog::{
        Dangling, Lease, ObjectKey, Place, RecordName, Recordable, Restoration, Restored, Result, StoredBlob,
        Unrecorded, Upkeep,
        database::{Columns, Statements},
        ops::upkeep,
    },
    clock::Timestamp,
};

/// `$1` sequences as JSON.
const TAKE: &str =
    "DELETE FROM unrecorded WHERE sequence IN (SELECT value FROM json_each($1)) RETURNING sequence";

#[async_trait]
impl Upkeep for SqliteCatalog {
    async fn record(&self, name: &RecordName) -> Result<Recordable> {
        upkeep::record(&mut *self.reader().await?, name).await
    }

    async fn unrecorded(&self, upto: i64, limit: u32) -> Result<Vec<Unrecorded>> {
        upkeep::unrecorded(&mut *self.reader().await?, upto, limit).await
    }

    async fn last_unrecorded(&self) -> Result<i64> {
        upkeep::last_unrecorded(&mut *self.reader().await?).await
    }

    async fn recorded(&self, sequences: &[i64]) -> Result<Vec<i64>> {
        let sequences = sequences.to_vec();
        let take = again!(|db| with sequences => upkeep::recorded(db, TAKE, &sequences));
        // What a power failure brings back is told once more.
        self.write_behind(Durability::Process, take).await
    }

    async fn all_recorded(&self) -> Result<()> {
        self.write(repeatable(|db| Box::pin(upkeep::all_recorded(db)))).await
    }

    async fn progress(&self, task: &str) -> Result<Option<String>> {
        upkeep::progress(&mut *self.reader().await?, task).await
    }

    async fn set_progress(&self, task: &str, state: &str) -> Result<()> {
        let (task, state) = (task.to_owned(), state.to_owned());
        let set = again!(|db| with task, state => upkeep::set_progress(db, &task, &state));
        self.writer.submit(Durability::Process, set, |_| ()).await
    }

    async fn blobs_after(&self, after: Option<&Digest>, limit: u32) -> Result<Vec<StoredBlob>> {
        upkeep::blobs_after(&mut *self.reader().await?, after, limit).await
    }

    async fn stored_blob(&self, digest: &Digest) -> Result<Option<StoredBlob>> {
        upkeep::stored_blob(&mut *self.reader().await?, digest).await
    }

    async fn quarantine(&self, digest: &Digest, key: &ObjectKey, now: Timestamp) -> Result<bool> {
        let (digest, key) = (digest.clone(), key.clone());
        self.write(again!(|db| with digest, key => upkeep::quarantine(db, &digest, &key, now))).await
    }

    async fn release(&self, digest: &Digest, key: &ObjectKey) -> Result<bool> {
        let (digest, key) = (digest.clone(), key.clone());
        self.write(again!(|db| with digest, key => upkeep::release(db, &digest, &key))).await
    }

    async fn quarantined(&self) -> Result<u64> {
        upkeep::quarantined(&mut *self.reader().await?).await
    }

    async fn names_after(&self, after: &Place, limit: u32) -> Result<Vec<(Place, RecordName)>> {
        upkeep::names_after(&mut *self.reader().await?, after, limit).await
    }

    async fn bodies_after(&self, after: Option<&Digest>, limit: u32) -> Result<Vec<(Digest, Bytes)>> {
        upkeep::bodies_after(&mut *self.reader().await?, after, limit).await
    }

    async fn mend_body(&self, digest: &Digest, body: &Bytes) -> Result<bool> {
        let (of, body) = (digest.clone(), body.clone());
        let mended = self.write(again!(|db| with of, body => upkeep::mend_body(db, &of, &body))).await?;
        self.cache.clear();
        Ok(mended)
    }

    async fn dangling_after(&self, after: i64, limit: u32) -> Result<Vec<Dangling>> {
        upkeep::dangling_after(&mut *self.reader().await?, after, limit).await
    }

    async fn contradictions(&self) -> Result<Vec<String>> {
        let db = &mut *self.reader().await?;
        let mut found = upkeep::contradictions(db).await?;
        for row in db.rows("PRAGMA integrity_check(100)", &[]).await? {
            let said = row.text(0)?;
            if said != "ok" {
                found.push(format!("the database says: {said}"));
            }
        }
        for row in db.rows("PRAGMA foreign_key_check", &[]).await?.iter().take(100) {
            found.push(format!(
                "a row of table {} refers to one of {} that is not there",
                row.text(0)?,
                row.text(2)?
            ));
        }
        Ok(found)
    }

    async fn is_empty(&self) -> Result<bool> {
        upkeep::is_empty(&mut *self.reader().await?).await
    }

    async fn restore(&self, restored: &Restored, lease: Lease) -> Result<Restoration> {
        let tags: Vec<_> = restored.tags.iter().map(|(tag, _)| tag.clone()).collect();
        let writing = self.cache.writing(&restored.manifest.repo, Some(&restored.manifest.digest), &tags);
        let restored = restored.clone();
        let put = again!(|db| with restored => upkeep::restore(db, &restored, lease));
        self.writer.submit(Durability::Full, put, move |_| drop(writing)).await
    }
}
