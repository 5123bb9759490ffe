//! Servers that have too much to do, and limits that they announce.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use berth_copier::Settings;
use berth_oci::ManifestReference;
use bytes::Bytes;

use super::{Body, Hostile, Lab, Reply, Seen, seconds};
use crate::real::{Memory, blob, descriptor, read};

fn latest() -> ManifestReference {
    "latest".parse().unwrap()
}

/// Refuses every request once, each by its method and path.
fn once(
    refusal: Reply,
    answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
) -> impl Fn(&Seen) -> Reply + Send + Sync {
    let refused = std::sync::Mutex::new(std::collections::HashSet::new());
    move |request: &Seen| {
        if refused.lock().unwrap().insert(request.line()) { refusal.clone() } else { answer(request) }
    }
}

#[tokio::test]
async fn retry_after_is_obeyed_on_every_verb() {
    let waits = [
        ("7", seconds(7)),
        // The test's clock stands at 07:28:00; it has moved on by as much as was slept before.
        ("Wed, 21 Oct 2015 09:28:00 GMT", seconds(7200)),
    ];
    for status in [429, 503] {
        for (said, wait) in &waits {
            let refusal = Reply::new(status, "slow down").with("Retry-After", said);
            let server = Hostile::start(once(refusal, |request| match request.method.as_str() {
                "POST" => Reply::new(202, "").with("Location", "/v2/app/blobs/uploads/1"),
                "PUT" => Reply::new(201, ""),
                "DELETE" => Reply::new(202, ""),
                _ => Reply::new(200, "here").with("Docker-Content-Digest", descriptor(b"here").digest),
            }))
            .await;
            let lab = Lab::tuned(Settings::default(), |tuning| tuning.longest_wait = seconds(10_000));
            let repository = lab.open(&server.host(), "app");
            repository.manifest(&latest()).await.unwrap();
            repository.head_manifest(&latest()).await.unwrap_err(); // "here" is no manifest
            read(&repository, &descriptor(b"here")).await.unwrap();
            repository.put_manifest(&super::manifests::image(), &latest()).await.unwrap();
            repository.delete_manifest(&latest()).await.unwrap();
            let begun = lab.slept().len();
            assert_eq!(lab.slept()[0], *wait, "{status} {said}");
            assert_eq!(begun, if *said == "7" { 5 } else { begun });
            repository
                .put_blob(&blob(Some(descriptor(b"layer"))), &Memory(Bytes::from_static(b"layer")), None)
                .await
                .unwrap();
            let puts = server.seen().into_iter().filter(|seen| seen.line() == "PUT /v2/app/blobs/uploads/1");
            assert_eq!(puts.filter(|put| put.body == b"layer").count(), 2, "{:?}", server.lines());
        }
    }
}

#[tokio::test]
async fn pauses_grow_where_the_server_says_nothing_and_have_an_end() {
    for status in [429, 503] {
        let server = Hostile::start(move |_| Reply::new(status, "")).await;
        let lab = Lab::new();
        let error = lab.open(&server.host(), "app").manifest(&latest()).await.unwrap_err();
        assert!(error.to_string().contains(&status.to_string()), "{error}");
        let pauses = [500, 1000, 2000, 4000, 8000].map(Duration::from_millis);
        assert_eq!(lab.slept(), pauses);
    }
    // A wait that nobody waits is an error at once.
    let server = Hostile::start(|_| Reply::new(429, "tomorrow").with("Retry-After", "86400")).await;
    let lab = Lab::new();
    let error = lab.open(&server.host(), "app").manifest(&latest()).await.unwrap_err();
    assert!(error.to_string().contains("tomorrow"), "{error}");
    assert!(lab.slept().is_empty());
}

#[tokio::test]
async fn a_host_gets_few_requests_at_once_and_fewer_when_it_says_so() {
    let (running, most) =
        (std::sync::Arc::new(AtomicUsize::new(0)), std::sync::Arc::new(AtomicUsize::new(0)));
    let (counted, highest) = (running, std::sync::Arc::clone(&most));
    let server = Hostile::start(move |_| {
        let now = counted.fetch_add(1, Ordering::SeqCst) + 1;
        highest.fetch_max(now, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(2));
        counted.fetch_sub(1, Ordering::SeqCst);
        Reply::new(404, "")
    })
    .await;
    let lab = Lab::new();
    let repository = lab.open(&server.host(), "app");
    let at_once = (0..60_u8).map(|n| {
        let (repository, digest) = (repository.clone(), descriptor(&[n]).digest);
        async move { repository.has_blob(&digest).await.unwrap() }
    });
    futures_util::future::join_all(at_once).await;
    assert_eq!(server.lines().len(), 60);
    assert!(most.load(Ordering::SeqCst) <= 3);
    assert!(server.connections() <= 3, "{}", server.connections());
}

#[tokio::test]
async fn a_fault_that_passes_is_not_the_end() {
    for status in [500, 502, 504, 408] {
        let server = Hostile::start(once(Reply::new(status, ""), |_| Reply::new(200, "here"))).await;
        let lab = Lab::new();
        assert_eq!(lab.open(&server.host(), "app").manifest(&latest()).await.unwrap().raw, "here");
        assert_eq!(lab.slept(), [Duration::from_millis(500)]);
    }
    let server =
        Hostile::start(once(Reply::new(0, "").body(Body::Nothing), |_| Reply::new(200, "here"))).await;
    assert_eq!(Lab::new().open(&server.host(), "app").manifest(&latest()).await.unwrap().raw, "here");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_not_waited_for_for_ever() {
    let server = Hostile::start(|_| Reply::new(0, "").body(Body::Silence)).await;
    let lab = Lab::tuned(Settings::default(), |tuning| {
        (tuning.head, tuning.retries) = (Duration::from_millis(50), 1);
    });
    let error = lab.open(&server.host(), "app").manifest(&latest()).await.unwrap_err();
    assert!(error.to_string().contains("does not answer"), "{error}");
    assert_eq!(server.lines().len(), 2);
}
