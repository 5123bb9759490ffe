//! Blobs against the objects that hold them.

use std::collections::HashMap;

use berth_oci::Digest;
use futures_util::TryStreamExt;

use super::{Kind, Look, PAGE};
use crate::{
    catalog::{ObjectKey, StoredBlob},
    storage::Key,
    upkeep::UpkeepError,
};

/// More blobs than this whose objects are missing, and nothing else there, are no accident of single objects.
const SUSPICIOUS: u64 = 10;

impl Look<'_> {
    /// Looks at every blob's object, and for objects that are no blob's.
    pub(super) async fn objects(&mut self) -> Result<(), UpkeepError> {
        self.begins("objects of blobs").await;
        let mut sizes: HashMap<(u64, u64), u64> = HashMap::new();
        let mut listed = self.check.store.list("blobs");
        while let Some(object) = listed.try_next().await? {
            sizes.insert(self.mark(&object.key.0), object.size);
        }
        self.summary.objects += sizes.len() as u64;
        let (mut after, mut suspects): (Option<Digest>, Vec<StoredBlob>) = (None, Vec::new());
        let mut orphans = sizes.clone();
        loop {
            let page = self.check.catalog.blobs_after(after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.row.digest.clone());
            self.summary.blobs += page.len() as u64;
            for blob in page {
                let mark = self.mark(&blob.row.key.0);
                orphans.remove(&mark);
                if let Some(since) = blob.quarantined_at {
                    let why = format!("not served since {}", since.0 / 1_000_000);
                    self.found(Kind::Quarantined, &blob.row.digest, why, false).await;
                } else if sizes.get(&mark) != Some(&blob.row.size) {
                    suspects.push(blob);
                }
            }
        }
        drop(sizes);
        self.missing(suspects).await?;
        self.orphans(orphans).await
    }

    /// Blobs whose objects were not in the list as they should be.
    async fn missing(&mut self, suspects: Vec<StoredBlob>) -> Result<(), UpkeepError> {
        let mut missing = Vec::new();
        for blob in suspects {
            let size = self.check.store.size(&blob.row.key).await?;
            if size == Some(blob.row.size) {
                continue; // Came since.
            }
            match self.check.catalog.stored_blob(&blob.row.digest).await? {
                Some(now) if now.row.key == blob.row.key => missing.push((now, size)),
                Some(_) | None => {} // Replaced or collected since.
            }
        }
        // A bucket that was mistyped, or a disk that is not mounted, must not take everything out of service.
        let wrong_place = missing.len() as u64 == self.summary.blobs && self.summary.blobs > SUSPICIOUS;
        for (blob, size) in missing {
            let (digest, key) = (&blob.row.digest, &blob.row.key);
            let (kind, why) = match size {
                None => (Kind::ObjectMissing, format!("object {key} is not there")),
                Some(size) => {
                    (Kind::ObjectSize, format!("object {key} has {size} bytes and not {}", blob.row.size))
                }
            };
            let repaired = self.plan.repair
                && !wrong_place
                && self.check.catalog.quarantine(digest, key, self.check.clock.now()).await?;
            self.found(kind, digest, why, repaired).await;
        }
        if wrong_place && self.plan.repair {
            return Err(UpkeepError::Refused(
                "no object of any blob is where it should be, so nothing was repaired: is this the right storage?"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// Objects that no blob had when the rows were read.
    async fn orphans(&mut self, mut orphans: HashMap<(u64, u64), u64>) -> Result<(), UpkeepError> {
        if orphans.is_empty() {
            return Ok(());
        }
        // Those whose rows came since they were listed: once more over all rows, which is cheap
        // beside deleting what somebody has been promised.
        let mut after: Option<Digest> = None;
        loop {
            let page = self.check.catalog.blobs_after(after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.row.digest.clone());
            for blob in page {
                orphans.remove(&self.mark(&blob.row.key.0));
            }
        }
        let mut old: Vec<(ObjectKey, u64)> = Vec::new();
        let mut listed = self.check.store.list("blobs");
        while let Some(object) = listed.try_next().await? {
            if orphans.contains_key(&self.mark(&object.key.0)) && self.is_old(object.modified) {
                old.push((object.key, object.size));
            }
        }
        for (key, size) in old {
            // What a session brings is nobody's only until its row is there, however short the grace is.
            let session = Key::upload_of(&key).map(|id| id.to_string()).unwrap_or_default();
            if self.check.catalog.orphans(&[(key.clone(), session)]).await?.is_empty() {
                continue;
            }
            let repaired = self.plan.repair;
            if repaired {
                self.check.store.delete(&key).await?;
            }
            self.found(Kind::Orphan, key, format!("no blob has this object of {size} bytes"), repaired).await;
        }
        Ok(())
    }
}
