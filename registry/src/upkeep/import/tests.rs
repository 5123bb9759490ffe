use std::{fs, path::Path, time::Duration};

use berth_oci::Algorithm;
use tempfile::TempDir;

use super::*;
use crate::{
    catalog::{SqliteCatalog, SqliteOptions},
    clock::{Clock, SystemClock},
    manifests::{PerRepository, Settings},
    storage::Filesystem,
    tags::Immutable,
};

/// Imports into an empty catalog; the object that then holds the blob.
async fn object_after_import(tree: &Path, store: &Arc<dyn BlobStore>, digest: &Digest) -> Option<String> {
    let data = TempDir::new().unwrap();
    let opened = SqliteCatalog::open(data.path(), SqliteOptions::default()).await.unwrap();
    let catalog: Arc<dyn Catalog> = Arc::new(opened);
    let records = Records::new(catalog.clone(), store.clone());
    let settings = Settings {
        sparse_indexes: false,
        sparse_images: false,
        max_depth: 20,
        immutable: Immutable::default(),
        blob_lease: Duration::from_secs(60),
        most: PerRepository::default(),
        undelete: true,
    };
    let manifests = Manifests::new(catalog.clone(), Arc::new(SystemClock), records.clone(), settings);
    let lease = Lease { now: SystemClock.now(), length: Duration::from_secs(60) };
    let import =
        Import { catalog: catalog.clone(), store: store.clone(), manifests, records, lease, verify: false };
    let (teller, mut told) = Teller::new();
    tokio::spawn(async move { while told.recv().await.is_some() {} });
    import.run(&Tree::Folder(tree.to_owned()), &teller).await.unwrap();
    catalog.stored_blob(digest).await.unwrap().map(|blob| blob.row.key.0)
}

#[tokio::test]
async fn r12_what_is_imported_again_gets_another_object() {
    let data = TempDir::new().unwrap();
    let tree = data.path().join("theirs");
    let digest = Digest::of(Algorithm::Sha256, b"layer");
    let hex = digest.hex();
    let root = tree.join("docker/registry/v2");
    let blob = root.join(format!("blobs/sha256/{}/{hex}", &hex[..2]));
    let link = root.join(format!("repositories/a/_layers/sha256/{hex}"));
    fs::create_dir_all(&blob).unwrap();
    fs::create_dir_all(&link).unwrap();
    fs::write(blob.join("data"), b"layer").unwrap();
    fs::write(link.join("link"), digest.as_str()).unwrap();
    let store: Arc<dyn BlobStore> = Arc::new(Filesystem::open(data.path().join("ours"), 0).unwrap());
    // The second time as after a collection that has taken the row and not yet the object.
    let first = object_after_import(&tree, &store, &digest).await;
    let second = object_after_import(&tree, &store, &digest).await;
    assert!(first.is_some() && second.is_some());
    assert_ne!(first, second, "the first may be doomed");
}
