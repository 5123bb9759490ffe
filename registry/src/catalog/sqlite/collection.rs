//! What collection asks and does: marking, sweeping, retention, undelete.

use std::sync::Arc;

use async_trait::async_trait;
use berth_oci::{Digest, ManifestReference, RepoName, Tag};
use futures_util::future::BoxFuture;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::{
    SqliteCatalog,
    cache::Cache,
    operations::{again, repeatable},
    writer::Durability,
};
use crate::catalog::{
    Burial, Collectable, Collection, Deleted, DoomedObject, Estimate, Foreground, Horizon, ManifestId,
    ObjectKey, Released, RemovedManifest, Result, Stretch, SweptBlobs, TagAge, Undeleted, Unrecorded,
    ops::collection::{self as ops, statements::CollectionStatements},
};

impl SqliteCatalog {
    /// A write that pushes do not wait for in their counts.
    pub(super) async fn write_behind<T, R>(&self, durability: Durability, run: R) -> Result<T>
    where
        T: Send + 'static,
        R: for<'c> Fn(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T>> + Send + 'static,
    {
        self.writer.submit_behind(durability, run, |_| ()).await
    }
}

/// Takes manifests that went out of memory: after the commit, and before anybody hears of it. Whoever
/// asked the database before it adds nothing after.
fn forget(cache: &Arc<Cache>, removed: &[RemovedManifest]) {
    for manifest in removed {
        drop(cache.writing(&manifest.repo, Some(&manifest.digest), &[]));
    }
}

#[async_trait]
impl Collection for SqliteCatalog {
    async fn collectable_manifests(
        &self,
        after: ManifestId,
        window: u32,
        horizon: Horizon,
    ) -> Result<Stretch<Collectable, ManifestId>> {
        ops::collectable_manifests(&mut *self.reader().await?, after, window, horizon).await
    }

    async fn collect_manifests(
        &self,
        ids: &[ManifestId],
        horizon: Horizon,
        most: u32,
    ) -> Result<Vec<RemovedManifest>> {
        let (ids, cache, load) = (ids.to_vec(), Arc::clone(&self.cache), Arc::clone(&self.writer.load));
        let collect = again!(|db| with ids, load => load.behind(ops::collect(db, &ids, horizon, most)));
        let after = move |removed: Option<&Vec<RemovedManifest>>| {
            forget(&cache, removed.map_or(&[], |removed| removed));
        };
        self.writer.submit_behind(Durability::Process, collect, after).await
    }

    async fn collect_released(&self, after: ManifestId, horizon: Horizon, most: u32) -> Result<Released> {
        let (cache, load) = (Arc::clone(&self.cache), Arc::clone(&self.writer.load));
        let collect = again!(|db| with load => load.behind(ops::collect_released(db, after, horizon, most)));
        let after = move |released: Option<&Released>| {
            forget(&cache, released.map_or(&[], |released| &released.removed));
        };
        self.writer.submit_behind(Durability::Process, collect, after).await
    }

    async fn unrecorded_removals(&self, removed: &[RemovedManifest]) -> Result<Vec<Unrecorded>> {
        ops::unrecorded_removals(&mut *self.reader().await?, removed).await
    }

    async fn collectable_blobs(
        &self,
        after: &str,
        window: u32,
        horizon: Horizon,
    ) -> Result<Stretch<Digest, String>> {
        ops::collectable_blobs(&mut *self.reader().await?, after, window, horizon).await
    }

    async fn sweep_blobs(&self, digests: &[Digest], horizon: Horizon) -> Result<SweptBlobs> {
        let (digests, load) = (digests.to_vec(), Arc::clone(&self.writer.load));
        let sweep = again!(|db| with digests, load => load.behind(ops::sweep(db, &digests, horizon)));
        // As durable as it must be before the objects go: see `endure`.
        self.write_behind(Durability::Process, sweep).await
    }

    async fn endure(&self) -> Result<()> {
        self.writer.endure(repeatable(|db| Box::pin(ops::mark(db)))).await
    }

    async fn doomed_objects(&self, limit: u32) -> Result<Vec<DoomedObject>> {
        ops::doomed(&mut *self.reader().await?, limit).await
    }

    async fn forget_objects(&self, keys: &[ObjectKey]) -> Result<()> {
        let keys = keys.to_vec();
        self.write_behind(Durability::Process, again!(|db| with keys => ops::forget(db, &keys))).await
    }

    async fn orphans(&self, objects: &[(ObjectKey, String)]) -> Result<Vec<ObjectKey>> {
        ops::orphans(&mut *self.reader().await?, objects).await
    }

    async fn expire_deleted(&self, horizon: Horizon, limit: u32) -> Result<u64> {
        let load = Arc::clone(&self.writer.load);
        let expire = again!(|db| with load => load.behind(ops::expire(db, horizon, limit)));
        self.write_behind(Durability::Process, expire).await
    }

    async fn forget_empty_repositories(&self, after: i64, window: u32) -> Result<Stretch<RepoName, i64>> {
        let forget = repeatable(move |db| Box::pin(ops::forget_repositories(db, after, window)));
        self.write_behind(Durability::Process, forget).await
    }

    async fn tag_ages(&self, repo: &RepoName, after: Option<&Tag>, limit: u32) -> Result<Vec<TagAge>> {
        ops::tag_ages(&mut *self.reader().await?, repo, after, limit).await
    }

    async fn retire_tags(&self, repo: &RepoName, tags: &[TagAge], burial: Burial) -> Result<Vec<Tag>> {
        let names: Vec<_> = tags.iter().map(|age| age.tag.clone()).collect();
        let writing = self.cache.writing(repo, None, &names);
        let (repo, tags, load) = (repo.clone(), tags.to_vec(), Arc::clone(&self.writer.load));
        let retire = again!(|db| with repo, tags, load => load.behind(ops::retire(db, &repo, &tags, burial)));
        self.writer.submit_behind(Durability::Full, retire, move |_| drop(writing)).await
    }

    async fn deleted(
        &self,
        repo: Option<&RepoName>,
        after: Option<(&RepoName, &ManifestReference)>,
        limit: u32,
        horizon: Horizon,
    ) -> Result<Vec<Deleted>> {
        ops::deleted_list(&mut *self.reader().await?, repo, after, limit, horizon).await
    }

    async fn undelete(
        &self,
        repo: &RepoName,
        reference: &ManifestReference,
        horizon: Horizon,
    ) -> Result<Undeleted> {
        let (repo, reference) = (repo.clone(), reference.clone());
        self.write(again!(|db| with repo, reference => ops::undelete(db, &repo, &reference, horizon))).await
    }

    async fn estimate(&self, tags: &[(RepoName, Tag)], horizon: Horizon, forever: bool) -> Result<Estimate> {
        let mut db = self.aside.connect().await?;
        sqlx::raw_sql(SqliteConnection::SUPPOSE).execute(&mut db).await?;
        let estimate = ops::estimate(&mut db, tags, horizon, forever).await;
        db.close().await?;
        estimate
    }

    async fn save_report(&self, report: &str) -> Result<()> {
        let report = report.to_owned();
        self.write_behind(Durability::Process, again!(|db| with report => ops::save_report(db, &report)))
            .await
    }

    async fn last_report(&self) -> Result<Option<String>> {
        ops::last_report(&mut *self.reader().await?).await
    }

    fn foreground(&self) -> Foreground {
        self.writer.load.so_far()
    }
}
