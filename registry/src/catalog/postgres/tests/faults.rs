//! A database that is slow, stopped, or cut off from its replicas.

use std::{
    io,
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use sqlx::{Connection, PgConnection};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
};

use super::*;
use crate::catalog::{
    Committed, NewBlob,
    postgres::retry::LIMIT,
    suite::{digest, new_blob},
};

/// A request is answered within so long, whatever the database does.
const ANSWERED: Duration = Duration::from_secs(30);

/// Between catalog and database: forwards, until it is told to cut what answers a commit, or to let
/// nothing through any more.
#[derive(Default)]
struct Wire {
    /// Answers to so many commits never come.
    cuts: AtomicUsize,
    /// Connections that are open hang; new ones are well.
    hangs: AtomicBool,
    generation: AtomicUsize,
}

const COMMITTED: &[u8] = b"C\0\0\0\x0bCOMMIT\0";

impl Wire {
    /// Puts a wire before a database; the address of its end.
    async fn before(url: &str) -> (Arc<Self>, String) {
        let socket: PathBuf = url.split_once("host=").unwrap().1.split('&').next().unwrap().into();
        let database = url.strip_prefix("postgres:///").unwrap().split('?').next().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let end = format!("postgres://berth@{}/{database}?sslmode=disable", listener.local_addr().unwrap());
        let wire = Arc::new(Self::default());
        let shared = wire.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (wire, socket) = (shared.clone(), socket.join(".s.PGSQL.5432"));
                tokio::spawn(async move { wire.forward(client, &socket).await });
            }
        });
        (wire, end)
    }

    async fn forward(&self, client: TcpStream, socket: &PathBuf) -> io::Result<()> {
        let (generation, server) =
            (self.generation.load(Ordering::SeqCst), UnixStream::connect(socket).await?);
        let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
            (client.into_split(), server.into_split());
        let there = tokio::io::copy(&mut from_client, &mut to_server);
        let back = async {
            let mut buffer = vec![0; 64 << 10];
            loop {
                let read = from_server.read(&mut buffer).await?;
                let commits = buffer[..read].windows(COMMITTED.len()).any(|window| window == COMMITTED);
                let cut = commits
                    && self
                        .cuts
                        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
                        .is_ok();
                if read == 0 || cut {
                    return Ok::<(), io::Error>(());
                }
                if self.hangs.load(Ordering::SeqCst) && generation < self.generation.load(Ordering::SeqCst) {
                    std::future::pending::<()>().await;
                }
                to_client.write_all(&buffer[..read]).await?;
            }
        };
        tokio::select! {
            there = there => drop(there?),
            back = back => back?,
        }
        Ok(())
    }

    fn cut_next(&self) {
        self.cuts.store(1, Ordering::SeqCst);
    }

    fn was_cut(&self) -> bool {
        self.cuts.load(Ordering::SeqCst) == 0
    }

    fn hang_what_is_open(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.hangs.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn f12_a_commit_whose_reply_is_lost_is_answered_as_it_was() {
    let Some(url) = postgres_server::database().await else { return };
    let (wire, end) = Wire::before(&url).await;
    let catalog = replica(&end).await;
    let latest = ManifestReference::Tag(suite::tag("latest"));
    let session = new_session("a");

    // A blob: the object is its own, not surplus, and the session has ended.
    catalog.create_upload(&session).await.unwrap();
    let blob = NewBlob { upload: Some(session.id), ..new_blob("a", 1) };
    wire.cut_next();
    let Committed { surplus, blob: row } = catalog.commit_blob(&blob, NOW, LEASE).await.unwrap().unwrap();
    assert!(wire.was_cut() && !surplus && row.key == blob.key);
    assert_eq!(catalog.upload(&session.repo, session.id).await.unwrap(), None);

    // A manifest and its tag.
    wire.cut_next();
    let put = catalog.put_manifest(&manifest("a", 1, &["latest"]), NOW, LEASE).await.unwrap();
    assert_eq!(put, ManifestPut::Stored { created: true, moved: Vec::new() });
    assert!(wire.was_cut());
    assert_eq!(catalog.manifest(&name("a"), &latest).await.unwrap().unwrap().digest, digest(1));

    // A tag that goes is answered as gone, and one that was not there as not there.
    for there in [true, false] {
        wire.cut_next();
        assert_eq!(catalog.delete_tag(&name("a"), &suite::tag("latest"), suite::GONE).await.unwrap(), there);
        assert!(wire.was_cut());
    }

    // A manifest that goes.
    catalog.put_manifest(&manifest("a", 1, &["x"]), NOW, LEASE).await.unwrap();
    wire.cut_next();
    let gone =
        catalog.delete_manifest(&name("a"), &digest(1), Arc::new(|_| false), suite::GONE).await.unwrap();
    assert_eq!(gone, ManifestDelete::Deleted(vec![suite::tag("x")]));
    assert!(wire.was_cut());

    // A link and a session.
    wire.cut_next();
    assert!(catalog.unlink_blob(&name("a"), &digest(1)).await.unwrap());
    assert!(wire.was_cut());
    catalog.create_upload(&session).await.unwrap();
    wire.cut_next();
    assert_eq!(catalog.delete_upload(&session.repo, session.id).await.unwrap(), Some(session.clone()));
    assert!(wire.was_cut());
    catalog.close().await;
}

#[tokio::test]
async fn f12_a_lost_reply_never_sets_a_tag_back_over_what_another_has_set() {
    let Some(url) = postgres_server::database().await else { return };
    let (wire, end) = Wire::before(&url).await;
    let (cut, other) = tokio::join!(replica(&end), replica(&url));
    let latest = ManifestReference::Tag(suite::tag("latest"));
    for n in 0..20 {
        wire.cut_next();
        let (mine, theirs) = (manifest("a", n, &["latest"]), manifest("a", 100 + n, &["latest"]));
        // As soon as the one is seen the other overwrites it, mostly before the one knows its answer.
        let overwrite = async {
            loop {
                let seen = other.manifest(&name("a"), &latest).await.unwrap();
                if seen.is_some_and(|row| row.digest == digest(n)) {
                    break other.put_manifest(&theirs, NOW, LEASE).await.unwrap();
                }
            }
        };
        let (put, _) = tokio::join!(cut.put_manifest(&mine, NOW, LEASE), overwrite);
        assert!(matches!(put.unwrap(), ManifestPut::Stored { .. }));
        let left = other.manifest(&name("a"), &latest).await.unwrap().unwrap();
        assert_eq!(left.digest, digest(100 + n), "a tag came back");
    }
    cut.close().await;
    other.close().await;
}

/// A replica with two connections.
async fn small_pool(url: &str) -> PostgresCatalog {
    PostgresCatalog::open(&PostgresOptions { connections: 2, ..PostgresOptions::new(url) }).await.unwrap()
}

#[test]
fn f11_two_calls_that_fail_leave_a_request_within_its_thirty_seconds() {
    assert!(LIMIT * 2 < ANSWERED);
}

/// A database in which everything that reads or writes tags waits.
async fn locked(url: &str) -> PgConnection {
    let mut db = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE tags, uploads, blobs IN ACCESS EXCLUSIVE MODE")
        .execute(&mut db)
        .await
        .unwrap();
    db
}

#[tokio::test]
async fn f11_a_database_that_waits_is_unavailable_in_time_and_well_at_once_when_it_goes_on() {
    let Some(url) = postgres_server::database().await else { return };
    let catalog = small_pool(&url).await;
    catalog.put_manifest(&manifest("a", 1, &["latest"]), NOW, LEASE).await.unwrap();
    let latest = ManifestReference::Tag(suite::tag("latest"));
    let mut lock = locked(&url).await;
    let begun = Instant::now();
    // Far more than there are connections: they wait in line, and none for long.
    let repo = name("a");
    let asked = join_all((0..40).map(|_| catalog.manifest(&repo, &latest))).await;
    for answer in asked {
        assert!(matches!(answer, Err(CatalogError::Unavailable(_))), "{answer:?}");
    }
    let took = begun.elapsed();
    assert!(took < ANSWERED / 2, "{took:?}");
    sqlx::raw_sql("COMMIT").execute(&mut lock).await.unwrap();
    let begun = Instant::now();
    assert!(catalog.manifest(&repo, &latest).await.unwrap().is_some());
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    catalog.close().await;
}

#[tokio::test]
async fn f11_connections_that_hang_are_given_up_and_make_room() {
    let Some(url) = postgres_server::database().await else { return };
    let (wire, end) = Wire::before(&url).await;
    let catalog = small_pool(&end).await;
    catalog.put_manifest(&manifest("a", 1, &["latest"]), NOW, LEASE).await.unwrap();
    let (repo, latest) = (name("a"), ManifestReference::Tag(suite::tag("latest")));
    join_all((0..2).map(|_| catalog.manifest(&repo, &latest))).await;
    wire.hang_what_is_open();
    let begun = Instant::now();
    // Whoever was on the wire gets no answer; when that is over, nobody waits for it any more.
    join_all((0..2).map(|_| catalog.manifest(&repo, &latest))).await;
    let asked =
        tokio::time::timeout(LIMIT, async { while catalog.manifest(&repo, &latest).await.is_err() {} });
    asked.await.expect("the pool never recovers");
    assert!(begun.elapsed() < LIMIT * 2, "{:?}", begun.elapsed());
    catalog.close().await;
}
