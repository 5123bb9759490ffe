//! HTTP/2 without TLS, and R32: its floods, in raw frames.

use std::time::Duration;

use axum::{Router, body::Body, routing::get};
use berth_registry::http::serve::Limits;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{PATIENCE, connect, options, router, start};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `GET http://a/` by HPACK: three entries of the static table and a literal authority.
const HEAD: &[u8] = &[0x82, 0x86, 0x84, 0x41, 1, b'a'];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

async fn open(addr: std::net::SocketAddr) -> TcpStream {
    let mut stream = connect(addr).await;
    stream.write_all(PREFACE).await.unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    stream
}

/// Reads frames until GOAWAY (`Some(error code)`) or the end.
async fn goaway(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<u32> {
    let read = async {
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.ok()?;
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            stream.read_exact(&mut payload).await.ok()?;
            if head[3] == GOAWAY {
                return Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
            }
        }
    };
    timeout(PATIENCE, read).await.expect("neither GOAWAY nor an end")
}

#[tokio::test]
async fn http2_is_spoken_without_tls_by_prior_knowledge() {
    let host = Router::new()
        .route("/", get(async |headers: axum::http::HeaderMap| headers["host"].to_str().unwrap().to_owned()));
    let server = start(host, options(Limits::default())).await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let answer = client.get(format!("http://{}/", server.addr)).send().await.unwrap();
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    assert_eq!(answer.text().await.unwrap(), server.addr.to_string());
}

#[tokio::test]
async fn r32_requests_reset_in_one_burst_end_in_goaway() {
    let server = start(router(), options(Limits::default())).await;
    let mut stream = open(server.addr).await;
    let mut burst = Vec::new();
    for id in (1..2001).step_by(2) {
        burst.extend(frame(HEADERS, END_STREAM | END_HEADERS, id, HEAD));
        burst.extend(frame(RST_STREAM, 0, id, &8_u32.to_be_bytes()));
    }
    let (mut read, mut write) = stream.split();
    let (_, code) = tokio::join!(write.write_all(&burst), goaway(&mut read));
    assert_eq!(code, Some(11), "ENHANCE_YOUR_CALM");
}

#[tokio::test]
async fn r32_requests_reset_one_by_one_end_in_goaway() {
    let slow = Router::new().route("/", get(async || sleep(PATIENCE).await));
    let server = start(slow, options(Limits::default())).await;
    let stream = open(server.addr).await;
    let (mut read, mut write) = stream.into_split();
    // Each is let to reach its handler before it is taken back, so that no library's own limit counts it.
    let flood = tokio::spawn(async move {
        for id in (1..20_001).step_by(2) {
            let begin = frame(HEADERS, END_STREAM | END_HEADERS, id, HEAD);
            if write.write_all(&begin).await.is_err() {
                return id;
            }
            sleep(Duration::from_millis(2)).await;
            if write.write_all(&frame(RST_STREAM, 0, id, &8_u32.to_be_bytes())).await.is_err() {
                return id;
            }
        }
        20_001
    });
    assert_eq!(goaway(&mut read).await, Some(0));
    drop(read);
    assert!(flood.await.unwrap() < 2000);
}

#[tokio::test]
async fn r32_continuations_without_end_are_goaway() {
    let server = start(router(), options(Limits::default())).await;
    let mut stream = open(server.addr).await;
    let mut flood = frame(HEADERS, END_STREAM, 1, HEAD);
    for _ in 0..20_000 {
        // A literal header that is not indexed: name and value of one byte.
        flood.extend(frame(CONTINUATION, 0, 1, &[0, 1, b'x', 1, b'y']));
    }
    let (mut read, mut write) = stream.split();
    let (_, code) = tokio::join!(write.write_all(&flood), goaway(&mut read));
    assert!(code.is_some_and(|code| code != 0), "{code:?}");
}

#[tokio::test]
async fn r31_a_head_too_big_for_http2_is_431() {
    let server = start(router(), options(Limits::default())).await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let answer =
        client.get(format!("http://{}/", server.addr)).header("big", "x".repeat(100_000)).send().await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status() == 431));
}

#[tokio::test]
async fn r29_a_client_of_http2_whose_window_stays_shut_is_closed() {
    let endless = get(async || {
        Body::from_stream(futures_util::stream::repeat_with(|| {
            Ok::<_, std::convert::Infallible>("x".repeat(50_000))
        }))
    });
    let router = Router::new().route("/", endless);
    let limits = Limits { write_timeout: Duration::from_millis(400), ..Limits::default() };
    let server = start(router, options(limits)).await;
    let mut stream = open(server.addr).await;
    stream.write_all(&frame(HEADERS, END_STREAM | END_HEADERS, 1, HEAD)).await.unwrap();
    // Everything is read, but no window is ever opened again.
    assert_eq!(goaway(&mut stream).await, None);
    // An answer that was handed over in one piece counts as idle.
    let big = Router::new().route("/", get(async || vec![7; 8 << 20]));
    let limits = Limits { idle_timeout: Duration::from_millis(400), ..Limits::default() };
    let server = start(big, options(limits)).await;
    let mut stream = open(server.addr).await;
    stream.write_all(&frame(HEADERS, END_STREAM | END_HEADERS, 1, HEAD)).await.unwrap();
    goaway(&mut stream).await;
    super::read_all(&mut stream).await;
}

#[tokio::test]
async fn r29_half_a_head_of_http2_is_closed() {
    let limits = Limits { head_timeout: Duration::from_millis(300), ..Limits::default() };
    let server = start(router(), options(limits)).await;
    let mut stream = open(server.addr).await;
    stream.write_all(&frame(HEADERS, END_STREAM, 1, HEAD)).await.unwrap();
    assert_eq!(goaway(&mut stream).await, None);
}
