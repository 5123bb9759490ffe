//! What a power failure may undo is no reason for an object to go.

use std::{ops::Range, sync::Mutex};

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use super::*;
use crate::storage::{BlobBody, Listed, StageWriter};

/// Storage that writes down how often the catalog had been made to endure when an object went.
#[derive(Debug)]
struct Watched {
    inner: ObjectBackend,
    catalog: Arc<dyn Catalog>,
    endured: Arc<Mutex<Vec<u64>>>,
}

type Result<T> = std::result::Result<T, StorageError>;

#[async_trait]
impl BlobStore for Watched {
    async fn stage(&self, id: UploadId, staging: &[u8], offset: u64) -> Result<Box<dyn StageWriter>> {
        self.inner.stage(id, staging, offset).await
    }

    async fn discard(&self, id: UploadId, staging: &[u8]) -> Result<()> {
        self.inner.discard(id, staging).await
    }

    async fn open(&self, key: &ObjectKey, size: u64, range: Range<u64>) -> Result<Option<BlobBody>> {
        self.inner.open(key, size, range).await
    }

    async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<()> {
        self.inner.put(key, bytes).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<()> {
        self.delete_many(std::slice::from_ref(key)).await.remove(0)
    }

    async fn delete_many(&self, keys: &[ObjectKey]) -> Vec<Result<()>> {
        if !keys.is_empty() {
            let endured = times_endured(&*self.catalog).await;
            self.endured.lock().unwrap().push(endured);
        }
        self.inner.delete_many(keys).await
    }

    fn list(&self, below: &str) -> BoxStream<'static, Result<Listed>> {
        self.inner.list(below)
    }

    async fn size(&self, key: &ObjectKey) -> Result<Option<u64>> {
        self.inner.size(key).await
    }

    async fn ping(&self) -> Result<()> {
        self.inner.ping().await
    }
}

async fn times_endured(catalog: &dyn Catalog) -> u64 {
    let times = catalog.progress("collection").await.unwrap();
    times.map_or(0, |times| times.parse().unwrap())
}

struct Watch {
    place: Place,
    collector: Collector,
    endured: Arc<Mutex<Vec<u64>>>,
}

impl Watch {
    async fn new() -> Self {
        let (place, endured) = (Place::new().await, Arc::<Mutex<Vec<u64>>>::default());
        let (inner, catalog) = (place.store.clone(), place.catalog.clone());
        let store: Arc<dyn BlobStore> = Arc::new(Watched { inner, catalog, endured: Arc::clone(&endured) });
        let records = Records::new(place.catalog.clone(), store.clone());
        let collector =
            Collector::new(place.catalog.clone(), store, records, place.clock.clone(), settings());
        Self { place, collector, endured }
    }

    /// How often the catalog had been made to endure, at each time that something went.
    async fn run(&self) -> Vec<u64> {
        self.collector.run(&CancellationToken::new(), &mut |_| ()).await.unwrap();
        self.endured.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn no_record_goes_before_a_power_failure_leaves_its_manifest_gone() {
    let watch = Watch::new().await;
    watch.place.manifest("a", "untagged", &[], &[]).await;
    watch.place.clock.forward(HOUR * 2);
    assert_eq!(watch.run().await, [1]);
}

#[tokio::test]
async fn no_object_goes_before_a_power_failure_leaves_it_without_a_name() {
    let watch = Watch::new().await;
    let place = &watch.place;
    // Swept by a process that died before it deleted the object.
    let doomed = place.blob("a", "doomed").await;
    place.clock.forward(HOUR * 2);
    let horizon = watch.collector.horizon();
    place.catalog.sweep_blobs(&[doomed.digest], horizon).await.unwrap();
    assert_eq!(times_endured(&*place.catalog).await, 0, "nothing was deleted yet");
    assert_eq!(watch.run().await, [1]);

    place.blob("a", "swept").await;
    place.clock.forward(HOUR * 2);
    assert_eq!(watch.run().await, [1, 2]);
    assert_eq!(place.objects().await, []);
}
