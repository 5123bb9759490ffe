//! The catalog of several replicas: a PostgreSQL database that all of them write to.
//!
//! Transactions run at READ COMMITTED. What two of them could do to one row at once is settled by
//! unique keys and by foreign keys, whose checks lock the row that is referred to; what loses is run
//! again (`retry`). A replica remembers the bytes of manifests, which never change, and nothing
//! else: whether they are there, and what a tag points at, is asked each time.

use std::{fmt, time::Duration};

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use berth_oci::{Digest, ManifestReference, RepoName, Tag};
use bytes::Bytes;
use quick_cache::{Weighter, sync::Cache};
use sqlx::{Connection, PgConnection};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::{
    BlobRow, Burial, Catalog, Claim, Committed, IsFixed, Lease, ManifestDelete, ManifestPut, ManifestRow,
    NamespaceRules, NewBlob, NewManifest, OpenError, Referrers, ReferrersLimit, Refusal, Result, UploadId,
    UploadProgress, UploadRow, WriterId,
    database::Statements,
    load::Load,
    open::{Step, migrate},
    ops, sql,
};
use crate::clock::Timestamp;

mod accounts;
mod address;
mod audit;
mod clock;
mod collection;
mod leadership;
mod pool;
mod quotas;
mod retry;
mod rules;
mod settle;
#[cfg(test)]
mod tests;
mod tokens;
mod upkeep;
mod uploads;

use address::Address;
pub use clock::DatabaseClock;
pub use leadership::Pace;
use leadership::Session;
use pool::{CONNECT, Pool};
use retry::{change, read, repeat, transact, transact_again};

pub(super) const STEPS: &[Step] = &[
    (1, "begin", include_str!("../migrations/postgres/0001_begin.sql")),
    (2, "accounts", include_str!("../migrations/postgres/0002_accounts.sql")),
    (3, "policy and audit", include_str!("../migrations/postgres/0003_policy_and_audit.sql")),
    (4, "collection", include_str!("../migrations/postgres/0004_collection.sql")),
    (5, "quotas", include_str!("../migrations/postgres/0005_quotas.sql")),
    (6, "upkeep", include_str!("../migrations/postgres/0006_upkeep.sql")),
    (7, "tokens", include_str!("../migrations/postgres/0007_tokens.sql")),
];

/// How long what is under way is waited for in the end.
const CLOSE: Duration = Duration::from_secs(5);
/// Bigger bodies are rare and cheap to read by comparison with sending them.
const LARGEST_BODY: usize = 64 << 10;

/// Where the database is, and what may be set.
#[derive(Clone)]
pub struct PostgresOptions {
    /// `postgres://user:password@host:port/database?sslmode=…`; several hosts divided by commas are tried
    /// in turn for one that takes writes.
    pub url: String,
    /// Connections of this replica at most.
    pub connections: u32,
    /// Memory for manifests, bytes.
    pub cache_bytes: u64,
    /// How soon a lost lead is noticed and taken over.
    pub pace: Pace,
}

impl PostgresOptions {
    /// The usual settings for a database.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), connections: 16, cache_bytes: 16 << 20, pace: Pace::default() }
    }
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the address: it may hold a password.
        f.debug_struct("PostgresOptions").field("connections", &self.connections).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<Digest, Bytes> for ByBytes {
    fn weight(&self, digest: &Digest, body: &Bytes) -> u64 {
        (digest.as_str().len() + body.len() + 150) as u64
    }
}

/// The catalog in a PostgreSQL database.
pub struct PostgresCatalog {
    pool: Pool,
    bodies: Cache<Digest, Bytes, ByBytes>,
    load: Load,
    rules: ArcSwapOption<NamespaceRules>,
    session: Session,
    clock: DatabaseClock,
    _measuring: AbortOnDropHandle<()>,
}

impl fmt::Debug for PostgresCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresCatalog").field("pool", &self.pool).finish_non_exhaustive()
    }
}

impl PostgresCatalog {
    /// Connects to the database and brings its schema up to date.
    ///
    /// # Errors
    /// See [`OpenError`]; never [`OpenError::Locked`].
    pub async fn open(options: &PostgresOptions) -> Result<Self, OpenError> {
        let address = Address::parse(&options.url)?;
        let connecting = timeout(CONNECT, address.connect()).await;
        let mut connection = connecting.map_err(|late| OpenError::Database(late.into()))??;
        migrate(&mut connection, STEPS).await?;
        let clock = DatabaseClock::new(&mut connection).await?;
        connection.close().await?;
        let pool = Pool::new(address.clone(), options.connections);
        let items = usize::try_from(options.cache_bytes / 2048).unwrap_or(usize::MAX).clamp(64, 1 << 16);
        Ok(Self {
            bodies: Cache::with_weighter(items, options.cache_bytes, ByBytes),
            load: Load::default(),
            rules: ArcSwapOption::empty(),
            session: Session::new(address, options.pace),
            _measuring: clock.keep(pool.clone()),
            clock,
            pool,
        })
    }

    /// The database's clock: replicas that go by it need not agree about the time.
    #[must_use]
    pub fn clock(&self) -> DatabaseClock {
        self.clock.clone()
    }

