//! F21: stopping while requests are under way.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Router, body::Body, http::StatusCode, routing::any};
use berth_registry::http::serve::{BodyFault, Limits, Options};
use futures_util::StreamExt;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::Notify,
    time::{sleep, timeout},
};

use super::{GET, PATIENCE, Server, connect, options, read_all, read_answer, router, start};

#[derive(Default)]
struct Upload {
    begun: Notify,
    saved: Mutex<Option<(usize, BodyFault)>>,
}

/// Takes a body; when it is cut, saves (which takes a while) and answers 503.
async fn uploading(drain: Duration) -> (Server, Arc<Upload>) {
    let upload = Arc::new(Upload::default());
    let seen = upload.clone();
    let router = Router::new().route(
        "/",
        any(async move |body: Body| {
            let (mut body, mut bytes) = (body.into_data_stream(), 0);
            while let Some(chunk) = body.next().await {
                match chunk {
                    Ok(chunk) => bytes += chunk.len(),
                    Err(error) => {
                        sleep(Duration::from_millis(300)).await;
                        *seen.saved.lock().unwrap() = Some((bytes, BodyFault::of(&error)));
                        return (StatusCode::SERVICE_UNAVAILABLE, String::new());
                    }
                }
                seen.begun.notify_one();
            }
            (StatusCode::CREATED, bytes.to_string())
        }),
    );
    (start(router, Options { drain, ..options(Limits::default()) }).await, upload)
}

#[tokio::test]
async fn f21_an_upload_that_ends_within_the_drain_is_answered() {
    let (server, upload) = uploading(Duration::from_secs(10)).await;
    let mut stream = connect(server.addr).await;
    stream.write_all(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345").await.unwrap();
    upload.begun.notified().await;
    server.shutdown.stop.cancel();
    sleep(Duration::from_millis(200)).await;
    stream.write_all(b"67890").await.unwrap();
    let (head, body) = read_answer(&mut stream).await;
    assert!(head.starts_with("http/1.1 201"), "{head}");
    assert!(head.contains("connection: close"), "{head}");
    assert_eq!(body, b"10");
    timeout(PATIENCE, server.running).await.unwrap().unwrap();
}

#[tokio::test]
async fn f21_an_upload_at_the_end_of_the_drain_is_cut_saved_and_answered() {
    let (server, upload) = uploading(Duration::from_millis(300)).await;
    let mut stream = connect(server.addr).await;
    stream.write_all(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345").await.unwrap();
    upload.begun.notified().await;
    server.shutdown.stop.cancel();
    let (head, _) = read_answer(&mut stream).await;
    assert!(head.starts_with("http/1.1 503"), "{head}");
    timeout(PATIENCE, server.running).await.unwrap().unwrap();
    assert_eq!(*upload.saved.lock().unwrap(), Some((5, BodyFault::Draining)));
}

#[tokio::test]
async fn f21_an_upload_that_never_pauses_is_cut_too() {
    let (server, upload) = uploading(Duration::from_millis(300)).await;
    let (_read, mut write) = connect(server.addr).await.into_split();
    let flood = tokio::spawn(async move {
        write.write_all(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000000\r\n\r\n").await.unwrap();
        while write.write_all(&[0; 64 << 10]).await.is_ok() {}
    });
    upload.begun.notified().await;
    server.shutdown.stop.cancel();
    timeout(PATIENCE, server.running).await.unwrap().unwrap();
    assert_eq!(upload.saved.lock().unwrap().unwrap().1, BodyFault::Draining);
    flood.abort();
}

#[tokio::test]
async fn f21_an_upload_whose_client_goes_is_saved() {
    let (server, upload) = uploading(Duration::from_secs(10)).await;
    let mut stream = connect(server.addr).await;
    stream.write_all(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345").await.unwrap();
    upload.begun.notified().await;
    drop(stream);
    server.count.until(|count| count.open() == 0).await;
    // The connection is gone, the handler is not: stopping waits for it.
    server.shutdown.stop.cancel();
    timeout(PATIENCE, server.running).await.unwrap().unwrap();
    assert_eq!(*upload.saved.lock().unwrap(), Some((5, BodyFault::Cut)));
}

#[tokio::test]
async fn f21_what_writes_goes_on_to_its_end_though_its_client_has_gone() {
    let (begun, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begin, end) = (begun.clone(), ended.clone());
    let commit = async move || {
        begin.notify_one();
        sleep(Duration::from_millis(300)).await;
        end.notify_one();
    };
    let server = start(Router::new().route("/", any(commit)), options(Limits::default())).await;
    let mut stream = connect(server.addr).await;
    stream.write_all(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx").await.unwrap();
    begun.notified().await;
    drop(stream);
    server.count.until(|count| count.open() == 0).await;
    timeout(PATIENCE, ended.notified()).await.expect("the handler was dropped");
}

#[tokio::test]
async fn f21_idle_connections_are_closed_and_new_ones_refused_at_once() {
    let server = start(router(), options(Limits::default())).await;
    let mut idle = connect(server.addr).await;
    idle.write_all(GET).await.unwrap();
    read_answer(&mut idle).await;
    let mut silent = connect(server.addr).await;
    server.count.until(|count| count.open() == 2).await;
    let began = Instant::now();
    server.shutdown.stop.cancel();
    assert_eq!(read_all(&mut idle).await, b"");
    assert_eq!(read_all(&mut silent).await, b"");
    timeout(PATIENCE, server.running).await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(TcpStream::connect(server.addr).await.is_err());
}
