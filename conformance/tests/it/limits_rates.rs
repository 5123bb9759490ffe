//! Rates of requests and caps, over the wire.

#![allow(clippy::unwrap_used, reason = "the steps of a test panic as the test itself does")]

use std::time::Instant;

use berth_conformance::faults::Client;
use berth_conformance::harness::Berth;
use futures_util::future::join_all;
use reqwest::{Method, Response};
use serde_json::Value;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

struct Asker {
    http: reqwest::Client,
    base: String,
}

impl Asker {
    fn new(berth: &Berth) -> Self {
        Self { http: reqwest::Client::builder().no_proxy().build().unwrap(), base: berth.url() }
    }

    /// As a trusted proxy passes it on for `address`.
    async fn ask(&self, method: Method, path: &str, address: &str, body: String) -> Response {
        let request = self.http.request(method, format!("{}{path}", self.base));
        let request = request.header("X-Forwarded-For", address).header("Content-Type", INDEX);
        request.body(body).send().await.unwrap()
    }

    async fn get(&self, path: &str, address: &str) -> Response {
        self.ask(Method::GET, path, address, String::new()).await
    }

    async fn put(&self, tag: &str, n: usize) -> Response {
        let body = format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"{INDEX}\",\"manifests\":[],\"annotations\":{{\"n\":\"{n}\"}}}}"
        );
        self.ask(Method::PUT, &format!("/v2/team/app/manifests/{tag}"), "192.0.2.9", body).await
    }
}

#[tokio::test]
async fn limits_a_pull_past_the_rate_is_429_with_the_time_to_wait() {
    let berth = Berth::builder()
        .set("server.trusted_proxies", "[\"127.0.0.1\"]")
        .set("metrics.public", "true")
        .set("limits.rate.address_pulls", "1")
        .set("limits.rate.address_pulls_burst", "3")
        .start()
        .unwrap();
    let asker = Asker::new(&berth);
    assert_eq!(asker.put("latest", 0).await.status(), 201);
    let latest = "/v2/team/app/manifests/latest";
    // All at once, so that no slow machine makes it a trickle.
    let flood = async |address: &str| {
        let answers = join_all((0..40).map(|_| asker.get(latest, address))).await;
        answers.into_iter().find(|answer| answer.status() == 429)
    };
    let refused = flood("192.0.2.1").await.expect("a flood is refused");
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(refused.headers()["ratelimit-policy"], "\"rate\";q=3;w=3");
    assert_eq!(refused.headers()["ratelimit"], "\"rate\";r=0;t=1");
    let body: Value = serde_json::from_slice(&refused.bytes().await.unwrap()).unwrap();
    assert_eq!(body["errors"][0]["code"], "TOOMANYREQUESTS");
    assert!(body["errors"][0]["message"].as_str().unwrap().contains("limits.rate"), "{body}");
    assert_eq!(asker.get(latest, "192.0.2.2").await.status(), 200, "another address");
    assert!(flood("2001:db8::1").await.is_some());
    // One /64, whichever of its addresses: as many as one address may, and one more a second.
    let begun = Instant::now();
    let addresses: Vec<_> = (0..40).map(|n| format!("2001:db8::{:x}", n + 2)).collect();
    let answers = join_all(addresses.iter().map(|address| asker.get(latest, address))).await;
    let served = answers.iter().filter(|answer| answer.status() == 200).count();
    assert!(served < 40 && served as u64 <= 4 + begun.elapsed().as_secs(), "{served} of 40");
    assert_eq!(asker.get(latest, "2001:db8:0:1::1").await.status(), 200);
    for path in ["/livez", "/readyz", "/metrics", "/v2/", "/v2/team/app/tags/list"] {
        for _ in 0..20 {
            assert_eq!(asker.get(path, "192.0.2.1").await.status(), 200, "{path}");
        }
    }
}

#[tokio::test]
async fn limits_pushes_have_a_rate_of_their_own() {
    let berth = Berth::builder()
        .set("server.trusted_proxies", "[\"127.0.0.1\"]")
        .set("limits.rate.address_pushes", "1")
        .set("limits.rate.address_pushes_burst", "2")
        .start()
        .unwrap();
    let asker = Asker::new(&berth);
    let answers = join_all((0..40).map(|n| asker.put("latest", n))).await;
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status().as_u16()).collect();
    let taken = statuses.iter().filter(|status| **status == 201).count();
    assert!(taken >= 2 && statuses.contains(&429), "{statuses:?}");
    for _ in 0..20 {
        assert_eq!(asker.get("/v2/team/app/manifests/latest", "192.0.2.9").await.status(), 200);
    }
    let started = asker.ask(Method::POST, "/v2/a/blobs/uploads/", "192.0.2.10", String::new()).await;
    assert_eq!(started.status(), 202);
}

#[tokio::test]
async fn limits_caps_say_which_setting_they_are() {
    let berth = Berth::builder()
        .set("limits.tags_per_repository", "2")
        .set("limits.repositories_per_namespace", "1")
        .set("uploads.max_sessions", "3")
        .start()
        .unwrap();
    let asker = Asker::new(&berth);
    for n in 0..2 {
        assert_eq!(asker.put(&format!("t{n}"), n).await.status(), 201);
    }
    let told = asker.put("t3", 3).await;
    assert_eq!(told.status(), 403);
    assert!(told.text().await.unwrap().contains("limits.tags_per_repository"));
    assert_eq!(asker.put("t1", 4).await.status(), 201, "a tag that is there moves");
    let client = Client::new(&berth.url()).unwrap();
    let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let told = asker
        .ask(Method::POST, &format!("/v2/team/b/blobs/uploads/?digest={empty}"), "", String::new())
        .await;
    assert_eq!(told.status(), 403);
    assert!(told.text().await.unwrap().contains("limits.repositories_per_namespace"));
    for _ in 0..3 {
        client.start("team/app").await.unwrap().unwrap();
    }
    let told = asker.ask(Method::POST, "/v2/team/app/blobs/uploads/", "", String::new()).await;
    assert_eq!(told.status(), 429);
    assert!(told.text().await.unwrap().contains("uploads.max_sessions"));
}
