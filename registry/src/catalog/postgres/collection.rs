//! What collection asks and does: marking, sweeping, retention, undelete.
//!
//! Rows are locked in the order of their keys, and those that somebody else holds are left to the next
//! round, so that no push ever waits in a circle with a sweep.

use async_trait::async_trait;
use berth_oci::{Digest, ManifestReference, RepoName, Tag};
use sqlx::PgConnection;

use super::{
    PostgresCatalog,
    retry::{behind, read, transact},
};
use crate::catalog::{
    Burial, Collectable, Collection, Deleted, DoomedObject, Estimate, Foreground, Horizon, ManifestId,
    ObjectKey, Released, RemovedManifest, Result, Stretch, SweptBlobs, TagAge, Undeleted, Unrecorded,
    ops::collection::{self as ops, statements::CollectionStatements},
};

#[async_trait]
impl Collection for PostgresCatalog {
    async fn collectable_manifests(
        &self,
        after: ManifestId,
        window: u32,
        horizon: Horizon,
    ) -> Result<Stretch<Collectable, ManifestId>> {
        read!(self, |db| ops::collectable_manifests(db, after, window, horizon))
    }

    async fn collect_manifests(
        &self,
        ids: &[ManifestId],
        horizon: Horizon,
        most: u32,
    ) -> Result<Vec<RemovedManifest>> {
        self.load.behind(async { behind!(self, |db| ops::collect(db, ids, horizon, most)) }).await
    }

    async fn collect_released(&self, after: ManifestId, horizon: Horizon, most: u32) -> Result<Released> {
        self.load.behind(async { behind!(self, |db| ops::collect_released(db, after, horizon, most)) }).await
    }

    async fn unrecorded_removals(&self, removed: &[RemovedManifest]) -> Result<Vec<Unrecorded>> {
        read!(self, |db| ops::unrecorded_removals(db, removed))
    }

    async fn collectable_blobs(
        &self,
        after: &str,
        window: u32,
        horizon: Horizon,
    ) -> Result<Stretch<Digest, String>> {
        read!(self, |db| ops::collectable_blobs(db, after, window, horizon))
    }

    async fn sweep_blobs(&self, digests: &[Digest], horizon: Horizon) -> Result<SweptBlobs> {
        self.load.behind(async { behind!(self, |db| ops::sweep(db, digests, horizon)) }).await
    }

    async fn endure(&self) -> Result<()> {
        // Each of these transactions does when it is answered.
        Ok(())
    }

    async fn doomed_objects(&self, limit: u32) -> Result<Vec<DoomedObject>> {
        read!(self, |db| ops::doomed(db, limit))
    }

    async fn forget_objects(&self, keys: &[ObjectKey]) -> Result<()> {
        behind!(self, |db| ops::forget(db, keys))
    }

    async fn orphans(&self, objects: &[(ObjectKey, String)]) -> Result<Vec<ObjectKey>> {
        read!(self, |db| ops::orphans(db, objects))
    }

    async fn expire_deleted(&self, horizon: Horizon, limit: u32) -> Result<u64> {
        behind!(self, |db| ops::expire(db, horizon, limit))
    }

    async fn forget_empty_repositories(&self, after: i64, window: u32) -> Result<Stretch<RepoName, i64>> {
        behind!(self, |db| ops::forget_repositories(db, after, window))
    }

    async fn tag_ages(&self, repo: &RepoName, after: Option<&Tag>, limit: u32) -> Result<Vec<TagAge>> {
        read!(self, |db| ops::tag_ages(db, repo, after, limit))
    }

    async fn retire_tags(&self, repo: &RepoName, tags: &[TagAge], burial: Burial) -> Result<Vec<Tag>> {
        behind!(self, |db| ops::retire(db, repo, tags, burial))
    }

    async fn deleted(
        &self,
        repo: Option<&RepoName>,
        after: Option<(&RepoName, &ManifestReference)>,
        limit: u32,
        horizon: Horizon,
    ) -> Result<Vec<Deleted>> {
        read!(self, |db| ops::deleted_list(db, repo, after, limit, horizon))
    }

    async fn undelete(
        &self,
        repo: &RepoName,
        reference: &ManifestReference,
        horizon: Horizon,
    ) -> Result<Undeleted> {
        transact!(self, |db| ops::undelete(db, repo, reference, horizon))
    }

    async fn estimate(&self, tags: &[(RepoName, Tag)], horizon: Horizon, forever: bool) -> Result<Estimate> {
        // What is supposed goes with the transaction, which is never committed.
        let mut lent = self.pool.acquire().await?;
        let mut open = sqlx::Connection::begin(lent.connection()?).await?;
        let estimate = async {
            sqlx::raw_sql(PgConnection::SUPPOSE).execute(&mut *open).await?;
            ops::estimate(&mut *open, tags, horizon, forever).await
        };
        let estimate = estimate.await;
        open.rollback().await?;
        lent.after(&estimate);
        estimate
    }

    async fn save_report(&self, report: &str) -> Result<()> {
        behind!(self, |db| ops::save_report(db, report))
    }

    async fn last_report(&self) -> Result<Option<String>> {
        read!(self, |db| ops::last_report(db))
    }

    fn foreground(&self) -> Foreground {
        self.load.so_far()
    }
}
