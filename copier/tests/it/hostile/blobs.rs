//! Blobs on their way in: cut, stalled, too long, too short, from mirrors.

use std::time::Duration;

use berth_copier::{ByteStream, Error, Result, Settings};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};

use super::{Body, Hostile, Lab, Reply, Seen};
use crate::real::{descriptor, read};

fn layer(size: usize) -> Vec<u8> {
    (0..size).map(|n| u8::try_from(n * 31 % 251).unwrap()).collect()
}

fn from(request: &Seen) -> Option<usize> {
    request.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
}

/// The rest of the content from where the request asks, as it should be.
fn ranged(content: &[u8], request: &Seen) -> Reply {
    match from(request) {
        None => Reply::new(200, content),
        Some(from) => Reply::new(206, &content[from..])
            .with("Content-Range", format!("bytes {from}-{}/{}", content.len() - 1, content.len())),
    }
}

async fn whole(stream: Result<ByteStream>) -> Result<Vec<u8>> {
    let pieces: Vec<Bytes> = stream?.try_collect().await?;
    Ok(pieces.concat())
}

#[tokio::test]
async fn a_download_that_breaks_goes_on_at_the_byte_where_it_broke() {
    let content = layer(100_000);
    let served = content.clone();
    let server = Hostile::start(move |request| match from(request) {
        None => Reply::new(200, "").body(Body::Cut(served[..30_000].to_vec(), 100_000)),
        Some(30_000) => {
            ranged(&served, request).with("x", "y").body(Body::Cut(served[30_000..30_001].to_vec(), 70_000))
        }
        Some(_) => ranged(&served, request),
    })
    .await;
    let lab = Lab::new();
    assert_eq!(read(&lab.open(&server.host(), "app"), &descriptor(&content)).await.unwrap(), content);
    let ranges: Vec<Option<usize>> = server.seen().iter().map(from).collect();
    assert_eq!(ranges, [None, Some(30_000), Some(30_001)]);
}

#[tokio::test]
async fn a_server_without_ranges_is_skipped_forward() {
    let content = layer(50_000);
    let served = content.clone();
    let server = Hostile::start(move |request| match from(request) {
        None => Reply::new(200, "").body(Body::Cut(served[..20_000].to_vec(), 50_000)),
        Some(_) => Reply::new(200, served.clone()),
    })
    .await;
    let repository = Lab::new().open(&server.host(), "app");
    assert_eq!(read(&repository, &descriptor(&content)).await.unwrap(), content);
    let tail = whole(repository.blob(&descriptor(&content)).open(49_990).await).await.unwrap();
    assert_eq!(tail, content[49_990..]);
}

#[tokio::test]
async fn a_range_that_is_another_one_is_an_error() {
    let content = layer(1000);
    for range in ["bytes 499-999/1000", "bytes 500-998/1000", "bytes 500-999/1001", "bytes */1000", ""] {
        let served = content.clone();
        let server =
            Hostile::start(move |_| Reply::new(206, &served[500..]).with("Content-Range", range)).await;
        let opened = Lab::new().open(&server.host(), "app").blob(&descriptor(&content)).open(500).await;
        assert_eq!(opened.err().unwrap().exit_code(), 4, "{range}");
    }
    // One that nobody asked for.
    let served = content.clone();
    let server =
        Hostile::start(move |_| Reply::new(206, served.clone()).with("Content-Range", "bytes 0-999/1000"))
            .await;
    let opened = Lab::new().open(&server.host(), "app").blob(&descriptor(&content)).open(0).await;
    assert_eq!(opened.err().unwrap().exit_code(), 4);
}

#[tokio::test]
async fn c6_a_blob_that_is_longer_than_its_descriptor_ends_at_the_size() {
    let content = layer(5000);
    let mut longer = content.clone();
    longer.push(0);
    for body in [Body::Whole(longer.clone()), Body::Chunked(longer.clone()), Body::Endless(b"more and more")]
    {
        let announced = matches!(body, Body::Whole(_));
        let server = Hostile::start(move |_| Reply::new(200, "").body(body.clone())).await;
        let opened = Lab::new().open(&server.host(), "app").blob(&descriptor(&content)).open(0).await;
        let mut came = 0;
        let error = match opened {
            Err(error) => error,
            Ok(mut pieces) => loop {
                match pieces.next().await.unwrap() {
                    Ok(piece) => came += piece.len(),
                    Err(error) => break error,
                }
            },
        };
        assert_eq!(error.exit_code(), 4, "{error}");
        assert!(came < content.len(), "the last piece must not go on: {came}");
        assert!(!announced || came == 0, "what is announced to be too long is not begun");
        assert!(server.sent() < 24 * 1024 * 1024);
    }
}

