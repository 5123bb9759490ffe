//! What collection asks and does: looking for what nothing needs, removing it, and bringing back what
//! was deleted.
//!
//! Every operation here is small, since it runs beside pushes, and looks again inside its transaction:
//! what a scan found may have been pushed, tagged or mounted since.

use async_trait::async_trait;
use berth_oci::{Digest, ManifestReference, RepoName, Tag};

use super::{ObjectKey, Result, Unrecorded};
use crate::clock::Timestamp;

/// When something is deleted, and whether it can be brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burial {
    /// The time.
    pub now: Timestamp,
    /// Whether it is kept for [`Collection::undelete`].
    pub keep: bool,
}

/// A moment behind which things are old enough to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// Leases that ran out before are over.
    pub now: Timestamp,
    /// Manifests that were neither pushed nor lost a tag since then go when nothing holds them;
    /// `None` keeps them.
    pub untagged: Option<Timestamp>,
    /// The same for manifests that retention let go of.
    pub released: Timestamp,
    /// What can be brought back is kept when it was deleted after this.
    pub deleted: Timestamp,
}

impl Horizon {
    /// Whether what retention lets go of now can be brought back.
    pub(super) fn keeps_deleted(&self) -> bool {
        self.deleted < self.now
    }
}

/// What one look at a stretch of a table found, and where the next stretch begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch<T, At> {
    /// What may go.
    pub found: Vec<T>,
    /// The end of the stretch; `None` at the end of the table.
    pub next: Option<At>,
}

/// A manifest's row, by its number.
pub type ManifestId = i64;

/// A manifest that may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collectable {
    /// Its row.
    pub id: ManifestId,
    /// Where its digest stands among all: rows that stand together share pages of indexes, and go for less.
    pub place: u64,
}

/// A manifest that collection removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedManifest {
    /// Where it was.
    pub repo: RepoName,
    /// Its digest.
    pub digest: Digest,
    /// Bytes of its body.
    pub size: u64,
}

/// Manifests that something let go of, to be looked at again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Released {
    /// Those that went, and what they held and nothing else did.
    pub removed: Vec<RemovedManifest>,
    /// Where to go on; `None` at the end.
    pub next: Option<ManifestId>,
}

/// What was done with a batch of blobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweptBlobs {
    /// Links that went.
    pub links: u64,
    /// Blobs that went, whose objects are to be deleted now.
    pub objects: Vec<DoomedObject>,
}

/// An object that no row refers to any more. It is written down until it is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoomedObject {
    /// Its name.
    pub key: ObjectKey,
    /// Bytes.
    pub size: u64,
}

/// A tag and when it was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagAge {
    /// The tag.
    pub tag: Tag,
    /// When it was pushed last.
    pub pushed_at: Timestamp,
}

/// Something that can be brought back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// Where it was.
    pub repo: RepoName,
    /// As what.
    pub reference: ManifestReference,
    /// The manifest.
    pub digest: Digest,
    /// When it was deleted.
    pub deleted_at: Timestamp,
}

/// How [`Collection::undelete`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undeleted {
    /// It is there again.
    Restored {
        /// Manifests that came back.
        manifests: Vec<Digest>,
        /// Tags that came back.
        tags: Vec<Tag>,
    },
    /// Nothing of that name was deleted, or too long ago.
    Unknown,
    /// The tag has been set to this manifest since.
    Taken(Digest),
    /// A part of it is gone for good.
    Incomplete(Digest),
}

/// What a run would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Manifests that would go.
    pub manifests: u64,
    /// Blobs that would go.
    pub blobs: u64,
    /// Bytes of these blobs: what storage has free then.
    pub bytes: u64,
}

/// How others have fared with their writes since the catalog was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Foreground {
    /// Writes that were answered.
    pub writes: u64,
    /// Microseconds that they took, all together.
    pub micros: u64,
    /// Microseconds that writes took which nobody waits for, without what they waited themselves.
    pub behind: u64,
}

/// What collection asks and does: marking, sweeping, retention, undelete.
#[async_trait]
pub trait Collection: Send + Sync {
    /// Manifests among the `window` after `after` that have no tag and that nothing holds: no index,
    /// no subject, no referrer that is held itself, nothing deleted that can be brought back.
    async fn collectable_manifests(
        &self,
        after: ManifestId,
        window: u32,
        horizon: Horizon,
    ) -> Result<Stretch<Collectable, ManifestId>>;

