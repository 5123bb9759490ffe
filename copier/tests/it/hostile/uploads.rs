//! Blobs on their way out: broken connections, lost sessions, contents that fail.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use berth_copier::{
    ByteStream, Content, Error, ImageName, Result, Session, Settings, Side, Sink, sink::Reuse,
};
use berth_oci::{Algorithm, Digest, RepoName};
use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::{Body, Hostile, Lab, Reply, Seen, anonymous};
use crate::real::{Memory, blob, descriptor};

/// A registry's uploads, as distribution keeps them: what came counts, even of a request that broke.
#[derive(Clone, Default)]
struct Uploads(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    sessions: usize,
    open: Vec<(usize, Vec<u8>)>,
    stored: Vec<Vec<u8>>,
}

impl Uploads {
    fn answer(&self, request: &Seen) -> Reply {
        let mut state = self.0.lock().unwrap();
        if request.method == "POST" {
            let number = state.sessions;
            state.sessions += 1;
            state.open.push((number, Vec::new()));
            return location(Reply::new(202, ""), number);
        }
        if request.path.contains("/blobs/sha256:") {
            let found =
                state.stored.iter().any(|stored| request.path.ends_with(descriptor(stored).digest.as_str()));
            return if found { Reply::new(200, "").with("Content-Length", 5) } else { Reply::new(404, "") };
        }
        let path = request.path.split('?').next().unwrap();
        let number: usize = path.rsplit('/').next().unwrap().parse().unwrap();
        let Some(at) = state.open.iter().position(|(open, _)| *open == number) else {
            return Reply::new(404, "");
        };
        let had = state.open[at].1.len();
        if let Some(range) = request.header("content-range")
            && range.split('-').next().unwrap().parse::<usize>().unwrap() != had
        {
            return Reply::new(416, "");
        }
        state.open[at].1.extend_from_slice(&request.body);
        let have = state.open[at].1.len();
        match request.method.as_str() {
            _ if request.cut => Reply::new(0, ""),
            "GET" => {
                location(Reply::new(204, ""), number).with("Range", format!("0-{}", have.saturating_sub(1)))
            }
            "PATCH" => {
                location(Reply::new(202, ""), number).with("Range", format!("0-{}", have.saturating_sub(1)))
            }
            "DELETE" => {
                state.open.remove(at);
                Reply::new(204, "")
            }
            _ => {
                let (_, content) = state.open.remove(at);
                let digest = Digest::of(Algorithm::Sha256, &content);
                let asked = request.path.split("digest=").nth(1).unwrap().replace("%3A", ":");
                if asked != digest.as_str() {
                    return Reply::new(400, r#"{"errors":[{"code":"DIGEST_INVALID","message":"no"}]}"#);
                }
                state.stored.push(content);
                Reply::new(201, "").with("Docker-Content-Digest", digest)
            }
        }
    }

    fn stored(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap().stored.clone()
    }

    fn open(&self) -> usize {
        self.0.lock().unwrap().open.len()
    }

    /// Forgets every session.
    fn lose(&self) {
        self.0.lock().unwrap().open.clear();
    }
}

fn location(reply: Reply, number: usize) -> Reply {
    reply.with("Location", format!("/v2/app/blobs/uploads/{number}?_state=a%2Bb"))
}

fn layer() -> Vec<u8> {
    (0..500_000_u32).map(|n| (n * 31 % 251) as u8).collect()
}

/// Content that ends with an error after so many bytes, or that can only be read from its beginning.
struct Odd {
    content: Vec<u8>,
    fails_after: Option<usize>,
    seekable: bool,
    opened: AtomicUsize,
}

#[async_trait]
impl Content for Odd {
    async fn open(&self, from: u64) -> Result<ByteStream> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        if from > 0 && !self.seekable {
            return Err(Error::NotSeekable);
        }
        let content = Memory(self.content.clone().into());
        let Some(after) = self.fails_after else { return content.open(from).await };
        let fault = || Error::Integrity("the layer is not what it should be".to_owned());
        let good = Bytes::from(self.content[..after].to_vec());
        Ok(stream::iter([Ok(good), Err(fault())]).boxed())
    }
}

#[tokio::test]
async fn a_known_blob_goes_out_in_two_requests_and_the_state_in_the_location_is_kept() {
    let uploads = Uploads::default();
    let server = Hostile::start({
        let uploads = uploads.clone();
        move |request| uploads.answer(request)
    })
    .await;
    let writer = Lab::new().open(&server.host(), "app");
    writer.put_blob(&blob(Some(descriptor(&layer()))), &Memory(layer().into()), None).await.unwrap();
    assert_eq!(server.lines(), ["POST /v2/app/blobs/uploads/", "PUT /v2/app/blobs/uploads/0"]);
    assert!(server.seen()[1].path.contains("?_state=a%2Bb&digest=sha256%3A"), "{}", server.seen()[1].path);
    assert_eq!(server.seen()[1].header("content-length"), Some("500000"));
    assert_eq!(uploads.stored(), [layer()]);
}

