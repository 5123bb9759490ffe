//! How durable a transaction is, and what two of them do to each other.

use sqlx::{Connection, PgConnection, Row};

use super::*;
use crate::catalog::{
    NewBlob,
    suite::{digest, new_blob},
};

/// Writes down, when a transaction commits, which table it changed and whether the commit waits for the
/// disk.
const WITNESS: &str = "
    CREATE TABLE witness (what TEXT, waits TEXT);
    CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO witness VALUES (TG_TABLE_NAME, current_setting('synchronous_commit'));
        RETURN NULL;
    END $$;";

async fn witnessed(db: &mut PgConnection) -> Vec<(String, String)> {
    let rows = sqlx::query(
        "WITH gone AS (DELETE FROM witness RETURNING what, waits) SELECT DISTINCT what, waits FROM gone ORDER BY 1",
    );
    rows.fetch_all(db).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn commits_of_content_wait_for_the_disk_and_those_of_sessions_alone_do_not() {
    let Some(url) = postgres_server::database().await else { return };
    replica(&url).await.close().await;
    let mut db = PgConnection::connect(&url).await.unwrap();
    let tables = ["uploads", "blobs", "blob_links", "manifests", "tags"];
    let watch = tables.map(|table| {
        format!(
            "CREATE CONSTRAINT TRIGGER see AFTER INSERT OR UPDATE OR DELETE ON {table} \
             DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION see();"
        )
    });
    // The tests' own server has it off for all; a real one has it on.
    let name: String =
        sqlx::query_scalar("SELECT current_database()::text").fetch_one(&mut db).await.unwrap();
    let on = format!("ALTER DATABASE {name} SET synchronous_commit = on;");
    let sql = sqlx::AssertSqlSafe(format!("{WITNESS} {} {on}", watch.concat()));
    sqlx::raw_sql(sql).execute(&mut db).await.unwrap();
    let catalog = replica(&url).await;
    let lazy = vec![("uploads".to_owned(), "off".to_owned())];

    let session = new_session("a");
    let writer = WriterId(Uuid::new_v4());
    catalog.create_upload(&session).await.unwrap();
    assert_eq!(witnessed(&mut db).await, lazy, "create");
    catalog.claim_upload(&session.repo, session.id, writer, NOW, NOW + CONNECT).await.unwrap();
    assert_eq!(witnessed(&mut db).await, lazy, "claim");
    assert!(catalog.renew_claim(session.id, writer, NOW + CONNECT * 2).await.unwrap());
    assert_eq!(witnessed(&mut db).await, lazy, "renew");
    assert!(catalog.save_upload(session.id, writer, &session.progress).await.unwrap());
    assert_eq!(witnessed(&mut db).await, lazy, "save");
    assert!(catalog.delete_upload(&session.repo, session.id).await.unwrap().is_some());
    assert_eq!(witnessed(&mut db).await, lazy, "delete");

    // One connection after the other, that nothing of the above clings to.
    let second = new_session("a");
    catalog.create_upload(&second).await.unwrap();
    assert_eq!(witnessed(&mut db).await, lazy);
    let blob = NewBlob { upload: Some(second.id), ..new_blob("a", 1) };
    catalog.commit_blob(&blob, NOW, LEASE).await.unwrap().unwrap();
    let seen = witnessed(&mut db).await;
    assert!(seen.iter().any(|(what, _)| what == "uploads"), "{seen:?}");
    assert!(seen.len() == 3 && seen.iter().all(|(_, waits)| waits == "on"), "{seen:?}");
    catalog.put_manifest(&manifest("a", 1, &["x"]), NOW, LEASE).await.unwrap();
    let seen = witnessed(&mut db).await;
    assert!(seen.len() == 2 && seen.iter().all(|(_, waits)| waits == "on"), "{seen:?}");
    catalog.delete_tag(&suite::name("a"), &suite::tag("x"), suite::GONE).await.unwrap();
    assert_eq!(witnessed(&mut db).await, [("tags".to_owned(), "on".to_owned())]);
    catalog.close().await;
}

#[tokio::test]
async fn of_two_deletes_at_once_the_second_takes_the_body_along() {
    let Some(url) = postgres_server::database().await else { return };
    let catalog = replica(&url).await;
    for repo in ["a", "b"] {
        catalog.put_manifest(&manifest(repo, 1, &[]), NOW, LEASE).await.unwrap();
    }
    let (mut one, mut two) =
        (PgConnection::connect(&url).await.unwrap(), PgConnection::connect(&url).await.unwrap());
    let fixed: IsFixed = Arc::new(|_| false);
    let mut first = one.begin().await.unwrap();
    ops::manifests::delete(&mut *first, &name("a"), &digest(1), &fixed, suite::GONE).await.unwrap();
    // The other one comes while the first has not committed yet.
    let second = async {
        let mut second = two.begin().await.unwrap();
        ops::manifests::delete(&mut *second, &name("b"), &digest(1), &fixed, suite::GONE).await.unwrap();
        second.commit().await.unwrap();
    };
    let first = async {
        // It waits for the first, or it has gone past it: either is seen in the list of locks.
        let mut db = PgConnection::connect(&url).await.unwrap();
        let settled = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
             AND (wait_event_type = 'Lock' OR state = 'idle' AND query = 'COMMIT')";
        while sqlx::query_scalar::<_, i64>(settled).fetch_one(&mut db).await.unwrap() == 0 {
            tokio::task::yield_now().await;
        }
        first.commit().await.unwrap();
    };
    tokio::join!(first, second);
    let bodies: i64 =
        sqlx::query_scalar("SELECT count(*) FROM manifest_bodies").fetch_one(&mut one).await.unwrap();
    assert_eq!(bodies, 0, "a body is left that no manifest has");
    catalog.close().await;
}
