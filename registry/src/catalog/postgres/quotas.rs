//! How much each namespace holds, and how much it may.

use std::sync::Arc;

use async_trait::async_trait;
use berth_oci::{Digest, RepoName};
use sqlx::PgConnection;

use super::{
    PostgresCatalog,
    retry::{change, read, repeat, transact_again},
};
use crate::{
    catalog::{
        Namespace, NamespaceRules, NamespaceUsage, Quotas, Recount, RepositoryUsage, Result, Room, SetQuota,
        database::Statements,
        ops::{
            self,
            quotas::{Lanes, QuotaStatements, recount_sql},
        },
    },
    clock::Timestamp,
};

macro_rules! used {
    () => {
        "SELECT CAST(COALESCE((SELECT bytes FROM namespace_usage WHERE namespace = $1), 0) \
             + COALESCE((SELECT SUM(bytes) FROM namespace_ledger WHERE namespace = $1), 0) AS BIGINT)"
    };
}
macro_rules! namespaces {
    ($names:literal) => {
        concat!(
            "SELECT n.namespace, CAST(COALESCE(u.bytes, 0) + COALESCE((SELECT SUM(l.bytes) \
                 FROM namespace_ledger l WHERE l.namespace = n.namespace), 0) AS BIGINT), \
             CAST(CASE WHEN q.namespace IS NULL THEN 0 ELSE 1 END AS BIGINT), \
             CAST(CASE WHEN q.max_bytes IS NULL THEN 1 ELSE 0 END AS BIGINT), COALESCE(q.max_bytes, 0) FROM (",
            $names,
            ") n LEFT JOIN namespace_usage u ON u.namespace = n.namespace \
             LEFT JOIN namespace_quotas q ON q.namespace = n.namespace ORDER BY n.namespace"
        )
    };
}

/// Adds lines up. Those that another adds up are passed over; sums are changed in one order, so that two
/// who do this never wait for each other in a circle.
const FOLD: &str = "WITH taken AS ( \
         DELETE FROM namespace_ledger WHERE id IN ( \
             SELECT id FROM namespace_ledger ORDER BY id LIMIT 5000 FOR UPDATE SKIP LOCKED) \
         RETURNING namespace, bytes), \
     sums AS (SELECT namespace, CAST(SUM(bytes) AS BIGINT) AS bytes FROM taken GROUP BY namespace \
         ORDER BY namespace), \
     kept AS (INSERT INTO namespace_usage AS u (namespace, bytes) SELECT namespace, bytes FROM sums \
         ON CONFLICT (namespace) DO UPDATE SET bytes = u.bytes + excluded.bytes) \
     SELECT COUNT(*) FROM taken";

impl QuotaStatements for PgConnection {
    const USED: &'static str = used!();
    const NAMESPACES: &'static str = namespaces!(
        "SELECT namespace FROM namespace_usage WHERE namespace > $1 \
         UNION SELECT namespace FROM namespace_ledger WHERE namespace > $1 \
         UNION SELECT namespace FROM namespace_quotas WHERE namespace > $1 ORDER BY namespace LIMIT $2"
    );
    const NAMESPACE: &'static str = namespaces!("SELECT CAST($1 AS TEXT) AS namespace");
    const LANES: Option<Lanes> = Some(Lanes {
        take: "SELECT pg_advisory_xact_lock(hashtext('quota ' || $1), CAST($2 AS INTEGER))",
        take_all: "SELECT pg_advisory_xact_lock(hashtext('quota ' || $1), lane) \
                   FROM generate_series(0, 31) AS lane",
    });
    const RECOUNT: &'static str = recount_sql!(used!());
    const BEFORE_REPAIR: &'static [&'static str] =
        &["LOCK TABLE blob_links, manifests, namespace_contents, \
         namespace_ledger, namespace_usage IN SHARE ROW EXCLUSIVE MODE"];
    const FORGET_LEDGER: &'static [&'static str] = &["DELETE FROM namespace_ledger WHERE namespace = $1"];
}

#[async_trait]
impl Quotas for PostgresCatalog {
    fn govern(&self, rules: NamespaceRules) {
        self.rules.store(Some(Arc::new(rules)));
    }

    async fn room(&self, repo: &RepoName, blob: Option<&Digest>) -> Result<Option<Room>> {
        let Some(rules) = self.rules.load_full() else { return Ok(None) };
        read!(self, |db| ops::quotas::room(db, &rules, repo, blob))
    }

    async fn namespaces(&self, after: Option<&str>, limit: u32) -> Result<Vec<NamespaceUsage>> {
        read!(self, |db| ops::quotas::namespaces(db, after, limit))
    }

    async fn namespace(&self, namespace: &Namespace) -> Result<NamespaceUsage> {
        read!(self, |db| ops::quotas::namespace(db, namespace))
    }

    async fn set_quota(&self, namespace: &Namespace, quota: SetQuota, now: Timestamp) -> Result<()> {
        repeat!(self, |db| ops::quotas::set(db, namespace, quota, now))
    }

    async fn repository_usage(
        &self,
        namespace: &Namespace,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<RepositoryUsage>> {
        read!(self, |db| ops::quotas::repository_usage(db, namespace, after, limit))
    }

    async fn recount(&self, namespace: &Namespace, repair: bool) -> Result<Recount> {
        if !repair {
            return read!(self, |db| ops::quotas::recount(db, namespace));
        }
        transact_again!(self, |db| ops::quotas::repair(db, namespace))
    }

    async fn fold(&self) -> Result<u64> {
        let row = change!(self, |db| db.row(FOLD, &[]))?;
        let row = row.ok_or_else(|| ops::corrupt("an aggregate gave no row"))?;
        ops::unsigned(crate::catalog::database::Columns::int(&row, 0)?)
    }

    async fn count_uploads_of(&self, principal: &str, most: u32) -> Result<u32> {
        read!(self, |db| ops::quotas::count_uploads_of(db, principal, most))
    }

    async fn count_manifests(&self, repo: &RepoName, most: u32) -> Result<u32> {
        read!(self, |db| ops::quotas::count_manifests(db, repo, most))
    }

    async fn count_tags(&self, repo: &RepoName, most: u32) -> Result<u32> {
        read!(self, |db| ops::quotas::count_tags(db, repo, most))
    }
}
