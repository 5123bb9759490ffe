//! Registries that are wrong on purpose.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What is wrong with a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// It answers this status to everything but the version check.
    Always(u16),
    /// It believes every client: what is put somewhere is there, whatever its digest, and nothing
    /// is ever refused.
    Believes,
    /// The same, and one bit of what it gives back is another.
    FlipsABit,
}

type Store = Arc<Mutex<HashMap<String, Vec<u8>>>>;

/// Starts one; gives its URL. It ends with the test's runtime.
pub(crate) async fn start(wrong: Wrong) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("a bound socket"));
    let store = Store::default();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.expect("a connection");
            let store = Arc::clone(&store);
            tokio::spawn(async move { serve(socket, wrong, &store).await });
        }
    });
    url
}

/// One request, one answer, and the end. A client that goes away is its own affair.
async fn serve(mut socket: TcpStream, wrong: Wrong, store: &Store) -> Option<()> {
    let (head, body) = read_request(&mut socket).await?;
    let mut words = head.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let answer = match wrong {
        _ if path == "/v2/" => "200 OK\r\ncontent-length: 0".to_owned(),
        Wrong::Always(status) => format!("{status} So\r\nlocation: {path}\r\ncontent-length: 0"),
        Wrong::Believes | Wrong::FlipsABit => {
            let flips = wrong == Wrong::FlipsABit;
            let (head, body) = believe(method, path, query, body, flips, store);
            let text =
                format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            socket.write_all(text.as_bytes()).await.ok()?;
            if method != "HEAD" {
                socket.write_all(&body).await.ok()?;
            }
            return socket.shutdown().await.ok();
        }
    };
    socket.write_all(format!("HTTP/1.1 {answer}\r\nconnection: close\r\n\r\n").as_bytes()).await.ok()?;
    socket.shutdown().await.ok()
}

fn believe(
    method: &str,
    path: &str,
    query: &str,
    body: Vec<u8>,
    flips: bool,
    store: &Store,
) -> (String, Vec<u8>) {
    let mut store = store.lock().expect("no holder panics");
    let digest =
        query.split('&').find_map(|pair| pair.strip_prefix("digest=")).map(|text| text.replace("%3A", ":"));
    match (method, digest) {
        ("POST", None) => (format!("202 So\r\nlocation: {path}{}", store.len()), Vec::new()),
        ("PATCH", _) => {
            let staged = store.entry(path.to_owned()).or_default();
            staged.extend(body);
            (format!("202 So\r\nlocation: {path}\r\nrange: 0-{}", staged.len().saturating_sub(1)), Vec::new())
        }
        ("POST" | "PUT", Some(digest)) => {
            let mut bytes = store.remove(path).unwrap_or_default();
            bytes.extend(body);
            let at = format!("{}/blobs/{digest}", path.split("/blobs/").next().unwrap_or_default());
            store.insert(at.clone(), bytes);
            (format!("201 So\r\nlocation: {at}"), Vec::new())
        }
        ("PUT", None) => {
            store.insert(path.to_owned(), body);
            (format!("201 So\r\nlocation: {path}"), Vec::new())
        }
        _ => match store.get(path) {
            None => ("404 So".to_owned(), Vec::new()),
            Some(bytes) => {
                let mut bytes = bytes.clone();
                if let Some(first) = bytes.first_mut().filter(|_| flips) {
                    *first ^= 1;
                }
                ("200 OK\r\ncontent-type: application/octet-stream".to_owned(), bytes)
            }
        },
    }
}

/// Head and body of a request; none where it is cut off.
async fn read_request(socket: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            break at + 4;
        }
        read_more(socket, &mut bytes).await?;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut body = bytes.split_off(end);
    if head.contains("transfer-encoding: chunked") {
        // More than any case sends that means to end.
        while !body.ends_with(b"0\r\n\r\n") && body.len() < 40 << 20 {
            read_more(socket, &mut body).await?;
        }
        return Some((text, unchunked(&body)));
    }
    let length =
        head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.trim().parse().ok());
    let length: usize = length.unwrap_or(0).min(64 << 20);
    while body.len() < length {
        read_more(socket, &mut body).await?;
    }
    Some((text, body))
}

async fn read_more(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    let mut buffer = vec![0; 64 * 1024];
    match socket.read(&mut buffer).await {
        Ok(length @ 1..) => bytes.extend_from_slice(&buffer[..length]),
        Ok(0) | Err(_) => return None,
    }
    Some(())
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(at) = rest.windows(2).position(|end| end == b"\r\n") {
        let size = usize::from_str_radix(&String::from_utf8_lossy(&rest[..at]), 16).unwrap_or(0);
        if size == 0 || rest.len() < at + 2 + size {
            break;
        }
        bytes.extend_from_slice(&rest[at + 2..at + 2 + size]);
        rest = rest.get(at + 4 + size..).unwrap_or_default();
    }
    bytes
}
