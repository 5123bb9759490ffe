//! The catalog: what the registry knows about repositories, blobs, manifests, tags, references
//! and upload sessions. Bytes of blobs are in [`crate::storage`]; the catalog says which object
//! holds them, and is the truth about what exists.
//!
//! One trait, two implementations (SQLite embedded, PostgreSQL for several replicas), one suite
//! that both must pass.

use async_trait::async_trait;
use berth_oci::{Digest, ManifestReference, RepoName, Tag};

use crate::clock::Timestamp;

mod accounts;
mod audit;
mod collection;
mod database;
pub mod inspect;
mod leadership;
mod load;
mod model;
mod open;
mod ops;
pub mod postgres;
mod quotas;
mod rules;
mod sql;
pub mod sqlite;
#[cfg(test)]
mod suite;
mod tokens;
pub mod transfer;
mod upkeep;

pub use accounts::{Accounts, GroupRow, RobotChange, RobotRow, UserChange, UserRow};
pub use audit::{AuditLog, AuditPlace, AuditQuery, AuditRow};
pub use collection::Collection;
pub use collection::*;
#[cfg(test)]
pub(crate) use leadership::Leading;
pub use leadership::{Lead, Leadership};
pub use model::*;
pub use open::OpenError;
pub use postgres::{DatabaseClock, PostgresCatalog, PostgresOptions};
pub use quotas::{
    LimitOf, Namespace, NamespaceError, NamespaceRules, NamespaceUsage, Quotas, Recount, Refusal,
    RepositoryUsage, Room, SetQuota,
};
pub use rules::{KeptRule, KeptRules, Rules};
pub use sqlite::{SqliteCatalog, SqliteOptions};
pub use tokens::{RefreshKind, RefreshRow, SecretHash, SigningKeyRow, Tokens};
pub use upkeep::{
    Dangling, ManifestRecord, Place, Record, RecordName, Recordable, Restoration, Restored, StoredBlob,
    TagRecord, Unrecorded, Upkeep,
};

/// A failure of the catalog itself. Absence is never an error, and neither is a rule that was
/// broken: those are in the answers.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The database does not answer, or gave up after retries (serialisation, lock, disk full):
    /// 503 and `Retry-After`.
    #[error("the catalog does not answer: {0}")]
    Unavailable(#[source] BoxError),
    /// A row cannot be what we wrote: 500.
    #[error("the catalog holds a row that cannot be: {0}")]
    Corrupt(#[source] BoxError),
}

impl CatalogError {
    /// Whether it is that this manifest's bytes are damaged.
    #[must_use]
    pub fn is_damage_of(&self, digest: &Digest) -> bool {
        match self {
            Self::Corrupt(error) => error.downcast_ref().is_some_and(|Damaged(of)| of == digest),
            Self::Unavailable(_) => false,
        }
    }
}

/// A manifest's bytes are not those of its digest.
#[derive(Debug, thiserror::Error)]
#[error(
    "the bytes of manifest {0} are damaged; `berth-registry check --repair` brings them back, and so does a push of it"
)]
pub(crate) struct Damaged(pub(crate) Digest);

/// Any error, boxed.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// A catalog's answer.
pub type Result<T, E = CatalogError> = std::result::Result<T, E>;