    /// What a reference stands for; the bytes from memory where they are there.
    async fn manifest_on(
        &self,
        db: &mut PgConnection,
        repo: &RepoName,
        reference: &ManifestReference,
    ) -> Result<Option<ManifestRow>> {
        let Some(found) = ops::manifests::resolve(db, repo, reference).await? else { return Ok(None) };
        if let Some(body) = self.bodies.get(&found.digest) {
            return Ok(Some(found.with(body)));
        }
        let body = ops::manifests::body(db, &found.digest).await?;
        // Deleted between the two statements: ask again.
        let body = body.ok_or_else(|| ops::overtaken(&found.digest))?;
        if body.len() <= LARGEST_BODY {
            self.bodies.insert(found.digest.clone(), body.clone());
        }
        Ok(Some(found.with(body)))
    }
}

#[async_trait]
impl Catalog for PostgresCatalog {
    async fn ping(&self) -> Result<()> {
        read!(self, |db| db.row(sql::PING, &[])).map(|_| ())
    }

    async fn repositories(&self, after: Option<&str>, limit: u32) -> Result<Vec<RepoName>> {
        read!(self, |db| ops::lists::repositories(db, after, limit))
    }

    async fn blob(&self, repo: &RepoName, digest: &Digest, lease: Lease) -> Result<Option<BlobRow>> {
        match read!(self, |db| ops::blobs::linked(db, repo, digest))? {
            Some(found) if found.is_due(lease) => {
                transact_again!(self, |db| ops::blobs::linked_renewed(db, repo, digest, lease))
            }
            found => Ok(found.map(|found| found.blob)),
        }
    }

    async fn commit_blob(
        &self,
        blob: &NewBlob,
        now: Timestamp,
        lease: Lease,
    ) -> Result<Result<Committed, Refusal>> {
        let rules = self.rules.load_full();
        transact_again!(self, |db| ops::blobs::commit(db, blob, now, lease, rules.as_deref()))
    }

    async fn mount_blob(
        &self,
        from: Option<&RepoName>,
        to: &RepoName,
        digest: &Digest,
        _now: Timestamp,
        lease: Lease,
    ) -> Result<Result<Option<BlobRow>, Refusal>> {
        let rules = self.rules.load_full();
        transact_again!(self, |db| ops::blobs::mount(db, from, to, digest, lease, rules.as_deref()))
    }

    async fn unlink_blob(&self, repo: &RepoName, digest: &Digest) -> Result<bool> {
        self.unlink_blob_once(repo, digest).await
    }

    async fn create_upload(&self, upload: &UploadRow) -> Result<()> {
        repeat!(self, |db| uploads::create(db, upload))
    }

    async fn upload(&self, repo: &RepoName, id: UploadId) -> Result<Option<UploadRow>> {
        read!(self, |db| ops::uploads::get(db, repo, id))
    }

    async fn claim_upload(
        &self,
        repo: &RepoName,
        id: UploadId,
        writer: WriterId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Claim> {
        repeat!(self, |db| uploads::claim(db, repo, id, writer, now, until))
    }

    async fn renew_claim(&self, id: UploadId, writer: WriterId, until: Timestamp) -> Result<bool> {
        // One that failed is followed by another.
        change!(self, |db| uploads::renew(db, id, writer, until))
    }

    async fn save_upload(&self, id: UploadId, writer: WriterId, progress: &UploadProgress) -> Result<bool> {
        repeat!(self, |db| uploads::save(db, id, writer, progress))
    }

    async fn delete_upload(&self, repo: &RepoName, id: UploadId) -> Result<Option<UploadRow>> {
        self.delete_upload_once(repo, id).await
    }

    async fn expired_uploads(&self, now: Timestamp, limit: u32) -> Result<Vec<UploadRow>> {
        read!(self, |db| uploads::expired(db, now, limit))
    }

    async fn has_upload(&self, id: UploadId) -> Result<bool> {
        read!(self, |db| ops::uploads::exists(db, id))
    }

    async fn count_uploads(&self, most: u32) -> Result<u32> {
        read!(self, |db| ops::uploads::count(db, most))
    }

    async fn put_manifest(
        &self,
        manifest: &NewManifest,
        now: Timestamp,
        lease: Lease,
    ) -> Result<ManifestPut> {
        self.put_manifest_once(manifest, now, lease).await
    }

    async fn manifest(&self, repo: &RepoName, reference: &ManifestReference) -> Result<Option<ManifestRow>> {
        read!(self, |db| self.manifest_on(db, repo, reference))
    }

    async fn delete_manifest(
        &self,
        repo: &RepoName,
        digest: &Digest,
        fixed: IsFixed,
        burial: Burial,
    ) -> Result<ManifestDelete> {
        self.delete_manifest_once(repo, digest, &fixed, burial).await
    }

    async fn delete_tag(&self, repo: &RepoName, tag: &Tag, burial: Burial) -> Result<bool> {
        self.delete_tag_once(repo, tag, burial).await
    }

    async fn tags(&self, repo: &RepoName, after: Option<&str>, limit: u32) -> Result<Option<Vec<Tag>>> {
        read!(self, |db| ops::lists::tags(db, repo, after, limit))
    }

    async fn referrers(
        &self,
        repo: &RepoName,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<&Digest>,
        limit: ReferrersLimit,
    ) -> Result<Referrers> {
        read!(self, |db| ops::lists::referrers(db, repo, subject, artifact_type, after, limit))
    }

    async fn close(&self) {
        self.session.close().await;
        if !self.pool.close(CLOSE).await {
            tracing::warn!("Connections to the database did not end in {CLOSE:?} and are left");
        }
    }
}
