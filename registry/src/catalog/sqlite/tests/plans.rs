//! Every statement finds its rows by an index: what takes a millisecond today must not take a
//! minute at a million rows.

use super::*;

/// How SQLite would run a statement.
async fn plan(db: &mut SqliteConnection, statement: &'static str) -> Vec<String> {
    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
    let steps = sqlx::raw_sql(explain).fetch_all(db).await.unwrap();
    steps.iter().map(|step| step.get::<String, _>("detail")).collect()
}

#[tokio::test]
async fn r19_no_statement_reads_or_sorts_a_table() {
    let data = tempfile::tempdir().unwrap();
    let catalog = open(data.path()).await;
    let mut db = catalog.reader().await.unwrap();
    for statement in [
        sql::REPOSITORY,
        sql::REPOSITORIES,
        sql::LINKED_BLOB,
        sql::BLOB_LINKED_ANYWHERE,
        sql::BLOB,
        sql::UPLOAD,
        sql::BODY,
        sql::DROP_BODY_IF_LAST,
        SqliteConnection::LOCK_MANIFEST,
        sql::DELETE_MANIFEST,
        sql::MANIFEST_BY_TAG,
        sql::MANIFEST_BY_DIGEST,
        sql::WHOLE_MANIFEST_BY_TAG,
        sql::WHOLE_MANIFEST_BY_DIGEST,
        sql::TAGS_OF,
        sql::TAGS,
        sql::REFERRERS,
        sql::REFERRERS_OF_TYPE,
        sql::REFERRER_WEIGHTS,
        sql::REFERRER_WEIGHTS_OF_TYPE,
        sql::COUNT_UPLOADS,
        ops::accounts::USER,
        ops::accounts::USERS,
        ops::accounts::GROUPS,
        ops::accounts::MEMBERS,
        ops::accounts::GROUPS_OF,
        ops::accounts::ROBOT,
        ops::accounts::ROBOTS,
        uploads::EXPIRED,
        ops::audit::ALL,
        ops::audit::OF_REPOSITORY,
        ops::audit::BY,
        ops::audit::OF_REPOSITORY_BY,
        ops::audit::DROP,
        SqliteConnection::MISSING_REFERENCES,
        SqliteConnection::RENEW_LEASES,
    ] {
        for step in plan(&mut db, statement).await {
            // The references themselves are all looked at, and put in order when some are missing.
            let references = step.contains("json_each") || statement == SqliteConnection::MISSING_REFERENCES;
            let bounded = ["SCAN CONSTANT ROW", "SCAN counted"].contains(&step.as_str());
            let reads_all = step.starts_with("SCAN") && !bounded;
            let sorts = step.contains("TEMP B-TREE");
            assert!(references || !(reads_all || sorts), "{step}: {statement}");
        }
    }
    let by_type = plan(&mut db, sql::REFERRERS_OF_TYPE).await.join("\n");
    assert!(by_type.contains("manifests_by_subject_and_type"), "{by_type}");
    assert!(by_type.contains("digest>?"), "{by_type}");
    drop(db);
    catalog.close().await;
}
