//! R30: more connections than fit.

use std::time::{Duration, Instant};

use axum::{Router, routing::get};
use berth_registry::http::serve::Limits;
use tokio::{io::AsyncWriteExt, time::sleep};

use super::{GET, connect, options, read_answer, router, start};

#[tokio::test]
async fn r30_a_flood_of_silent_connections_keeps_nobody_out_and_the_cap_holds() {
    let server = start(router(), options(Limits { connections: 32, ..Limits::default() })).await;
    let mut flood = Vec::new();
    for _ in 0..100 {
        flood.push(connect(server.addr).await);
    }
    let began = Instant::now();
    let mut good = connect(server.addr).await;
    good.write_all(GET).await.unwrap();
    assert_eq!(read_answer(&mut good).await.1, b"hello");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(server.count.open() <= 32, "{}", server.count.open());
    drop(flood);
}

#[tokio::test]
async fn r30_busy_connections_are_not_closed_for_others_who_wait_for_their_end() {
    let slow = Router::new().route(
        "/",
        get(async || {
            sleep(Duration::from_millis(700)).await;
            "hello"
        }),
    );
    let server = start(slow, options(Limits { connections: 4, ..Limits::default() })).await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(tokio::spawn(async move {
            let mut stream = connect(server.addr).await;
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
            read_answer(&mut stream).await.1
        }));
    }
    for client in clients {
        assert_eq!(client.await.unwrap(), b"hello");
    }
}
