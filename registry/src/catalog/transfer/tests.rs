use std::collections::BTreeSet;

use berth_oci::{ManifestReference, Tag};

use super::*;
use crate::catalog::{
    Catalog, PostgresCatalog, PostgresOptions, SqliteCatalog, SqliteOptions,
    suite::{Behind, Fixture, LEASE, NOW, manifest, name, new_blob, postgres_server, reference},
};

async fn shapes() -> Option<(Tables, Tables)> {
    let url = postgres_server::database().await?;
    let folder = tempfile::tempdir().unwrap();
    let mut sqlite = sqlite::Sqlite::open(folder.path()).await.unwrap();
    let mut postgres = postgres::Postgres::open(&url).await.unwrap();
    Some((sqlite.tables().await.unwrap(), postgres.tables().await.unwrap()))
}

#[tokio::test]
async fn no_table_and_no_column_is_forgotten_in_either_direction() {
    let Some((sqlite, postgres)) = shapes().await else { return };
    for (from, to) in [(&sqlite, &postgres), (&postgres, &sqlite)] {
        let moves = plan(from, to).unwrap();
        let moved: BTreeSet<_> = moves.iter().map(|one| one.table).collect();
        let all = from.keys().map(String::as_str).filter(|table| !LOCAL_TABLES.contains(table));
        assert_eq!(moved, all.collect());
        for one in &moves {
            let expected = from[one.table]
                .columns
                .keys()
                .filter(|column| !LOCAL_COLUMNS.contains(&(one.table, column.as_str())));
            assert!(one.columns.iter().map(|(name, _)| *name).eq(expected.map(String::as_str)));
        }
        let at = |table: &str| moves.iter().position(|one| one.table == table).unwrap();
        assert!(at("repositories") < at("manifests") && at("manifests") < at("tags"));
    }
}

#[tokio::test]
async fn a_table_that_one_side_lacks_stops_the_move() {
    let folder = tempfile::tempdir().unwrap();
    let shape = sqlite::Sqlite::open(folder.path()).await.unwrap().tables().await.unwrap();
    let mut less = shape.clone();
    less.remove("tags");
    assert!(matches!(plan(&shape, &less), Err(TransferError::Shape(_))));
    assert!(matches!(plan(&less, &shape), Err(TransferError::Shape(_))));
    let mut other = shape.clone();
    other.get_mut("tags").unwrap().columns.remove("name");
    assert!(matches!(plan(&shape, &other), Err(TransferError::Shape(_))));
}

async fn fill(catalog: &dyn Catalog) {
    for n in 0..300 {
        let blob = new_blob("a/b", n);
        catalog.commit_blob(&blob, NOW, LEASE).await.unwrap().unwrap();
        let mut row = manifest("a/b", 1000 + n, &[&format!("v{n}")]);
        row.references = vec![reference(n, crate::catalog::RefKind::Blob)];
        catalog.put_manifest(&row, NOW, LEASE).await.unwrap();
    }
}

async fn same(one: &dyn Catalog, other: &dyn Catalog) {
    let tags = one.tags(&name("a/b"), None, 1000).await.unwrap().unwrap();
    assert_eq!(tags.len(), 300);
    assert_eq!(other.tags(&name("a/b"), None, 1000).await.unwrap().unwrap(), tags);
    for tag in tags {
        let reference = ManifestReference::Tag(tag);
        let row = one.manifest(&name("a/b"), &reference).await.unwrap();
        assert_eq!(other.manifest(&name("a/b"), &reference).await.unwrap(), row);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catalog_goes_to_postgresql_and_back_whole() {
    let Some(url) = postgres_server::database().await else { return };
    let (Some(first), Some(last)) = (Fixture::sqlite().await, Fixture::sqlite().await) else { return };
    fill(&*first.catalog).await;
    let (Behind::Sqlite(from), Behind::Sqlite(back)) = (&first.behind, &last.behind) else { return };
    // Somebody has it open.
    let (sqlite, postgres) = (Place::Sqlite(from.path().to_owned()), Place::Postgres(url.clone()));
    let locked = transfer(&sqlite, &postgres).await;
    assert!(matches!(locked, Err(TransferError::Open(OpenError::Locked(_)))), "{locked:?}");
    first.catalog.close().await;
    last.catalog.close().await;
    let there = transfer(&sqlite, &postgres).await.unwrap();
    let rows =
        |counts: &[(String, u64)], table: &str| counts.iter().find(|(name, _)| name == table).unwrap().1;
    assert_eq!((rows(&there, "tags"), rows(&there, "blobs")), (300, 300));
    // What is there is not written over.
    let again = transfer(&sqlite, &postgres).await;
    assert!(matches!(again, Err(TransferError::NotEmpty(_))), "{again:?}");
    let returned = transfer(&postgres, &Place::Sqlite(back.path().to_owned())).await.unwrap();
    assert_eq!(returned, there);

    let one = SqliteCatalog::open(from.path(), SqliteOptions::default()).await.unwrap();
    let middle = PostgresCatalog::open(&PostgresOptions::new(url)).await.unwrap();
    let other = SqliteCatalog::open(back.path(), SqliteOptions::default()).await.unwrap();
    same(&one, &middle).await;
    same(&one, &other).await;
    // Generated numbers go on behind those that came, and triggers work again.
    for catalog in [&one as &dyn Catalog, &middle, &other] {
        let before = catalog.last_unrecorded().await.unwrap();
        let put = catalog.put_manifest(&manifest("new", 5000, &["v1"]), NOW, LEASE).await.unwrap();
        assert_eq!(put, crate::catalog::ManifestPut::Stored { created: true, moved: Vec::new() });
        assert!(
            catalog
                .delete_tag(&name("a/b"), &"v1".parse::<Tag>().unwrap(), crate::catalog::suite::GONE)
                .await
                .unwrap()
        );
        assert!(catalog.last_unrecorded().await.unwrap() >= before + 3);
        catalog.close().await;
    }
}