/// What every implementation promises: each method is one transaction, durable when it returns
/// (but for upload sessions, see [`Catalog::save_upload`]), visible at once to every later call on
/// any replica, and safe to repeat after an error.
#[async_trait]
pub trait Catalog:
    Accounts
    + AuditLog
    + Collection
    + Leadership
    + Quotas
    + Rules
    + Tokens
    + Upkeep
    + Send
    + Sync
    + std::fmt::Debug
    + 'static
{
    /// Answers when the database does; for readiness.
    async fn ping(&self) -> Result<()>;

    // Repositories. One comes to be with the first blob, upload or manifest in it.

    /// Names after `after` in byte order, `limit` at most.
    async fn repositories(&self, after: Option<&str>, limit: u32) -> Result<Vec<RepoName>>;

    // Blobs.

    /// The blob, if `repo` links it; its lease is renewed to `lease_until` when less than half of
    /// the lease is left, so that what a client saw stays until it had time to use it.
    async fn blob(&self, repo: &RepoName, digest: &Digest, lease: Lease) -> Result<Option<BlobRow>>;

    /// Makes an uploaded blob visible in `repo` and ends its session, in one transaction.
    ///
    /// The object is durable before this is called: a crash between leaves an object to sweep,
    /// never a row that points at nothing. If the blob was there already its row stays, and the
    /// answer tells the caller that its own object is surplus and can be deleted.
    ///
    /// Refused, and nothing of it visible, where the namespace's limits say so; the session stays.
    async fn commit_blob(
        &self,
        blob: &NewBlob,
        now: Timestamp,
        lease: Lease,
    ) -> Result<Result<Committed, Refusal>>;

    /// Links a blob into `to` without moving a byte. With `from`, only if that repository links
    /// it; without, if any repository does. `None` when it is not to be had.
    async fn mount_blob(
        &self,
        from: Option<&RepoName>,
        to: &RepoName,
        digest: &Digest,
        now: Timestamp,
        lease: Lease,
    ) -> Result<Result<Option<BlobRow>, Refusal>>;

    /// Takes the link of a blob out of `repo`; the bytes stay for collection. `false` when there was none.
    async fn unlink_blob(&self, repo: &RepoName, digest: &Digest) -> Result<bool>;

    // Upload sessions.

    /// Writes a new session down.
    async fn create_upload(&self, upload: &UploadRow) -> Result<()>;

    /// The session, if it belongs to `repo`.
    async fn upload(&self, repo: &RepoName, id: UploadId) -> Result<Option<UploadRow>>;

    /// Makes `writer` the only one who may write to a session until `until`. A claim that has run
    /// out (its holder died) is taken over.
    async fn claim_upload(
        &self,
        repo: &RepoName,
        id: UploadId,
        writer: WriterId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Claim>;

    /// Prolongs a claim. `false` when it is no longer the writer's.
    async fn renew_claim(&self, id: UploadId, writer: WriterId, until: Timestamp) -> Result<bool>;

    /// Saves how far a session has come and gives the claim back. `false`, and nothing saved, when
    /// the claim is no longer the writer's. Survives the death of the process, but a session may be
    /// lost to a power failure: it was never acknowledged as content.
    async fn save_upload(&self, id: UploadId, writer: WriterId, progress: &UploadProgress) -> Result<bool>;

    /// Ends a session of `repo` and returns what it was, for its bytes to be thrown away. `None`
    /// when there is none. A claim does not protect it: its holder finds out when it saves.
    async fn delete_upload(&self, repo: &RepoName, id: UploadId) -> Result<Option<UploadRow>>;

    /// Sessions that expired before `now` and that nobody is writing to, `limit` at most.
    async fn expired_uploads(&self, now: Timestamp, limit: u32) -> Result<Vec<UploadRow>>;

    /// Whether there is such a session, in whatever repository.
    async fn has_upload(&self, id: UploadId) -> Result<bool>;

    /// How many sessions there are, written to or not; counts no further than `most`.
    async fn count_uploads(&self, most: u32) -> Result<u32>;

    // Manifests and tags.

    /// Stores a manifest, its references and its tags in one transaction, after checking inside
    /// it that what it refers to is there. Renews the leases of its blobs.
    async fn put_manifest(&self, manifest: &NewManifest, now: Timestamp, lease: Lease)
    -> Result<ManifestPut>;

    /// The manifest that a tag or digest stands for in `repo`.
    async fn manifest(&self, repo: &RepoName, reference: &ManifestReference) -> Result<Option<ManifestRow>>;

    /// Deletes a manifest, its references and every tag that points at it, unless one of these tags
    /// is `fixed`: looked at in the same transaction, so that none is set in between. What `burial`
    /// keeps can be brought back by [`Collection::undelete`].
    async fn delete_manifest(
        &self,
        repo: &RepoName,
        digest: &Digest,
        fixed: IsFixed,
        burial: Burial,
    ) -> Result<ManifestDelete>;

    /// Deletes a tag alone. `false` when there is none.
    async fn delete_tag(&self, repo: &RepoName, tag: &Tag, burial: Burial) -> Result<bool>;

    /// Tags after `after` in byte order, `limit` at most; `None` when there is no such repository.
    async fn tags(&self, repo: &RepoName, after: Option<&str>, limit: u32) -> Result<Option<Vec<Tag>>>;

    /// Manifests of `repo` whose subject is `subject`, in order of their digest after `after`, as many
    /// as `limit` lets through. Empty when there are none, whether or not the subject or repository
    /// exists.
    async fn referrers(
        &self,
        repo: &RepoName,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<&Digest>,
        limit: ReferrersLimit,
    ) -> Result<Referrers>;

    /// Closes connections; a SQLite catalog checkpoints. Called once, last.
    async fn close(&self);
}