#[tokio::test]
async fn c6_a_blob_that_is_shorter_than_its_descriptor_is_an_error() {
    let content = layer(5000);
    let short = content[..4000].to_vec();
    for body in [Body::Whole(short.clone()), Body::Chunked(short.clone())] {
        let server = Hostile::start(move |request| match from(request) {
            None => Reply::new(200, "").body(body.clone()),
            Some(_) => Reply::new(416, ""),
        })
        .await;
        let error = read(&Lab::new().open(&server.host(), "app"), &descriptor(&content)).await.unwrap_err();
        assert!(error.exit_code() == 4 || error.to_string().contains("416"), "{error}");
    }
}

#[tokio::test]
async fn a_download_that_breaks_again_and_again_without_progress_is_given_up() {
    let content = layer(100_000);
    let server = Hostile::start(|request| match from(request) {
        None => Reply::new(200, "").body(Body::Cut(vec![0; 10], 100_000)),
        Some(_) => Reply::new(0, "").body(Body::Nothing),
    })
    .await;
    let lab = Lab::new();
    let error = read(&lab.open(&server.host(), "app"), &descriptor(&content)).await.unwrap_err();
    assert!(matches!(error, Error::Network { .. }), "{error}");
    assert_eq!(server.lines().len(), 6);
}

#[tokio::test]
async fn a_download_that_stalls_is_begun_again_where_it_stands() {
    let content = layer(10_000);
    let served = content.clone();
    let server = Hostile::start(move |request| match from(request) {
        None => Reply::new(200, "").body(Body::Stalled(served[..5000].to_vec(), 10_000)),
        Some(_) => ranged(&served, request),
    })
    .await;
    let lab = Lab::tuned(Settings::default(), |tuning| tuning.window = Duration::from_millis(50));
    assert_eq!(read(&lab.open(&server.host(), "app"), &descriptor(&content)).await.unwrap(), content);
    assert_eq!(server.seen().iter().map(from).collect::<Vec<_>>(), [None, Some(5000)]);
}

#[tokio::test]
async fn a_blob_that_is_not_there_is_said_so_at_the_opening() {
    let server = Hostile::start(|_| Reply::new(404, "")).await;
    let opened = Lab::new().open(&server.host(), "app").blob(&descriptor(b"x")).open(0).await;
    let error = opened.err().unwrap();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("blob unknown to registry"), "{error}");
}

fn mirrored(primary: &str, mirrors: &[&str]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut text = format!("[[registry]]\nlocation = \"{primary}\"\ninsecure = true\n");
    for mirror in mirrors {
        text.push_str(&format!("[[registry.mirror]]\nlocation = \"{mirror}\"\ninsecure = true\n"));
    }
    std::fs::write(file.path(), text).unwrap();
    file
}

#[tokio::test]
async fn mirrors_are_asked_in_order_and_one_that_lies_or_fails_is_passed_over() {
    let content = layer(1000);
    let image = super::manifests::image();
    let (blob, raw) = (content.clone(), image.raw.to_vec());
    let good = Hostile::start(move |request| match request.path.as_str() {
        path if path.contains("/blobs/") => ranged(&blob, request),
        "/v2/app/tags/list?n=1000" => Reply::new(200, r#"{"tags":["x"]}"#),
        _ => Reply::new(200, raw.clone()),
    })
    .await;
    let absent = Hostile::start(|_| Reply::new(404, "")).await;
    let lying = Hostile::start(|_| Reply::new(200, "something else")).await;
    let gone = super::nobody();
    let file = mirrored(&good.host(), &[&absent.host(), &gone, &lying.host()]);
    let lab = Lab::with(Settings { registries_conf: Some(file.path().to_owned()), ..Settings::default() });
    let side = berth_copier::Side { tls_verify: None, ..super::anonymous() };
    let repository = lab.open_as(&good.host(), "app", &side);
    let pinned = berth_oci::ManifestReference::Digest(image.digest.clone());
    assert_eq!(repository.manifest(&pinned).await.unwrap().raw, image.raw);
    assert_eq!(read(&repository, &descriptor(&content)).await.unwrap(), content);
    assert_eq!(repository.tags().await.unwrap().len(), 1);
    assert_eq!(absent.lines().len(), 3);
    assert_eq!(lying.lines().len(), 3);

    // Writing, and what is asked for it, concerns the registry itself alone.
    let writer = repository.for_writing();
    writer.has_blob(&descriptor(&content).digest).await.unwrap();
    assert_eq!((absent.lines().len(), lying.lines().len()), (3, 3));
}

#[tokio::test]
async fn credentials_for_a_name_do_not_go_to_its_mirrors() {
    let asks = |request: &Seen| match request.header("authorization") {
        None => Reply::new(401, "").with("WWW-Authenticate", "Basic realm=\"r\""),
        Some(_) => Reply::new(200, "here"),
    };
    let (primary, mirror) = (Hostile::start(asks).await, Hostile::start(asks).await);
    let file = mirrored(&primary.host(), &[&mirror.host()]);
    let lab = Lab::with(Settings { registries_conf: Some(file.path().to_owned()), ..Settings::default() });
    let side = berth_copier::Side { tls_verify: None, ..super::somebody() };
    let latest = "latest".parse().unwrap();
    assert_eq!(lab.open_as(&primary.host(), "app", &side).manifest(&latest).await.unwrap().raw, "here");
    assert!(mirror.seen().iter().all(|seen| seen.header("authorization").is_none()));
}

#[tokio::test]
async fn a_blocked_registry_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[[registry]]\nlocation = \"127.0.0.1:1\"\nblocked = true\n").unwrap();
    let lab = Lab::with(Settings { registries_conf: Some(file.path().to_owned()), ..Settings::default() });
    let refused = lab.client.repository(&"127.0.0.1:1/app".parse().unwrap(), &super::anonymous());
    assert_eq!(refused.unwrap_err().exit_code(), 5);
}

