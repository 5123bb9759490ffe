//! How much each namespace holds, and how much it may.

use std::sync::Arc;

use async_trait::async_trait;
use berth_oci::{Digest, RepoName};
use sqlx::SqliteConnection;

use super::{
    SqliteCatalog,
    operations::{again, repeatable},
};
use crate::{
    catalog::{
        Namespace, NamespaceRules, NamespaceUsage, Quotas, Recount, RepositoryUsage, Result, Room, SetQuota,
        ops::{
            self,
            quotas::{Lanes, QuotaStatements, recount_sql},
        },
    },
    clock::Timestamp,
};

macro_rules! used {
    () => {
        "SELECT COALESCE((SELECT bytes FROM namespace_usage WHERE namespace = $1), 0)"
    };
}
macro_rules! namespaces {
    ($names:literal) => {
        concat!(
            "SELECT n.namespace, COALESCE(u.bytes, 0), q.namespace IS NOT NULL, q.max_bytes IS NULL, \
             COALESCE(q.max_bytes, 0) FROM (",
            $names,
            ") n LEFT JOIN namespace_usage u ON u.namespace = n.namespace \
             LEFT JOIN namespace_quotas q ON q.namespace = n.namespace ORDER BY n.namespace"
        )
    };
}

impl QuotaStatements for SqliteConnection {
    const USED: &'static str = used!();
    const NAMESPACES: &'static str = namespaces!(
        "SELECT namespace FROM namespace_usage WHERE namespace > $1 \
         UNION SELECT namespace FROM namespace_quotas WHERE namespace > $1 ORDER BY namespace LIMIT $2"
    );
    const NAMESPACE: &'static str = namespaces!("SELECT $1 AS namespace");
    const LANES: Option<Lanes> = None;
    const RECOUNT: &'static str = recount_sql!(used!());
    const BEFORE_REPAIR: &'static [&'static str] = &[];
    const FORGET_LEDGER: &'static [&'static str] = &[];
}

#[async_trait]
impl Quotas for SqliteCatalog {
    fn govern(&self, rules: NamespaceRules) {
        self.rules.store(Some(Arc::new(rules)));
    }

    async fn room(&self, repo: &RepoName, blob: Option<&Digest>) -> Result<Option<Room>> {
        let Some(rules) = self.rules.load_full() else { return Ok(None) };
        ops::quotas::room(&mut *self.reader().await?, &rules, repo, blob).await
    }

    async fn namespaces(&self, after: Option<&str>, limit: u32) -> Result<Vec<NamespaceUsage>> {
        ops::quotas::namespaces(&mut *self.reader().await?, after, limit).await
    }

    async fn namespace(&self, namespace: &Namespace) -> Result<NamespaceUsage> {
        ops::quotas::namespace(&mut *self.reader().await?, namespace).await
    }

    async fn set_quota(&self, namespace: &Namespace, quota: SetQuota, now: Timestamp) -> Result<()> {
        let namespace = namespace.clone();
        self.write(again!(|db| with namespace => ops::quotas::set(db, &namespace, quota, now))).await
    }

    async fn repository_usage(
        &self,
        namespace: &Namespace,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<RepositoryUsage>> {
        ops::quotas::repository_usage(&mut *self.reader().await?, namespace, after, limit).await
    }

    async fn recount(&self, namespace: &Namespace, repair: bool) -> Result<Recount> {
        if !repair {
            return ops::quotas::recount(&mut *self.reader().await?, namespace).await;
        }
        let namespace = namespace.clone();
        self.write(again!(|db| with namespace => ops::quotas::repair(db, &namespace))).await
    }

    async fn fold(&self) -> Result<u64> {
        // The sum is kept as it is.
        Ok(0)
    }

    async fn count_uploads_of(&self, principal: &str, most: u32) -> Result<u32> {
        ops::quotas::count_uploads_of(&mut *self.reader().await?, principal, most).await
    }

    async fn count_manifests(&self, repo: &RepoName, most: u32) -> Result<u32> {
        ops::quotas::count_manifests(&mut *self.reader().await?, repo, most).await
    }

    async fn count_tags(&self, repo: &RepoName, most: u32) -> Result<u32> {
        ops::quotas::count_tags(&mut *self.reader().await?, repo, most).await
    }
}