#[tokio::test]
async fn an_upload_that_breaks_goes_on_where_the_registry_stands() {
    for known in [true, false] {
        let uploads = Uploads::default();
        let server = Hostile::start({
            let uploads = uploads.clone();
            move |request| uploads.answer(request)
        })
        .await;
        server.cut_next_body(100_000);
        server.cut_next_body(50_000);
        let writer = Lab::new().open(&server.host(), "app");
        let put = blob(known.then(|| descriptor(&layer())));
        let stored = writer.put_blob(&put, &Memory(layer().into()), None).await.unwrap();
        assert_eq!(stored.digest, descriptor(&layer()).digest);
        assert_eq!((uploads.stored(), uploads.open()), (vec![layer()], 0));
        let sent: usize = server.seen().iter().map(|seen| seen.body.len()).sum();
        assert_eq!(sent, 500_000, "no byte twice: {:?}", server.lines());
        let ranges: Vec<Option<String>> = server
            .seen()
            .iter()
            .filter(|seen| seen.method == "PATCH")
            .map(|seen| seen.header("content-range").map(str::to_owned))
            .collect();
        if known {
            assert_eq!(ranges, [Some("100000-499999".to_owned()), Some("150000-499999".to_owned())]);
        }
    }
}

#[tokio::test]
async fn a_registry_that_lost_the_upload_gets_the_blob_anew_and_not_for_ever() {
    for seekable in [true, false] {
        let uploads = Uploads::default();
        let server = Hostile::start({
            let uploads = uploads.clone();
            move |request| {
                let reply = uploads.answer(request);
                if request.cut {
                    uploads.lose();
                }
                reply
            }
        })
        .await;
        server.cut_next_body(100_000);
        let writer = Lab::new().open(&server.host(), "app");
        let content = Odd { content: layer(), fails_after: None, seekable, opened: AtomicUsize::new(0) };
        let stored = writer.put_blob(&blob(None), &content, None).await.unwrap();
        assert_eq!((stored.digest, stored.size), (descriptor(&layer()).digest, 500_000));
        assert_eq!(uploads.stored(), [layer()]);
        let other = Odd { content: vec![9; 300_000], ..content };
        for _ in 0..3 {
            server.cut_next_body(100_000);
        }
        let put = blob(Some(descriptor(&other.content)));
        let error = writer.put_blob(&put, &other, None).await.unwrap_err();
        assert_eq!(error.exit_code(), 1, "{error}");
        let begun = server.lines().iter().filter(|line| line.starts_with("POST")).count();
        assert_eq!(begun, 5, "two for the first, three for the second: {:?}", server.lines());
    }
}

#[tokio::test]
async fn content_that_cannot_be_read_from_the_middle_is_sent_anew_after_a_break() {
    let uploads = Uploads::default();
    let server = Hostile::start({
        let uploads = uploads.clone();
        move |request| uploads.answer(request)
    })
    .await;
    server.cut_next_body(100_000);
    let content = Odd { content: layer(), fails_after: None, seekable: false, opened: AtomicUsize::new(0) };
    let writer = Lab::new().open(&server.host(), "app");
    let stored = writer.put_blob(&blob(None), &content, None).await.unwrap();
    assert_eq!(stored.digest, descriptor(&layer()).digest);
    assert_eq!((uploads.stored(), uploads.open()), (vec![layer()], 0), "the first session is cancelled");
}

#[tokio::test]
async fn an_answer_that_got_lost_is_found_out() {
    let uploads = Uploads::default();
    let server = Hostile::start({
        let uploads = uploads.clone();
        move |request| {
            let reply = uploads.answer(request);
            if request.method == "PUT" { reply.body(Body::Nothing) } else { reply }
        }
    })
    .await;
    let writer = Lab::new().open(&server.host(), "app");
    writer.put_blob(&blob(Some(descriptor(&layer()))), &Memory(layer().into()), None).await.unwrap();
    assert_eq!(uploads.stored(), [layer()]);
    assert_eq!(server.lines().iter().filter(|line| line.starts_with("PUT")).count(), 1);
}

#[tokio::test]
async fn c6_content_that_fails_leaves_no_blob_and_no_upload() {
    let faults: [(Option<usize>, Vec<u8>, u8); 3] = [
        (Some(400_000), layer(), 4),
        // Longer and shorter than what was promised.
        (None, [layer(), vec![0]].concat(), 4),
        (None, layer()[1..].to_vec(), 4),
    ];
    for (fails_after, content, exit) in faults {
        for known in [true, false] {
            if !known && fails_after.is_none() {
                continue;
            }
            let uploads = Uploads::default();
            let server = Hostile::start({
                let uploads = uploads.clone();
                move |request| uploads.answer(request)
            })
            .await;
            let content =
                Odd { content: content.clone(), fails_after, seekable: true, opened: AtomicUsize::new(0) };
            let writer = Lab::new().open(&server.host(), "app");
            let put = blob(known.then(|| descriptor(&layer())));
            let error = writer.put_blob(&put, &content, None).await.unwrap_err();
            assert_eq!(error.exit_code(), exit, "{error}");
            assert_eq!((uploads.stored().len(), uploads.open()), (0, 0), "{:?}", server.lines());
            assert_eq!(content.opened.load(Ordering::SeqCst), 1, "its own fault is not tried again");
        }
    }
}

