//! What comes in by which way, and what is refused.

use proptest::{prelude::*, test_runner::Config};

use super::*;

/// The ways in which a client may push a blob.
#[derive(Clone, Copy, Debug)]
enum Way {
    SinglePost,
    PostPut,
    Streamed,
    Chunked,
    LastChunkInPut,
}

const WAYS: [Way; 5] = [Way::SinglePost, Way::PostPut, Way::Streamed, Way::Chunked, Way::LastChunkInPut];

async fn push(blobs: &Blobs, way: Way, bytes: &[u8], digest: &Digest) -> Result<BlobRow, UploadError> {
    let start = || async { blobs.start(&repo("a"), "", Algorithm::Sha256).await.unwrap() };
    let digest = digest.clone();
    match way {
        Way::SinglePost => blobs.monolithic(repo("a"), digest, Some(bytes.len() as u64), body(bytes)).await,
        Way::PostPut => blobs.finish(start().await, length(bytes), body(bytes), digest).await,
        Way::Streamed => {
            let session = start().await;
            let offset = blobs.append(session.clone(), Chunk::default(), body(bytes)).await?;
            assert_eq!(offset, bytes.len() as u64);
            blobs.finish(session, length(&[]), nothing(), digest).await
        }
        Way::Chunked | Way::LastChunkInPut => {
            let session = start().await;
            let pieces: Vec<&[u8]> = bytes.chunks(bytes.len() / 3 + 1).collect();
            let mut offset = 0;
            for (i, piece) in pieces.iter().enumerate() {
                if matches!(way, Way::LastChunkInPut) && i + 1 == pieces.len() {
                    return blobs.finish(session, chunk(offset, piece), body(piece), digest).await;
                }
                offset = blobs.append(session.clone(), chunk(offset, piece), body(piece)).await?;
            }
            blobs.finish(session, Chunk::default(), nothing(), digest).await
        }
    }
}

#[tokio::test]
async fn every_way_stores_what_was_sent() {
    for on_disk in [true, false] {
        let fixture = Fixture::with(Settings::default(), on_disk).await;
        for way in WAYS {
            for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
                for len in [0, 1, 1000, 300_000, 9_000_000] {
                    let bytes = content(len);
                    let digest = digest_of(algorithm, &bytes);
                    let blob = push(&fixture.blobs, way, &bytes, &digest).await;
                    let blob = blob.unwrap_or_else(|e| panic!("{way:?} {algorithm} {len}: {e}"));
                    assert_eq!((blob.digest.clone(), blob.size), (digest.clone(), len as u64));
                    assert!(fixture.content_of(&digest).await == bytes, "{way:?} {algorithm} {len}");
                }
            }
        }
        if on_disk {
            assert_eq!(fixture.staged(), 0);
        }
    }
}

#[tokio::test]
async fn r4_bytes_of_another_digest_are_refused_and_nothing_is_kept() {
    let fixture = Fixture::on_disk().await;
    for way in WAYS {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            for len in [1, 1000, 700_000] {
                let bytes = content(len);
                let wrong = digest_of(algorithm, &content(10));
                match push(&fixture.blobs, way, &bytes, &wrong).await {
                    Err(UploadError::Digest { expected, actual }) => {
                        assert_eq!((expected, actual), (wrong.clone(), digest_of(algorithm, &bytes)));
                    }
                    other => panic!("{way:?} {algorithm} {len}: {other:?}"),
                }
                assert!(!fixture.holds(&wrong).await);
                assert!(!fixture.holds(&digest_of(algorithm, &bytes)).await);
            }
        }
    }
    assert_eq!((fixture.staged(), fixture.objects()), (0, 0));
}

