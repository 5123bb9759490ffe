//! What only the catalog of several replicas promises.

use std::sync::Arc;

use uuid::Uuid;

mod faults;
mod leadership;
mod transactions;

use super::*;
use crate::catalog::{
    CatalogError,
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
