//! What only the catalog of several replicas promises.

use std::sync::Arc;

use uuid::Uuid;

mod faults;
mod leadership;
mod transactions;

use super::*;
use crate::catalog::{
    CatalogError, Quotas,
    suite::{self, LEASE, NOW, manifest, name, new_session, postgres_server},
};

async fn replica(url: &str) -> PostgresCatalog {
    PostgresCatalog::open(&PostgresOptions::new(url)).await.unwrap()
}

#[tokio::test]
async fn what_one_replica_wrote_the_other_sees_at_once() {
    let Some(url) = postgres_server::database().await else { return };
    let (one, two) = tokio::join!(replica(&url), replica(&url));
    let latest = ManifestReference::Tag(suite::tag("latest"));
    for n in 0..10 {
        one.put_manifest(&manifest("a", n, &["latest"]), NOW, LEASE).await.unwrap();
        let row = two.manifest(&name("a"), &latest).await.unwrap().unwrap();
        assert_eq!(row.digest, suite::digest(n));
    }
    two.delete_manifest(&name("a"), &suite::digest(9), Arc::new(|_| false), suite::GONE).await.unwrap();
    assert_eq!(one.manifest(&name("a"), &latest).await.unwrap(), None);

    let session = new_session("a");
    let claim = async |replica: &PostgresCatalog| {
        let writer = WriterId(Uuid::new_v4());
        replica.claim_upload(&session.repo, session.id, writer, NOW, NOW + CONNECT).await.unwrap()
    };
    one.create_upload(&session).await.unwrap();
    assert_eq!(claim(&two).await, Claim::Held(session.clone()));
    assert_eq!(claim(&one).await, Claim::Busy(session.clone()));
    one.close().await;
    two.close().await;
}

#[tokio::test]
async fn f11_reads_survive_the_loss_of_their_connections() {
    let Some(url) = postgres_server::database().await else { return };
    let catalog = replica(&url).await;
    catalog.put_manifest(&manifest("a", 1, &["latest"]), NOW, LEASE).await.unwrap();
    for _ in 0..5 {
        let mut other = PgConnection::connect(&url).await.unwrap();
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        sqlx::query(end).execute(&mut other).await.unwrap();
        let latest = ManifestReference::Tag(suite::tag("latest"));
        assert!(catalog.manifest(&name("a"), &latest).await.unwrap().is_some());
    }
    catalog.close().await;
}

#[tokio::test]
async fn f11_a_database_that_is_down_is_unavailable_and_nothing_is_absent() {
    // Asks first, so that it is skipped or fails as the others.
    if postgres_server::database().await.is_none() {
        return;
    }
    let server = postgres_server::Server::start().unwrap();
    let catalog = replica(&server.database().await).await;
    catalog.put_manifest(&manifest("a", 1, &["latest"]), NOW, LEASE).await.unwrap();
    server.stop();
    let latest = ManifestReference::Tag(suite::tag("latest"));
    let read = catalog.manifest(&name("a"), &latest).await;
    assert!(matches!(read, Err(CatalogError::Unavailable(_))), "{read:?}");
    let written = catalog.create_upload(&new_session("a")).await;
    assert!(matches!(written, Err(CatalogError::Unavailable(_))), "{written:?}");
}

#[tokio::test]
async fn of_several_servers_the_one_that_takes_writes_is_used() {
    let Some(url) = postgres_server::database().await else { return };
    // A server that is not there, and one that takes no writes: both are passed over.
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let (place, query) = url.split_once('?').unwrap();
    let socket = query.split('&').find_map(|word| word.strip_prefix("host=")).unwrap();
    let list = format!("{place}?host=127.0.0.1,{socket}&port={closed},5432&user=berth");
    let catalog = replica(&list).await;
    catalog.put_manifest(&manifest("a", 1, &["latest"]), NOW, LEASE).await.unwrap();
    catalog.close().await;
    let read_only = format!("{list}&options=-c%20default_transaction_read_only%3Don");
    let refused = PostgresCatalog::open(&PostgresOptions::new(read_only)).await.unwrap_err();
    assert!(refused.to_string().contains("takes no writes"), "{refused}");
}

#[tokio::test]
async fn an_address_that_leads_nowhere_is_named_without_its_password() {
    let open = async |url: &str| PostgresCatalog::open(&PostgresOptions::new(url)).await.unwrap_err();
    let unreadable = open("postgres://ada:sesame@host:port/").await;
    assert!(matches!(unreadable, OpenError::Address(_)), "{unreadable:?}");
    let refused = open("postgres://ada:sesame@127.0.0.1:1/x").await;
    assert!(matches!(refused, OpenError::Database(_)), "{refused:?}");
    for error in [unreadable, refused] {
        assert!(!format!("{error} {error:?}").contains("sesame"), "{error:?}");
    }
    let options = PostgresOptions::new("postgres://ada:sesame@host/");
    assert!(!format!("{options:?}").contains("sesame"));
    let address = address::Address::parse("postgres://ada:sesame@one,two/").unwrap();
    assert!(!format!("{address:?}").contains("sesame"));
}

#[tokio::test]
async fn a_push_waits_for_no_other_push_of_its_namespace_that_is_far_from_its_limit() {
    let Some(url) = postgres_server::database().await else { return };
    let catalog = replica(&url).await;
    let limit_of = Arc::new(|_: &_| Some(1 << 40));
    catalog.govern(crate::catalog::NamespaceRules { limit_of, max_repositories: 0 });
    catalog.commit_blob(&suite::new_blob("team/a", 1), NOW, LEASE).await.unwrap().unwrap();
    // Another push, under way for as long as this connection likes.
    let mut other = PgConnection::connect(&url).await.unwrap();
    let mut open = other.begin().await.unwrap();
    for step in [
        "SELECT pg_advisory_xact_lock(hashtext('quota ' || 'team'), 0)",
        "INSERT INTO blobs (digest, size, object_key, lease_until, created_at) \
         VALUES ('sha256:other', 5, 'key', 0, 0)",
        "INSERT INTO blob_links (repo_id, digest) SELECT id, 'sha256:other' FROM repositories",
    ] {
        sqlx::query(step).execute(&mut *open).await.unwrap();
    }
    let mut waited = 0;
    for n in 2..40 {
        let blob = suite::new_blob("team/b", n);
        // One in thirty-two takes the very lane that is taken.
        let limit = if ops::quotas::lane_of(&blob.digest) == 0 { continue } else { Duration::from_secs(10) };
        let pushed = timeout(limit, catalog.commit_blob(&blob, NOW, LEASE)).await;
        waited += u32::from(pushed.is_err());
    }
    assert_eq!(waited, 0, "pushes waited for another");
    open.commit().await.unwrap();
    assert!(catalog.recount(&"team".parse().unwrap(), false).await.unwrap().is_right());
    catalog.close().await;
}

#[tokio::test]
async fn what_was_there_before_quotas_is_counted_by_the_migration() {
    let Some(url) = postgres_server::database().await else { return };
    let mut db = PgConnection::connect(&url).await.unwrap();
    migrate(&mut db, &STEPS[..4]).await.unwrap();
    sqlx::raw_sql(suite::before_quotas!("'\\x7b207d'")).execute(&mut db).await.unwrap();
    db.close().await.unwrap();
    let catalog = replica(&url).await;
    let counted = catalog.recount(&"team".parse().unwrap(), false).await.unwrap();
    assert!(counted.is_right() && counted.counted == 13, "{counted:?}");
    catalog.close().await;
}
