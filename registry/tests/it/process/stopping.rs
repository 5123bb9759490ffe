//! F21: what a signal does.

use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixDatagram,
    time::{Duration, Instant},
};

use berth_oci::{Algorithm, Digest};
use rustix::process::Signal;

use super::{PATIENCE, Registry};

async fn metrics(registry: &Registry) -> String {
    reqwest::get(registry.url("/metrics")).await.unwrap().text().await.unwrap()
}

/// Begins an upload and sends so many bytes of a longer chunked body.
async fn begin(registry: &Registry, bytes: &[u8]) -> (String, TcpStream) {
    let started = reqwest::Client::new().post(registry.url("/v2/a/blobs/uploads/")).send().await.unwrap();
    assert_eq!(started.status(), 202);
    let location = started.headers()["location"].to_str().unwrap().to_owned();
    let path = location.strip_prefix(&registry.url("")).unwrap_or(&location).to_owned();
    let mut stream = TcpStream::connect(registry.addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head =
        format!("PATCH {path} HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n", registry.addr);
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(format!("{:x}\r\n", bytes.len()).as_bytes()).unwrap();
    stream.write_all(bytes).unwrap();
    stream.write_all(b"\r\n").unwrap();
    // A request that the server has not seen yet when it is told to stop is refused, not cut.
    let begun = Instant::now();
    while !metrics(registry).await.contains("berth_http_requests_in_flight 2\n") {
        assert!(begun.elapsed() < PATIENCE, "the upload never began");
    }
    (path, stream)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f21_an_upload_cut_by_a_stop_goes_on_after_the_restart() {
    let data = tempfile::tempdir().unwrap();
    let client = reqwest::Client::new();
    for round in 0..5_u8 {
        let blob: Vec<u8> = (0..300_000_u32).map(|byte| byte.to_le_bytes()[0] ^ round).collect();
        let mut registry = Registry::start(data.path(), &[("BERTH_SERVER__DRAIN", "200ms")]);
        let (path, mut stream) = begin(&registry, &blob[..200_000]).await;
        registry.signal(Signal::TERM);
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(registry.wait().success());

        let registry = Registry::start(data.path(), &[]);
        let status = client.get(registry.url(&path)).send().await.unwrap();
        assert_eq!(status.status(), 204);
        let range = status.headers()["range"].to_str().unwrap().to_owned();
        let stored = range.strip_prefix("0-").unwrap().parse::<usize>().unwrap() + 1;
        assert_eq!(stored, 200_000, "round {round}: all that came before the cut is kept");
        let digest = Digest::of(Algorithm::Sha256, &blob);
        let location = status.headers()["location"].to_str().unwrap().to_owned();
        let location = location.strip_prefix(&registry.url("")).unwrap_or(&location).to_owned();
        let separator = if location.contains('?') { '&' } else { '?' };
        let finished = client
            .put(registry.url(&format!("{location}{separator}digest={digest}")))
            .header("content-range", format!("{stored}-{}", blob.len() - 1))
            .body(blob[stored..].to_vec())
            .send()
            .await
            .unwrap();
        assert_eq!(finished.status(), 201, "{}", finished.text().await.unwrap());
        let got = client.get(registry.url(&format!("/v2/a/blobs/{digest}"))).send().await.unwrap();
        assert!(got.bytes().await.unwrap() == blob);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f21_a_second_signal_ends_the_process_at_once_with_status_1() {
    let data = tempfile::tempdir().unwrap();
    let mut registry = Registry::start(data.path(), &[]);
    let (_path, _stream) = begin(&registry, b"abc").await;
    let began = Instant::now();
    registry.signal(Signal::TERM);
    registry.log_until("no new requests");
    registry.signal(Signal::INT);
    assert_eq!(registry.wait().code(), Some(1));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn f21_metrics_on_a_port_of_their_own_end_with_the_last_request() {
    let data = tempfile::tempdir().unwrap();
    let mut registry = Registry::start(data.path(), &[("BERTH_METRICS__LISTEN", "127.0.0.1:0")]);
    registry.signal(Signal::TERM);
    assert!(registry.wait().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_ends_nothing_where_there_is_no_certificate_to_read_again() {
    let data = tempfile::tempdir().unwrap();
    let mut registry = Registry::start(data.path(), &[]);
    for _ in 0..100 {
        registry.signal(Signal::HUP);
    }
    assert_eq!(reqwest::get(registry.url("/livez")).await.unwrap().status(), 200);
    registry.signal(Signal::TERM);
    assert!(registry.wait().success());
}

#[test]
fn f21_the_service_manager_is_told_of_start_and_stop() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut registry =
        Registry::start(&folder.path().join("data"), &[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    let heard = || {
        let mut bytes = [0; 64];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    assert_eq!(heard(), "READY=1");
    registry.signal(Signal::TERM);
    assert_eq!(heard(), "STOPPING=1");
    assert!(registry.wait().success());
}
