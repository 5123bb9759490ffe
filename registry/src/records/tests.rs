use std::{sync::Arc, time::Duration};

use berth_oci::{Algorithm, Digest, ManifestReference, MediaType, RepoName, Tag};
use bytes::Bytes;
use futures_util::TryStreamExt;
use proptest::prelude::*;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    catalog::{BlobRow, Burial, ManifestRecord, ObjectKey, Record, SqliteCatalog, SqliteOptions, TagRecord},
    clock::{SystemClock, Timestamp},
    manifests::{Manifests, Settings},
    storage::{memory, read_whole},
    tags::Immutable,
};

struct Place {
    manifests: Manifests,
    records: Records,
    catalog: Arc<dyn Catalog>,
    store: Arc<dyn BlobStore>,
    repo: RepoName,
    _data: TempDir,
}

async fn place() -> Place {
    let data = TempDir::new().unwrap();
    let catalog: Arc<dyn Catalog> =
        Arc::new(SqliteCatalog::open(data.path(), SqliteOptions::default()).await.unwrap());
    let store: Arc<dyn BlobStore> = Arc::new(memory());
    let records = Records::new(catalog.clone(), store.clone());
    let settings = Settings {
        sparse_indexes: false,
        sparse_images: false,
        max_depth: 20,
        immutable: Immutable::new(vec!["fixed".into()]),
        blob_lease: Duration::from_secs(60),
        most: crate::manifests::PerRepository::default(),
        undelete: true,
    };
    let manifests = Manifests::new(catalog.clone(), Arc::new(SystemClock), records.clone(), settings);
    Place { manifests, records, catalog, store, repo: "a/b".parse().unwrap(), _data: data }
}

fn index(n: u32) -> Bytes {
    format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"{}\",\"manifests\":[],\"annotations\":{{\"n\":\"{n}\"}}}}",
        MediaType::OCI_INDEX
    )
    .into()
}

impl Place {
    async fn push(&self, tag: &str, n: u32) -> bool {
        let reference = ManifestReference::Tag(tag.parse().unwrap());
        self.manifests
            .put(&self.repo, reference, Vec::new(), None, index(n), Arc::new(|_: &Tag| false))
            .await
            .is_ok()
    }

    async fn delete(&self, reference: &str) -> bool {
        let reference = reference.parse().unwrap();
        self.manifests.delete(&self.repo, &reference, Arc::new(|_: &Tag| false)).await.unwrap()
    }

    /// What storage says of a tag, the moment it is asked.
    async fn kept(&self, tag: &str) -> Option<Digest> {
        let name = RecordName::Tag(self.repo.clone(), tag.parse().unwrap());
        let bytes = read_whole(&*self.store, &key(&name).object(), 1 << 20).await.unwrap()?;
        let Record::Tag(record) = read(&bytes).unwrap() else { panic!("no tag's record") };
        Some(record.digest)
    }

    async fn count(&self) -> usize {
        let listed: Vec<_> = self.store.list("").try_collect().await.unwrap();
        listed.len()
    }
}

fn digest(n: u32) -> Digest {
    Digest::of(Algorithm::Sha256, &index(n))
}

#[tokio::test]
async fn f13_a_push_is_on_record_when_it_is_answered_and_a_delete_is_off_it() {
    let place = place().await;
    assert!(place.push("v1", 1).await);
    assert_eq!(place.kept("v1").await, Some(digest(1)));
    assert!(place.push("v1", 2).await);
    assert_eq!(place.kept("v1").await, Some(digest(2)));
    assert_eq!(place.count().await, 3);
    assert!(place.delete("v1").await);
    assert_eq!(place.kept("v1").await, None);
    assert!(place.push("v1", 1).await && place.push("v2", 1).await);
    assert!(place.delete(digest(1).as_str()).await && place.delete(digest(2).as_str()).await);
    assert_eq!(place.count().await, 0);
}

#[tokio::test]
async fn f13_what_was_refused_is_on_no_record() {
    let place = place().await;
    assert!(place.push("fixed", 1).await);
    assert!(!place.push("fixed", 2).await);
    assert_eq!(place.kept("fixed").await, Some(digest(1)));
    assert_eq!(place.count().await, 2);
}

