//! The rows that the catalog gives and takes.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use berth_oci::{Digest, MediaType, RepoName, Tag};
use bytes::Bytes;
use uuid::Uuid;

use super::Refusal;
use crate::clock::Timestamp;

/// For how long from a moment on collection must leave a blob alone.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// The moment.
    pub now: Timestamp,
    /// How long.
    pub length: Duration,
}

impl Lease {
    /// When the lease runs out.
    #[must_use]
    pub fn until(self) -> Timestamp {
        self.now + self.length
    }
}

/// The name of an object in storage. Unique to the upload that made it, so that deleting one can
/// never hit another's bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectKey(pub String);

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An upload session's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UploadId(pub Uuid);

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One request that writes to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WriterId(pub Uuid);

/// A blob as one repository sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobRow {
    /// The content's digest.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// The object that holds it.
    pub key: ObjectKey,
}

/// A blob whose object is durable and which is to become visible.
#[derive(Clone, Debug)]
pub struct NewBlob {
    /// The repository that will link it.
    pub repo: RepoName,
    /// The verified digest.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// The object that holds it.
    pub key: ObjectKey,
    /// The session it came by; ended in the same transaction, whoever holds its claim.
    pub upload: Option<UploadId>,
}

/// How [`super::Catalog::commit_blob`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The row in force.
    pub blob: BlobRow,
    /// Another upload of the same content was first: the caller's object is not referred to.
    pub surplus: bool,
}

/// An upload session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadRow {
    /// Its name.
    pub id: UploadId,
    /// The one repository it may end in.
    pub repo: RepoName,
    /// Who started it; nobody else may use it. Empty for anonymous.
    pub principal: String,
    /// When it started.
    pub created_at: Timestamp,
    /// How far it has come.
    pub progress: UploadProgress,
}

/// What changes in a session with each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadProgress {
    /// Bytes received and staged.
    pub offset: u64,
    /// The saved state of the hash over them: algorithm's name, a colon, `berth_hash` state. Opaque here.
    pub hash: Vec<u8>,
    /// What storage needs to go on (multipart upload, parts); opaque here.
    pub staging: Vec<u8>,
    /// When it may be thrown away.
    pub expires_at: Timestamp,
}

/// The answer to a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// There is no such session in that repository.
    Unknown,
    /// Somebody else is writing; this is how far the session had come when they began.
    Busy(UploadRow),
    /// It is the caller's.
    Held(UploadRow),
}

/// What a reference of a manifest points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RefKind {
    /// A configuration or layer.
    Blob,
    /// A child of an index. buildx caches list layers there, so a blob of that digest will do as well.
    Child,
}

/// A reference that the repository must be able to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestRef {
    /// What is referred to.
    pub digest: Digest,
    /// As what.
    pub kind: RefKind,
    /// Whether the manifest may be stored without it: non-distributable layers, and children where
    /// sparse indexes are allowed.
    pub optional: bool,
}

/// A checked manifest that is to be stored.
#[derive(Clone, Debug)]
pub struct NewManifest {
    /// The repository.
    pub repo: RepoName,
    /// Digest of `body`.
    pub digest: Digest,
    /// Content-Type it is served with.
    pub media_type: MediaType,
    /// The bytes, verbatim.
    pub body: Bytes,
    /// What it refers to, but for its subject; no digest twice with one kind.
    pub references: Vec<ManifestRef>,
    /// Its subject, which need not exist.
    pub subject: Option<Digest>,
    /// The artifact type that referrers list it with, if any.
    pub artifact_type: Option<MediaType>,
    /// Its annotations, which referrers repeat.
    pub annotations: BTreeMap<String, String>,
    /// Tags that are to point at it.
    pub tags: Vec<Tag>,
    /// Those of `tags` that, where they exist, must point at this very manifest already.
    pub fixed: Vec<Tag>,
    /// How deep indexes may be nested: an image is 0, an index one more than its deepest child.
    pub max_depth: usize,
}

/// How [`super::Catalog::put_manifest`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestPut {
    /// Stored; `created` is false when the very manifest was there (its tags were still set).
    Stored {
        /// Whether the manifest is new to the repository.
        created: bool,
        /// Tags that pointed at another manifest before, and at which.
        moved: Vec<(Tag, Digest)>,
    },
    /// Nothing was stored, since these are missing (the first hundred).
    Missing(Vec<ManifestRef>),
    /// Nothing was stored, since the index would be nested deeper than it may.
    TooDeep,
    /// Nothing was stored, since this tag points at another manifest and must not move.
    TagFixed(Tag),
    /// Nothing was stored, since the namespace's limits say so.
    Refused(Refusal),
}

/// Which tags must not go.
pub type IsFixed = Arc<dyn Fn(&Tag) -> bool + Send + Sync>;

/// How [`super::Catalog::delete_manifest`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestDelete {
    /// It is gone, and so are these tags.
    Deleted(Vec<Tag>),
    /// There is none.
    Absent,
    /// Nothing was deleted, since this tag points at it and must not go.
    TagFixed(Tag),
}

/// A stored manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestRow {
    /// Its digest.
    pub digest: Digest,
    /// Content-Type.
    pub media_type: MediaType,
    /// The bytes as they were pushed.
    pub body: Bytes,
    /// Its subject.
    pub subject: Option<Digest>,
}

/// A manifest that refers to a subject, as the referrers list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferrerRow {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: MediaType,
    /// Bytes of the manifest.
    pub size: u64,
    /// Its artifact type.
    pub artifact_type: Option<MediaType>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// How much of a referrers list is wanted at once.
#[derive(Clone, Copy, Debug)]
pub struct ReferrersLimit {
    /// Entries at most.
    pub entries: u32,
    /// Bytes that they come to, by their annotations; a single entry may have more.
    pub bytes: u64,
}

/// A part of a referrers list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Referrers {
    /// In order of their digests.
    pub rows: Vec<ReferrerRow>,
    /// Whether others come after them.
    pub more: bool,
}
