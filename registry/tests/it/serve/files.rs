//! Files by sendfile: the bytes are the file's, whatever comes between.

use std::{
    fmt::Write as _, fs::File, io::Write as _, ops::Range, os::unix::fs::FileExt, sync::Arc, time::Duration,
};

use axum::{
    Extension, Router,
    body::{Body, Bytes},
    extract::{Query, State},
    response::Response,
    routing::get,
};
use berth_registry::http::serve::{Limits, Outlet, file_body};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};

use super::{PATIENCE, Server, connect, options, read_all, read_answer, start};

const SIZE: u64 = 10 << 20;

/// Bytes in which no two places look alike.
fn content() -> Vec<u8> {
    (0..SIZE / 8).flat_map(|word| word.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes()).collect()
}

fn file() -> Arc<File> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&content()).unwrap();
    Arc::new(file)
}

#[derive(serde::Deserialize)]
struct Ask {
    start: u64,
    end: u64,
    #[serde(default)]
    small: bool,
}

async fn answer(
    State(file): State<Arc<File>>,
    outlet: Option<Extension<Outlet>>,
    Query(ask): Query<Ask>,
) -> Response {
    if ask.small {
        let mut bytes = vec![0; at(&(ask.start..ask.end)).len()];
        file.read_exact_at(&mut bytes, ask.start).unwrap();
        return Response::new(Body::from(bytes));
    }
    Response::new(file_body(outlet.as_ref().map(|outlet| &outlet.0), file, ask.start..ask.end))
}

fn at(range: &Range<u64>) -> Range<usize> {
    usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()
}

async fn server(file: Arc<File>) -> Server {
    start(Router::new().route("/", get(answer)).with_state(file), options(Limits::default())).await
}

