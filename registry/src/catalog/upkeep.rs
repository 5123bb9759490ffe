//! What `check`, `recover`, `import` and `migrate` ask of a catalog, and what it owes storage: the
//! records from which it can be rebuilt.

use async_trait::async_trait;
use berth_oci::{Digest, MediaType, RepoName, Tag};
use bytes::Bytes;

use super::{BlobRow, Lease, ManifestPut, NewManifest, ObjectKey, RefKind, Result};
use crate::clock::Timestamp;

/// Something of which storage holds a record.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordName {
    /// A manifest of a repository.
    Manifest(RepoName, Digest),
    /// A tag of a repository.
    Tag(RepoName, Tag),
}

/// Where a walk over all of them has come to. [`Place::START`] is before the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At a manifest, by its row's number.
    Manifest(i64),
    /// At a tag, by its repository's number and its name.
    Tag(i64, String),
}

impl Place {
    /// Before the first.
    pub const START: Self = Self::Manifest(0);
}

/// What the record of a manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestRecord {
    /// The repository.
    pub repo: RepoName,
    /// The manifest's digest.
    pub digest: Digest,
    /// Content-Type it is served with.
    pub media_type: MediaType,
    /// When it was pushed last.
    pub pushed_at: Timestamp,
    /// Which objects hold the blobs that it refers to and that are there.
    pub blobs: Vec<BlobRow>,
    /// The bytes.
    pub body: Bytes,
}

/// What the record of a tag says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagRecord {
    /// The repository.
    pub repo: RepoName,
    /// The tag.
    pub tag: Tag,
    /// What it points at.
    pub digest: Digest,
    /// Since when.
    pub updated_at: Timestamp,
}

/// The content of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Of a manifest.
    Manifest(ManifestRecord),
    /// Of a tag.
    Tag(TagRecord),
}

/// What a record must say now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recordable {
    /// The change that storage has not been told of, if there is one. Read no later than `content`.
    pub sequence: Option<i64>,
    /// The content; `None` when there must be no record.
    pub content: Option<Record>,
}

/// A change that storage has not been told of, as far as the catalog knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unrecorded {
    /// Its number, never used for another change.
    pub sequence: i64,
    /// What changed.
    pub name: RecordName,
}

/// A blob, whoever links it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBlob {
    /// The row.
    pub row: BlobRow,
    /// Since when it is not served, if it is not.
    pub quarantined_at: Option<Timestamp>,
}

/// A reference that leads nowhere though it must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dangling {
    /// Where to go on from.
    pub parent_id: i64,
    /// The repository.
    pub repo: RepoName,
    /// The manifest that refers.
    pub parent: Digest,
    /// What it refers to.
    pub child: Digest,
    /// As what.
    pub kind: RefKind,
}

/// A manifest that comes back: from its record, or out of another registry's tree.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The manifest; its `tags` and `fixed` are empty.
    pub manifest: NewManifest,
    /// When it was pushed.
    pub pushed_at: Timestamp,
    /// Its tags, each with the time since when it has pointed at it. One that has been set later than
    /// that stays as it is.
    pub tags: Vec<(Tag, Timestamp)>,
}

/// How [`Upkeep::restore`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restoration {
    /// As for a push.
    pub put: ManifestPut,
    /// Tags that point elsewhere since a later time, and stay there.
    pub newer: Vec<Tag>,
}

/// What `check`, `recover`, `import` and `migrate` ask of a catalog.
#[async_trait]
pub trait Upkeep: Send + Sync {
    /// What the record of `name` must say now.
    async fn record(&self, name: &RecordName) -> Result<Recordable>;

    /// Changes that storage has not been told of, the oldest first, up to number `upto`.
    async fn unrecorded(&self, upto: i64, limit: u32) -> Result<Vec<Unrecorded>>;

    /// The number of the last such change; 0 when there is none.
    async fn last_unrecorded(&self) -> Result<i64>;

    /// Storage has been told of these changes. Answers with those of them that were still there to
    /// take out: of any other, something has changed since. May be lost to a power failure.
    async fn recorded(&self, sequences: &[i64]) -> Result<Vec<i64>>;

    /// All records are what the catalog was made from: nothing is left to tell.
    async fn all_recorded(&self) -> Result<()>;

    /// How far a long task has come, as it last said.
    async fn progress(&self, task: &str) -> Result<Option<String>>;

    /// Notes how far a long task has come.
    async fn set_progress(&self, task: &str, state: &str) -> Result<()>;

    /// Blobs after `after` in order of their digests, `limit` at most.
    async fn blobs_after(&self, after: Option<&Digest>, limit: u32) -> Result<Vec<StoredBlob>>;

    /// A blob, whoever links it and whether or not it is in service.
    async fn stored_blob(&self, digest: &Digest) -> Result<Option<StoredBlob>>;

    /// Takes a blob out of service: it is as if it was not there until somebody uploads it again, or
    /// it is released. `false` when the blob has another object by now, or is gone.
    async fn quarantine(&self, digest: &Digest, key: &ObjectKey, now: Timestamp) -> Result<bool>;

    /// Puts a blob back into service. `false` when it has another object by now, or is gone.
    async fn release(&self, digest: &Digest, key: &ObjectKey) -> Result<bool>;

    /// How many blobs are out of service.
    async fn quarantined(&self) -> Result<u64>;

    /// Manifests and then tags, each in an order of its own, after `after`, and the place of each.
    async fn names_after(&self, after: &Place, limit: u32) -> Result<Vec<(Place, RecordName)>>;

    /// Bodies of manifests after `after` in order of their digests, `limit` at most.
    async fn bodies_after(&self, after: Option<&Digest>, limit: u32) -> Result<Vec<(Digest, Bytes)>>;

    /// Replaces a damaged body. `false` when there is none of that digest any more.
    async fn mend_body(&self, digest: &Digest, body: &Bytes) -> Result<bool>;

    /// References of manifests with an id after `after` that lead nowhere though they must not. The
    /// page ends with a whole manifest.
    async fn dangling_after(&self, after: i64, limit: u32) -> Result<Vec<Dangling>>;

    /// What else cannot be, in words: rows that break the database's own rules, indexes that are not
    /// deeper than their children. A hundred at most.
    async fn contradictions(&self) -> Result<Vec<String>>;

    /// Whether nothing has ever been pushed.
    async fn is_empty(&self) -> Result<bool>;

    /// Stores a manifest as a push does, with the times that it had.
    async fn restore(&self, restored: &Restored, lease: Lease) -> Result<Restoration>;
}
