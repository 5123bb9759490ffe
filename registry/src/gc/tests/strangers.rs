//! A catalog and storage that do not belong together.

use super::*;
use crate::records::Records;

#[tokio::test]
async fn a_catalog_that_was_lost_does_not_make_orphans_of_everything() {
    let mut place = Place::new().await;
    place.image("a", "layer", &["x"]).await;
    let store: Arc<dyn BlobStore> = Arc::new(place.store.clone());
    Records::new(place.catalog.clone(), store).settle_all().await.unwrap();
    let orphan = Key::Object(UploadId(Uuid::new_v4())).object();
    place.store.put(&orphan, Bytes::from_static(b"of a crash")).await.unwrap();
    place.clock.forward(HOUR * 9);
    let there = place.objects().await;
    let ours = place.catalog.clone();
    let fresh = tempfile::tempdir().unwrap();
    place.catalog = Arc::new(SqliteCatalog::open(fresh.path(), SqliteOptions::default()).await.unwrap());
    let collector = place.collector(place.clock.clone(), settings());
    let refused = collector.run(&CancellationToken::new(), &mut |_| ()).await;
    assert!(matches!(refused, Err(GcError::Stranger(_))), "{refused:?}");
    assert_eq!(place.objects().await, there);
    place.catalog = ours;
    assert_eq!(place.collect(settings()).await.orphans, 1);
    place.check("with its own catalog").await;
}
