//! R31: heads that are too big, or say two things.

use berth_registry::http::serve::Limits;

use tokio::io::AsyncWriteExt;

use super::{connect, exchange, options, read_all, router, start};

#[tokio::test]
async fn r31_ten_thousand_headers_are_431() {
    let server = start(router(), options(Limits::default())).await;
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(10_000));
    assert!(exchange(server.addr, head.as_bytes()).await.starts_with("HTTP/1.1 431"));
    // Within the size, but more than a hundred.
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(100));
    assert!(exchange(server.addr, head.as_bytes()).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn r31_a_header_of_a_mebibyte_is_431() {
    let server = start(router(), options(Limits::default())).await;
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nBig: {}\r\n\r\n", "x".repeat(1 << 20));
    let answer = exchange(server.addr, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn r31_a_target_too_long_is_a_4xx() {
    let server = start(router(), options(Limits::default())).await;
    let head = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(70_000));
    let answer = exchange(server.addr, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
}

#[tokio::test]
async fn r31_content_length_beside_transfer_encoding_is_400_and_nothing_behind_it_is_answered() {
    let server = start(router(), options(Limits::default())).await;
    for both in [
        "Content-Length: 30\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 30",
        "transfer-encoding: chunked\r\nX: y\r\nCONTENT-LENGTH:30",
        // A proxy that takes LF for a part of the value has seen no length.
        "X: y\nContent-Length: 5",
    ] {
        // Whichever of the two counts, a smuggled request follows. Before it, honest ones on the same connection.
        let sent = format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nGET \
             POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n\
             POST /echo HTTP/1.1\r\nHost: a\r\n{both}\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"
        );
        let answer = exchange(server.addr, sent.as_bytes()).await;
        let statuses: Vec<_> = answer.split("HTTP/1.1 ").skip(1).map(|rest| &rest[..3]).collect();
        assert_eq!(statuses, ["200", "200", "400"], "{answer}");
        assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
    }
}

#[tokio::test]
async fn r31_framing_that_hyper_refuses_is_400() {
    let server = start(router(), options(Limits::default())).await;
    for bad in [
        "Content-Length: 1\r\nContent-Length: 2",
        "Content-Length: -1",
        "Content-Length: 1e3",
        "Content-Length : 1",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: chunked, identity",
        "A: b\r\n folded: c",
    ] {
        let sent = format!("POST /echo HTTP/1.1\r\nHost: a\r\n{bad}\r\n\r\n0\r\n\r\n");
        let answer = exchange(server.addr, sent.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{bad}: {answer}");
    }
}

#[tokio::test]
async fn r13_an_answer_before_the_end_of_a_body_reaches_a_client_that_still_sends() {
    let refuse = axum::Router::new()
        .route("/", axum::routing::any(async || axum::http::StatusCode::PAYLOAD_TOO_LARGE));
    let server = start(refuse, options(Limits::default())).await;
    let mut sent = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n".to_vec();
    sent.resize(3_000_000, b'x');
    for _ in 0..10 {
        let mut stream = connect(server.addr).await;
        // Many clients give up on the first byte that they cannot send, and never read why.
        for piece in sent.chunks(100_000) {
            stream.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        let answer = String::from_utf8(read_all(&mut stream).await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    }
}

#[tokio::test]
async fn a_request_of_http_1_1_without_a_host_or_with_two_is_400() {
    let server = start(router(), options(Limits::default())).await;
    for (version, hosts, status) in [
        ("1.1", "", "400"),
        ("1.1", "Host: a\r\nHost: b\r\n", "400"),
        ("1.1", "Host: a\r\nhost: a\r\n", "400"),
        ("1.1", "Host: a\r\n", "200"),
        ("1.1", "Host:\r\n", "200"),
        ("1.0", "", "200"),
    ] {
        let sent = format!("GET / HTTP/{version}\r\n{hosts}Connection: close\r\n\r\n");
        let answer = exchange(server.addr, sent.as_bytes()).await;
        assert!(answer.get(9..12) == Some(status), "{hosts:?}: {answer}");
    }
}