fn request(method: &str, range: &Range<u64>, small: bool) -> String {
    format!("{method} /?start={}&end={}&small={small} HTTP/1.1\r\nHost: a\r\n\r\n", range.start, range.end)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_files_and_memory_in_any_mix_are_byte_for_byte_right() {
    let (server, content) = (server(file()).await, content());
    let ask = (0..SIZE, 0..=SIZE, any::<bool>(), 0..8_u8).prop_map(|(start, end, small, method)| {
        let end = end.max(start);
        // Memory answers are short, as they are in life.
        let end = if small { end.min(start + 5000) } else { end };
        (start..end, small, method == 0)
    });
    let pause = proptest::option::weighted(0.1, 1..20_u64);
    let plan = (proptest::collection::vec(ask, 1..12), any::<bool>(), pause);
    let mut runner = TestRunner::deterministic();
    for _ in 0..60 {
        let (asks, pipelined, pause) = plan.new_tree(&mut runner).unwrap().current();
        let mut stream = connect(server.addr).await;
        let mut requests = String::new();
        for (range, small, head_only) in &asks {
            write!(requests, "{}", request(if *head_only { "HEAD" } else { "GET" }, range, *small)).unwrap();
        }
        if pipelined {
            stream.write_all(requests.as_bytes()).await.unwrap();
        }
        for (range, small, head_only) in &asks {
            if !pipelined {
                stream
                    .write_all(request(if *head_only { "HEAD" } else { "GET" }, range, *small).as_bytes())
                    .await
                    .unwrap();
            }
            if let Some(pause) = pause {
                sleep(Duration::from_millis(pause)).await;
            }
            let expected = &content[at(range)];
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap().to_lowercase();
            assert!(head.contains(&format!("content-length: {}\r\n", expected.len())), "{head}");
            let mut body = vec![0; if *head_only { 0 } else { expected.len() }];
            timeout(PATIENCE, stream.read_exact(&mut body)).await.unwrap().unwrap();
            assert!(*head_only || body == expected, "{range:?} differs");
        }
    }
}

#[tokio::test]
async fn http2_and_http10_get_the_same_bytes() {
    let (server, content) = (server(file()).await, content());
    let url = format!("http://{}/?start=12345&end={SIZE}", server.addr);
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    assert!(client.get(url).send().await.unwrap().bytes().await.unwrap() == content[12345..]);
    let mut stream = connect(server.addr).await;
    stream.write_all(format!("GET /?start=7&end={SIZE} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(answer.ends_with(&content[7..]));
    assert!(!answer.ends_with(&content[6..]));
}

#[tokio::test]
async fn a_file_shorter_than_its_range_ends_the_connection_and_is_never_padded() {
    let file = file();
    file.set_len(SIZE - 1000).unwrap();
    let (server, content) = (server(file).await, content());
    let mut stream = connect(server.addr).await;
    stream.write_all(request("GET", &(100..SIZE), false).as_bytes()).await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(answer.ends_with(&content[100..usize::try_from(SIZE).unwrap() - 1000]));
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let url = format!("http://{}/?start=100&end={SIZE}", server.addr);
    assert!(client.get(url).send().await.unwrap().bytes().await.is_err());
}

/// Layers that must not be put around file bodies: what they would do to them has to end the connection.
#[tokio::test]
async fn a_body_that_was_copied_held_back_or_cut_closes_the_connection_before_a_wrong_byte() {
    type Change = fn(Vec<Bytes>) -> Vec<Bytes>;
    let changes: [(&str, Change); 4] = [
        ("copied", |frames| frames.iter().map(|frame| Bytes::copy_from_slice(frame)).collect()),
        ("one dropped", |frames| frames[1..].to_vec()),
        ("one cut", |mut frames| {
            frames[0].truncate(1000);
            frames
        }),
        ("swapped for text", |mut frames| {
            frames[0] = Bytes::from_static(b"text");
            frames
        }),
    ];
    for (name, change) in changes {
        let changed = async move |State(file): State<Arc<File>>, Extension(outlet): Extension<Outlet>| {
            let mut body = file_body(Some(&outlet), file, 0..9_000_000).into_data_stream();
            let mut frames = Vec::new();
            while let Some(frame) = futures_util::StreamExt::next(&mut body).await {
                frames.push(frame.unwrap());
            }
            let frames = change(frames).into_iter().map(Ok::<_, std::convert::Infallible>);
            Response::new(Body::from_stream(futures_util::stream::iter(frames)))
        };
        let router = Router::new().route("/", get(changed)).with_state(file());
        let server = start(router, options(Limits::default())).await;
        let mut stream = connect(server.addr).await;
        stream.write_all(super::GET).await.unwrap();
        let answer = read_all(&mut stream).await;
        assert!(!answer.windows(64).any(|window| window == [0; 64]), "{name}: bytes of the region went out");
        assert!(!answer.ends_with(b"0\r\n\r\n"), "{name}: the answer looks whole");
    }
}

#[tokio::test]
async fn a_chunked_file_body_is_sent_right() {
    let chunked = async |State(file): State<Arc<File>>, Extension(outlet): Extension<Outlet>| {
        let body = file_body(Some(&outlet), file, 0..9_000_000).into_data_stream();
        Response::new(Body::from_stream(body))
    };
    let server =
        start(Router::new().route("/", get(chunked)).with_state(file()), options(Limits::default())).await;
    let url = format!("http://{}/", server.addr);
    let answer = reqwest::get(url).await.unwrap();
    assert_eq!(answer.content_length(), None);
    assert!(answer.bytes().await.unwrap() == content()[..9_000_000]);
}

#[tokio::test]
async fn a_client_that_stops_reading_a_file_does_not_keep_others_waiting() {
    let server = server(file()).await;
    let mut stalled = connect(server.addr).await;
    let all = request("GET", &(0..SIZE), false).repeat(20);
    stalled.write_all(all.as_bytes()).await.unwrap();
    let mut other = connect(server.addr).await;
    other.write_all(request("GET", &(0..1000), false).as_bytes()).await.unwrap();
    assert_eq!(read_answer(&mut other).await.1, content()[..1000]);
}
