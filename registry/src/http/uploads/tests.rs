//! Uploads and blobs as they look on the wire.

use std::sync::Arc;

use axum::Router;
use http::{Method, Request};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;
use crate::{
    blobs::Blobs,
    catalog::{Catalog, SqliteCatalog, SqliteOptions},
    clock::SystemClock,
    http::{Settings, access::Gate, router},
    manifests::{self, Manifests},
    storage::Filesystem,
};

struct Server {
    router: Router,
    _folder: tempfile::TempDir,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        body["errors"][0]["code"].as_str().unwrap().to_owned()
    }
}

async fn server(min_chunk_bytes: u64) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let catalog = SqliteCatalog::open(folder.path(), SqliteOptions::default()).await.unwrap();
    let catalog: Arc<dyn Catalog> = Arc::new(catalog);
    let store = Arc::new(Filesystem::open(folder.path(), 0).unwrap());
    let clock = Arc::new(SystemClock);
    let settings = crate::blobs::Settings { min_chunk_bytes, ..Default::default() };
    let blobs = Blobs::new(catalog.clone(), store.clone(), clock.clone(), settings);
    let records = crate::records::Records::new(catalog.clone(), store);
    let rules = manifests::Settings {
        sparse_indexes: false,
        sparse_images: false,
        max_depth: 20,
        immutable: Default::default(),
        blob_lease: std::time::Duration::from_secs(3600),
        undelete: true,
        most: manifests::PerRepository::default(),
    };
    let manifests = Manifests::new(catalog.clone(), clock, records, rules);
    let settings = Settings {
        max_manifest_bytes: 4 << 20,
        deletes: true,
        origin: Arc::default(),
        rates: None,
        redirects: crate::http::Redirects::default(),
    };
    let router = router(Api::new(catalog, blobs, manifests, Gate::open(), settings));
    Server { router, _folder: folder }
}

impl Server {
    async fn ask(&self, method: Method, uri: &str, headers: &[(&str, &str)], body: &'static [u8]) -> Answer {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !headers.iter().any(|(name, _)| *name == "content-length") {
            request = request.header("content-length", body.len());
        }
        let request = request.body(Body::from(body)).unwrap();
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn start(&self) -> String {
        self.ask(Method::POST, "/v2/a/b/blobs/uploads/", &[], b"").await.header("location").to_owned()
    }
}

/// SHA-256 of "hello, world".
const HELLO: &str = "sha256:09ca7e4eaa6e8ae9c7d261167129184883644d07dfba7cbfbc4c8a2e08360d5b";
/// SHA-512 of "hello, world".
const HELLO_512: &str = "sha512:8710339dcb6814d0d9d2290ef422285c9322b7163951f9a0ca8f883d3305286f\
     44139aa374848e4174f5aada663027e4548637b6d19894aec4fb6c46a139fbf9";

#[tokio::test]
async fn an_upload_goes_from_post_to_put() {
    let server = server(0).await;
    let started = server.ask(Method::POST, "/v2/a/b/blobs/uploads/", &[], b"").await;
    assert_eq!(started.status, 202);
    let location = started.header("location").to_owned();
    assert!(location.starts_with("/v2/a/b/blobs/uploads/"), "{location}");
    assert!(location.ends_with(started.header("docker-upload-uuid")));
    assert_eq!((started.header("range"), started.header("oci-chunk-min-length")), ("0-0", ""));

    let empty = server.ask(Method::GET, &location, &[], b"").await;
    assert_eq!((empty.status, empty.header("range"), empty.header("location")), (204, "0-0", &*location));
    let patched = server.ask(Method::PATCH, &location, &[("content-range", "0-4")], b"hello").await;
    assert_eq!((patched.status, patched.header("range")), (202, "0-4"));
    assert_eq!(patched.header("location"), location);
    let streamed = server.ask(Method::PATCH, &location, &[], b", wor").await;
    assert_eq!((streamed.status, streamed.header("range")), (202, "0-9"));
    let status = server.ask(Method::GET, &location, &[], b"").await;
    assert_eq!((status.status, status.header("range"), status.header("location")), (204, "0-9", &*location));

    let put = format!("{location}?digest={HELLO}");
    let created = server.ask(Method::PUT, &put, &[("content-range", "10-11")], b"ld").await;
    assert_eq!((created.status, created.header("docker-content-digest")), (201, HELLO));
    let blob = created.header("location");
    assert_eq!(blob, format!("/v2/a/b/blobs/{HELLO}"));
    assert_eq!(server.ask(Method::GET, blob, &[], b"").await.body, b"hello, world");
    let gone = server.ask(Method::GET, &location, &[], b"").await;
    assert_eq!((gone.status, &*gone.code()), (404, "BLOB_UPLOAD_UNKNOWN"));
}

