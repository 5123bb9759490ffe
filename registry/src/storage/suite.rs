//! What every storage promises, run against each of them.

use berth_oci::{Algorithm, Digest};
use bytes::Bytes;
use futures_util::TryStreamExt;
use uuid::Uuid;

use super::*;
use crate::clock::{Clock, SystemClock};

const MIB: usize = 1024 * 1024;

/// Bytes that differ from place to place.
fn content(len: usize, seed: u64) -> Bytes {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&state.to_be_bytes());
    }
    bytes.truncate(len);
    bytes.into()
}

fn digest(seed: u8) -> Digest {
    Digest::from_hash(Algorithm::Sha256, &[seed; 32])
}

fn new_id() -> UploadId {
    UploadId(Uuid::new_v4())
}

async fn write(writer: &mut Box<dyn StageWriter>, bytes: &Bytes) {
    let mut rest = bytes.clone();
    while !rest.is_empty() {
        let piece = rest.split_to(rest.len().min(300_001));
        writer.write(piece).await.unwrap();
    }
}

async fn store_whole(store: &dyn BlobStore, bytes: &Bytes) -> ObjectKey {
    let mut writer = store.stage(new_id(), &[], 0).await.unwrap();
    write(&mut writer, bytes).await;
    writer.finish(&digest(1)).await.unwrap()
}

/// Reads a range of an object; `None` when there is no such object.
pub(super) async fn read(
    store: &dyn BlobStore,
    key: &ObjectKey,
    size: u64,
    range: Range<u64>,
) -> Option<Bytes> {
    match store.open(key, size, range).await.unwrap()? {
        BlobBody::File { file, range } => {
            let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap()];
            std::os::unix::fs::FileExt::read_exact_at(&*file, &mut bytes, range.start).unwrap();
            Some(bytes.into())
        }
        BlobBody::Stream(stream) => {
            let pieces: Vec<Bytes> = stream.try_collect().await.unwrap();
            Some(pieces.concat().into())
        }
    }
}

async fn holds(store: &dyn BlobStore, key: &ObjectKey, bytes: &Bytes) {
    let size = bytes.len() as u64;
    let found = read(store, key, size, 0..size).await.expect("the object is there");
    assert!(found == bytes, "{key} holds {} bytes of {size}, or others", found.len());
}

async fn whole_and_ranges(store: &dyn BlobStore) {
    for len in [0, 1, 70_000, 9 * MIB + 5] {
        let bytes = content(len, 1);
        let key = store_whole(store, &bytes).await;
        holds(store, &key, &bytes).await;
        let size = len as u64;
        for range in [0..0, size..size, 0..size.min(1), size.saturating_sub(7)..size, size / 3..size / 2] {
            let (start, end) = (usize::try_from(range.start).unwrap(), usize::try_from(range.end).unwrap());
            assert_eq!(read(store, &key, size, range).await.unwrap(), bytes.slice(start..end));
        }
        let other_size = store.open(&key, size + 1, 0..size + 1).await.err();
        assert!(matches!(other_size, Some(StorageError::Corrupt(_))), "{len}: {other_size:?}");
        store.delete(&key).await.unwrap();
        store.delete(&key).await.unwrap();
        assert_eq!(read(store, &key, size, 0..size).await, None);
    }
}

/// Each request appends one piece, and all that one leaves to the next is what `flush` gave.
async fn resumed(store: &dyn BlobStore) {
    for pieces in [
        &[0, 0, 0][..],
        &[1, 1, 1],
        &[MIB, MIB, MIB, MIB, MIB, MIB],
        &[3 * MIB, 3 * MIB, 20 * MIB, 1],
        &[5 * MIB, 0, 8 * MIB, 8 * MIB + 1, 0],
    ] {
        let bytes = content(pieces.iter().sum(), 2);
        let (id, mut staging, mut offset) = (new_id(), Vec::new(), 0);
        for len in pieces {
            let mut writer = store.stage(id, &staging, offset as u64).await.unwrap();
            write(&mut writer, &bytes.slice(offset..offset + len)).await;
            staging = writer.flush().await.unwrap();
            assert!(!staging.is_empty());
            offset += len;
        }
        let writer = store.stage(id, &staging, offset as u64).await.unwrap();
        let key = writer.finish(&digest(2)).await.unwrap();
        holds(store, &key, &bytes).await;
        // Nothing of the session is left but the object.
        store.discard(id, &staging).await.unwrap();
        holds(store, &key, &bytes).await;
        store.delete(&key).await.unwrap();
    }
}

