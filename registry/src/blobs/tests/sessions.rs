//! Sessions: whose they are, who writes, when they end.

use tokio::sync::mpsc;
use uuid::Uuid;

use super::*;
use crate::catalog::{UploadProgress, WriterId};
use crate::{clock::SystemClock, storage::Key};

/// A body that is fed by hand; it tells when it is read for the first time.
fn fed() -> (mpsc::Sender<Bytes>, tokio::sync::oneshot::Receiver<()>, Body) {
    let (feed, mut fed) = mpsc::channel(1);
    let (tell, told) = tokio::sync::oneshot::channel();
    let mut tell = Some(tell);
    let body = stream::poll_fn(move |context| {
        if let Some(tell) = tell.take() {
            tell.send(()).ok();
        }
        fed.poll_recv(context).map(|bytes| bytes.map(Ok))
    });
    (feed, told, body.boxed())
}

#[tokio::test]
async fn r8_of_two_requests_on_one_session_one_is_refused() {
    let fixture = Fixture::on_disk().await;
    for _ in 0..100 {
        let (blobs, session) = (fixture.blobs.clone(), fixture.start().await);
        let (feed, claimed, slow) = fed();
        let first = tokio::spawn({
            let (blobs, session) = (blobs.clone(), session.clone());
            async move { blobs.append(session, Chunk::default(), slow).await }
        });
        claimed.await.unwrap();
        let second = blobs.append(session.clone(), Chunk::default(), body(b"other")).await;
        assert!(matches!(second, Err(UploadError::OutOfOrder { offset: 0 })), "{second:?}");
        let put = blobs.finish(session.clone(), Chunk::default(), body(b"other"), sha256(b"other")).await;
        assert!(matches!(put, Err(UploadError::OutOfOrder { offset: 0 })), "{put:?}");
        feed.send(Bytes::from_static(b"hello")).await.unwrap();
        drop(feed);
        assert_eq!(first.await.unwrap().unwrap(), 5);
        blobs.finish(session, Chunk::default(), nothing(), sha256(b"hello")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r8_of_two_chunks_for_one_place_one_is_taken() {
    let fixture = Fixture::on_disk().await;
    for _ in 0..100 {
        let session = fixture.start().await;
        let bytes = content(1000);
        let both = [(); 2].map(|()| {
            let (blobs, session, bytes) = (fixture.blobs.clone(), session.clone(), bytes.clone());
            tokio::spawn(async move { blobs.append(session, chunk(0, &bytes), body(&bytes)).await })
        });
        let mut taken = 0;
        for one in both {
            match one.await.unwrap() {
                Ok(1000) => taken += 1,
                Err(UploadError::OutOfOrder { offset: 0 | 1000 }) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(taken, 1);
        let blob = fixture.blobs.finish(session, Chunk::default(), nothing(), sha256(&bytes)).await;
        assert_eq!(blob.unwrap().size, 1000);
    }
}

#[tokio::test]
async fn r9_a_session_is_known_only_to_its_principal_in_its_repository() {
    let fixture = Fixture::on_disk().await;
    let blobs = &fixture.blobs;
    let session = blobs.start(&repo("a"), "alice", Algorithm::Sha256).await.unwrap();
    blobs.append(session.clone(), Chunk::default(), body(b"hello")).await.unwrap();
    let other_repo = Session { repo: repo("b"), ..session.clone() };
    let other_user = Session { principal: "mallory".to_owned(), ..session.clone() };
    let anonymous = Session { principal: String::new(), ..session.clone() };
    let other_id = Session { id: UploadId(Uuid::new_v4()), ..session.clone() };
    for stranger in [other_repo, other_user, anonymous, other_id] {
        let digest = sha256(b"hello");
        assert!(matches!(blobs.status(&stranger).await, Err(UploadError::Unknown)));
        let patch = blobs.append(stranger.clone(), chunk(5, b"x"), body(b"x")).await;
        assert!(matches!(patch, Err(UploadError::Unknown)), "{patch:?}");
        // Not even that it is at another place is told.
        let patch = blobs.append(stranger.clone(), chunk(3, b"x"), body(b"x")).await;
        assert!(matches!(patch, Err(UploadError::Unknown)), "{patch:?}");
        let put = blobs.finish(stranger.clone(), Chunk::default(), nothing(), digest).await;
        assert!(matches!(put, Err(UploadError::Unknown)), "{put:?}");
        assert!(matches!(blobs.cancel(&stranger).await, Err(UploadError::Unknown)));
    }
    let blob = blobs.finish(session.clone(), chunk(5, b"!"), body(b"!"), sha256(b"hello!")).await.unwrap();
    assert_eq!(blob.size, 6);
    assert!(matches!(blobs.status(&session).await, Err(UploadError::Unknown)));
}

#[tokio::test]
async fn f21_what_a_client_sent_before_it_hung_up_is_written_down() {
    let fixture = Fixture::on_disk().await;
    let (blobs, session) = (fixture.blobs.clone(), fixture.start().await);
    let bytes = content(500_000);
    let (feed, _, slow) = fed();
    let request = tokio::spawn({
        let (blobs, session) = (blobs.clone(), session.clone());
        async move { blobs.append(session, Chunk::default(), slow).await }
    });
    feed.send(Bytes::copy_from_slice(&bytes)).await.unwrap();
    feed.reserve().await.unwrap();
    // The connection's task ends, and with it whoever waits for the request.
    request.abort();
    assert!(request.await.unwrap_err().is_cancelled());
    drop(feed);
    blobs.settled().await;
    let blobs = fixture.restarted();
    assert_eq!(blobs.status(&session).await.unwrap(), 500_000);
    blobs.finish(session, Chunk::default(), nothing(), sha256(&bytes)).await.unwrap();
}

#[tokio::test]
async fn a_request_that_died_with_its_claim_is_followed_by_the_next() {
    let fixture = Fixture::on_disk().await;
    let (blobs, session) = (&fixture.blobs, fixture.start().await);
    blobs.append(session.clone(), Chunk::default(), body(b"hello")).await.unwrap();
    let (now, dead) = (fixture.clock.now(), WriterId(Uuid::new_v4()));
    let until = now + blobs.settings().claim;
    fixture.catalog.claim_upload(&session.repo, session.id, dead, now, until).await.unwrap();
    let early = blobs.append(session.clone(), Chunk::default(), body(b", ")).await;
    assert!(matches!(early, Err(UploadError::OutOfOrder { offset: 5 })), "{early:?}");
    fixture.clock.pass(blobs.settings().claim);
    blobs.append(session.clone(), Chunk::default(), body(b", world")).await.unwrap();
    let digest = sha256(b"hello, world");
    blobs.finish(session, Chunk::default(), nothing(), digest.clone()).await.unwrap();
    assert_eq!(fixture.content_of(&digest).await, b"hello, world");
}

#[tokio::test]
async fn a_request_whose_session_is_cancelled_finds_out_and_leaves_nothing() {
    for on_disk in [true, false] {
        let fixture = Fixture::with(Settings::default(), on_disk).await;
        let (blobs, session) = (fixture.blobs.clone(), fixture.start().await);
        let (feed, claimed, slow) = fed();
        let request = tokio::spawn({
            let (blobs, session) = (blobs.clone(), session.clone());
            async move { blobs.append(session, Chunk::default(), slow).await }
        });
        claimed.await.unwrap();
        feed.send(content(9_000_000).into()).await.unwrap();
        blobs.cancel(&session).await.unwrap();
        assert!(matches!(blobs.cancel(&session).await, Err(UploadError::Unknown)));
        drop(feed);
        let told = request.await.unwrap();
        assert!(matches!(told, Err(UploadError::Unknown)), "{told:?}");
        if on_disk {
            assert_eq!(fixture.staged(), 0);
        }
    }
}

#[tokio::test]
async fn r33_uploads_are_capped_and_purged_when_they_expire() {
    let settings = Settings { max_uploads: 5, ..Settings::default() };
    let fixture = Fixture::with(settings, true).await;
    let (blobs, expiry) = (&fixture.blobs, fixture.blobs.settings().upload_expiry);
    let mut sessions = Vec::new();
    for _ in 0..5 {
        let session = fixture.start().await;
        blobs.append(session.clone(), Chunk::default(), body(b"hello")).await.unwrap();
        sessions.push(session);
    }
    for _ in 0..3 {
        let refused = blobs.start(&repo("a"), "", Algorithm::Sha256).await;
        assert!(matches!(refused, Err(UploadError::TooMany { own: false, .. })), "{refused:?}");
    }
    let restarted = fixture.restarted().start(&repo("a"), "", Algorithm::Sha256).await;
    assert!(matches!(restarted, Err(UploadError::TooMany { own: false, .. })), "{restarted:?}");
    blobs.cancel(&sessions[0]).await.unwrap();
    sessions[0] = fixture.start().await;
    assert!(matches!(
        blobs.start(&repo("a"), "", Algorithm::Sha256).await,
        Err(UploadError::TooMany { own: false, .. })
    ));

    // One is still used, one is being written to.
    fixture.clock.pass(expiry / 2);
    blobs.append(sessions[1].clone(), Chunk::default(), body(b"!")).await.unwrap();
    assert_eq!(blobs.purge_expired(100).await.unwrap(), 0);
    fixture.clock.pass(expiry / 2 + Duration::from_secs(1));
    let (feed, claimed, slow) = fed();
    let request = tokio::spawn({
        let (blobs, session) = (blobs.clone(), sessions[2].clone());
        async move { blobs.append(session, Chunk::default(), slow).await }
    });
    claimed.await.unwrap();
    assert_eq!(blobs.purge_expired(1).await.unwrap(), 1);
    assert_eq!(blobs.purge_expired(100).await.unwrap(), 2);
    drop(feed);
    assert_eq!(request.await.unwrap().unwrap(), 5);
    assert_eq!((blobs.purge_expired(100).await.unwrap(), fixture.staged()), (0, 2));
    assert_eq!(blobs.status(&sessions[1]).await.unwrap(), 6);
    assert!(matches!(blobs.status(&sessions[3]).await, Err(UploadError::Unknown)));
    fixture.start().await;
}

#[tokio::test]
async fn r33_a_session_that_storage_cannot_read_does_not_keep_others_from_their_end() {
    // A bucket that took the place of a folder.
    let fixture = Fixture::with(Settings::default(), false).await;
    let blobs = &fixture.blobs;
    let unreadable = fixture.start().await;
    let row = fixture.catalog.upload(&unreadable.repo, unreadable.id).await.unwrap().unwrap();
    let (now, writer) = (fixture.clock.now(), WriterId(Uuid::new_v4()));
    fixture.catalog.claim_upload(&unreadable.repo, unreadable.id, writer, now, now).await.unwrap();
    let progress = UploadProgress { offset: 5, staging: b"file".to_vec(), ..row.progress };
    assert!(fixture.catalog.save_upload(unreadable.id, writer, &progress).await.unwrap());
    fixture.clock.pass(Duration::from_secs(1));
    let session = fixture.start().await;
    blobs.append(session.clone(), Chunk::default(), body(b"hello")).await.unwrap();
    fixture.clock.pass(blobs.settings().upload_expiry + Duration::from_secs(1));
    assert_eq!(blobs.purge_expired(100).await.unwrap(), 2);
    assert!(matches!(blobs.status(&session).await, Err(UploadError::Unknown)));
    assert!(matches!(blobs.status(&unreadable).await, Err(UploadError::Unknown)));
}

#[tokio::test]
async fn f10_what_a_killed_process_left_is_purged_and_what_a_session_counts_on_is_not() {
    for on_disk in [true, false] {
        let fixture = Fixture::with(Settings::default(), on_disk).await;
        let (blobs, store) = (&fixture.blobs, &fixture.store);
        let bytes = content(9 << 20);
        // A session that goes on, and one whose process was killed between making bytes durable and the row.
        let living = fixture.start().await;
        blobs.append(living.clone(), Chunk::default(), body(&bytes)).await.unwrap();
        let killed = UploadId(Uuid::new_v4());
        let mut writer = store.stage(killed, &[], 0).await.unwrap();
        writer.write(bytes.clone().into()).await.unwrap();
        writer.flush().await.unwrap();
        let mut writer = store.stage(UploadId(Uuid::new_v4()), &[], 0).await.unwrap();
        writer.write(bytes.clone().into()).await.unwrap();
        drop(writer);
        store.put(&Key::Probe.object(), Bytes::new()).await.unwrap();
        // By the clock of the store, on which everything is young, and then a day later.
        fixture.clock.pass(Duration::from_micros(SystemClock.now().0.unsigned_abs()));
        assert_eq!(blobs.purge_interrupted().await.unwrap(), 0);
        let row = fixture.catalog.upload(&living.repo, living.id).await.unwrap().unwrap();
        fixture.clock.pass(blobs.settings().upload_expiry + Duration::from_secs(60));
        // A file each; or a multipart upload each, and the tail that the flush left.
        assert_eq!(blobs.purge_interrupted().await.unwrap(), if on_disk { 2 } else { 3 });
        assert_eq!(blobs.purge_interrupted().await.unwrap(), 0);
        let left: Vec<_> = store.list("uploads").try_collect().await.unwrap();
        let left: Vec<_> = left.into_iter().filter(|object| object.key != Key::Probe.object()).collect();
        assert!(left.iter().all(|object| object.key.0.contains(&living.id.to_string())), "{left:?}");
        let begun = store.begun(fixture.clock.now()).await.unwrap().unwrap_or_default();
        assert!(begun.iter().all(|staged| staged.session == living.id), "{begun:?}");
        // The living one can still be ended.
        let writer = store.stage(living.id, &row.progress.staging, bytes.len() as u64).await.unwrap();
        writer.finish(&sha256(&bytes)).await.unwrap();
    }
}

#[tokio::test]
async fn f15_an_object_of_one_request_is_somebodys_before_it_has_a_row() {
    let fixture = Fixture::on_disk().await;
    fixture.faults.hold.store(true, Ordering::SeqCst);
    let pushed = tokio::spawn({
        let blobs = fixture.blobs.clone();
        async move { blobs.monolithic(repo("a"), sha256(b"hello"), None, body(b"hello")).await }
    });
    fixture.faults.made.notified().await;
    let listed: Vec<_> = fixture.store.list("blobs").try_collect().await.unwrap();
    let session = |key: &ObjectKey| crate::storage::Key::upload_of(key).unwrap().to_string();
    let named: Vec<_> = listed.iter().map(|object| (object.key.clone(), session(&object.key))).collect();
    assert_eq!(named.len(), 1);
    assert_eq!(fixture.catalog.orphans(&named).await.unwrap(), [], "collection would take it away");
    fixture.faults.go_on.notify_one();
    pushed.await.unwrap().unwrap();
    assert!(fixture.content_of(&sha256(b"hello")).await == b"hello");
    assert_eq!(fixture.catalog.count_uploads(10).await.unwrap(), 0, "and its session has ended");
}
