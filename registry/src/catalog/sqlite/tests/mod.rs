//! What only the embedded catalog promises.

use std::{path::Path, time::Duration};

use berth_oci::ManifestReference;
use sqlx::{AssertSqlSafe, Row};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{operations::repeatable, *};
use crate::catalog::{
    Catalog, CatalogError, Claim, UploadProgress, UploadRow, WriterId, database::Statements, ops, sql, suite,
};

mod behind;
mod plans;

async fn open(data: &Path) -> SqliteCatalog {
    SqliteCatalog::open(data, SqliteOptions::default()).await.unwrap()
}

fn session() -> UploadRow {
    suite::new_session("a")
}

#[tokio::test]
async fn f25_a_second_server_finds_the_directory_locked() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path().join("made/as/needed");
    let first = open(&data).await;
    let second = SqliteCatalog::open(&data, SqliteOptions::default()).await;
    match second {
        Err(OpenError::Locked(path)) => assert_eq!(path, data),
        other => panic!("{other:?}"),
    }
    first.close().await;
    open(&data).await.close().await;
}

#[tokio::test]
async fn nobody_else_reads_keys_and_hashes_from_the_database() {
    use std::{fs, os::unix::fs::PermissionsExt};
    let data = tempfile::tempdir().unwrap();
    let modes = || {
        let files = fs::read_dir(data.path()).unwrap().map(|file| file.unwrap());
        let mode = |file: &fs::DirEntry| file.metadata().unwrap().permissions().mode() & 0o777;
        let mut modes: Vec<_> = files.map(|file| (file.file_name(), mode(&file))).collect();
        modes.sort();
        modes
    };
    let catalog = open(data.path()).await;
    catalog.create_upload(&session()).await.unwrap();
    let made = modes();
    assert_eq!(made.len(), 4, "the lock, the database, its log and its index: {made:?}");
    assert!(made.iter().all(|(_, mode)| *mode == 0o600), "{made:?}");
    catalog.close().await;
    for (mode, after) in [(0o644, 0o600), (0o640, 0o640)] {
        fs::set_permissions(data.path().join("catalog.db"), fs::Permissions::from_mode(mode)).unwrap();
        let catalog = open(data.path()).await;
        assert!(modes().contains(&("catalog.db".into(), after)), "{mode:o}: {:?}", modes());
        catalog.close().await;
    }
}

#[tokio::test]
async fn a_closed_catalog_answers_that_it_does_not() {
    let data = tempfile::tempdir().unwrap();
    let catalog = open(data.path()).await;
    catalog.close().await;
    let written = catalog.create_upload(&session()).await;
    assert!(matches!(written, Err(CatalogError::Unavailable(_))), "{written:?}");
    assert!(catalog.ping().await.is_err());
    catalog.close().await;
}

/// Copies the files as they are: what a process that is killed now leaves to the next.
fn as_if_killed(data: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in ["catalog.db", "catalog.db-wal"] {
        std::fs::copy(data.join(file), copy.path().join(file)).unwrap();
    }
    copy
}

#[tokio::test]
async fn f1_a_killed_process_leaves_its_sessions_and_content_and_no_claim() {
    let data = tempfile::tempdir().unwrap();
    let catalog = open(data.path()).await;
    let mut session = session();
    let holder = WriterId(Uuid::new_v4());
    let claim = async |catalog: &SqliteCatalog, writer| {
        let until = suite::NOW + Duration::from_secs(60);
        catalog.claim_upload(&session.repo, session.id, writer, suite::NOW, until).await.unwrap()
    };
    catalog.create_upload(&session).await.unwrap();
    let image = suite::manifest("a", 1, &["latest"]);
    catalog.put_manifest(&image, suite::NOW, suite::LEASE).await.unwrap();
    let progress = UploadProgress { offset: 77, ..session.progress.clone() };
    claim(&catalog, holder).await;
    catalog.save_upload(session.id, holder, &progress).await.unwrap();
    claim(&catalog, holder).await;

    let copy = as_if_killed(data.path());
    let next = open(copy.path()).await;
    let taken = claim(&next, WriterId(Uuid::new_v4())).await;
    session.progress = progress;
    assert_eq!(taken, Claim::Held(session.clone()));
    let latest = ManifestReference::Tag(suite::tag("latest"));
    assert!(next.manifest(&session.repo, &latest).await.unwrap().is_some());
    next.close().await;
    catalog.close().await;
    assert!(!data.path().join("catalog.db-wal").exists(), "a good end leaves no log");
}

#[tokio::test]
async fn a_caller_that_goes_away_while_it_claims_leaves_no_claim() {
    let data = tempfile::tempdir().unwrap();
    let catalog = open(data.path()).await;
    let session = session();
    catalog.create_upload(&session).await.unwrap();
    let claim = || {
        let writer = WriterId(Uuid::new_v4());
        catalog.claim_upload(&session.repo, session.id, writer, suite::NOW, suite::NOW + BUSY)
    };
    // Polled once: it has the claim and waits for the row.
    assert!(futures_util::poll!(std::pin::pin!(claim())).is_pending());
    assert!(matches!(claim().await.unwrap(), Claim::Held(_)));
    catalog.close().await;
}

/// Runs a statement that must not be kept compiled.
async fn raw(db: &mut SqliteConnection, sql: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(db).await?;
    Ok(())
}

