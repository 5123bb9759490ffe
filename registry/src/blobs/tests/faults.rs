//! What is left when storage fails.

use super::*;

async fn pushed(fixture: &Fixture, bytes: &[u8]) -> [Result<(), UploadError>; 2] {
    let session = fixture.start().await;
    let chunk = Chunk::default();
    let put = fixture.blobs.finish(session.clone(), chunk, body(bytes), sha256(bytes)).await.map(drop);
    let again = fixture.blobs.finish(session, chunk, body(bytes), sha256(bytes)).await.map(drop);
    let single = fixture.blobs.monolithic(repo("a"), sha256(bytes), None, body(bytes)).await.map(drop);
    // The session ended with the failure: repeating is not a success.
    assert!(matches!(again, Err(UploadError::Unknown)), "{again:?}");
    [put, single]
}

#[tokio::test]
async fn f4_a_failed_fsync_ends_the_upload_and_is_never_called_well() {
    let fixture = Fixture::on_disk().await;
    for bytes in [content(1000), content(700_000)] {
        fixture.faults.finish.store(true, Ordering::SeqCst);
        for failed in pushed(&fixture, &bytes).await {
            assert!(matches!(failed, Err(UploadError::Storage(StorageError::Unavailable(_)))), "{failed:?}");
        }
        fixture.faults.finish.store(false, Ordering::SeqCst);

        let session = fixture.start().await;
        fixture.faults.flush.store(true, Ordering::SeqCst);
        let failed = fixture.blobs.append(session.clone(), Chunk::default(), body(&bytes)).await;
        assert!(matches!(failed, Err(UploadError::Storage(StorageError::Unavailable(_)))), "{failed:?}");
        fixture.faults.flush.store(false, Ordering::SeqCst);
        assert!(matches!(fixture.blobs.status(&session).await, Err(UploadError::Unknown)));

        assert!(!fixture.holds(&sha256(&bytes)).await);
        assert_eq!((fixture.staged(), fixture.objects()), (0, 0));
    }
    let bytes = content(1000);
    fixture.blobs.monolithic(repo("a"), sha256(&bytes), None, body(&bytes)).await.unwrap();
    assert!(fixture.content_of(&sha256(&bytes)).await == bytes);
}

#[tokio::test]
async fn f5_a_full_disk_ends_the_upload_and_frees_its_space() {
    let fixture = Fixture::on_disk().await;
    for bytes in [content(1000), content(700_000)] {
        let session = fixture.start().await;
        fixture.blobs.append(session.clone(), Chunk::default(), body(&bytes)).await.unwrap();
        assert_eq!(fixture.staged(), 1);
        fixture.faults.write_full.store(true, Ordering::SeqCst);
        let failed = fixture.blobs.append(session.clone(), Chunk::default(), body(&bytes)).await;
        assert!(matches!(failed, Err(UploadError::Storage(StorageError::Full))), "{failed:?}");
        for failed in pushed(&fixture, &bytes).await {
            assert!(matches!(failed, Err(UploadError::Storage(StorageError::Full))), "{failed:?}");
        }
        fixture.faults.write_full.store(false, Ordering::SeqCst);
        assert!(matches!(fixture.blobs.status(&session).await, Err(UploadError::Unknown)));
        assert!(!fixture.holds(&sha256(&bytes)).await);
        assert_eq!((fixture.staged(), fixture.objects()), (0, 0));
    }
}

#[tokio::test]
async fn a_session_whose_staged_bytes_are_gone_ends() {
    let fixture = Fixture::on_disk().await;
    let session = fixture.start().await;
    fixture.blobs.append(session.clone(), Chunk::default(), body(b"hello")).await.unwrap();
    let staged = fixture.folder.path().join(format!("uploads/{}", session.id));
    std::fs::OpenOptions::new().write(true).open(staged).unwrap().set_len(3).unwrap();
    let told = fixture.blobs.append(session.clone(), Chunk::default(), body(b"!")).await;
    assert!(matches!(told, Err(UploadError::Unknown)), "{told:?}");
    assert!(matches!(fixture.blobs.status(&session).await, Err(UploadError::Unknown)));
    assert_eq!(fixture.staged(), 0);
}

#[tokio::test]
async fn what_storage_lost_is_told_apart_from_what_was_deleted() {
    let fixture = Fixture::on_disk().await;
    let digest = sha256(b"hello");
    let blob = fixture.blobs.monolithic(repo("a"), digest.clone(), None, body(b"hello")).await.unwrap();
    fixture.store.delete(&blob.key).await.unwrap();
    let lost = fixture.blobs.open(&repo("a"), &blob, 0..5).await.err();
    assert!(matches!(lost, Some(BlobError::Lost(_))), "{lost:?}");
    fixture.blobs.delete(&repo("a"), &digest).await.unwrap();
    assert!(fixture.blobs.open(&repo("a"), &blob, 0..5).await.unwrap().is_none());
}

#[tokio::test]
async fn a_bucket_is_asked_about_an_object_once_in_a_while_and_a_folder_each_time() {
    for (on_disk, looks) in [(true, 20), (false, 2)] {
        let fixture = Fixture::with(Settings::default(), on_disk).await;
        let digest = sha256(b"hello");
        fixture.blobs.monolithic(repo("a"), digest.clone(), None, body(b"hello")).await.unwrap();
        fixture.clock.pass(Duration::from_secs(60));
        let blob = fixture.blobs.stat(&repo("a"), &digest).await.unwrap().unwrap();
        fixture.faults.looks.store(0, Ordering::SeqCst);
        for _ in 0..20 {
            assert!(fixture.blobs.is_there(&repo("a"), &blob).await.unwrap());
            fixture.clock.pass(Duration::from_secs(2));
        }
        assert_eq!(fixture.faults.looks.load(Ordering::SeqCst), looks);
        // Lost behind our back: whoever reads finds out, and then whoever asks.
        fixture.store.delete(&blob.key).await.unwrap();
        let lost = fixture.blobs.open(&repo("a"), &blob, 0..5).await.err();
        assert!(matches!(lost, Some(BlobError::Lost(_))), "{lost:?}");
        let lost = fixture.blobs.is_there(&repo("a"), &blob).await.err();
        assert!(matches!(lost, Some(BlobError::Lost(_))), "{lost:?}");
    }
}
