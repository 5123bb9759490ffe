//! Parts, and what becomes of two who bring them.

use berth_oci::Algorithm;

use super::*;

#[test]
fn ten_thousand_parts_hold_what_s3_holds() {
    let total: u64 = (0..10_000).map(part_size).sum();
    assert!(total >= 5 << 40, "{total}");
    assert!((0..10_000).all(|i| (MIN_PART..=5 << 30).contains(&part_size(i))));
    assert_eq!((0..1000).map(part_size).sum::<u64>(), 1000 * FIRST_PART);
}

#[test]
fn small_chunks_do_not_use_up_the_numbers_of_parts() {
    // Each request brings 5 MiB and ends: what becomes a part, and what waits as a tail?
    let (mut parts, mut tail, mut total) = (0, 0, 0);
    while parts < 10_000 {
        tail += 5 << 20;
        total += 5 << 20;
        if tail >= least_part(parts) {
            (parts, tail) = (parts + 1, 0);
        }
        assert!(tail < 2 << 30);
    }
    assert!(total >= 2_u64 << 40, "{total}");
    assert_eq!(least_part(0), MIN_PART);
}

#[test]
fn what_a_session_wrote_down_can_be_read() {
    let session = Session {
        multipart: Some(Multipart { name: Uuid::nil(), id: "m".into() }),
        parts: vec![Part { id: "\"e\"".into(), size: 5 }],
        tail: Some(Tail { name: Uuid::nil(), size: 3 }),
        old_tails: vec![Uuid::nil()],
    };
    let id = UploadId(Uuid::nil());
    assert_eq!(Session::parse(id, &serde_json::to_vec(&session).unwrap()).unwrap(), session);
    assert!(matches!(Session::parse(id, b"file"), Err(StorageError::Corrupt(_))));
}

/// Two requests on one session at once, as there may be where one lost its claim and does not
/// know: the slower one must not call the other's bytes its own, nor put its own in their place.
async fn overtaken(start: &[u8], ends: [Bytes; 2]) {
    let (store, id) = (crate::storage::memory(), UploadId(Uuid::new_v4()));
    let digests = [0, 1].map(|i| Digest::of(Algorithm::Sha256, &[start, &ends[i]].concat()));
    let size = (start.len() + ends[0].len()) as u64;
    let mut staging = Vec::new();
    if !start.is_empty() {
        let mut writer = store.stage(id, &[], 0).await.unwrap();
        writer.write(Bytes::copy_from_slice(start)).await.unwrap();
        staging = writer.flush().await.unwrap();
    }
    let offset = start.len() as u64;
    let mut slow = store.stage(id, &staging, offset).await.unwrap();
    let mut fast = store.stage(id, &staging, offset).await.unwrap();
    slow.write(ends[0].clone()).await.unwrap();
    fast.write(ends[1].clone()).await.unwrap();
    let key = fast.finish(&digests[1]).await.unwrap();
    let late = slow.finish(&digests[0]).await;
    assert!(late.as_ref().ok() != Some(&key), "{late:?} of one digest is {key} of another");
    let Some(BlobBody::Stream(bytes)) = store.open(&key, size, 0..size).await.unwrap() else { panic!() };
    let bytes: Vec<Bytes> = bytes.try_collect().await.unwrap();
    assert_eq!(Digest::of(Algorithm::Sha256, &bytes.concat()), digests[1]);
}

#[tokio::test]
async fn r8_two_that_finish_one_session_never_share_an_object() {
    let ends = |len| [1, 2].map(|byte| Bytes::from(vec![byte; len]));
    overtaken(b"", ends(5)).await;
    let part = usize::try_from(FIRST_PART).unwrap();
    overtaken(b"", ends(part)).await;
    overtaken(&vec![0; part], ends(part)).await;
}

#[tokio::test]
async fn f3_a_completion_whose_answer_was_lost_is_found_out() {
    let (backend, id) = (crate::storage::memory(), UploadId(Uuid::new_v4()));
    let content = Bytes::from(vec![7; usize::try_from(FIRST_PART).unwrap()]);
    let digest = Digest::of(Algorithm::Sha256, &content);
    let mut writer = MultipartWriter::open(backend.clone(), id, &[], 0).await.unwrap();
    writer.write(content).await.unwrap();
    writer.all_parts_done().await.unwrap();
    writer.complete(&digest).await.unwrap();
    writer.complete(&digest).await.unwrap();
    writer.complete(&Digest::of(Algorithm::Sha256, b"other")).await.unwrap_err();
}