#[tokio::test]
async fn one_post_is_enough_and_a_minimum_is_told() {
    let server = server(65_536).await;
    for digest in [HELLO, HELLO_512] {
        let post = format!("/v2/a/blobs/uploads/?digest={digest}");
        let created = server.ask(Method::POST, &post, &[], b"hello, world").await;
        assert_eq!((created.status, created.header("docker-content-digest")), (201, digest));
        assert_eq!(created.header("location"), format!("/v2/a/blobs/{digest}"));
    }
    let started = server.ask(Method::POST, "/v2/a/blobs/uploads/?digest-algorithm=sha512", &[], b"").await;
    assert_eq!((started.status, started.header("oci-chunk-min-length")), (202, "65536"));
    let location = started.header("location");
    server.ask(Method::PATCH, location, &[], b"hello, world").await;
    let created = server.ask(Method::PUT, &format!("{location}?digest={HELLO_512}"), &[], b"").await;
    assert_eq!(created.status, 201);
    let unknown = server.ask(Method::POST, "/v2/a/blobs/uploads/?digest-algorithm=md5", &[], b"").await;
    assert_eq!((unknown.status, &*unknown.code()), (400, "DIGEST_INVALID"));
}

#[tokio::test]
async fn r3_r4_a_digest_that_is_none_or_another_is_a_bad_request() {
    let server = server(0).await;
    let other = format!("sha256:{}", "0".repeat(64));
    for digest in ["", "x", "md5:x", "sha256:abc", "sha256:../../x", &*other] {
        let location = server.start().await;
        let put = server.ask(Method::PUT, &format!("{location}?digest={digest}"), &[], b"hello").await;
        assert_eq!((put.status, &*put.code()), (400, "DIGEST_INVALID"), "{digest}");
        let post = format!("/v2/a/b/blobs/uploads/?digest={digest}");
        let post = server.ask(Method::POST, &post, &[], b"hello").await;
        assert_eq!((post.status, &*post.code()), (400, "DIGEST_INVALID"), "{digest}");
    }
    let none = server.ask(Method::PUT, &server.start().await, &[], b"hello").await;
    assert_eq!((none.status, &*none.code()), (400, "DIGEST_INVALID"));
    assert_eq!(server.ask(Method::HEAD, &format!("/v2/a/b/blobs/{other}"), &[], b"").await.status, 404);
}

#[tokio::test]
async fn r5_r6_r7_a_chunk_that_does_not_fit_is_told_why() {
    let server = server(0).await;
    let location = server.start().await;
    server.ask(Method::PATCH, &location, &[("content-range", "0-4")], b"hello").await;
    let put = format!("{location}?digest={HELLO}");
    for (method, uri) in [(Method::PATCH, &location), (Method::PUT, &put)] {
        for (range, status, code) in [
            ("9-15", 416, "BLOB_UPLOAD_INVALID"),
            ("0-6", 416, "BLOB_UPLOAD_INVALID"),
            ("4-10", 416, "BLOB_UPLOAD_INVALID"),
            ("5-10", 400, "SIZE_INVALID"),
            ("11-5", 400, "BLOB_UPLOAD_INVALID"),
            ("bytes 5-11", 400, "BLOB_UPLOAD_INVALID"),
            ("5-18446744073709551616", 400, "BLOB_UPLOAD_INVALID"),
        ] {
            let answer = server.ask(method.clone(), uri, &[("content-range", range)], b", world").await;
            assert_eq!((answer.status, &*answer.code()), (status, code), "{method} {range}");
            if status == 416 {
                assert_eq!((answer.header("range"), answer.header("location")), ("0-4", &*location));
            }
            let now = server.ask(Method::GET, &location, &[], b"").await;
            assert_eq!((now.status, now.header("range")), (204, "0-4"), "{method} {range}");
        }
    }
    let created = server.ask(Method::PUT, &put, &[("content-range", "5-11")], b", world").await;
    assert_eq!(created.status, 201);
}

