//! The server against real sockets: R29 to R32, F21, and files by sendfile.

mod client_certificates;
mod drain;
mod files;
mod flood;
mod framing;
mod http2;
mod slow;
mod tls;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{any, get},
};
use berth_registry::http::serve::{BodyFault, Limits, Observe, Options, Shutdown, serve};
use futures_util::StreamExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
    time::timeout,
};

/// No test waits longer for what it expects.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) shutdown: Shutdown,
    pub(crate) count: Arc<Count>,
    pub(crate) running: JoinHandle<()>,
}

/// Counts connections, and waits for a count.
#[derive(Debug, Default)]
pub(crate) struct Count {
    open: AtomicUsize,
    closed: AtomicUsize,
    changed: Notify,
}

impl Count {
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    pub(crate) async fn until(&self, condition: impl Fn(&Self) -> bool) {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                if condition(self) {
                    return;
                }
                changed.await;
            }
        };
        timeout(PATIENCE, wait).await.expect("the count never came");
    }
}

impl Observe for Count {
    fn opened(&self) {
        self.open.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_waiters();
    }
    fn closed(&self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
        self.closed.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_waiters();
    }
    fn refused(&self) {}
}

pub(crate) async fn start(router: Router, mut options: Options) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, shutdown, count) =
        (listener.local_addr().unwrap(), Shutdown::default(), Arc::new(Count::default()));
    options.observer = Some(count.clone());
    let running = tokio::spawn(serve(vec![listener], router, options, shutdown.clone()));
    Server { addr, shutdown, count, running }
}

pub(crate) fn options(limits: Limits) -> Options {
    Options { limits, drain: Duration::from_secs(5), ..Options::default() }
}

/// `GET /` says hello, `/echo` counts what it is sent and maps faults as handlers do.
pub(crate) fn router() -> Router {
    Router::new().route("/", get(async || "hello")).route("/echo", any(echo))
}

async fn echo(request: Request) -> Response {
    let mut bytes = 0;
    let mut body = request.into_body().into_data_stream();
    while let Some(chunk) = body.next().await {
        match chunk {
            Ok(chunk) => bytes += chunk.len(),
            Err(error) => return fault(&error),
        }
    }
    bytes.to_string().into_response()
}

pub(crate) fn fault(error: &axum::Error) -> Response {
    match BodyFault::of(error) {
        BodyFault::TooSlow => StatusCode::REQUEST_TIMEOUT,
        BodyFault::Draining => StatusCode::SERVICE_UNAVAILABLE,
        BodyFault::Cut => StatusCode::BAD_REQUEST,
    }
    .into_response()
}

pub(crate) async fn connect(addr: SocketAddr) -> TcpStream {
    timeout(PATIENCE, TcpStream::connect(addr)).await.expect("no connection in time").unwrap()
}

/// Reads to the end; a reset is an end too.
pub(crate) async fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _reset_is_an_end =
        timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the connection stays open");
    bytes
}

/// Sends and reads to the end.
pub(crate) async fn exchange(addr: SocketAddr, sent: &[u8]) -> String {
    let mut stream = connect(addr).await;
    let (mut read, mut write) = stream.split();
    let mut bytes = Vec::new();
    let (_, _) = tokio::join!(write.write_all(sent), timeout(PATIENCE, read.read_to_end(&mut bytes)));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One answer of known length on a connection that stays open: its head and body.
pub(crate) async fn read_answer(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let answer = async {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let length = head
            .split("content-length: ")
            .nth(1)
            .map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        (head, body)
    };
    timeout(PATIENCE, answer).await.expect("no answer in time")
}

pub(crate) const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: berth\r\n\r\n";