/// A request that died before it saved is as if it had not been.
async fn unsaved_bytes_are_thrown_away(store: &dyn BlobStore) {
    for saved in [0, 100, 6 * MIB] {
        let bytes = content(saved + 9 * MIB, 3);
        let (first, rest) = (bytes.slice(..saved), bytes.slice(saved..));
        let id = new_id();
        let mut staging = Vec::new();
        if saved > 0 {
            let mut writer = store.stage(id, &[], 0).await.unwrap();
            write(&mut writer, &first).await;
            staging = writer.flush().await.unwrap();
        }
        // One dies in mid-write, one after it flushed.
        let mut dead = store.stage(id, &staging, saved as u64).await.unwrap();
        write(&mut dead, &content(20 * MIB, 4)).await;
        dead.flush().await.unwrap();
        let mut writer = store.stage(id, &staging, saved as u64).await.unwrap();
        write(&mut writer, &rest).await;
        let key = writer.finish(&digest(3)).await.unwrap();
        holds(store, &key, &bytes).await;
        store.delete(&key).await.unwrap();
    }
}

async fn sessions_end(store: &dyn BlobStore) {
    for len in [10, 6 * MIB] {
        let id = new_id();
        let mut writer = store.stage(id, &[], 0).await.unwrap();
        write(&mut writer, &content(len, 5)).await;
        let staging = writer.flush().await.unwrap();
        store.discard(id, &staging).await.unwrap();
        store.discard(id, &staging).await.unwrap();
        // Found out at once, or when it comes to an end; never called well.
        let outcome = match store.stage(id, &staging, len as u64).await {
            Ok(writer) => writer.finish(&digest(5)).await.map(drop),
            Err(error) => Err(error),
        };
        assert!(outcome.is_err(), "a session of {len} bytes outlived its end");

        let id = new_id();
        let mut writer = store.stage(id, &[], 0).await.unwrap();
        write(&mut writer, &content(len, 5)).await;
        writer.abandon().await.unwrap();
        let writer = store.stage(id, &[], 0).await.unwrap();
        let key = writer.finish(&digest(5)).await.unwrap();
        assert_eq!(read(store, &key, 0, 0..0).await, Some(Bytes::new()), "abandoned bytes came back");
        store.delete(&key).await.unwrap();
    }
    let wrong_offset = match store.stage(new_id(), &[], 5).await {
        Ok(writer) => writer.finish(&digest(5)).await.map(drop),
        Err(error) => Err(error),
    };
    assert!(matches!(wrong_offset, Err(StorageError::Corrupt(_))), "{wrong_offset:?}");
}

async fn two_uploads_of_one_content_are_two_objects(store: &dyn BlobStore) {
    let bytes = content(1000, 6);
    let (one, other) = (store_whole(store, &bytes).await, store_whole(store, &bytes).await);
    assert_ne!(one, other);
    store.delete(&one).await.unwrap();
    holds(store, &other, &bytes).await;
    store.delete(&other).await.unwrap();
}

async fn small_objects(store: &dyn BlobStore) {
    let key = Key::Manifest(&"a/b".parse().unwrap(), &digest(7)).object();
    let below = Key::Manifest(&"a".parse().unwrap(), &digest(7)).object();
    let bytes = content(1000, 7);
    store.put(&key, Bytes::from_static(b"old")).await.unwrap();
    store.put(&key, bytes.clone()).await.unwrap();
    store.put(&below, Bytes::new()).await.unwrap();
    holds(store, &key, &bytes).await;
    holds(store, &below, &Bytes::new()).await;
    store.delete(&key).await.unwrap();
    store.delete(&below).await.unwrap();
    assert_eq!(read(store, &key, 1000, 0..1000).await, None);
    store.ping().await.unwrap();
}

async fn listed(store: &dyn BlobStore, below: &str) -> Vec<(String, u64)> {
    let found: Vec<Listed> = store.list(below).try_collect().await.unwrap();
    let age = found.iter().map(|object| SystemClock.now().0 - object.modified.0).max().unwrap_or(0);
    assert!((-120_000_000..120_000_000).contains(&age), "an object is {age} µs old");
    let mut found: Vec<_> = found.into_iter().map(|object| (object.key.0, object.size)).collect();
    found.sort();
    found
}

