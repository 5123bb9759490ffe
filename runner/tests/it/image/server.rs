//! A registry of one image that may say no, or stand still in the middle of a layer.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use super::layout::{Layer, Layout, digest};

/// How it behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// Everything is served.
    Plain,
    /// Whoever comes is asked for a password that nobody has.
    Closed,
    /// A token is wanted, which `reader` gets by the password `secret`.
    Tokened,
    /// Of layers half is sent, and then nothing more.
    Stalling,
}

/// The server; its thread ends with the test's process.
pub(super) struct Server {
    port: u16,
    state: Arc<State>,
}

struct State {
    mood: Mood,
    content: HashMap<String, (String, Vec<u8>)>,
    /// Layers that were asked for.
    layers: AtomicUsize,
    stalled: AtomicBool,
    over: AtomicBool,
}

impl Server {
    pub(super) fn new(layout: &Layout, layers: &[Layer], mood: Mood) -> Self {
        let manifest = "application/vnd.oci.image.manifest.v1+json".to_owned();
        let mut content = HashMap::new();
        for name in ["1".to_owned(), layout.digest().to_string()] {
            content
                .insert(format!("/v2/image/manifests/{name}"), (manifest.clone(), layout.manifest.clone()));
        }
        let blobs = layers.iter().map(|layer| &layer.bytes).chain([&layout.config]);
        for blob in blobs {
            let octets = "application/octet-stream".to_owned();
            content.insert(format!("/v2/image/blobs/{}", digest(blob)), (octets, blob.clone()));
        }
        content.insert("/v2/".to_owned(), ("application/json".to_owned(), b"{}".to_vec()));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (layers, stalled, over) = (AtomicUsize::new(0), AtomicBool::new(false), AtomicBool::new(false));
        let state = Arc::new(State { mood, content, layers, stalled, over });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let (Ok(connection), state) = (connection, Arc::clone(&shared)) else { continue };
                thread::spawn(move || state.serve(connection));
            }
        });
        Self { port, state }
    }

    /// `127.0.0.1:PORT/image:1`.
    pub(super) fn name(&self) -> String {
        format!("127.0.0.1:{}/image:1", self.port)
    }

    /// How many layers were asked for.
    pub(super) fn layers(&self) -> usize {
        self.state.layers.load(Ordering::SeqCst)
    }

    /// Waits until a layer was half sent.
    pub(super) fn wait_for_half(&self) {
        for _ in 0..6000 {
            if self.state.stalled.load(Ordering::SeqCst) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("no layer was asked for within a minute");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::SeqCst);
    }
}

impl State {
    fn serve(&self, mut connection: TcpStream) {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            match connection.read(&mut byte) {
                // TLS begins with 22: only plain HTTP is spoken here.
                Ok(1) if !(head.is_empty() && byte[0] == 22) => head.push(byte[0]),
                _ => return,
            }
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut words = head.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        if self.mood == Mood::Closed {
            let answer = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"closed\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _gone = connection.write_all(answer.as_bytes());
            return;
        }
        if self.mood == Mood::Tokened
            && let Some(answer) = tokened(&head, path)
        {
            let _gone = connection.write_all(answer.as_bytes());
            return;
        }
        let Some((media_type, body)) = self.content.get(path) else {
            let _gone = connection
                .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            return;
        };
        let digest = digest(body);
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\nDocker-Content-Digest: {digest}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        if connection.write_all(answer.as_bytes()).is_err() || method == "HEAD" {
            return;
        }
        let is_layer = path.contains("/blobs/") && !body.starts_with(b"{");
        if is_layer {
            self.layers.fetch_add(1, Ordering::SeqCst);
        }
        if self.mood == Mood::Stalling && is_layer {
            let _gone = connection.write_all(&body[..body.len() / 2]).and_then(|()| connection.flush());
            self.stalled.store(true, Ordering::SeqCst);
            while !self.over.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(20));
            }
            return;
        }
        let _gone = connection.write_all(body);
    }
}

/// What who has no token is told, and who asks for one; `None` for who has it.
fn tokened(head: &str, path: &str) -> Option<String> {
    let header = |wanted: &str| {
        head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    };
    let said = header("authorization").unwrap_or_default();
    let body = r#"{"token":"t0k3n","expires_in":300}"#;
    let (status, more, body) = if path.starts_with("/token?") {
        // reader:secret
        if said == "Basic cmVhZGVyOnNlY3JldA==" {
            ("200 OK", String::new(), body)
        } else {
            ("401 Unauthorized", String::new(), "")
        }
    } else if said == "Bearer t0k3n" {
        return None;
    } else {
        let host = header("host").unwrap_or_default();
        let realm = format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\",service=\"test\"\r\n");
        ("401 Unauthorized", realm, "")
    };
    let length = body.len();
    Some(format!("HTTP/1.1 {status}\r\n{more}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"))
}
