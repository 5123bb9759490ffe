//! What `check`, `recover`, `import` and `migrate` ask of a catalog.

use async_trait::async_trait;
use berth_oci::Digest;
use bytes::Bytes;

use super::{
    PostgresCatalog,
    retry::{change, read, transact},
};
use crate::{
    catalog::{
        Dangling, Lease, ObjectKey, Place, RecordName, Recordable, Restoration, Restored, Result, StoredBlob,
        Unrecorded, Upkeep, database::Statements, ops::upkeep,
    },
    clock::Timestamp,
};

/// `$1` sequences as JSON. Waits for nobody: what a push has just locked has changed, and is its to tell.
const TAKE: &str = "DELETE FROM unrecorded WHERE sequence IN (SELECT u.sequence FROM unrecorded u \
     WHERE u.sequence IN (SELECT value::bigint FROM jsonb_array_elements_text($1::jsonb)) \
     FOR UPDATE SKIP LOCKED) RETURNING sequence";

#[async_trait]
impl Upkeep for PostgresCatalog {
    async fn record(&self, name: &RecordName) -> Result<Recordable> {
        read!(self, |db| upkeep::record(db, name))
    }

    async fn unrecorded(&self, upto: i64, limit: u32) -> Result<Vec<Unrecorded>> {
        read!(self, |db| upkeep::unrecorded(db, upto, limit))
    }

    async fn last_unrecorded(&self) -> Result<i64> {
        read!(self, |db| upkeep::last_unrecorded(db))
    }

    async fn recorded(&self, sequences: &[i64]) -> Result<Vec<i64>> {
        transact!(self, |db| async {
            // What a power failure brings back is told once more.
            db.execute("SET LOCAL synchronous_commit = off", &[]).await?;
            upkeep::recorded(db, TAKE, sequences).await
        })
    }

    async fn all_recorded(&self) -> Result<()> {
        change!(self, |db| upkeep::all_recorded(db))
    }

    async fn progress(&self, task: &str) -> Result<Option<String>> {
        read!(self, |db| upkeep::progress(db, task))
    }

    async fn set_progress(&self, task: &str, state: &str) -> Result<()> {
        change!(self, |db| upkeep::set_progress(db, task, state))
    }

    async fn blobs_after(&self, after: Option<&Digest>, limit: u32) -> Result<Vec<StoredBlob>> {
        read!(self, |db| upkeep::blobs_after(db, after, limit))
    }

    async fn stored_blob(&self, digest: &Digest) -> Result<Option<StoredBlob>> {
        read!(self, |db| upkeep::stored_blob(db, digest))
    }

    async fn quarantine(&self, digest: &Digest, key: &ObjectKey, now: Timestamp) -> Result<bool> {
        change!(self, |db| upkeep::quarantine(db, digest, key, now))
    }

    async fn release(&self, digest: &Digest, key: &ObjectKey) -> Result<bool> {
        change!(self, |db| upkeep::release(db, digest, key))
    }

    async fn quarantined(&self) -> Result<u64> {
        read!(self, |db| upkeep::quarantined(db))
    }

    async fn names_after(&self, after: &Place, limit: u32) -> Result<Vec<(Place, RecordName)>> {
        read!(self, |db| upkeep::names_after(db, after, limit))
    }

    async fn bodies_after(&self, after: Option<&Digest>, limit: u32) -> Result<Vec<(Digest, Bytes)>> {
        read!(self, |db| upkeep::bodies_after(db, after, limit))
    }

    async fn mend_body(&self, digest: &Digest, body: &Bytes) -> Result<bool> {
        let mended = change!(self, |db| upkeep::mend_body(db, digest, body))?;
        self.bodies.remove(digest);
        Ok(mended)
    }

    async fn dangling_after(&self, after: i64, limit: u32) -> Result<Vec<Dangling>> {
        read!(self, |db| upkeep::dangling_after(db, after, limit))
    }

    async fn contradictions(&self) -> Result<Vec<String>> {
        read!(self, |db| upkeep::contradictions(db))
    }

    async fn is_empty(&self) -> Result<bool> {
        read!(self, |db| upkeep::is_empty(db))
    }

    async fn restore(&self, restored: &Restored, lease: Lease) -> Result<Restoration> {
        transact!(self, |db| upkeep::restore(db, restored, lease))
    }
}