#[tokio::test]
async fn r5_a_body_of_another_length_is_no_success_and_what_came_is_kept() {
    let fixture = Fixture::on_disk().await;
    let bytes = content(700_000);
    let (blobs, session) = (&fixture.blobs, fixture.start().await);

    // Two headers that contradict each other: nothing is read.
    let contradiction = Chunk { length: Some(9), ..chunk(0, &bytes[..10]) };
    let refused = blobs.append(session.clone(), contradiction, body(&bytes[..10])).await;
    assert!(matches!(refused, Err(UploadError::Size { announced: 10, received: 9 })));
    assert_eq!(blobs.status(&session).await.unwrap(), 0);

    // Too short, by its end and by a broken connection; too long.
    let short = blobs.append(session.clone(), length(&bytes), body(&bytes[..100])).await;
    assert!(matches!(short, Err(UploadError::Size { announced: 700_000, received: 100 })), "{short:?}");
    assert_eq!(blobs.status(&session).await.unwrap(), 100);
    let cut = blobs.append(session.clone(), Chunk::default(), broken(&bytes[100..400_000])).await;
    assert!(matches!(cut, Err(UploadError::Body(_))), "{cut:?}");
    assert_eq!(blobs.status(&session).await.unwrap(), 400_000);
    let long = chunk(400_000, &bytes[400_000..400_010]);
    let long = blobs.append(session.clone(), Chunk { length: None, ..long }, body(&bytes[400_000..])).await;
    assert!(matches!(long, Err(UploadError::Size { announced: 10, .. })), "{long:?}");
    assert_eq!(blobs.status(&session).await.unwrap(), 400_010);

    // The same in the last request, which can be repeated with the rest.
    let cut = blobs.finish(
        session.clone(),
        length(&bytes[400_010..]),
        broken(&bytes[400_010..500_000]),
        sha256(&bytes),
    );
    assert!(matches!(cut.await, Err(UploadError::Body(_))));
    assert_eq!(blobs.status(&session).await.unwrap(), 500_000);
    blobs.finish(session, length(&bytes[500_000..]), body(&bytes[500_000..]), sha256(&bytes)).await.unwrap();
    assert!(fixture.content_of(&sha256(&bytes)).await == bytes);

    // Without a session, nothing is kept.
    let cut = blobs.monolithic(repo("a"), sha256(b"x"), Some(100), body(&bytes[..99])).await;
    assert!(matches!(cut, Err(UploadError::Size { announced: 100, received: 99 })), "{cut:?}");
    assert_eq!(fixture.staged(), 0);
}

#[tokio::test]
async fn r6_a_gap_an_overlap_and_disorder_are_refused_and_the_session_survives() {
    let fixture = Fixture::on_disk().await;
    let bytes = content(3000);
    let (blobs, session, digest) = (&fixture.blobs, fixture.start().await, sha256(&bytes));
    for (at, next) in [(0, 1000), (1000, 2000), (2000, 3000)] {
        for wrong in [500_u64, 1000, 1500, 2000, 2500, 0].into_iter().filter(|wrong| *wrong != at) {
            let piece = &bytes[..100];
            let patch = blobs.append(session.clone(), chunk(wrong, piece), body(piece)).await;
            assert!(matches!(patch, Err(UploadError::OutOfOrder { offset }) if offset == at), "{patch:?}");
            let put = blobs.finish(session.clone(), chunk(wrong, piece), body(piece), digest.clone()).await;
            assert!(matches!(put, Err(UploadError::OutOfOrder { offset }) if offset == at), "{put:?}");
            assert_eq!(blobs.status(&session).await.unwrap(), at);
        }
        let piece = &bytes[usize::try_from(at).unwrap()..next];
        assert_eq!(blobs.append(session.clone(), chunk(at, piece), body(piece)).await.unwrap(), next as u64);
    }
    blobs.finish(session, Chunk::default(), nothing(), digest.clone()).await.unwrap();
    assert!(fixture.content_of(&digest).await == bytes);
}

#[tokio::test]
async fn a_blob_over_the_limit_is_refused_and_nothing_is_kept() {
    let settings = Settings { max_blob_bytes: Some(1000), ..Settings::default() };
    let fixture = Fixture::with(settings, true).await;
    let bytes = content(1001);
    let blobs = &fixture.blobs;
    for announced in [length(&bytes), Chunk::default()] {
        let session = fixture.start().await;
        blobs.append(session.clone(), Chunk::default(), body(&bytes[..900])).await.unwrap();
        let rest = Chunk { length: announced.length.map(|len| len - 900), ..announced };
        let refused = blobs.append(session.clone(), rest, body(&bytes[900..])).await;
        assert!(matches!(refused, Err(UploadError::TooLarge(1000))), "{refused:?}");
        assert!(matches!(blobs.status(&session).await, Err(UploadError::Unknown)));
        let refused = blobs.monolithic(repo("a"), sha256(&bytes), announced.length, body(&bytes)).await;
        assert!(matches!(refused, Err(UploadError::TooLarge(1000))), "{refused:?}");
    }
    assert_eq!(fixture.staged(), 0);
    push(blobs, Way::PostPut, &bytes[..1000], &sha256(&bytes[..1000])).await.unwrap();
}