#[tokio::test]
async fn each_commit_is_as_durable_as_its_most_demanding_write() {
    let data = tempfile::tempdir().unwrap();
    let catalog = open(data.path()).await;
    let level = async |durability| {
        let run = repeatable(|db| {
            Box::pin(async {
                let row = sqlx::raw_sql("PRAGMA synchronous").fetch_one(db).await?;
                Ok(row.try_get::<i64, _>(0)?)
            })
        });
        catalog.writer.submit(durability, run, |_| ()).await.unwrap()
    };
    for _ in 0..3 {
        assert_eq!(level(Durability::Full).await, 2, "FULL");
        assert_eq!(level(Durability::Process).await, 1, "NORMAL");
    }
    catalog.close().await;
}

/// Puts writes into one batch, with `ruin` run in the middle one; what each answered, and
/// the sessions that are there afterwards.
async fn batch(catalog: &Arc<SqliteCatalog>, ruin: &'static str) -> (Vec<bool>, Vec<bool>) {
    let (go, wait) = oneshot::channel::<()>();
    let wait = Arc::new(tokio::sync::Mutex::new(Some(wait)));
    let (began, begun) = oneshot::channel::<()>();
    let began = Arc::new(std::sync::Mutex::new(Some(began)));
    let first = {
        let catalog = Arc::clone(catalog);
        tokio::spawn(async move {
            let hold = repeatable(move |_| {
                let (wait, began) = (Arc::clone(&wait), began.lock().unwrap().take());
                Box::pin(async move {
                    began.map(|began| began.send(()));
                    if let Some(wait) = wait.lock().await.take() {
                        wait.await.unwrap();
                    }
                    Ok(())
                })
            });
            catalog.writer.submit(Durability::Full, hold, |_| ()).await
        })
    };
    begun.await.unwrap();
    let sessions: Vec<_> = (0..3).map(|_| session()).collect();
    let mut writes = Vec::new();
    for (n, session) in sessions.iter().cloned().enumerate() {
        let catalog = Arc::clone(catalog);
        writes.push(tokio::spawn(async move {
            let run = repeatable(move |db| {
                let session = session.clone();
                Box::pin(async move {
                    ops::uploads::create(db, crate::catalog::sql::ADD_UPLOAD, &session).await?;
                    if n == 1 { raw(db, ruin).await } else { Ok(()) }
                })
            });
            catalog.writer.submit(Durability::Full, run, |_| ()).await
        }));
        // On this one thread: until it stands in the queue.
        tokio::task::yield_now().await;
    }
    go.send(()).unwrap();
    first.await.unwrap().unwrap();
    let (mut answers, mut there) = (Vec::new(), Vec::new());
    for (write, session) in writes.into_iter().zip(&sessions) {
        answers.push(write.await.unwrap().is_ok());
        there.push(catalog.upload(&session.repo, session.id).await.unwrap().is_some());
    }
    (answers, there)
}

#[tokio::test]
async fn a_write_that_fails_takes_no_other_with_it() {
    let data = tempfile::tempdir().unwrap();
    let catalog = Arc::new(open(data.path()).await);
    for _ in 0..3 {
        let outcome = batch(&catalog, "INSERT INTO nowhere VALUES (1)").await;
        assert_eq!(outcome, (vec![true, false, true], vec![true, false, true]));
    }
    catalog.close().await;
}

#[tokio::test]
async fn f6_a_full_disk_takes_no_other_write_with_it() {
    let data = tempfile::tempdir().unwrap();
    let catalog = Arc::new(open(data.path()).await);
    // SQLite then rolls the whole transaction back by itself.
    let full = "PRAGMA max_page_count = 60; \
         INSERT INTO manifest_bodies VALUES ('big', zeroblob(1000000))";
    for _ in 0..3 {
        assert_eq!(batch(&catalog, full).await, (vec![true, false, true], vec![true, false, true]));
    }
    catalog.close().await;
}

#[tokio::test]
async fn f4_a_commit_that_fails_fails_all_of_it_and_the_next_goes_well() {
    let data = tempfile::tempdir().unwrap();
    let catalog = Arc::new(open(data.path()).await);
    // Noticed only at the commit.
    let broken = "PRAGMA defer_foreign_keys = ON; INSERT INTO blob_links VALUES (99, 'nothing')";
    assert_eq!(batch(&catalog, broken).await, (vec![false; 3], vec![false; 3]));
    let session = session();
    catalog.create_upload(&session).await.unwrap();
    assert_eq!(catalog.upload(&session.repo, session.id).await.unwrap(), Some(session));
    catalog.close().await;
}

#[tokio::test]
async fn the_log_does_not_grow_for_ever() {
    let data = tempfile::tempdir().unwrap();
    let catalog = open(data.path()).await;
    for n in 0..150 {
        let mut image = suite::manifest("a", n, &[]);
        image.body = vec![b' '; 1_000_000].into();
        catalog.put_manifest(&image, suite::NOW, suite::LEASE).await.unwrap();
    }
    let log = std::fs::metadata(data.path().join("catalog.db-wal")).unwrap().len();
    // So long as it may be while it is copied, and what comes between two looks.
    assert!(log < 110_000_000, "{log} bytes after 150 MB of manifests");
    catalog.close().await;
}

#[tokio::test]
async fn what_was_there_before_quotas_is_counted_by_the_migration() {
    let data = tempfile::tempdir().unwrap();
    let file = SqliteConnectOptions::new().filename(data.path().join("catalog.db")).create_if_missing(true);
    let mut db = file.connect().await.unwrap();
    migrate(&mut db, &STEPS[..4]).await.unwrap();
    sqlx::raw_sql(suite::before_quotas!("x'7b207d'")).execute(&mut db).await.unwrap();
    sqlx::Connection::close(db).await.unwrap();
    let catalog = open(data.path()).await;
    let counted = crate::catalog::Quotas::recount(&catalog, &"team".parse().unwrap(), false).await.unwrap();
    assert!(counted.is_right() && counted.counted == 13, "{counted:?}");
    catalog.close().await;
}
