//! Looks whether catalog and storage agree, both ways, while the registry runs or not.
//!
//! Both move on while they are looked at. So whatever seems wrong is looked at once more before it
//! is called so: an object that is not in the list may have come since, a row may have gone.

mod objects;
mod records;
#[cfg(test)]
mod tests;

use std::{hash::BuildHasher, hash::RandomState, sync::Arc, time::Duration};

use berth_oci::{Digest, RepoName};
use bytes::Bytes;
use serde::Serialize;
use serde_json::json;

use super::{
    Teller, UpkeepError,
    read::{Pace, Part, State, verify},
};
use crate::{
    catalog::{Catalog, RefKind},
    clock::Clock,
    records::{Records, strangers},
    storage::BlobStore,
};

/// Rows that are read at a time.
const PAGE: u32 = 500;

/// Something that is wrong, and whether it was put right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about: a digest, a key, a name.
    pub what: String,
    /// What is wrong with it.
    pub finding: Kind,
    /// More, in words.
    pub why: String,
    /// Put right, or taken out of service.
    pub repaired: bool,
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A blob's object is not there.
    ObjectMissing,
    /// A blob's object has another size.
    ObjectSize,
    /// A blob's object has other bytes.
    ObjectDamaged,
    /// A blob's object cannot be read.
    ObjectUnreadable,
    /// A blob is out of service since an earlier look.
    Quarantined,
    /// An object that no blob has.
    Orphan,
    /// A manifest refers to what its repository does not have.
    Dangling,
    /// A manifest's bytes are not those of its digest.
    ManifestDamaged,
    /// A manifest or tag without a record in storage.
    RecordMissing,
    /// A record that says something else than the catalog, or nothing.
    RecordWrong,
    /// A record of what is not there.
    RecordStray,
    /// Rows that contradict each other.
    Contradiction,
}

/// So many of one kind are no accident of single objects.
const SUSPICIOUS: usize = 10;

/// What to do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Which blobs and records to read; none are without.
    pub read: Option<Part>,
    /// Whether to put right what can be.
    pub repair: bool,
    /// Objects and records that are younger than this are nobody's yet, and left alone.
    pub grace: Duration,
}

/// How much was looked at, and how much is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Blobs in the catalog.
    pub blobs: u64,
    /// Manifests and tags in the catalog.
    pub names: u64,
    /// Objects and records in storage.
    pub objects: u64,
    /// Blobs that were read.
    pub read: u64,
    /// Their bytes.
    pub bytes_read: u64,
    /// Findings.
    pub problems: u64,
    /// Those that were put right.
    pub repaired: u64,
}

/// Looks at catalog and storage.
#[derive(Debug)]
pub struct Check {
    /// The catalog.
    pub catalog: Arc<dyn Catalog>,
    /// Storage.
    pub store: Arc<dyn BlobStore>,
    /// What mends records.
    pub records: Records,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// One look, and what it has found so far.
struct Look<'a> {
    check: &'a Check,
    plan: Plan,
    teller: &'a Teller,
    summary: Summary,
    // Names of objects are kept as two of these, since there may be very many.
    hashers: (RandomState, RandomState),
}

impl Check {
    /// Looks at everything, tells each finding, and ends with a summary.
    ///
    /// # Errors
    /// When catalog or storage does not answer.
    pub async fn run(&self, plan: Plan, teller: &Teller) -> Result<Summary, UpkeepError> {
        let hashers = (RandomState::new(), RandomState::new());
        let mut look = Look { check: self, plan, teller, summary: Summary::default(), hashers };
        // Notes of what has been settled must not excuse what is wrong.
        self.records.flush().await?;
        look.belong_together().await?;
        look.contradictions().await?;
        look.dangling().await?;
        look.objects().await?;
        let damaged = look.bodies().await?;
        look.records(&damaged).await?;
        if let Some(part) = plan.read {
            look.read(part).await?;
        }
        Ok(look.summary)
    }
}

