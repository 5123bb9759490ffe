//! Clients that are sent to the bucket for blobs.

#![allow(clippy::unwrap_used, reason = "the steps of a test panic as the test itself does")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use berth_conformance::clients::{Layout, Podman, Skopeo, new_repository};
use berth_conformance::data::Blob;
use berth_conformance::faults::{Client, Way};
use berth_conformance::harness::{Berth, Fault, FaultProxy, S3, require, require_root};
use berth_oci::Algorithm;

/// A registry that redirects, and how often blobs were read through it and not from the bucket itself.
fn redirecting() -> (FaultProxy, Berth, Arc<AtomicUsize>) {
    let proxy = FaultProxy::start(S3::shared().unwrap()).unwrap();
    let berth = proxy.redirecting().start().unwrap();
    let read = Arc::new(AtomicUsize::new(0));
    let counter = read.clone();
    proxy.choose(move |line| {
        if line.starts_with("GET ") && line.contains("/blobs/") {
            counter.fetch_add(1, Ordering::SeqCst);
        }
        Fault::None
    });
    (proxy, berth, read)
}

#[test]
fn skopeo_and_podman_follow_to_the_bucket_and_get_back_what_was_pushed() {
    if !require(S3::TOOLS) || !require(Skopeo::TOOLS) {
        return;
    }
    let (_proxy, berth, read) = redirecting();
    let (skopeo, repository) = (Skopeo::new().unwrap(), new_repository("redirect"));
    let flags = &["--all", "--preserve-digests"][..];
    let from = skopeo.scratch().join("from");
    let (layout, digest) = Layout::small_image(&from, &repository).unwrap();
    let image = format!("{}/{repository}:latest", berth.host());
    skopeo.copy(flags, &format!("oci:{}:latest", from.display()), &format!("docker://{image}")).unwrap();
    let to = skopeo.scratch().join("to");
    skopeo.copy(flags, &format!("docker://{image}"), &format!("oci:{}:latest", to.display())).unwrap();
    let back = Layout::open(&to);
    assert_eq!(back.only().unwrap(), digest);
    assert_eq!(back.contents().unwrap(), layout.contents().unwrap());
    if require_root() && require(Podman::TOOLS) {
        let podman = Podman::new().unwrap();
        podman.run(&["pull", "--tls-verify=false", &image]).unwrap();
        let pulled = podman.run(&["image", "inspect", "--format={{.Digest}}", &image]).unwrap();
        assert_eq!(pulled, digest.as_str());
    }
    assert_eq!(read.load(Ordering::SeqCst), 0, "blobs came through the registry");
}

#[tokio::test]
async fn r40_a_redirect_is_for_whole_blobs_that_the_client_may_read_and_for_that_object_alone() {
    if !require(S3::TOOLS) {
        return;
    }
    let started = tokio::task::spawn_blocking(redirecting).await.unwrap();
    let (_proxy, berth, read) = &started;
    let client = Client::new(&berth.url()).unwrap();
    let blobs = [70_000, 70_001].map(|size| Blob::random(Algorithm::Sha256, size));
    for blob in &blobs {
        assert!(client.push("redirect/a", blob, Way::Post, || Ok(())).await.unwrap().is_acknowledged());
    }
    let http =
        reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let url = |repo: &str, blob: &Blob| format!("{}/v2/{repo}/blobs/{}", berth.url(), blob.digest);
    let [first, second] = &blobs;

    let sent = http.get(url("redirect/a", first)).send().await.unwrap();
    assert_eq!(sent.status(), 307);
    assert_eq!(sent.headers()["docker-content-digest"], first.digest.as_str());
    assert_eq!(sent.headers()["cache-control"], "no-store");
    let location = sent.headers()["location"].to_str().unwrap().to_owned();
    let got = http.get(&location).send().await.unwrap();
    assert_eq!((got.status().as_u16(), got.bytes().await.unwrap()), (200, first.bytes.clone()));
    // The address opens no other object, and lets nobody write.
    let other = http.get(url("redirect/a", second)).send().await.unwrap().headers()["location"].clone();
    let other = other.to_str().unwrap().split('?').next().unwrap().to_owned();
    let stolen = format!("{other}?{}", location.split('?').nth(1).unwrap());
    assert_eq!(http.get(&stolen).send().await.unwrap().status(), 403);
    assert_eq!(http.put(&location).body("x").send().await.unwrap().status(), 403);

    // Not for a repository that does not have it, nor for HEAD, for whoever has it, and for a range.
    assert_eq!(http.get(url("redirect/b", first)).send().await.unwrap().status(), 404);
    assert_eq!(http.head(url("redirect/a", first)).send().await.unwrap().status(), 200);
    let tag = format!("\"{}\"", first.digest);
    let known = http.get(url("redirect/a", first)).header("if-none-match", tag).send().await.unwrap();
    assert_eq!(known.status(), 304);
    assert_eq!(read.load(Ordering::SeqCst), 0);
    let part = http.get(url("redirect/a", first)).header("range", "bytes=10-19").send().await.unwrap();
    assert_eq!((part.status().as_u16(), part.bytes().await.unwrap()), (206, first.bytes.slice(10..20)));
    assert_eq!(read.load(Ordering::SeqCst), 1);
    tokio::task::spawn_blocking(move || drop(started)).await.unwrap();
}
