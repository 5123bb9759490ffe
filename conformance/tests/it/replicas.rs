//! Several servers on one database and one bucket, behind a balancer.

#![allow(clippy::unwrap_used, reason = "the steps of a test panic as the test itself does")]

use std::time::{Duration, Instant};

use berth_conformance::clients::{Content, Layout, Podman, Registry, Skopeo, new_repository};
use berth_conformance::data::Blob;
use berth_conformance::faults::{
    Client, Shim, clocks_apart, database_frozen, database_restarts, lost_replies, rolling_restarts, tag_races,
};
use berth_conformance::harness::{Dockerd, Hop, Replicas, require, require_root};
use berth_conformance::{Options, Target, TargetOptions, abuse, suite};
use berth_oci::Algorithm;
use bytes::Bytes;
use tokio::sync::mpsc;

const REPO: &str = "replicas/it";
/// A claim whose holder died runs out sooner.
const CLAIM: Duration = Duration::from_secs(60);

fn blob(length: usize) -> Blob {
    Blob::random(Algorithm::Sha256, length)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn clients(replicas: &Replicas) -> Vec<Client> {
    replicas.urls().iter().map(|url| Client::new(url).unwrap()).collect()
}

#[test]
fn each_request_of_an_upload_may_go_to_another_replica() {
    if !require(super::OUTSIDE_TOOLS) {
        return;
    }
    for count in [2, 3] {
        let replicas = Replicas::start(count, Hop::Request).unwrap();
        let clients = clients(&replicas);
        let on = |at: usize| &clients[at % count];
        runtime().block_on(async {
            // Parts of a bucket's uploads are larger than this, so that bytes wait in the session too.
            for (size, chunk) in [(10_000, 1000), (12 << 20, 3 << 20)] {
                let blob = blob(size);
                let location = on(0).start(REPO).await.unwrap().unwrap();
                for (step, first) in (0..size).step_by(chunk).enumerate() {
                    let piece = blob.bytes.slice(first..(first + chunk).min(size));
                    let end = (first + piece.len()) as u64;
                    assert_eq!(on(step + 1).patch(&location, first, piece).await.unwrap(), 202);
                    for other in 0..count {
                        assert_eq!(on(other).session(&location).await.unwrap(), (204, end));
                    }
                }
                assert_eq!(on(2).finish(&location, blob.digest.as_str(), Bytes::new()).await.unwrap(), 201);
                for client in &clients {
                    assert_eq!(client.session(&location).await.unwrap().0, 404);
                    let (status, body) =
                        client.get(&format!("/v2/{REPO}/blobs/{}", blob.digest)).await.unwrap();
                    assert!(status == 200 && body == blob.bytes, "{status}");
                }
            }
            // One that is cancelled on one is gone on all.
            let location = on(0).start(REPO).await.unwrap().unwrap();
            assert_eq!(on(1).patch(&location, 0, blob(50).bytes).await.unwrap(), 202);
            assert_eq!(on(2).delete(&location).await.unwrap(), 204);
            for client in &clients {
                assert_eq!(client.session(&location).await.unwrap().0, 404);
                assert_eq!(client.patch(&location, 50, blob(50).bytes).await.unwrap(), 404);
            }
        });
    }
}

#[test]
fn r8_of_two_chunks_at_once_on_two_replicas_one_is_taken() {
    if !require(super::OUTSIDE_TOOLS) {
        return;
    }
    let replicas = Replicas::start(2, Hop::Connection).unwrap();
    let clients = clients(&replicas);
    runtime().block_on(async {
        for round in 0..100 {
            let blob = blob(2000);
            let location = clients[0].start(REPO).await.unwrap().unwrap();
            let (one, two) = tokio::join!(
                clients[0].patch(&location, 0, blob.bytes.clone()),
                clients[1].patch(&location, 0, blob.bytes.clone()),
            );
            let mut statuses = [one.unwrap(), two.unwrap()];
            statuses.sort_unstable();
            assert_eq!(statuses, [202, 416], "round {round}");
            let status = clients[1].finish(&location, blob.digest.as_str(), Bytes::new()).await.unwrap();
            assert_eq!(status, 201, "round {round}");
        }
    });
}

#[test]
fn a_push_goes_on_elsewhere_when_its_replica_is_killed() {
    if !require(super::OUTSIDE_TOOLS) {
        return;
    }
    let mut replicas = Replicas::start(2, Hop::Connection).unwrap();
    let clients = clients(&replicas);
    let runtime = runtime();
    let (blob, half) = (blob(2 << 20), 1 << 20);
    let location = runtime.block_on(async {
        let location = clients[0].start(REPO).await.unwrap().unwrap();
        assert_eq!(clients[0].patch(&location, 0, blob.bytes.slice(..half)).await.unwrap(), 202);
        location
    });
    // The second chunk never ends; when it is claimed its replica dies.
    let (pieces, mut taken) = mpsc::channel::<Bytes>(1);
    let body = futures_util::stream::poll_fn(move |cx| taken.poll_recv(cx).map(|piece| piece.map(Ok)));
    let cut = runtime.spawn({
        let (client, location) = (clients[0].clone(), location.clone());
        async move { client.stream(&location, body).await }
    });
    runtime.block_on(pieces.send(blob.bytes.slice(half..half + 1000))).unwrap();
    let stack = replicas.stack().clone();
    let claimed = || stack.postgres().sql(stack.database(), "SELECT count(writer) FROM uploads").unwrap();
    let claimed = berth_conformance::harness::until(CLAIM, || (claimed().trim() == "1").then_some(()));
    assert!(claimed.is_some(), "nobody claims the session");
    replicas.replica(0).kill().unwrap();
    assert!(runtime.block_on(cut).unwrap().is_err());
    let begun = Instant::now();
    runtime.block_on(async {
        // What was acknowledged is there at once; who wants to go on waits until the dead one's claim is over.
        assert_eq!(clients[1].session(&location).await.unwrap(), (204, half as u64));
        while clients[1].patch(&location, half, blob.bytes.slice(half..)).await.unwrap() == 416 {
            assert!(begun.elapsed() < CLAIM, "the dead replica's claim is never over");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let status = clients[1].finish(&location, blob.digest.as_str(), Bytes::new()).await.unwrap();
        assert_eq!(status, 201);
        // And a client that begins anew need not wait at all.
        let (status, body) = clients[1].get(&format!("/v2/{REPO}/blobs/{}", blob.digest)).await.unwrap();
        assert!(status == 200 && body == blob.bytes, "{status}");
    });
}

#[test]
fn tags_and_deletes_are_seen_on_the_other_replica_at_once() {
    if !require(super::OUTSIDE_TOOLS) {
        return;
    }
    let replicas = Replicas::start(2, Hop::Connection).unwrap();
    let clients = clients(&replicas);
    let manifest = |n: usize| {
        Bytes::from(format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":{{\"mediaType\":\"application/vnd.oci.empty.v1+json\",\"digest\":\"{}\",\"size\":2}},\"layers\":[],\"annotations\":{{\"n\":\"{n}\"}}}}",
            berth_conformance::clients::digest_of(b"{}")
        ))
    };
    runtime().block_on(async {
        let empty = berth_conformance::clients::digest_of(b"{}");
        assert_eq!(clients[0].post(REPO, empty.as_str(), "{}").await.unwrap(), 201);
        for n in 0..50 {
            let (one, two) = (&clients[n % 2], &clients[(n + 1) % 2]);
            let digest = berth_conformance::clients::digest_of(&manifest(n));
            let by_tag = format!("/v2/{REPO}/manifests/latest");
            let by_digest = format!("/v2/{REPO}/manifests/{digest}");
            assert_eq!(one.put_manifest(REPO, "latest", manifest(n)).await.unwrap(), 201);
            assert_eq!(two.get(&by_tag).await.unwrap(), (200, manifest(n)));
            if n % 3 == 0 {
                assert_eq!(one.delete(&by_tag).await.unwrap(), 202);
                assert_eq!(two.get(&by_tag).await.unwrap().0, 404);
                assert_eq!(two.get(&by_digest).await.unwrap().0, 200);
            }
            assert_eq!(two.delete(&by_digest).await.unwrap(), 202);
            assert_eq!(one.get(&by_digest).await.unwrap().0, 404);
            assert_eq!(one.get(&by_tag).await.unwrap().0, 404);
        }
        assert_eq!(clients[1].delete(&format!("/v2/{REPO}/blobs/{empty}")).await.unwrap(), 202);
        assert_eq!(clients[0].head(&format!("/v2/{REPO}/blobs/{empty}")).await.unwrap(), 404);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_behind_a_balancer_pass_both_suites() {
    if !require(super::OUTSIDE_TOOLS) {
        return;
    }
    let replicas = Replicas::start(3, Hop::Request).unwrap();
    let options = Options { strict: true, ..Options::default() };
    let target = Target::connect(&replicas.url(), &TargetOptions::default()).await.expect("Berth answers");
    suite::run(&target, &options).await.assert_all_passed();
    abuse::run(&target, &options).await.assert_all_passed();
}

#[test]
fn four_replicas_start_at_once_on_an_empty_database() {
    if require(super::OUTSIDE_TOOLS) {
        for _ in 0..3 {
            let replicas = Replicas::start(4, Hop::Connection).unwrap();
            let stack = replicas.stack();
            let steps = "SELECT count(*) - count(DISTINCT version) FROM _sqlx_migrations";
            assert_eq!(stack.postgres().sql(stack.database(), steps).unwrap().trim(), "0");
        }
    }
}

#[test]
fn f21_no_client_fails_while_the_replicas_are_restarted_one_by_one() {
    if require(super::OUTSIDE_TOOLS) {
        println!("{}", rolling_restarts(2).unwrap());
    }
}

#[test]
fn f18_ten_writers_of_one_tag_on_three_replicas_are_seen_in_one_order() {
    if require(super::OUTSIDE_TOOLS) {
        println!("{}", tag_races(5).unwrap());
    }
}

#[test]
fn f19_clocks_that_are_off_free_nothing_early() {
    if require(super::OUTSIDE_TOOLS) && require(Shim::TOOLS) {
        println!("{}", clocks_apart().unwrap());
    }
}

#[test]
fn f11_nothing_acknowledged_is_lost_when_the_database_crashes_and_meanwhile_all_is_503() {
    if require(super::OUTSIDE_TOOLS) {
        println!("{}", database_restarts(5).unwrap());
    }
}

#[test]
fn f11_a_database_that_stands_still_is_503_and_goes_on() {
    if require(super::OUTSIDE_TOOLS) {
        println!("{}", database_frozen(1).unwrap());
    }
}

#[test]
fn f12_a_change_whose_reply_from_the_database_is_lost_is_answered_rightly() {
    if require(super::OUTSIDE_TOOLS) {
        println!("{}", lost_replies(5).unwrap());
    }
}

#[test]
fn skopeo_podman_and_docker_push_and_pull_through_three_replicas() {
    if !require(super::OUTSIDE_TOOLS) || !require(Skopeo::TOOLS) || !require_root() || !require(Podman::TOOLS)
    {
        return;
    }
    let registry = Registry::shared_replicas().unwrap();
    for index in [false, true] {
        super::clients_skopeo::out_and_back(&registry, index);
    }

    let podman = Podman::new().unwrap();
    let repository = new_repository("replicas-podman");
    let layout = Layout::create(podman.scratch().join("made")).unwrap();
    let noise = Content::Noise { seed: 11, size: 9 << 20 };
    let tar = layout.layer(&[("hello", Content::Bytes(b"hello")), ("noise", noise)]).unwrap();
    let tar = layout.path().join("blobs/sha256").join(tar.digest.hex()).display().to_string();
    let image = registry.image(&repository, "latest");
    podman.run(&["import", &tar, &image]).unwrap();
    podman.run(&["push", "--tls-verify=false", &image]).unwrap();
    podman.run(&["rmi", "--force", &image]).unwrap();
    podman.run(&["pull", "--tls-verify=false", &image]).unwrap();

    if !require(Dockerd::TOOLS) {
        return;
    }
    let dockerd = Dockerd::shared().unwrap();
    let docker = |words: &[&str]| dockerd.docker().unwrap().args(words).run().unwrap();
    let image = registry.image(&new_repository("replicas-docker"), "latest");
    docker(&["import", &tar, &image]);
    let layers = || docker(&["image", "inspect", "--format={{.RootFS.Layers}}", &image]);
    let before = layers();
    docker(&["push", &image]);
    docker(&["rmi", &image]);
    docker(&["pull", &image]);
    assert_eq!(layers(), before);
    docker(&["rmi", &image]);
}
