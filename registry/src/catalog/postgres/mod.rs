//! The catalog of several replicas: a PostgreSQL database that all of them write to.
//!
//! Transactions run at READ COMMITTED. What two of them could do to one row at once is settled by
//! unique keys and by foreign keys, whose checks lock the row that is referred to; what loses is run
//! again (`retry`). A replica remembers the bytes of manifests, which never change, and nothing
//! else: whether they are there, and what a tag points at, is asked each time.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use berth_oci::{Digest, ManifestReference, RepoName, Tag};
use bytes::Bytes;
use quick_cache::{Weighter, sync::Cache};
use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

use super::{
    BlobRow, Catalog, Claim, Committed, IsFixed, Lease, ManifestDelete, ManifestPut, ManifestRow, NewBlob,
    NewManifest, OpenError, Referrers, ReferrersLimit, Result, UploadId, UploadProgress, UploadRow, WriterId,
    database::Statements,
    open::{Step, migrate},
    ops, sql,
};
use crate::clock::Timestamp;

mod accounts;
mod audit;
mod collection;
mod leadership;
mod quotas;
mod retry;
#[cfg(test)]
mod tests;
mod tokens;
mod upkeep;
mod uploads;

use retry::{change, read, transact};

const STEPS: &[Step] = &[
    (1, "begin", include_str!("../migrations/postgres/0001_begin.sql")),
    (2, "accounts", include_str!("../migrations/postgres/0002_accounts.sql")),
    (3, "policy and audit", include_str!("../migrations/postgres/0003_policy_and_audit.sql")),
    (4, "collection", include_str!("../migrations/postgres/0004_collection.sql")),
    (5, "quotas", include_str!("../migrations/postgres/0005_quotas.sql")),
    (6, "upkeep", include_str!("../migrations/postgres/0006_upkeep.sql")),
    (7, "tokens", include_str!("../migrations/postgres/0007_tokens.sql")),
];

/// How long a caller waits for a connection, new or free.
const CONNECT: Duration = Duration::from_secs(5);
/// A connection that was idle for longer is asked whether it still is one.
const FRESH: Duration = Duration::from_secs(1);
/// The server gives up first, so that what a caller gave up on does not go on there.
const LIMITS: &str = "SET statement_timeout = '10s'; SET idle_in_transaction_session_timeout = '30s'";
/// Bigger bodies are rare and cheap to read by comparison with sending them.
const LARGEST_BODY: usize = 64 << 10;

/// Where the database is, and what may be set.
#[derive(Clone)]
pub struct PostgresOptions {
    /// `postgres://user:password@host:port/database?sslmode=…`.
    pub url: String,
    /// Connections of this replica at most.
    pub connections: u32,
    /// Memory for manifests, bytes.
    pub cache_bytes: u64,
}

impl PostgresOptions {
    /// The usual settings for a database.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), connections: 16, cache_bytes: 16 << 20 }
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
    pool: PgPool,
    bodies: Cache<Digest, Bytes, ByBytes>,
}

impl fmt::Debug for PostgresCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresCatalog").field("connections", &self.pool.size()).finish_non_exhaustive()
    }
}

impl PostgresCatalog {
    /// Connects to the database and brings its schema up to date.
    ///
    /// # Errors
    /// See [`OpenError`]; never [`OpenError::Locked`].
    pub async fn open(options: &PostgresOptions) -> Result<Self, OpenError> {
        let address: PgConnectOptions =
            options.url.parse().map_err(|error: sqlx::Error| OpenError::Address(error.into()))?;
        let address = address.application_name("berth-registry").disable_statement_logging();
        let connecting = timeout(CONNECT, address.connect()).await;
        let mut connection = connecting.map_err(|late| OpenError::Database(late.into()))??;
        migrate(&mut connection, STEPS).await?;
        connection.close().await?;
        let pool = PgPoolOptions::new()
            .max_connections(options.connections)
            .acquire_timeout(CONNECT)
            .test_before_acquire(false)
            .before_acquire(|connection, about| {
                Box::pin(async move {
                    if about.idle_for > FRESH {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .after_connect(|connection, _| {
                Box::pin(async move { sqlx::raw_sql(LIMITS).execute(connection).await.map(|_| ()) })
            })
            .connect_lazy_with(address);
        let items = usize::try_from(options.cache_bytes / 2048).unwrap_or(usize::MAX).clamp(64, 1 << 16);
        Ok(Self { pool, bodies: Cache::with_weighter(items, options.cache_bytes, ByBytes) })
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
                transact!(self, |db| ops::blobs::linked_renewed(db, repo, digest, lease))
            }
            found => Ok(found.map(|found| found.blob)),
        }
    }

    async fn commit_blob(&self, blob: &NewBlob, now: Timestamp, lease: Lease) -> Result<Committed> {
        transact!(self, |db| ops::blobs::commit(db, blob, now, lease))
    }

    async fn mount_blob(
        &self,
        from: Option<&RepoName>,
        to: &RepoName,
        digest: &Digest,
        _now: Timestamp,
        lease: Lease,
    ) -> Result<Option<BlobRow>> {
        transact!(self, |db| ops::blobs::mount(db, from, to, digest, lease))
    }

    async fn unlink_blob(&self, repo: &RepoName, digest: &Digest) -> Result<bool> {
        change!(self, |db| ops::blobs::unlink(db, repo, digest))
    }

    async fn create_upload(&self, upload: &UploadRow) -> Result<()> {
        change!(self, |db| ops::uploads::create(db, upload))
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
        change!(self, |db| uploads::claim(db, repo, id, writer, now, until))
    }

    async fn renew_claim(&self, id: UploadId, writer: WriterId, until: Timestamp) -> Result<bool> {
        change!(self, |db| uploads::renew(db, id, writer, until))
    }

    async fn save_upload(&self, id: UploadId, writer: WriterId, progress: &UploadProgress) -> Result<bool> {
        change!(self, |db| uploads::save(db, id, writer, progress))
    }

    async fn delete_upload(&self, repo: &RepoName, id: UploadId) -> Result<Option<UploadRow>> {
        change!(self, |db| ops::uploads::delete(db, repo, id))
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
        transact!(self, |db| ops::manifests::put(db, manifest, now, lease))
    }

    async fn manifest(&self, repo: &RepoName, reference: &ManifestReference) -> Result<Option<ManifestRow>> {
        read!(self, |db| self.manifest_on(db, repo, reference))
    }

    async fn delete_manifest(
        &self,
        repo: &RepoName,
        digest: &Digest,
        fixed: IsFixed,
    ) -> Result<ManifestDelete> {
        transact!(self, |db| ops::manifests::delete(db, repo, digest, &fixed))
    }

    async fn delete_tag(&self, repo: &RepoName, tag: &Tag) -> Result<bool> {
        change!(self, |db| ops::manifests::delete_tag(db, repo, tag))
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
        self.pool.close().await;
    }
}