#[tokio::test]
async fn f13_what_a_dead_process_left_is_settled_by_the_next() {
    let place = place().await;
    assert!(place.push("v1", 1).await);
    // Of its last breath there is the commit alone.
    let gone = place
        .catalog
        .delete_tag(&place.repo, &"v1".parse().unwrap(), Burial { now: Timestamp(0), keep: false })
        .await
        .unwrap();
    assert!(gone);
    assert_eq!(place.kept("v1").await, Some(digest(1)));
    let (next, stop) = (Records::new(place.catalog.clone(), place.store.clone()), CancellationToken::new());
    // Whoever made a note has a round's time to settle it.
    assert_eq!(next.catch_up(&stop).await.unwrap(), 0);
    assert_eq!(place.kept("v1").await, Some(digest(1)));
    assert_eq!(next.catch_up(&stop).await.unwrap(), 2);
    assert_eq!(place.kept("v1").await, None);
    assert_eq!(place.catalog.last_unrecorded().await.unwrap(), 0);
}

#[tokio::test]
async fn what_another_replica_wrote_over_is_written_again() {
    let place = place().await;
    let other = Records::new(place.catalog.clone(), place.store.clone());
    assert!(place.push("v1", 1).await);
    // The other one had read before the tag moved, and writes after.
    let name = RecordName::Tag(place.repo.clone(), "v1".parse().unwrap());
    other.settle([name.clone()]).await.unwrap();
    let stale = read_whole(&*place.store, &key(&name).object(), 1 << 20).await.unwrap().unwrap();
    assert!(place.push("v1", 2).await);
    place.records.flush().await.unwrap();
    place.store.put(&key(&name).object(), stale).await.unwrap();
    assert_eq!(place.kept("v1").await, Some(digest(1)));
    other.flush().await.unwrap();
    assert_eq!(place.kept("v1").await, Some(digest(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f13_of_many_pushes_of_one_tag_the_last_is_on_record() {
    let place = Arc::new(place().await);
    for round in 0..20 {
        let pushes = (0..8).map(|n| {
            let place = place.clone();
            tokio::spawn(async move { place.push("v1", round * 8 + n).await })
        });
        assert!(join_all(pushes).await.into_iter().all(|pushed| pushed.unwrap()));
        let tag = ManifestReference::Tag("v1".parse().unwrap());
        let held = place.catalog.manifest(&place.repo, &tag).await.unwrap().unwrap();
        assert_eq!(place.kept("v1").await, Some(held.digest));
    }
}

fn record(body: &[u8]) -> Record {
    Record::Manifest(ManifestRecord {
        repo: "a/b".parse().unwrap(),
        digest: Digest::of(Algorithm::Sha256, body),
        media_type: MediaType::new(MediaType::OCI_INDEX),
        pushed_at: Timestamp(5),
        blobs: vec![BlobRow { digest: digest(1), size: 3, key: ObjectKey("blobs/x".to_owned()) }],
        body: Bytes::copy_from_slice(body),
    })
}

proptest! {
    #[test]
    fn a_record_comes_back_and_a_damaged_one_is_refused(body: Vec<u8>, at: prop::sample::Index, bit in 0..8_u8) {
        let tag = TagRecord {
            repo: "a/b".parse().unwrap(), tag: "v1".parse().unwrap(), digest: digest(1), updated_at: Timestamp(7),
        };
        for record in [record(&body), Record::Tag(tag)] {
            let written = format::write(&record).unwrap();
            prop_assert_eq!(&read(&written).unwrap(), &record);
            let mut damaged = written.to_vec();
            let at = at.index(damaged.len());
            damaged[at] ^= 1 << bit;
            // Case alone may differ in a digest's text, and then it says the same.
            if let Ok(same) = read(&damaged.into()) {
                prop_assert_eq!(same, record);
            }
        }
    }
}

#[tokio::test]
async fn a_removed_manifests_record_goes_unless_it_was_pushed_again() {
    let place = place().await;
    assert!(place.push("v1", 1).await && place.push("v2", 2).await);
    let burial = Burial { now: Timestamp(0), keep: false };
    let removed: Vec<_> = [1, 2]
        .map(|n| RemovedManifest { repo: place.repo.clone(), digest: digest(n), size: index(n).len() as u64 })
        .into();
    for gone in &removed {
        let fixed = Arc::new(|_: &Tag| false);
        place.catalog.delete_manifest(&place.repo, &gone.digest, fixed, burial).await.unwrap();
    }
    // One comes back before its record is taken away.
    assert!(place.push("v2", 2).await);
    place.records.settle_removed(&removed).await.unwrap();
    let there = async |n| {
        let name = RecordName::Manifest(place.repo.clone(), digest(n));
        read_whole(&*place.store, &key(&name).object(), 1 << 20).await.unwrap().is_some()
    };
    assert!(!there(1).await, "it is gone");
    assert!(there(2).await, "it is there again");
    let noted = place.catalog.unrecorded(i64::MAX, 100).await.unwrap();
    let of_first = RecordName::Manifest(place.repo.clone(), digest(1));
    assert!(noted.iter().all(|note| note.name != of_first), "{noted:?}");
}