async fn lists_and_bulk_deletes(store: &dyn BlobStore) {
    let repos = ["a", "a/b", "ab", "c"];
    let key = |repo: &str, seed| Key::Manifest(&repo.parse().unwrap(), &digest(seed)).object();
    let mut keys: Vec<_> = repos.iter().flat_map(|repo| (0..4).map(|seed| key(repo, seed))).collect();
    for (size, key) in keys.iter().enumerate() {
        store.put(key, content(size, 8)).await.unwrap();
        assert_eq!(store.size(key).await.unwrap(), Some(size as u64));
    }
    let mut expected: Vec<_> =
        keys.iter().enumerate().map(|(size, key)| (key.0.clone(), size as u64)).collect();
    expected.sort();
    assert_eq!(listed(store, "manifests").await, expected);
    assert_eq!(listed(store, "manifests/a").await.len(), 8, "a and a/b, but not ab");
    assert_eq!(listed(store, "").await.iter().filter(|(key, _)| key.starts_with("manifests/")).count(), 16);
    assert_eq!(listed(store, "nothing").await, []);

    let whole = read_whole(store, &keys[9], 9).await.unwrap();
    assert!(whole == Some(content(9, 8)));
    assert!(matches!(read_whole(store, &keys[9], 8).await, Err(StorageError::Corrupt(_))));
    let blob = store_whole(store, &content(70_000, 9)).await;
    assert_eq!(listed(store, "blobs").await, [(blob.0.clone(), 70_000)]);

    let kept = keys.pop().unwrap();
    keys.extend([blob, key("never", 1)]);
    let results = store.delete_many(&keys).await;
    assert!(results.len() == keys.len() && results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(listed(store, "manifests").await, [(kept.0.clone(), 15)]);
    assert_eq!(store.size(&keys[0]).await.unwrap(), None);
    assert_eq!(read_whole(store, &keys[0], 9).await.unwrap(), None);
    // A key that is none fails alone.
    let results = store.delete_many(&[ObjectKey("../x".to_owned()), kept]).await;
    assert!(matches!(results[..], [Err(StorageError::Corrupt(_)), Ok(())]), "{results:?}");
    assert_eq!(listed(store, "manifests").await, []);
    assert!(store.delete_many(&[]).await.is_empty());
}

/// What was begun and not ended can be found and thrown away, and nothing else.
async fn begun_uploads_are_found(store: &dyn BlobStore) {
    let soon = SystemClock.now() + std::time::Duration::from_secs(60);
    assert_eq!(store.begun(soon).await.unwrap(), Some(Vec::new()));
    let ids: Vec<_> = std::iter::repeat_with(new_id).take(5).collect();
    for id in &ids {
        // Killed between two parts.
        let mut writer = store.stage(*id, &[], 0).await.unwrap();
        write(&mut writer, &content(17 * MIB, 10)).await;
    }
    let bytes = content(9 * MIB, 11);
    let whole = store_whole(store, &bytes).await;
    let found = store.begun(soon).await.unwrap().unwrap();
    let mut sessions: Vec<_> = found.iter().map(|staged| staged.session.0).collect();
    let mut expected: Vec<_> = ids.iter().map(|id| id.0).collect();
    sessions.sort();
    expected.sort();
    assert_eq!(sessions, expected);
    let past = Timestamp(SystemClock.now().0 - 3_600_000_000);
    assert_eq!(store.begun(past).await.unwrap(), Some(Vec::new()), "none is an hour old");
    for staged in &found {
        store.abort(staged).await.unwrap();
        store.abort(staged).await.unwrap();
    }
    assert_eq!(store.begun(soon).await.unwrap(), Some(Vec::new()));
    // One that became an object meanwhile stays.
    let staged = Staged { key: whole.clone(), ..found[0].clone() };
    store.abort(&staged).await.unwrap();
    holds(store, &whole, &bytes).await;
    store.delete(&whole).await.unwrap();
}

async fn r1_keys_stay_below_the_root(store: &dyn BlobStore) {
    for key in ["../x", "/etc/hostname", "blobs/../../x", ""] {
        let key = ObjectKey(key.to_owned());
        assert!(matches!(store.open(&key, 1, 0..1).await.err(), Some(StorageError::Corrupt(_))));
        assert!(matches!(store.put(&key, Bytes::new()).await, Err(StorageError::Corrupt(_))));
        assert!(matches!(store.delete(&key).await, Err(StorageError::Corrupt(_))));
        assert!(matches!(store.size(&key).await, Err(StorageError::Corrupt(_))));
    }
}

/// Runs all of it against one store.
pub(super) async fn run(store: &dyn BlobStore) {
    whole_and_ranges(store).await;
    resumed(store).await;
    unsaved_bytes_are_thrown_away(store).await;
    sessions_end(store).await;
    two_uploads_of_one_content_are_two_objects(store).await;
    small_objects(store).await;
    lists_and_bulk_deletes(store).await;
    let outside = store.list("blobs/../..").try_collect::<Vec<_>>().await;
    assert!(matches!(outside, Err(StorageError::Corrupt(_))), "{outside:?}");
    r1_keys_stay_below_the_root(store).await;
}

mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, path::Path};

    use super::*;
    use crate::storage::testing::{Azurite, Proxy, S3Server};

    #[tokio::test]
    async fn filesystem_keeps_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("data");
        run(&Filesystem::open(&root, 0).unwrap()).await;
        // Nothing is left behind but what a probe wrote, and nobody else may look.
        assert_eq!(files(&root), ["uploads/probe"]);
        assert_eq!(fs::metadata(root.join("uploads")).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[tokio::test]
    async fn memory_keeps_the_contract() {
        run(&memory()).await;
        begun_uploads_are_found(&memory()).await;
    }

    #[tokio::test]
    async fn f10_interrupted_multipart_uploads_are_found_by_the_request_that_s3_and_google_document() {
        let Some(server) = S3Server::start() else { return };
        let double = Proxy::start(server.port, server.root.path(), str::to_owned);
        let mut options = server.options("pre/fix");
        options.endpoint = Some(format!("http://127.0.0.1:{}", double.port));
        begun_uploads_are_found(&s3(&options).unwrap()).await;
        begun_uploads_are_found(&gcs(&server.as_gcs().options("")).unwrap()).await;
        assert_eq!(server.multiparts(), []);
        // A server that does not list them says so, and that is no failure.
        let plain = s3(&server.options("")).unwrap();
        assert_eq!(plain.begun(SystemClock.now()).await.unwrap(), None);
    }

    #[tokio::test]
    async fn s3_keeps_the_contract() {
        let Some(server) = S3Server::start() else { return };
        run(&s3(&server.options("")).unwrap()).await;
        run(&s3(&server.options("some/prefix")).unwrap()).await;
        assert!(server.root.path().join("berth/some/prefix").is_dir());
    }

    #[tokio::test]
    async fn gcs_keeps_the_contract_on_a_double_of_its_xml_interface() {
        let Some(server) = S3Server::start() else { return };
        let double = server.as_gcs();
        run(&gcs(&double.options("")).unwrap()).await;
        run(&gcs(&double.options("some/prefix")).unwrap()).await;
        assert!(server.root.path().join("berth/some/prefix").is_dir());
    }

    #[tokio::test]
    async fn azure_keeps_the_contract() {
        let Some(server) = Azurite::start().await else { return };
        run(&azure(&server.options("")).unwrap()).await;
        let store = azure(&server.options("some/prefix")).unwrap();
        run(&store).await;
        let key = store_whole(&store, &content(5, 1)).await;
        let life = std::time::Duration::from_secs(60);
        let url = store.signed_url(&key, life).await.unwrap().unwrap();
        let got = reqwest::get(&url).await.unwrap();
        assert_eq!(got.status(), 200);
        assert_eq!(got.bytes().await.unwrap(), content(5, 1));
        let other = url.replace("/blobs/", "/uploads/");
        assert_eq!(reqwest::get(&other).await.unwrap().status(), 403);
    }

    #[tokio::test]
    async fn a_full_disk_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let store = Filesystem::open(folder.path(), u64::MAX).unwrap();
        assert!(matches!(store.ping().await, Err(StorageError::Full)));
        assert!(matches!(store.stage(new_id(), &[], 0).await.err(), Some(StorageError::Full)));
    }

    #[tokio::test]
    async fn staged_files_are_private_and_have_one_writer() {
        let folder = tempfile::tempdir().unwrap();
        let store = Filesystem::open(folder.path(), 0).unwrap();
        let id = new_id();
        let mut writer = store.stage(id, &[], 0).await.unwrap();
        writer.write(Bytes::from_static(b"x")).await.unwrap();
        let mode = fs::metadata(folder.path().join(format!("uploads/{id}"))).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let second = store.stage(id, &[], 0).await.err();
        assert!(matches!(second, Some(StorageError::Unavailable(_))), "{second:?}");
        // Once the first has flushed, the next may go on without waiting for anything.
        for offset in 1..200_u64 {
            let staging = writer.flush().await.unwrap();
            writer = store.stage(id, &staging, offset).await.unwrap();
            writer.write(Bytes::from_static(b"x")).await.unwrap();
        }
    }

    #[tokio::test]
    async fn r1_a_link_in_place_of_a_blob_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Filesystem::open(folder.path(), 0).unwrap();
        let key = store_whole(&store, &content(9, 1)).await;
        let path = folder.path().join(&key.0);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
        assert!(matches!(store.open(&key, 9, 0..9).await.err(), Some(StorageError::Corrupt(_))));
    }

    fn files(root: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path.strip_prefix(root).unwrap().display().to_string());
                }
            }
        }
        found
    }
}
