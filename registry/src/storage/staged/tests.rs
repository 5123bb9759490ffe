//! How a staged file fails, and who may write to it.

use berth_oci::Algorithm;
use uuid::Uuid;

use super::*;
use crate::storage::{BlobStore, Filesystem};

fn open(store: &Filesystem, id: UploadId) -> Box<StagedFile> {
    Box::new(StagedFile::open(store.root(), id, true, 0).unwrap())
}

#[tokio::test]
async fn f4_an_error_that_an_early_sync_heard_ends_the_upload() {
    let folder = tempfile::tempdir().unwrap();
    let store = Filesystem::open(folder.path(), 0).unwrap();
    let digest = Digest::from_hash(Algorithm::Sha256, &[1; 32]);
    for finish in [true, false] {
        let id = UploadId(Uuid::new_v4());
        let mut writer = open(&store, id);
        writer.write(Bytes::from_static(b"hello")).await.unwrap();
        let eio = || io::Error::from_raw_os_error(5);
        writer.lane.call(move |tail| *tail.early.wait() = Some(eio())).await.unwrap();
        let failed = match finish {
            true => writer.finish(&digest).await.map(drop),
            false => writer.flush().await.map(drop),
        };
        assert!(matches!(failed, Err(StorageError::Unavailable(_))), "{failed:?}");
        // What was staged is gone: nobody can sync it again and call it well.
        assert!(matches!(store.stage(id, STAGED, 5).await.err(), Some(StorageError::Corrupt(_))));
        assert_eq!(std::fs::read_dir(folder.path().join("blobs/sha256")).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn f4_the_writes_after_a_failed_early_sync_fail() {
    let folder = tempfile::tempdir().unwrap();
    let store = Filesystem::open(folder.path(), 0).unwrap();
    let mut writer = open(&store, UploadId(Uuid::new_v4()));
    // A pipe cannot be synced, which is an error like another.
    let (_read, pipe) = io::pipe().unwrap();
    let pipe = Arc::new(File::from(std::os::fd::OwnedFd::from(pipe)));
    writer.lane.call(move |tail| tail.early.begin(&pipe, &tail.failed)).await.unwrap();
    while writer.write(Bytes::from_static(b"hello")).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(matches!(writer.flush().await.err(), Some(StorageError::Unavailable(_))));
    assert_eq!(std::fs::read_dir(folder.path().join("uploads")).unwrap().count(), 0);
}

#[tokio::test]
async fn f5_writes_fail_once_the_reserve_is_reached() {
    let folder = tempfile::tempdir().unwrap();
    let store = Filesystem::open(folder.path(), 0).unwrap();
    let mut writer = open(&store, UploadId(Uuid::new_v4()));
    writer.lane.call(|tail| tail.root = Arc::new(tail.root.with_reserve(u64::MAX))).await.unwrap();
    let piece = Bytes::from(vec![0; 1024 * 1024]);
    let mut outcome = Ok(());
    for _ in 0..40 {
        outcome = writer.write(piece.clone()).await;
        if outcome.is_err() {
            break;
        }
    }
    assert!(matches!(outcome, Err(StorageError::Full)), "{outcome:?}");
    writer.abandon().await.unwrap();
    assert_eq!(std::fs::read_dir(folder.path().join("uploads")).unwrap().count(), 0);
}
#[test]
fn f4_no_early_sync_runs_beside_the_last_one() {
    let early = EarlySync::default();
    early.last(|| early.0.try_lock().map_or(Ok(()), |_| Err(ErrorKind::Other.into()))).unwrap();
    *early.wait() = Some(io::Error::from_raw_os_error(5));
    early.last(|| panic!("a failed sync was tried again")).unwrap_err();
}

#[tokio::test]
async fn a_file_that_became_a_blob_while_it_was_opened_is_not_staged() {
    let folder = tempfile::tempdir().unwrap();
    let store = Filesystem::open(folder.path(), 0).unwrap();
    let (id, digest) = (UploadId(Uuid::new_v4()), Digest::from_hash(Algorithm::Sha256, &[1; 32]));
    let mut writer = open(&store, id);
    writer.write(Bytes::from_static(b"hello")).await.unwrap();
    // A request that took the session over has the file open, and waits for its lock.
    let path = writer.path.clone();
    let file = private_file().open(&path).unwrap();
    assert!(matches!(file.try_lock(), Err(TryLockError::WouldBlock)));
    let key = writer.finish(&digest).await.unwrap();
    let gone = still_staged(&file, &path, id);
    assert!(matches!(gone, Err(StorageError::Corrupt(_))), "{gone:?}");
    // Nor is another file that lies there now.
    let _other = open(&store, id);
    assert!(matches!(still_staged(&file, &path, id), Err(StorageError::Corrupt(_))));
    assert!(matches!(store.open(&key, 5, 0..5).await, Ok(Some(_))));
}
