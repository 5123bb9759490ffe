//! R29: clients that are slow on purpose.

use std::time::{Duration, Instant};

use axum::{Router, body::Body, routing::get};
use berth_registry::http::serve::Limits;
use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{interval, sleep},
};

use super::{GET, connect, options, read_all, read_answer, router, start};

fn limits() -> Limits {
    Limits {
        head_timeout: Duration::from_millis(300),
        idle_timeout: Duration::from_millis(900),
        write_timeout: Duration::from_millis(400),
        body_window: Duration::from_millis(300),
        ..Limits::default()
    }
}

#[tokio::test]
async fn r29_a_head_that_never_ends_is_closed() {
    let server = start(router(), options(limits())).await;
    for start in [&b""[..], b"G", b"PRI * HTTP/2.0\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n"] {
        let mut stream = connect(server.addr).await;
        stream.write_all(start).await.unwrap();
        let began = Instant::now();
        assert_eq!(read_all(&mut stream).await, b"");
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn r29_a_head_that_comes_byte_by_byte_is_closed() {
    let server = start(router(), options(limits())).await;
    let (mut read, mut write) = connect(server.addr).await.into_split();
    let began = Instant::now();
    let trickle = tokio::spawn(async move {
        let mut each = interval(Duration::from_millis(20));
        while write.write_all(b"x").await.is_ok() {
            each.tick().await;
        }
    });
    let mut rest = Vec::new();
    let _reset_is_an_end = read.read_to_end(&mut rest).await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    trickle.abort();
}

#[tokio::test]
async fn r29_an_idle_connection_is_kept_for_its_own_time_and_then_closed() {
    let server = start(router(), options(limits())).await;
    let mut stream = connect(server.addr).await;
    for _ in 0..2 {
        stream.write_all(GET).await.unwrap();
        assert_eq!(read_answer(&mut stream).await.1, b"hello");
        // Longer than a head may take.
        sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(read_all(&mut stream).await, b"");
    // A second head is held to the same time as the first.
    let mut stream = connect(server.addr).await;
    stream.write_all(GET).await.unwrap();
    read_answer(&mut stream).await;
    stream.write_all(b"GET /").await.unwrap();
    let began = Instant::now();
    assert_eq!(read_all(&mut stream).await, b"");
    assert!(began.elapsed() < Duration::from_millis(800), "{:?}", began.elapsed());
}

#[tokio::test]
async fn r29_a_body_that_comes_too_slowly_is_408() {
    let server = start(router(), options(limits())).await;
    for head in ["Content-Length: 100000", "Transfer-Encoding: chunked"] {
        let (mut read, mut write) = connect(server.addr).await.into_split();
        let head = format!("PUT /echo HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n");
        write.write_all(head.as_bytes()).await.unwrap();
        let trickle = tokio::spawn(async move {
            let mut each = interval(Duration::from_millis(30));
            while write.write_all(b"1\r\nx\r\n").await.is_ok() {
                each.tick().await;
            }
        });
        let mut answer = Vec::new();
        let _reset_is_an_end = read.read_to_end(&mut answer).await;
        assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
        trickle.abort();
    }
}

#[tokio::test]
async fn r29_a_body_just_fast_enough_is_taken_however_long_it_is() {
    let server = start(router(), options(limits())).await;
    let mut stream = connect(server.addr).await;
    stream.write_all(b"PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n").await.unwrap();
    for _ in 0..9 {
        sleep(Duration::from_millis(120)).await;
        stream.write_all(&[0; 1000]).await.unwrap();
    }
    assert_eq!(read_answer(&mut stream).await.1, b"9000");
}

#[tokio::test]
async fn r29_a_handler_that_is_slow_is_not_held_against_the_client() {
    let slow = Router::new().route(
        "/",
        get(async |body: Body| {
            let mut body = http_body_util::BodyExt::into_data_stream(body);
            let mut bytes = 0;
            while let Some(chunk) = futures_util::StreamExt::next(&mut body).await {
                match chunk {
                    Ok(chunk) => bytes += chunk.len(),
                    Err(error) => return super::fault(&error),
                }
                sleep(Duration::from_millis(500)).await;
            }
            axum::response::IntoResponse::into_response(bytes.to_string())
        }),
    );
    let server = start(slow, options(limits())).await;
    let mut stream = connect(server.addr).await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na").await.unwrap();
    for byte in [b"b", b"c"] {
        sleep(Duration::from_millis(100)).await;
        stream.write_all(byte).await.unwrap();
    }
    assert_eq!(read_answer(&mut stream).await.1, b"3");
}

#[tokio::test]
async fn r29_a_client_that_does_not_read_is_closed() {
    let endless = Router::new().route(
        "/",
        get(async || {
            Body::from_stream(futures_util::stream::repeat_with(|| {
                Ok::<_, std::convert::Infallible>(Bytes::from_static(&[7; 64 << 10]))
            }))
        }),
    );
    let server = start(endless, options(limits())).await;
    let mut stream = connect(server.addr).await;
    stream.write_all(GET).await.unwrap();
    server.count.until(|count| count.open() == 1).await;
    let began = Instant::now();
    server.count.until(|count| count.open() == 0).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    drop(stream);
}

#[tokio::test]
async fn r29_a_client_that_reads_slowly_but_steadily_gets_everything() {
    const SIZE: usize = 24 << 20;
    let big = Router::new().route("/", get(async || Bytes::from(vec![7; SIZE])));
    let server = start(big, options(limits())).await;
    let mut stream = connect(server.addr).await;
    stream.write_all(GET).await.unwrap();
    let (mut got, mut buf) = (0, vec![0; 1 << 20]);
    loop {
        match stream.read(&mut buf).await.unwrap() {
            0 => panic!("closed after {got}"),
            read => got += read,
        }
        if got >= SIZE {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn r29_a_client_that_reads_a_little_now_and_then_is_closed() {
    let endless = Router::new().route(
        "/",
        get(async || {
            Body::from_stream(futures_util::stream::repeat_with(|| {
                Ok::<_, std::convert::Infallible>(Bytes::from_static(&[7; 64 << 10]))
            }))
        }),
    );
    // Never so long without a byte that the time-out of one write would end it.
    let limits = Limits {
        write_timeout: Duration::from_secs(60),
        write_window: Duration::from_secs(1),
        write_rate: "64MiB".parse().unwrap(),
        ..Limits::default()
    };
    let server = start(endless, options(limits)).await;
    let mut stream = connect(server.addr).await;
    stream.write_all(GET).await.unwrap();
    let trickle = tokio::spawn(async move {
        let mut buf = vec![0; 100_000];
        while stream.read(&mut buf).await.is_ok_and(|read| read > 0) {
            sleep(Duration::from_millis(20)).await;
        }
    });
    server.count.until(|count| count.open() == 1).await;
    server.count.until(|count| count.open() == 0).await;
    trickle.abort();
}