#[tokio::test]
async fn r10_r11_a_blob_is_in_the_repositories_that_link_it_and_in_no_other() {
    let fixture = Fixture::on_disk().await;
    let (blobs, bytes) = (&fixture.blobs, content(100));
    let digest = sha256(&bytes);
    push(blobs, Way::SinglePost, &bytes, &digest).await.unwrap();
    assert!(blobs.stat(&repo("b"), &digest).await.unwrap().is_none());
    assert!(blobs.mount(Some(&repo("c")), &repo("b"), &digest).await.unwrap().is_none());
    assert!(blobs.mount(None, &repo("b"), &sha256(b"other")).await.unwrap().is_none());
    assert!(blobs.stat(&repo("b"), &digest).await.unwrap().is_none());
    assert!(blobs.mount(Some(&repo("a")), &repo("b"), &digest).await.unwrap().is_some());
    assert!(blobs.mount(None, &repo("c"), &digest).await.unwrap().is_some());
    assert!(blobs.stat(&repo("c"), &digest).await.unwrap().is_some());
    assert_eq!(fixture.objects(), 1);
}

#[tokio::test]
async fn r12_a_deleted_blob_does_not_come_back() {
    let fixture = Fixture::on_disk().await;
    let (blobs, bytes) = (&fixture.blobs, content(100));
    let digest = sha256(&bytes);
    push(blobs, Way::SinglePost, &bytes, &digest).await.unwrap();
    let blob = blobs.stat(&repo("a"), &digest).await.unwrap().unwrap();
    assert!(blobs.delete(&repo("a"), &digest).await.unwrap());
    assert!(!blobs.delete(&repo("a"), &digest).await.unwrap());
    assert!(!fixture.holds(&digest).await);
    // Whoever looked before the delete and opens after the sweep is told that it is gone.
    fixture.store.delete(&blob.key).await.unwrap();
    assert!(blobs.open(&repo("a"), &blob, 0..100).await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_pushed_twice_is_stored_once() {
    let fixture = Fixture::on_disk().await;
    let bytes = content(100);
    let digest = sha256(&bytes);
    let first = push(&fixture.blobs, Way::SinglePost, &bytes, &digest).await.unwrap();
    for way in WAYS {
        assert_eq!(push(&fixture.blobs, way, &bytes, &digest).await.unwrap(), first);
    }
    assert_eq!((fixture.objects(), fixture.staged()), (1, 0));
    assert!(fixture.content_of(&digest).await == bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn f14_fifty_pushers_of_one_blob_leave_one_object() {
    let fixture = Fixture::on_disk().await;
    for round in 0..20_usize {
        let bytes = Arc::new(content(if round % 2 == 0 { 1000 } else { 400_000 }));
        let digest = sha256(&bytes);
        let barrier = Arc::new(tokio::sync::Barrier::new(50));
        let pushers: Vec<_> = (0..50_usize)
            .map(|i| {
                let (blobs, bytes, digest) = (fixture.blobs.clone(), bytes.clone(), digest.clone());
                let barrier = barrier.clone();
                tokio::spawn(async move {
                    barrier.wait().await;
                    push(&blobs, WAYS[i % WAYS.len()], &bytes, &digest).await
                })
            })
            .collect();
        for pusher in pushers {
            assert_eq!(pusher.await.unwrap().unwrap().digest, digest);
        }
        assert_eq!(fixture.objects(), round + 1);
        assert!(fixture.content_of(&digest).await == *bytes);
    }
    assert_eq!(fixture.staged(), 0);
}

proptest! {
    #![proptest_config(Config { cases: 24, ..Config::default() })]
    #[test]
    fn f21_chunks_across_restarts_add_up_to_the_same_blob(
        cuts in prop::collection::vec((0..400_000_usize, any::<bool>(), any::<bool>()), 1..12),
        sha512 in any::<bool>(),
        on_disk in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let fixture = Fixture::with(Settings::default(), on_disk).await;
            let bytes = content(cuts.iter().map(|(len, ..)| len).sum());
            let algorithm = if sha512 { Algorithm::Sha512 } else { Algorithm::Sha256 };
            let mut blobs = fixture.blobs.clone();
            let session = blobs.start(&repo("a"), "", Algorithm::Sha256).await.unwrap();
            let mut offset = 0;
            for (len, restart, breaks) in cuts {
                let piece = &bytes[offset..offset + len];
                offset += len;
                let sent = if breaks { broken(piece) } else { body(piece) };
                let result = blobs.append(session.clone(), Chunk::default(), sent).await;
                assert_eq!(result.is_err(), breaks);
                if restart {
                    blobs = fixture.restarted();
                }
                assert_eq!(blobs.status(&session).await.unwrap(), offset as u64);
            }
            let digest = digest_of(algorithm, &bytes);
            blobs.finish(session, Chunk::default(), nothing(), digest.clone()).await.unwrap();
            assert!(fixture.content_of(&digest).await == bytes);
        });
    }
}
