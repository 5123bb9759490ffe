//! Writes that nobody waits for.

use std::fs;

use super::*;
use crate::catalog::Collection;

fn log_of(data: &Path) -> u64 {
    fs::metadata(data.join("catalog.db-wal")).unwrap().len()
}

#[tokio::test]
async fn what_is_to_endure_is_fsynced_even_where_nothing_else_is_written() {
    let data = tempfile::tempdir().unwrap();
    let catalog = open(data.path()).await;
    for _ in 0..3 {
        let before = log_of(data.path());
        catalog.endure().await.unwrap();
        assert!(log_of(data.path()) > before, "a transaction that writes nothing is not fsynced");
    }
    let level = repeatable(|db| {
        Box::pin(async {
            let row = sqlx::raw_sql("PRAGMA synchronous").fetch_one(db).await?;
            assert_eq!(row.try_get::<i64, _>(0)?, 2, "FULL");
            Ok(())
        })
    });
    catalog.writer.endure(level).await.unwrap();
    catalog.close().await;
}

/// Writes a mebibyte behind, over and over: four times as much as a log may hold.
async fn write_much(catalog: &SqliteCatalog) {
    for n in 0..250 {
        let write = repeatable(move |db| {
            Box::pin(async move {
                let sql = format!("INSERT INTO manifest_bodies VALUES ('{n}', zeroblob(1048576))");
                raw(db, &sql).await
            })
        });
        catalog.write_behind(Durability::Process, write).await.unwrap();
    }
}

#[tokio::test]
async fn what_nobody_waits_for_makes_way_for_the_copy_of_the_log() {
    let data = tempfile::tempdir().unwrap();
    let catalog = open(data.path()).await;
    write_much(&catalog).await;
    // 8,000 pages, and what one look did not see.
    let log = log_of(data.path());
    assert!(log < 40_000_000, "{log} bytes after 250 MB");
    catalog.close().await;
}

#[tokio::test]
async fn a_log_that_a_reader_keeps_long_stops_nobody() {
    let data = tempfile::tempdir().unwrap();
    let catalog = open(data.path()).await;
    let mut reader = catalog.aside.connect().await.unwrap();
    raw(&mut reader, "BEGIN; SELECT COUNT(*) FROM manifests").await.unwrap();
    tokio::time::timeout(Duration::from_secs(120), write_much(&catalog)).await.expect("all of it is written");
    catalog.create_upload(&session()).await.unwrap();
    sqlx::Connection::close(reader).await.unwrap();
    catalog.close().await;
}
