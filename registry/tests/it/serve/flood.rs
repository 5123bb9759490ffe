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

/// An answer in memory is handed to the connection whole, long before a slow client has it.
#[tokio::test]
async fn r30_an_answer_still_being_sent_is_not_cut_for_others_who_wait() {
    const SIZE: usize = 32 << 20;
    let router = router().route("/big", get(async || vec![7_u8; SIZE]));
    let server = start(router, options(Limits { connections: 2, ..Limits::default() })).await;
    let mut slow = connect(server.addr).await;
    slow.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    slow.readable().await.unwrap();
    let _others = [connect(server.addr).await, connect(server.addr).await, connect(server.addr).await];
    // Longer than a connection that is told to go has for its goodbye.
    sleep(Duration::from_secs(3)).await;
    assert_eq!(read_answer(&mut slow).await.1.len(), SIZE);
}

#[tokio::test]
async fn r30_a_request_that_comes_as_its_connection_is_told_to_go_is_answered() {
    let slow = Router::new().route(
        "/",
        get(async || {
            sleep(Duration::from_millis(2500)).await;
            "hello"
        }),
    );
    // Full from the first connection on, which is told to go as soon as it is in.
    let server = start(slow, options(Limits { connections: 1, ..Limits::default() })).await;
    let mut stream = connect(server.addr).await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert_eq!(read_answer(&mut stream).await.1, b"hello");
}
