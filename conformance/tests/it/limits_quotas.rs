//! Quotas of namespaces, over the wire.

#![allow(clippy::unwrap_used, reason = "the steps of a test panic as the test itself does")]

use std::process::Command;

use berth_conformance::data::Blob;
use berth_conformance::faults::{Client, Way};
use berth_conformance::harness::{Berth, Stack, require};
use berth_oci::Algorithm;
use futures_util::future::join_all;
use serde_json::Value;

const KIB: usize = 1024;

fn blob(size: usize) -> Blob {
    Blob::random(Algorithm::Sha256, size)
}

/// `path` of the API as JSON.
async fn api(client: &Client, path: &str) -> Value {
    let (status, body) = client.get(path).await.unwrap();
    assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap()
}

/// Pushes that together are far too much, all at once, spread over repositories: as many are taken as fit.
async fn exact(stack: Stack) {
    let mut berth = Berth::builder().stack(stack).set("quotas.default", "\"2MiB\"").start().unwrap();
    let client = Client::new(&berth.url()).unwrap();
    for (size, pushes) in [(8 * KIB, 60), (100 * KIB, 40)] {
        let blobs: Vec<_> = (0..pushes).map(|n| (n, blob(size))).collect();
        let before = api(&client, "/api/v1/quotas/team").await["used"].as_u64().unwrap();
        let all = blobs.iter().map(async |(n, blob)| {
            let way = Way::ALL[n % Way::ALL.len()];
            client.push(&format!("team/app{}", n % 3), blob, way, || Ok(())).await.unwrap().status
        });
        let statuses = join_all(all).await;
        assert!(statuses.iter().all(|status| [201, 403].contains(status)), "{statuses:?}");
        let taken = statuses.iter().filter(|status| **status == 201).count();
        let fit = (2 * 1024 * KIB - usize::try_from(before).unwrap()) / size;
        assert_eq!(taken, fit.min(pushes), "of {size} bytes: {statuses:?}");
        let usage = api(&client, "/api/v1/quotas/team").await;
        assert_eq!(usage["used"].as_u64().unwrap(), before + (taken * size) as u64);
    }
    let (status, _) = client.get("/v2/_catalog").await.unwrap();
    assert_eq!(status, 200);
    berth.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_many_pushes_at_once_as_many_are_taken_as_fit() {
    exact(Stack::Embedded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_many_pushes_at_once_to_postgresql_and_s3_as_many_are_taken_as_fit() {
    if require(super::OUTSIDE_TOOLS) {
        exact(Stack::outside().unwrap()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_a_push_over_the_quota_is_403_by_every_way_and_leaves_nothing() {
    let berth = Berth::builder().set("quotas.default", "\"1MiB\"").start().unwrap();
    let client = Client::new(&berth.url()).unwrap();
    let first = client.push("team/a", &blob(700 * KIB), Way::Post, || Ok(())).await.unwrap();
    assert_eq!(first.status, 201);
    for size in [400 * KIB, 1500 * KIB] {
        for way in Way::ALL {
            let more = blob(size);
            let told = client.push("team/b", &more, way, || Ok(())).await.unwrap();
            assert_eq!(told.status, 403, "{way:?}");
            if let Some(session) = told.session {
                assert_eq!(client.session(&session).await.unwrap().0, 404, "{way:?}: the session stays");
            }
            let there = client.head(&format!("/v2/team/b/blobs/{}", more.digest)).await.unwrap();
            assert_eq!(there, 404, "{way:?}");
        }
    }
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let more = blob(400 * KIB);
    let url = format!("{}/v2/team/b/blobs/uploads/?digest={}", berth.url(), more.digest);
    let answer = http.post(url).body(more.bytes).send().await.unwrap();
    let body: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!(body["errors"][0]["code"], "DENIED");
    let sentence = body["errors"][0]["message"].as_str().unwrap();
    assert!(sentence.contains("716800 of the 1048576 bytes"), "{sentence}");
    let other = client.push("other/a", &blob(700 * KIB), Way::Post, || Ok(())).await.unwrap();
    assert_eq!(other.status, 201, "another namespace has its own");
    let usage = api(&client, "/api/v1/usage/team").await;
    assert_eq!(usage["namespace"]["free"], 1_048_576 - 716_800);
    assert_eq!(usage["repositories"].as_array().unwrap().len(), 1, "{usage}");
}

fn command(berth: &Berth, arguments: &[&str]) -> (i32, String) {
    let program = Berth::binary().unwrap();
    let output = Command::new(program).args(arguments).arg("--config").arg(berth.config()).output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_quotas_are_set_and_shown_by_command() {
    let mut berth = Berth::builder().set("quotas.default", "\"1MiB\"").start().unwrap();
    let client = Client::new(&berth.url()).unwrap();
    let first = blob(700 * KIB);
    assert_eq!(client.push("team/a", &first, Way::Post, || Ok(())).await.unwrap().status, 201);
    assert_eq!(client.push("team/b", &first, Way::PostPut, || Ok(())).await.unwrap().status, 201);
    berth.stop();
    let (status, said) = command(&berth, &["quota", "set", "team", "2MiB"]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("700.0 KiB of 2.0 MiB"), "{said}");
    let (status, said) = command(&berth, &["quota", "list", "--json"]);
    assert_eq!(status, 0, "{said}");
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()[0]["limit"], 2 << 20);
    let (status, said) = command(&berth, &["usage", "team"]);
    assert!(status == 0 && said.lines().count() == 2 && said.contains("0 B only here"), "{said}");
    assert_eq!(command(&berth, &["quota", "recount"]).0, 0);
    assert_eq!(command(&berth, &["quota", "set", "team/a", "1MiB"]).0, 2);
    berth.start().unwrap();
    let client = Client::new(&berth.url()).unwrap();
    let more = client.push("team/a", &blob(1000 * KIB), Way::Streamed, || Ok(())).await.unwrap();
    assert_eq!(more.status, 201);
    berth.stop();
    let (status, said) = command(&berth, &["quota", "unset", "team"]);
    assert!(status == 0 && said.contains("of 1.0 MiB"), "{said}");
    berth.start().unwrap();
    let client = Client::new(&berth.url()).unwrap();
    let over = client.push("team/a", &blob(KIB), Way::Post, || Ok(())).await.unwrap();
    assert_eq!(over.status, 403, "it holds more than it may by now");
}
