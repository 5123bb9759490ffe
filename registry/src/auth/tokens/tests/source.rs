//! Where keys of outside issuers come from, on a server of the test's own.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::atomic::AtomicUsize,
};

use super::{super::source::Source, *};

/// Answers every request with what a function makes of its path.
struct Server {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Server {
    fn new(answer: impl Fn(&str, SocketAddr) -> (u16, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<AtomicUsize>::default();
        let count = asked.clone();
        // It ends with the process: nothing is left behind by it.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let (mut head, mut piece) = (Vec::new(), [0; 1024]);
                while !head.windows(4).any(|window| window == b"\r\n\r\n") {
                    match stream.read(&mut piece) {
                        Ok(0) | Err(_) => break,
                        Ok(read) => head.extend_from_slice(&piece[..read]),
                    }
                }
                count.fetch_add(1, Ordering::SeqCst);
                let head = String::from_utf8_lossy(&head).into_owned();
                let (status, body) = answer(head.split(' ').nth(1).unwrap_or_default(), address);
                let answer = format!(
                    "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nLocation: /keys\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _gone = stream.write_all(answer.as_bytes());
            }
        });
        Self { address, asked }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn source(place: KeySource) -> (Source, Arc<HandClock>) {
    install_jwt_provider();
    let clock = Arc::new(HandClock(AtomicI64::new(NOW.0)));
    (Source::new("issuer", place, &Connection::default(), clock.clone()).unwrap(), clock)
}

#[tokio::test]
async fn keys_are_fetched_once_and_again_when_old_or_missing_but_not_in_a_flood() {
    let jwks = Stranger::new("k").jwks();
    let server = Server::new(move |_, _| (200, jwks.clone()));
    let (source, clock) = source(KeySource::Url(server.url("/keys")));
    assert!(source.now().is_none());
    for _ in 0..100 {
        assert!(source.keys(false).await.unwrap().has("k"));
        assert!(source.keys(true).await.is_some(), "a name that nobody knows");
    }
    assert_eq!(server.asked(), 1);
    clock.set(NOW + Duration::from_secs(10));
    source.keys(true).await;
    assert_eq!(server.asked(), 2, "a key may be new");
    clock.set(NOW + Duration::from_mins(16));
    source.keys(false).await;
    assert_eq!(server.asked(), 3, "they are old");
}

#[tokio::test]
async fn what_cannot_be_fetched_opens_nothing_and_is_tried_less_and_less_often() {
    let server = Server::new(|_, _| (500, String::new()));
    let (source, clock) = source(KeySource::Url(server.url("/keys")));
    for minute in 0..60_u64 {
        for second in 0..60_u64 {
            clock.set(NOW + Duration::from_secs(minute * 60 + second));
            assert!(source.keys(false).await.is_none());
        }
    }
    assert!((10..=20).contains(&server.asked()), "asked {} times in an hour", server.asked());
}

#[tokio::test]
async fn keys_that_were_had_serve_a_day_when_the_issuer_is_gone() {
    let (jwks, gone) = (Stranger::new("k").jwks(), Arc::new(AtomicUsize::new(0)));
    let closing = gone.clone();
    let server = Server::new(move |_, _| match closing.load(Ordering::SeqCst) {
        0 => (200, jwks.clone()),
        _ => (503, String::new()),
    });
    let (source, clock) = source(KeySource::Url(server.url("/keys")));
    assert!(source.keys(false).await.is_some());
    gone.store(1, Ordering::SeqCst);
    clock.set(NOW + Duration::from_hours(23));
    assert!(source.keys(false).await.is_some());
    clock.set(NOW + Duration::from_hours(24));
    assert!(source.keys(false).await.is_none());
}

#[tokio::test]
async fn an_answer_that_is_no_set_of_keys_gives_none() {
    let mut encrypts = Stranger::new("k").jwk;
    encrypts["use"] = "enc".into();
    let mut lies = Stranger::new("k").jwk;
    lies["alg"] = "RS256".into();
    for (status, body) in [
        (200, String::new()),
        (200, "[]".to_owned()),
        (200, r#"{"keys":[]}"#.to_owned()),
        (200, r#"{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"k"}]}"#.to_owned()),
        (200, json!({ "keys": [encrypts] }).to_string()),
        (200, json!({ "keys": [lies] }).to_string()),
        (200, format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(2 << 20))),
        (302, Stranger::new("k").jwks()),
        (404, Stranger::new("k").jwks()),
    ] {
        let said = body.clone();
        let server = Server::new(move |_, _| (status, said.clone()));
        let (source, _) = source(KeySource::Url(server.url("/keys")));
        assert!(source.keys(false).await.is_none(), "{status} {}", &body[..body.len().min(60)]);
    }
}

#[tokio::test]
async fn keys_are_discovered_at_the_issuer_itself_and_nowhere_else() {
    let jwks = Stranger::new("k").jwks();
    for (issuer, keys, fits) in [
        ("http://{}", "http://{}/keys", true),
        ("http://{}/other", "http://{}/keys", false),
        ("http://{}", "http://keys.example/keys", false),
        ("http://{}", "file:///etc/keys", false),
    ] {
        let jwks = jwks.clone();
        let server = Server::new(move |path, address| {
            let here = |text: &str| text.replace("{}", &address.to_string());
            match path {
                "/.well-known/openid-configuration" => {
                    (200, json!({ "issuer": here(issuer), "jwks_uri": here(keys) }).to_string())
                }
                "/keys" => (200, jwks.clone()),
                _ => (404, String::new()),
            }
        });
        let (source, _) = source(KeySource::Discovery(server.url("")));
        assert_eq!(source.keys(false).await.is_some(), fits, "{issuer} {keys}");
    }
}

#[test]
fn keys_come_over_tls_or_from_this_machine() {
    for url in ["https://issuer.example/keys", "http://127.0.0.1:1/", "http://[::1]/", "http://localhost/"] {
        assert_eq!(may_be_asked(url), Ok(()), "{url}");
    }
    for url in [
        "http://issuer.example/keys",
        "http://127.0.0.1.example/",
        "ftp://issuer.example",
        "keys",
        "https://user:secret@issuer.example/",
        "file:///etc/keys",
    ] {
        assert!(may_be_asked(url).is_err(), "{url}");
    }
}
