use std::{
    fmt, fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use berth_oci::Algorithm;
use bytes::Bytes;
use futures_util::{future::BoxFuture, stream::BoxStream};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    catalog::{Lease, NewBlob, ObjectKey, SqliteCatalog, SqliteOptions, UploadId},
    clock::{Clock, SystemClock},
    gc::Collector,
    manifests::{PerRepository, Settings},
    storage::{Adopted, BlobBody, Filesystem, Listed, Result, StageWriter},
    tags::Immutable,
};

/// For so long blobs are left alone.
const LEASE: Duration = Duration::from_mins(1);

/// The machine's clock, set forward.
#[derive(Debug, Default)]
struct Ahead(AtomicI64);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        Timestamp(SystemClock.now().0 + self.0.load(Ordering::SeqCst))
    }
}

type Meanwhile = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// A folder beside which something happens whenever an object has come and has no row yet.
struct Beside {
    folder: Filesystem,
    meanwhile: Mutex<Option<Meanwhile>>,
}

impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.folder.fmt(f)
    }
}

#[async_trait]
impl BlobStore for Beside {
    async fn stage(&self, id: UploadId, staging: &[u8], offset: u64) -> Result<Box<dyn StageWriter>> {
        self.folder.stage(id, staging, offset).await
    }

    async fn discard(&self, id: UploadId, staging: &[u8]) -> Result<()> {
        self.folder.discard(id, staging).await
    }

    async fn open(&self, key: &ObjectKey, size: u64, range: Range<u64>) -> Result<Option<BlobBody>> {
        self.folder.open(key, size, range).await
    }

    async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<()> {
        self.folder.put(key, bytes).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<()> {
        self.folder.delete(key).await
    }

    async fn delete_many(&self, keys: &[ObjectKey]) -> Vec<Result<()>> {
        self.folder.delete_many(keys).await
    }

    fn list(&self, below: &str) -> BoxStream<'static, Result<Listed>> {
        self.folder.list(below)
    }

    async fn size(&self, key: &ObjectKey) -> Result<Option<u64>> {
        self.folder.size(key).await
    }

    async fn adopt(&self, digest: &Digest, id: UploadId, file: &Path) -> Result<(ObjectKey, Adopted)> {
        let adopted = self.folder.adopt(digest, id, file).await;
        let meanwhile = self.meanwhile.lock().unwrap().as_ref().map(|begin| begin());
        if let Some(meanwhile) = meanwhile {
            meanwhile.await;
        }
        adopted
    }

    async fn ping(&self) -> Result<()> {
        self.folder.ping().await
    }
}

/// Another registry's folder, and one of ours to import it into.
struct Place {
    folder: TempDir,
    clock: Arc<Ahead>,
    store: Arc<Beside>,
}

impl Place {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let ours = Filesystem::open(folder.path().join("ours"), 0).unwrap();
        let store = Arc::new(Beside { folder: ours, meanwhile: Mutex::default() });
        Self { folder, clock: Arc::default(), store }
    }

    fn tree(&self) -> PathBuf {
        self.folder.path().join("theirs")
    }

    fn write(&self, path: &str, content: &[u8]) {
        let file = self.tree().join("docker/registry/v2").join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }

    fn content(&self, content: &[u8]) -> Digest {
        let digest = Digest::of(Algorithm::Sha256, content);
        let hex = digest.hex();
        self.write(&format!("blobs/sha256/{}/{hex}/data", &hex[..2]), content);
        digest
    }

    /// A blob that repository `a` links.
    fn layer(&self, content: &[u8]) -> Digest {
        let digest = self.content(content);
        self.write(
            &format!("repositories/a/_layers/sha256/{}/link", digest.hex()),
            digest.as_str().as_bytes(),
        );
        digest
    }

    /// An image of `a` with these layers, and its tag.
    fn image(&self, tag: &str, layers: &[Digest]) -> Digest {
        let kind = "application/vnd.oci.image.layer.v1.tar";
        let of = |digest: &Digest, kind: &str| json!({ "mediaType": kind, "digest": digest, "size": 5 });
        let layers: Vec<_> = layers.iter().map(|layer| of(layer, kind)).collect();
        let body = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": layers[0], "layers": layers,
        });
        let digest = self.content(body.to_string().as_bytes());
        let link = digest.as_str().as_bytes();
        self.write(&format!("repositories/a/_manifests/revisions/sha256/{}/link", digest.hex()), link);
        self.write(&format!("repositories/a/_manifests/tags/{tag}/current/link"), link);
        digest
    }

    async fn catalog(&self) -> (TempDir, Arc<dyn Catalog>) {
        let data = TempDir::new().unwrap();
        let opened = SqliteCatalog::open(data.path(), SqliteOptions::default()).await.unwrap();
        (data, Arc::new(opened))
    }

    async fn import(&self, catalog: &Arc<dyn Catalog>) -> Imported {
        let store: Arc<dyn BlobStore> = self.store.clone();
        let records = Records::new(catalog.clone(), store.clone());
        let settings = Settings {
            sparse_indexes: false,
            sparse_images: false,
            max_depth: 20,
            immutable: Immutable::default(),
            blob_lease: LEASE,
            most: PerRepository::default(),
            undelete: true,
        };
        let clock: Arc<dyn Clock> = self.clock.clone();
        let manifests = Manifests::new(catalog.clone(), clock.clone(), records.clone(), settings);
        let catalog = catalog.clone();
        let import = Import { catalog, store, manifests, records, clock, lease: LEASE, verify: false };
        let (teller, mut told) = Teller::new();
        tokio::spawn(async move { while told.recv().await.is_some() {} });
        import.run(&Tree::Folder(self.tree()), &teller).await.unwrap()
    }

    /// Whenever an object has come, the clock goes forward by `by` and a collection runs that gives nothing any grace.
    fn collect_meanwhile(&self, catalog: &Arc<dyn Catalog>, by: Duration) {
        let settings = crate::gc::Settings {
            grace: Duration::ZERO,
            untagged: Some(Duration::ZERO),
            lease: LEASE,
            clock_skew: Duration::ZERO,
            undelete: Duration::ZERO,
            rules: Vec::new(),
            immutable: Immutable::default(),
        };
        let store: Arc<dyn BlobStore> = self.store.clone();
        let records = Records::new(catalog.clone(), store.clone());
        let collector = Collector::new(catalog.clone(), store, records, self.clock.clone(), settings);
        let clock = self.clock.clone();
        *self.store.meanwhile.lock().unwrap() = Some(Box::new(move || {
            let (collector, clock) = (collector.clone(), clock.clone());
            Box::pin(async move {
                clock.0.fetch_add(i64::try_from(by.as_micros()).unwrap(), Ordering::SeqCst);
                collector.run(&CancellationToken::new(), &mut |_| ()).await.unwrap();
            })
        }));
    }

    /// Objects of blobs.
    async fn objects(&self) -> usize {
        use futures_util::StreamExt;
        self.store.list("blobs").count().await
    }
}