impl Look<'_> {
    async fn found(&mut self, finding: Kind, what: impl ToString, why: impl ToString, repaired: bool) {
        self.summary.problems += 1;
        self.summary.repaired += u64::from(repaired);
        let (what, why) = (what.to_string(), why.to_string());
        self.teller.tell(&Finding { what, finding, why, repaired }).await;
    }

    async fn begins(&self, stage: &str) {
        self.teller.tell(&json!({ "progress": stage })).await;
    }

    /// Stands for a name; two names with one mark are not to be expected in a lifetime.
    fn mark(&self, name: &str) -> (u64, u64) {
        (self.hashers.0.hash_one(name), self.hashers.1.hash_one(name))
    }

    /// Whether an object of this age may be nobody's.
    fn is_old(&self, modified: crate::clock::Timestamp) -> bool {
        modified <= self.check.clock.now() - self.plan.grace
    }

    /// Before anything is deleted because the catalog knows nothing of it: a catalog that was lost, or that is an
    /// older copy, must not cost what storage has.
    async fn belong_together(&self) -> Result<(), UpkeepError> {
        if !self.plan.repair {
            return Ok(());
        }
        let Check { catalog, store, .. } = self.check;
        let most = if catalog.is_empty().await? { 1 } else { SUSPICIOUS };
        let strangers = strangers(&**catalog, &**store, most).await?;
        if strangers.len() < most {
            return Ok(());
        }
        Err(UpkeepError::Refused(format!(
            "storage has records of manifests that the catalog knows nothing of, {} among them, so nothing was \
             repaired: is this the right catalog? If one was lost or is an older copy, stop the registry and run \
             `recover`, with --merge where the catalog is not empty",
            strangers[0]
        )))
    }

    async fn contradictions(&mut self) -> Result<(), UpkeepError> {
        self.begins("the catalog by itself").await;
        for why in self.check.catalog.contradictions().await? {
            self.found(Kind::Contradiction, "catalog", why, false).await;
        }
        Ok(())
    }

    async fn dangling(&mut self) -> Result<(), UpkeepError> {
        let mut after = 0;
        loop {
            let page = self.check.catalog.dangling_after(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            // A manifest whose references did not all fit is seen again from its beginning, unless it
            // fills the page by itself.
            let whole = |id: i64| page.len() < PAGE as usize || id != last.parent_id;
            let fits = page.iter().any(|dangling| whole(dangling.parent_id));
            for dangling in page.iter().filter(|dangling| !fits || whole(dangling.parent_id)) {
                let kind = match dangling.kind {
                    RefKind::Blob => "blob",
                    RefKind::Child => "manifest",
                };
                let why = format!("its {kind} {} is not in the repository", dangling.child);
                let what = named(&dangling.repo, &dangling.parent);
                self.found(Kind::Dangling, what, why, false).await;
                after = dangling.parent_id;
            }
        }
    }

    /// Manifests whose bytes are not their digest's.
    async fn bodies(&mut self) -> Result<Vec<Digest>, UpkeepError> {
        self.begins("manifests").await;
        let (mut after, mut damaged): (Option<Digest>, Vec<Digest>) = (None, Vec::new());
        loop {
            let page = self.check.catalog.bodies_after(after.as_ref(), PAGE / 10).await?;
            let Some((last, _)) = page.last() else { return Ok(damaged) };
            after = Some(last.clone());
            let is_damaged = |(digest, body): &(Digest, Bytes)| {
                (Digest::of(digest.algorithm(), body) != *digest).then(|| digest.clone())
            };
            damaged.extend(page.iter().filter_map(is_damaged));
        }
    }

    /// Reads the blobs of a part again.
    async fn read(&mut self, part: Part) -> Result<(), UpkeepError> {
        self.begins("bytes of blobs").await;
        let mut pace = Pace::new(None);
        let mut after: Option<Digest> = None;
        loop {
            let page = self.check.catalog.blobs_after(after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.row.digest.clone());
            for blob in page.iter().filter(|blob| part.has(&blob.row.digest)) {
                let Check { catalog, store, clock, .. } = self.check;
                let state = verify(&**catalog, &**store, &**clock, blob, &mut pace).await?;
                self.summary.read += 1;
                let digest = &blob.row.digest;
                match state {
                    Some(State::Damaged(actual)) => {
                        let why = format!("object {} is {actual}; it is not served any more", blob.row.key);
                        self.found(Kind::ObjectDamaged, digest, why, true).await;
                    }
                    Some(State::Unreadable(why)) => {
                        self.found(Kind::ObjectUnreadable, digest, why, false).await;
                    }
                    // Told already, or well, or not there any more.
                    Some(State::Whole | State::Resized | State::Gone) | None => {}
                }
            }
        }
        self.summary.bytes_read = pace.taken();
        Ok(())
    }
}

fn named(repo: &RepoName, digest: &Digest) -> String {
    format!("{repo}@{digest}")
}
