use std::{collections::BTreeMap, sync::Arc, time::Duration};

use berth_oci::{Algorithm, MediaType};
use bytes::Bytes;
use futures_util::TryStreamExt;
use tempfile::TempDir;

use super::*;
use crate::{
    catalog::{
        Lease, ManifestPut, NewManifest, ObjectKey, SqliteCatalog, SqliteOptions, UploadId, UploadProgress,
        UploadRow,
    },
    clock::SystemClock,
    storage::{Key, memory},
};

async fn catalog(data: &TempDir) -> Arc<dyn Catalog> {
    Arc::new(SqliteCatalog::open(data.path(), SqliteOptions::default()).await.unwrap())
}

fn check(catalog: &Arc<dyn Catalog>, store: &Arc<dyn BlobStore>) -> Check {
    let records = Records::new(catalog.clone(), store.clone());
    Check { catalog: catalog.clone(), store: store.clone(), records, clock: Arc::new(SystemClock) }
}

async fn push(catalog: &Arc<dyn Catalog>, n: usize) {
    let body = Bytes::from(format!("{{\"n\":{n}}}"));
    let new = NewManifest {
        repo: "a/b".parse().unwrap(),
        digest: Digest::of(Algorithm::Sha256, &body),
        media_type: MediaType::new(MediaType::OCI_INDEX),
        body,
        references: Vec::new(),
        subject: None,
        artifact_type: None,
        annotations: BTreeMap::new(),
        tags: vec![format!("v{n}").parse().unwrap()],
        fixed: Vec::new(),
        max_depth: 20,
    };
    let now = SystemClock.now();
    let lease = Lease { now, length: Duration::from_secs(60) };
    let put = catalog.put_manifest(&new, now, lease).await.unwrap();
    assert!(matches!(put, ManifestPut::Stored { .. }));
}

async fn objects(store: &Arc<dyn BlobStore>) -> Vec<ObjectKey> {
    store.list("").map_ok(|listed| listed.key).try_collect().await.unwrap()
}

#[tokio::test]
async fn a_repair_with_another_catalog_than_storages_deletes_nothing() {
    let (data, lost, store) = (TempDir::new().unwrap(), TempDir::new().unwrap(), Arc::new(memory()));
    let store: Arc<dyn BlobStore> = store;
    let (ours, fresh) = (catalog(&data).await, catalog(&lost).await);
    let repair = Plan { read: None, repair: true, grace: Duration::ZERO };
    let (teller, mut told) = Teller::new();
    tokio::spawn(async move { while told.recv().await.is_some() {} });
    for n in 0..=SUSPICIOUS {
        push(&ours, n).await;
    }
    check(&ours, &store).records.settle_all().await.unwrap();
    let there = objects(&store).await;
    // Empty; and with so little that it must be older.
    for _ in 0..2 {
        let refused = check(&fresh, &store).run(repair, &teller).await;
        assert!(matches!(refused, Err(UpkeepError::Refused(_))), "{refused:?}");
        assert_eq!(objects(&store).await, there);
        push(&fresh, 0).await;
    }
    assert_eq!(check(&ours, &store).run(repair, &teller).await.unwrap().problems, 0);
    // A single one is an accident, and is put right.
    let one = "a/b".parse().unwrap();
    let gone = Digest::of(Algorithm::Sha256, b"{\"n\":1}");
    let burial = crate::catalog::Burial { now: SystemClock.now(), keep: false };
    ours.delete_manifest(&one, &gone, Arc::new(|_| false), burial).await.unwrap();
    ours.all_recorded().await.unwrap();
    let summary = check(&ours, &store).run(repair, &teller).await.unwrap();
    assert_eq!((summary.problems, summary.repaired), (2, 2));
    assert_eq!(objects(&store).await.len(), there.len() - 2);
}

#[tokio::test]
async fn an_object_that_a_session_brings_is_nobodys_only_when_the_session_is_over() {
    let (data, store) = (TempDir::new().unwrap(), Arc::new(memory()));
    let (ours, store): (_, Arc<dyn BlobStore>) = (catalog(&data).await, store);
    let repair = Plan { read: None, repair: true, grace: Duration::ZERO };
    let (teller, mut told) = Teller::new();
    tokio::spawn(async move { while told.recv().await.is_some() {} });
    let (id, now) = (UploadId(uuid::Uuid::new_v4()), SystemClock.now());
    let (hash, staging, expires_at) = (Vec::new(), Vec::new(), now + Duration::from_secs(60));
    let progress = UploadProgress { offset: 0, hash, staging, expires_at };
    let repo: berth_oci::RepoName = "a/b".parse().unwrap();
    let session = UploadRow { id, repo: repo.clone(), principal: String::new(), created_at: now, progress };
    ours.create_upload(&session).await.unwrap();
    store.put(&Key::Object(id).object(), Bytes::from_static(b"on its way")).await.unwrap();
    assert_eq!(check(&ours, &store).run(repair, &teller).await.unwrap().problems, 0);
    assert_eq!(objects(&store).await.len(), 1);
    ours.delete_upload(&repo, id).await.unwrap();
    let summary = check(&ours, &store).run(repair, &teller).await.unwrap();
    assert_eq!((summary.problems, summary.repaired), (1, 1));
    assert_eq!(objects(&store).await.len(), 0);
}