#[tokio::test]
async fn r12_what_is_imported_again_gets_another_object() {
    let place = Place::new();
    let digest = place.layer(b"layer");
    // The second time as after a collection that has taken the row and not yet the object.
    let mut keys = Vec::new();
    for _ in 0..2 {
        let (_data, catalog) = place.catalog().await;
        place.import(&catalog).await;
        keys.push(catalog.stored_blob(&digest).await.unwrap().unwrap().row.key);
    }
    assert_ne!(keys[0], keys[1], "the first may be doomed");
}

#[tokio::test]
async fn what_is_imported_beside_a_collection_without_any_grace_stays() {
    let place = Place::new();
    let (_data, catalog) = place.catalog().await;
    let layers = [place.layer(b"one"), place.layer(b"two"), place.layer(b"three")];
    place.image("v1", &layers);
    place.collect_meanwhile(&catalog, Duration::ZERO);
    let imported = place.import(&catalog).await;
    assert_eq!((imported.tags, imported.incomplete, imported.skipped), (1, 0, 0), "{imported:?}");
    for layer in &layers {
        let row = catalog.stored_blob(layer).await.unwrap().unwrap().row;
        assert_eq!(place.store.size(&row.key).await.unwrap(), Some(row.size), "{layer}");
    }
    assert_eq!(catalog.count_uploads(10).await.unwrap(), 0, "a session is left");
}

#[tokio::test]
async fn an_import_that_takes_longer_than_a_lease_loses_no_blob() {
    let place = Place::new();
    let (_data, catalog) = place.catalog().await;
    let layers: Vec<_> = (0..6).map(|n| place.layer(format!("layer {n}").as_bytes())).collect();
    place.image("v1", &layers[..3]);
    place.image("v2", &layers[3..]);
    // Six steps of a third of the lease: the first are over before the manifests come.
    place.collect_meanwhile(&catalog, LEASE / 3);
    let imported = place.import(&catalog).await;
    assert_eq!((imported.tags, imported.incomplete, imported.skipped), (2, 0, 0), "{imported:?}");
    for layer in &layers {
        let row = catalog.stored_blob(layer).await.unwrap().unwrap().row;
        assert_eq!(place.store.size(&row.key).await.unwrap(), Some(row.size), "{layer}");
    }
}

#[tokio::test]
async fn an_object_of_what_was_pushed_meanwhile_is_not_left_behind() {
    let place = Place::new();
    let (_data, catalog) = place.catalog().await;
    let digest = place.layer(b"layer");
    let (pushed, content) = (catalog.clone(), digest.clone());
    *place.store.meanwhile.lock().unwrap() = Some(Box::new(move || {
        let (catalog, digest) = (pushed.clone(), content.clone());
        Box::pin(async move {
            let lease = Lease { now: SystemClock.now(), length: LEASE };
            let key = ObjectKey("blobs/theirs".to_owned());
            let blob = NewBlob { repo: "b".parse().unwrap(), digest, size: 5, key, upload: None };
            catalog.commit_blob(&blob, lease.now, lease).await.unwrap().unwrap();
        })
    }));
    let imported = place.import(&catalog).await;
    assert_eq!((imported.in_place, imported.copied, imported.skipped), (0, 0, 0), "{imported:?}");
    assert_eq!(place.objects().await, 0);
    assert_eq!(catalog.count_uploads(10).await.unwrap(), 0, "a session is left");
    let lease = Lease { now: SystemClock.now(), length: LEASE };
    assert!(catalog.blob(&"a".parse().unwrap(), &digest, lease).await.unwrap().is_some());
}