    /// Removes those of these manifests that still may go, an index before its children, and goes on
    /// with what that lets go of, `most` at most; more is written down for [`Self::collect_released`].
    /// May be undone by a power failure, so no object may be deleted on the strength of it.
    async fn collect_manifests(
        &self,
        ids: &[ManifestId],
        horizon: Horizon,
        most: u32,
    ) -> Result<Vec<RemovedManifest>>;

    /// The same for the next `most` manifests after `after` that something let go of.
    async fn collect_released(&self, after: ManifestId, horizon: Horizon, most: u32) -> Result<Released>;

    /// Those of these manifests that are still gone and of which storage may still have a record, each with
    /// the number of the note that says so.
    async fn unrecorded_removals(&self, removed: &[RemovedManifest]) -> Result<Vec<Unrecorded>>;

    /// Blobs among the `window` after `after` whose lease is over and which a repository links without
    /// need, or nobody links.
    async fn collectable_blobs(
        &self,
        after: &str,
        window: u32,
        horizon: Horizon,
    ) -> Result<Stretch<Digest, String>>;

    /// Takes away the links of these blobs that no manifest of their repository needs, and the rows of
    /// those that have none left and that nothing deleted needs. Their objects are written down as
    /// doomed in the same transaction: from then on no push can come to refer to one. May be undone by a
    /// power failure until [`Self::endure`] has answered, and no object may be deleted before.
    async fn sweep_blobs(&self, digests: &[Digest], horizon: Horizon) -> Result<SweptBlobs>;

    /// Answers when everything that was answered before, to this process and to those before it, survives
    /// a power failure.
    async fn endure(&self) -> Result<()>;

    /// Objects that are still to be deleted. As after [`Self::sweep_blobs`], not before [`Self::endure`].
    async fn doomed_objects(&self, limit: u32) -> Result<Vec<DoomedObject>>;

    /// These objects are gone from storage.
    async fn forget_objects(&self, keys: &[ObjectKey]) -> Result<()>;

    /// Those of these objects that no row and no upload session names. Each with the session that
    /// would have made it.
    async fn orphans(&self, objects: &[(ObjectKey, String)]) -> Result<Vec<ObjectKey>>;

    /// Forgets up to `limit` of what was deleted too long ago to be brought back; how many.
    async fn expire_deleted(&self, horizon: Horizon, limit: u32) -> Result<u64>;

    /// Forgets repositories without anything among the `window` after `after`; how many.
    async fn forget_empty_repositories(&self, after: i64, window: u32) -> Result<Stretch<RepoName, i64>>;

    /// Tags of `repo` after `after`, with their ages.
    async fn tag_ages(&self, repo: &RepoName, after: Option<&Tag>, limit: u32) -> Result<Vec<TagAge>>;

    /// Deletes these tags of `repo`, unless they were pushed since; what they pointed at is looked at by
    /// [`Self::collect_released`]. Those that went.
    async fn retire_tags(&self, repo: &RepoName, tags: &[TagAge], burial: Burial) -> Result<Vec<Tag>>;

    /// What can be brought back of `repo`, or of all, after an entry.
    async fn deleted(
        &self,
        repo: Option<&RepoName>,
        after: Option<(&RepoName, &ManifestReference)>,
        limit: u32,
        horizon: Horizon,
    ) -> Result<Vec<Deleted>>;

    /// Brings a tag or manifest back, with all it refers to and what refers to it, in one transaction.
    async fn undelete(
        &self,
        repo: &RepoName,
        reference: &ManifestReference,
        horizon: Horizon,
    ) -> Result<Undeleted>;

    /// What a run would do now, if these tags went first. Nothing is changed, and no push waits. With
    /// `forever`, everything that would be free in the end: leases and what can be brought back count nothing.
    async fn estimate(&self, tags: &[(RepoName, Tag)], horizon: Horizon, forever: bool) -> Result<Estimate>;

    /// Writes down how the last run ended.
    async fn save_report(&self, report: &str) -> Result<()>;

    /// How the last run ended.
    async fn last_report(&self) -> Result<Option<String>>;

    /// How others fare, for collection to make way.
    fn foreground(&self) -> Foreground;
}