#[tokio::test]
async fn an_upload_that_nobody_waits_for_any_more_is_cancelled() {
    let uploads = Uploads::default();
    let server = Hostile::start({
        let uploads = uploads.clone();
        move |request| {
            let reply = uploads.answer(request);
            if request.method == "PUT" { reply.body(Body::Silence) } else { reply }
        }
    })
    .await;
    let writer = Lab::new().open(&server.host(), "app");
    let content = Memory(layer()[1..].to_vec().into());
    let put = blob(Some(descriptor(&layer()[1..])));
    {
        let upload = writer.put_blob(&put, &content, None);
        tokio::pin!(upload);
        let begun = async {
            while server.lines().iter().all(|line| !line.starts_with("PUT")) {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! { _ = &mut upload => panic!("it is not answered"), () = begun => {} }
    }
    while server.lines().iter().all(|line| !line.starts_with("DELETE")) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_blob_that_the_registry_stored_as_another_is_an_error() {
    let server = Hostile::start(|request| match request.method.as_str() {
        "POST" => location(Reply::new(202, ""), 0),
        _ => Reply::new(201, "").with("Docker-Content-Digest", descriptor(b"other").digest),
    })
    .await;
    let writer = Lab::new().open(&server.host(), "app");
    let error = writer.put_blob(&blob(Some(descriptor(b"x"))), &Memory(Bytes::from_static(b"x")), None).await;
    assert_eq!(error.unwrap_err().exit_code(), 4);
}

async fn sink(session: &Session, host: &str, name: &str) -> Box<dyn Sink> {
    let name: ImageName = format!("docker://{host}/{name}:1").parse().unwrap();
    let side = Side { ..anonymous() };
    session.sink(&name, &side).await.unwrap()
}

#[tokio::test]
async fn a_cold_blob_takes_three_requests_and_its_source_one() {
    let uploads = Uploads::default();
    let server = Hostile::start({
        let uploads = uploads.clone();
        move |request| uploads.answer(request)
    })
    .await;
    let source = Hostile::start(|_| Reply::new(200, layer())).await;
    let session = Session::new(Settings::default()).unwrap();
    let sink = sink(&session, &server.host(), "app").await;
    let reader = session
        .remote()
        .repository(&format!("{}/app", source.host()).parse().unwrap(), &anonymous())
        .unwrap();
    let known = descriptor(&layer());
    let Reuse::Absent(upload) = sink.reuse(&known, &[]).await.unwrap() else { panic!("it is not there") };
    sink.put(&blob(Some(known.clone())), &*reader.blob(&known), upload).await.unwrap();
    assert_eq!(server.lines().len() + source.lines().len(), 4, "{:?}", server.lines());
    // What this process put needs no request any more.
    assert!(matches!(sink.reuse(&known, &[]).await.unwrap(), Reuse::Present));
    assert_eq!(server.lines().len(), 3);
}

#[tokio::test]
async fn a_blob_of_the_same_registry_takes_one_mount() {
    let server = Hostile::start(|request| {
        let known = request.path.contains("from=team%2Fknown") || request.path.contains("from=team%2Fsource");
        match request.method.as_str() {
            "POST" if known => Reply::new(201, ""),
            "POST" => location(Reply::new(202, ""), request.path.len()),
            "DELETE" => Reply::new(204, ""),
            _ => Reply::new(404, ""),
        }
    })
    .await;
    let session = Session::new(Settings::default()).unwrap();
    let sink = sink(&session, &server.host(), "app").await;
    let name = |text: &str| text.parse::<RepoName>().unwrap();
    let digest = descriptor(b"one");
    let reused = sink.reuse(&digest, &[name("team/source")]).await.unwrap();
    assert!(matches!(reused, Reuse::Mounted(from) if from == name("team/source")));
    assert_eq!(server.lines(), ["POST /v2/app/blobs/uploads/"]);

    // A candidate that has it not is followed by one more, and its upload does not stay behind.
    let digest = descriptor(b"two");
    let candidates = [name("team/wrong"), name("team/known"), name("team/never")];
    let reused = sink.reuse(&digest, &candidates).await.unwrap();
    assert!(matches!(reused, Reuse::Mounted(from) if from == name("team/known")));
    let verbs: Vec<String> = server.seen()[1..].iter().map(|seen| seen.method.clone()).collect();
    assert_eq!(verbs, ["POST", "HEAD", "POST", "DELETE"]);
    assert!(session.remote().known_at(&server.host(), &digest.digest).contains(&name("app")));
}
