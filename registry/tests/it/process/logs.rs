//! R34: what the log says, and what it must not.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use super::Registry;

fn send(registry: &Registry, request: &[u8]) {
    let mut stream = TcpStream::connect(registry.addr).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
}

#[test]
fn r34_a_request_is_one_line_without_control_characters_in_both_formats() {
    for format in ["json", "human"] {
        let data = tempfile::tempdir().unwrap();
        let registry = Registry::start(data.path(), &[("BERTH_LOG__FORMAT", format)]);
        send(
            &registry,
            b"GET /v2/evil%0d%0aname/\xc2\x9btags/list HTTP/1.1\r\nHost: localhost\r\nUser-Agent: one\ttwo\x80\xff\"three\r\n\
              X-Request-Id: not well formed\r\nConnection: close\r\n\r\n",
        );
        send(
            &registry,
            b"GET /v2/good/tags/list HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: my-id.1\r\nConnection: close\r\n\r\n",
        );
        let lines = registry.log_until("my-id.1");
        for line in &lines {
            assert!(!line.chars().any(char::is_control), "{line:?}");
        }
        let agent = lines.iter().find(|line| line.contains("one")).unwrap();
        assert!(agent.contains("two") && agent.contains("three"), "{agent}");
        let last = lines.last().unwrap();
        if format == "json" {
            let line: serde_json::Value = serde_json::from_str(last).unwrap();
            assert_eq!(line["method"], "GET");
            assert_eq!(line["path"], "/v2/good/tags/list");
            assert_eq!(line["status"], 404);
            assert_eq!(line["id"], "my-id.1");
            assert_eq!(line["peer"], "127.0.0.1");
        } else {
            assert!(last.contains("GET /v2/good/tags/list: 404"), "{last}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_metrics_are_served_and_metrics_may_have_a_port_of_their_own() {
    let data = tempfile::tempdir().unwrap();
    let registry = Registry::start(data.path(), &[]);
    let get = async |url: String| {
        let answer = reqwest::get(url).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(get(registry.url("/livez")).await, (200, "ok\n".to_owned()));
    let ready = "{\"status\":\"ready\",\"components\":{\"catalog\":\"ok\",\"storage\":\"ok\"}}";
    assert_eq!(get(registry.url("/readyz")).await, (200, ready.to_owned()));
    let (status, text) = get(registry.url("/metrics")).await;
    assert_eq!(status, 200);
    assert!(
        text.contains("berth_http_requests_total{route=\"health\",method=\"GET\",status=\"200\"} 2"),
        "{text}"
    );
    drop(registry);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let registry = Registry::start(data.path(), &[("BERTH_METRICS__LISTEN", &free)]);
    assert_eq!(get(registry.url("/metrics")).await.0, 404);
    assert_eq!(get(format!("http://{free}/metrics")).await.0, 200);
    assert_eq!(get(format!("http://{free}/readyz")).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f13_a_lost_catalog_is_told_of_at_the_start_with_the_way_back() {
    let data = tempfile::tempdir().unwrap();
    let mut registry = Registry::start(data.path(), &[]);
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = format!("{{\"schemaVersion\":2,\"mediaType\":\"{media_type}\",\"manifests\":[]}}");
    let put = reqwest::Client::new().put(registry.url("/v2/a/manifests/v1"));
    let put = put.header("content-type", media_type).body(index).send().await.unwrap();
    assert_eq!(put.status().as_u16(), 201);
    registry.signal(rustix::process::Signal::TERM);
    assert!(registry.wait().success());
    for entry in std::fs::read_dir(data.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("catalog.db") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let registry = Registry::start(data.path(), &[]);
    let lines = registry.log_until("berth-registry recover");
    assert!(lines.last().unwrap().contains("Nothing that was pushed before is served"), "{lines:?}");
}

#[test]
fn a_bucket_that_does_not_answer_is_told_of_at_the_start() {
    let data = tempfile::tempdir().unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let registry = Registry::start(
        data.path(),
        &[
            ("BERTH_STORAGE__KIND", "s3"),
            ("BERTH_STORAGE__BUCKET", "typo"),
            ("BERTH_STORAGE__ENDPOINT", &format!("http://{nobody}")),
            ("BERTH_STORAGE__ALLOW_HTTP", "true"),
            ("BERTH_STORAGE__ACCESS_KEY_ID", "id"),
            ("BERTH_STORAGE__SECRET_ACCESS_KEY", "hunter2"),
        ],
    );
    let lines = registry.log_until("The storage is not ready");
    assert!(!lines.iter().any(|line| line.contains("hunter2")), "{lines:?}");
}