#[tokio::test]
async fn c13_a_blocked_registry_is_read_from_its_mirrors_and_never_written() {
    let image = super::manifests::image();
    let raw = image.raw.to_vec();
    let primary = Hostile::start(|_| Reply::new(200, "never asked")).await;
    let mirror = Hostile::start(move |_| Reply::new(200, raw.clone())).await;
    for (pulls, tag, digest) in [("all", true, true), ("digest-only", false, true), ("tag-only", true, false)]
    {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = format!(
            "[[registry]]\nlocation = \"{}\"\nblocked = true\n[[registry.mirror]]\nlocation = \"{}\"\n\
             insecure = true\npull-from-mirror = \"{pulls}\"\n",
            primary.host(),
            mirror.host()
        );
        std::fs::write(file.path(), text).unwrap();
        let lab =
            Lab::with(Settings { registries_conf: Some(file.path().to_owned()), ..Settings::default() });
        let side = berth_copier::Side { tls_verify: None, ..super::anonymous() };
        let repository = lab.open_as(&primary.host(), "app", &side);
        let pinned = berth_oci::ManifestReference::Digest(image.digest.clone());
        for (reference, reads) in [("latest".parse().unwrap(), tag), (pinned, digest)] {
            match repository.manifest(&reference).await {
                Ok(found) => assert!(reads && found.raw == image.raw, "{pulls} {reference}"),
                Err(error) => assert!(!reads && error.exit_code() == 5, "{pulls} {reference}: {error}"),
            }
        }
        let latest = "latest".parse().unwrap();
        let written = repository.for_writing().put_manifest(&image, &latest).await;
        assert_eq!(written.unwrap_err().exit_code(), 5);
    }
    assert_eq!(primary.lines(), [""; 0]);
}

#[tokio::test]
async fn c13_a_download_that_trickles_is_begun_again_where_it_stands() {
    let content = layer(10_000);
    let served = content.clone();
    let server = Hostile::start(move |request| match from(request) {
        None => Reply::new(200, "").body(Body::Trickling(served[..5000].to_vec(), 10_000)),
        Some(_) => ranged(&served, request),
    })
    .await;
    let lab = Lab::tuned(Settings::default(), |tuning| tuning.window = Duration::from_millis(400));
    assert_eq!(read(&lab.open(&server.host(), "app"), &descriptor(&content)).await.unwrap(), content);
    let asked: Vec<Option<usize>> = server.seen().iter().map(from).collect();
    assert!(asked.len() == 2 && asked[1].is_some_and(|at| at > 0 && at < 400), "{asked:?}");
}

#[tokio::test]
async fn c13_a_server_that_goes_on_trickling_is_told_by_its_rate_whatever_the_blobs_size() {
    for size in [300, 10_000, 2_000_000] {
        let content = layer(size);
        let served = content.clone();
        let server = Hostile::start(move |request| {
            let at = from(request).unwrap_or(0);
            let rest = (served.len() - at) as u64;
            let reply = Reply::new(if at == 0 { 200 } else { 206 }, "");
            reply
                .with("Content-Range", format!("bytes {at}-{}/{}", served.len() - 1, served.len()))
                .body(Body::Trickling(served[at..].to_vec(), rest))
        })
        .await;
        let lab = Lab::tuned(Settings::default(), |tuning| tuning.window = Duration::from_millis(200));
        let error = read(&lab.open(&server.host(), "app"), &descriptor(&content)).await.unwrap_err();
        assert!(matches!(error.root(), Error::TooSlow { came: 1..=20, least: 1024, .. }), "{error:?}");
        let said = error.to_string();
        assert!(
            said.contains(&server.host()) && said.contains("0.2 seconds") && said.contains("1024 a second"),
            "{said}"
        );
        assert!(!berth_copier::copy::retry::may_pass(&error), "the whole is not begun again");
        assert_eq!(server.seen().len(), 2, "once more where it stood, {size} bytes");
    }
}