#[tokio::test]
async fn a_session_can_be_cancelled() {
    let server = server(0).await;
    let location = server.start().await;
    assert_eq!(server.ask(Method::DELETE, &location, &[], b"").await.status, 204);
    for method in [Method::GET, Method::PATCH, Method::DELETE] {
        assert_eq!(server.ask(method, &location, &[], b"").await.code(), "BLOB_UPLOAD_UNKNOWN");
    }
    let other = server.start().await.replace("/a/b/", "/c/");
    let foreign = server.ask(Method::GET, &other, &[], b"").await;
    assert_eq!((foreign.status, &*foreign.code()), (404, "BLOB_UPLOAD_UNKNOWN"));
    let no_id = server.ask(Method::GET, "/v2/a/b/blobs/uploads/x", &[], b"").await;
    assert_eq!((no_id.status, &*no_id.code()), (404, "BLOB_UPLOAD_UNKNOWN"));
}

#[tokio::test]
async fn r10_a_mount_that_fails_is_an_upload_that_starts() {
    let server = server(0).await;
    server.ask(Method::POST, &format!("/v2/a/blobs/uploads/?digest={HELLO}"), &[], b"hello, world").await;
    let mut names = Vec::new();
    for query in [
        format!("mount={HELLO}&from=nobody"),
        format!("mount={HELLO}&from=Not%2fA%2fName"),
        format!("mount={HELLO_512}&from=a"),
        format!("mount={HELLO_512}"),
    ] {
        let answer = server.ask(Method::POST, &format!("/v2/b/blobs/uploads/?{query}"), &[], b"").await;
        assert_eq!((answer.status, answer.header("range")), (202, "0-0"), "{query}");
        names.push(answer.headers.keys().map(ToString::to_string).collect::<Vec<_>>());
    }
    let plain = server.ask(Method::POST, "/v2/b/blobs/uploads/", &[], b"").await;
    names.push(plain.headers.keys().map(ToString::to_string).collect());
    assert!(names.windows(2).all(|pair| pair[0] == pair[1]), "{names:?}");
    for (repo, query) in [("b", format!("mount={HELLO}&from=a")), ("c", format!("mount={HELLO}"))] {
        let mount = format!("/v2/{repo}/blobs/uploads/?{query}");
        let mounted = server.ask(Method::POST, &mount, &[], b"").await;
        assert_eq!((mounted.status, mounted.header("docker-content-digest")), (201, HELLO));
        assert_eq!(server.ask(Method::HEAD, mounted.header("location"), &[], b"").await.status, 200);
    }
}

#[tokio::test]
async fn a_blob_is_served_whole_in_part_and_not_again() {
    let server = server(0).await;
    server.ask(Method::POST, &format!("/v2/a/blobs/uploads/?digest={HELLO}"), &[], b"hello, world").await;
    let uri = format!("/v2/a/blobs/{HELLO}");
    let tag = format!("\"{HELLO}\"");
    for method in [Method::GET, Method::HEAD] {
        let whole = server.ask(method.clone(), &uri, &[], b"").await;
        assert_eq!((whole.status, whole.header("content-length")), (200, "12"));
        assert_eq!(whole.header("docker-content-digest"), HELLO);
        assert_eq!((whole.header("etag"), whole.header("accept-ranges")), (&*tag, "bytes"));
        assert_eq!(whole.header("content-type"), "application/octet-stream");
        assert_eq!(whole.header("cache-control"), "no-cache");
        assert_eq!(whole.body.len(), if method == Method::GET { 12 } else { 0 });
        let same = server.ask(method, &uri, &[("if-none-match", &tag)], b"").await;
        assert_eq!((same.status, same.header("etag"), same.body.len()), (304, &*tag, 0));
    }
    let part = server.ask(Method::GET, &uri, &[("range", "bytes=7-")], b"").await;
    assert_eq!(
        (part.status, part.header("content-range"), &*part.body),
        (206, "bytes 7-11/12", &b"world"[..])
    );
    assert_eq!(part.header("content-length"), "5");
    let outside = server.ask(Method::GET, &uri, &[("range", "bytes=12-")], b"").await;
    assert_eq!((outside.status, outside.header("content-range")), (416, "bytes */12"));

    let absent = server.ask(Method::GET, &uri.replace("/a/", "/b/"), &[("if-none-match", "*")], b"").await;
    assert_eq!((absent.status, &*absent.code()), (404, "BLOB_UNKNOWN"));
    assert_eq!(server.ask(Method::DELETE, &uri, &[], b"").await.status, 202);
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(server.ask(method, &uri, &[("if-none-match", &tag)], b"").await.status, 404);
    }
}
