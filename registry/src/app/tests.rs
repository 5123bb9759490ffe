//! Everything connected, asked on the wire.

use std::path::PathBuf;

use axum::body::Body;
use base64::{Engine, engine::general_purpose::STANDARD};
use berth_oci::{Algorithm, Digest};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::{
    auth::{Principal, Subject, Trusted},
    http::serve::Peer,
};

struct Server {
    services: Services,
    router: Router,
    folder: tempfile::TempDir,
}

/// Where a request seems to come from.
const NEAR: &str = "127.0.0.1:9";
const FAR: &str = "192.0.2.1:9";

impl Server {
    async fn new(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.data.dir = folder.path().to_owned();
        change(&mut config);
        let services = Services::open(config).await.unwrap();
        let router = on_main_port(&services);
        Self { services, router, folder }
    }

    async fn asking() -> Self {
        Self::new(|config| config.auth.enabled = true).await
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, Vec<u8>) {
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        (parts.status, body.collect().await.unwrap().to_bytes().to_vec())
    }

    async fn from(
        &self,
        address: &str,
        method: Method,
        path: &str,
        login: Option<(&str, &str)>,
    ) -> StatusCode {
        self.send(request(address, method, path, login).body(Body::empty()).unwrap()).await.0
    }

    async fn ask(&self, method: Method, path: &str, body: &[u8]) -> (StatusCode, Vec<u8>) {
        let request = request(NEAR, method, path, None).header("content-type", "application/octet-stream");
        self.send(request.body(Body::from(body.to_vec())).unwrap()).await
    }

    /// As the owner of the data directory.
    async fn own(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let owner = Principal { subject: Subject::Local, ..Principal::default() };
        let request = Request::builder().method(method).uri(path).extension(Trusted(owner));
        let request = request.header("content-type", "application/json");
        let (status, body) = self.send(request.body(Body::from(body.to_string())).unwrap()).await;
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn push(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(Algorithm::Sha256, bytes);
        let path = format!("/v2/a/blobs/uploads/?digest={digest}");
        assert_eq!(self.ask(Method::POST, &path, bytes).await.0, StatusCode::CREATED);
        digest
    }

    /// Every blob's file.
    fn objects(&self) -> Vec<PathBuf> {
        let (mut folders, mut files) = (vec![self.folder.path().join("storage/blobs")], Vec::new());
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        files
    }

    async fn findings(&self) -> Vec<Value> {
        let owner = Principal { subject: Subject::Local, ..Principal::default() };
        let request = Request::post("/api/v1/check").extension(Trusted(owner));
        let request = request.header("content-type", "application/json").body(Body::from("{}")).unwrap();
        let (_, lines) = self.send(request).await;
        let lines = String::from_utf8(lines).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn metrics(&self) -> String {
        self.services.metrics.render().unwrap()
    }
}

fn request(address: &str, method: Method, path: &str, login: Option<(&str, &str)>) -> http::request::Builder {
    let peer = Peer { addr: address.parse().unwrap(), tls: false };
    let request = Request::builder().method(method).uri(path).extension(peer).header("host", "localhost");
    match login {
        Some((name, secret)) => {
            request.header("authorization", format!("Basic {}", STANDARD.encode(format!("{name}:{secret}"))))
        }
        None => request,
    }
}

#[tokio::test]
async fn f20_a_blob_whose_file_is_gone_is_unknown_to_get_and_head_and_a_push_brings_it_back() {
    let server = Server::new(|_| ()).await;
    let digest = server.push(b"layer").await;
    let path = format!("/v2/a/blobs/{digest}");
    assert_eq!(server.ask(Method::HEAD, &path, b"").await.0, StatusCode::OK);
    let objects = server.objects();
    assert_eq!(objects.len(), 1);
    std::fs::remove_file(&objects[0]).unwrap();
    for method in [Method::HEAD, Method::GET, Method::HEAD] {
        let (status, body) = server.ask(method.clone(), &path, b"").await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{method}: {}", String::from_utf8_lossy(&body));
    }
    let (_, body) = server.ask(Method::GET, &path, b"").await;
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["errors"][0]["code"], "BLOB_UNKNOWN");
    assert!(server.metrics().contains("berth_storage_lost_blobs_total 4"), "{}", server.metrics());
    let mount = format!("/v2/b/blobs/uploads/?mount={digest}&from=a");
    assert_eq!(server.ask(Method::POST, &mount, b"").await.0, StatusCode::ACCEPTED, "nothing to mount");
    let found = server.findings().await;
    assert!(
        found.iter().any(|one| one["finding"] == "object-missing" && one["what"] == digest.as_str()),
        "{found:?}"
    );

    server.push(b"layer").await;
    assert_eq!(server.ask(Method::HEAD, &path, b"").await.0, StatusCode::OK);
    assert_eq!(server.ask(Method::GET, &path, b"").await, (StatusCode::OK, b"layer".to_vec()));
    server.services.close().await;
}

#[tokio::test]
async fn f20_a_blob_whose_file_has_another_size_is_as_one_that_is_gone() {
    let server = Server::new(|_| ()).await;
    let digest = server.push(b"layer").await;
    let objects = server.objects();
    assert_eq!(objects.len(), 1);
    std::fs::remove_file(&objects[0]).unwrap();
    std::fs::write(&objects[0], b"lay").unwrap();
    for method in [Method::HEAD, Method::GET] {
        let status = server.ask(method.clone(), &format!("/v2/a/blobs/{digest}"), b"").await.0;
        assert_eq!(status, StatusCode::NOT_FOUND, "{method}");
    }
    server.push(b"layer").await;
    let whole = server.ask(Method::GET, &format!("/v2/a/blobs/{digest}"), b"").await;
    assert_eq!(whole, (StatusCode::OK, b"layer".to_vec()));
    server.services.close().await;
}

#[tokio::test]
async fn an_administrators_token_administers_nothing() {
    let server = Server::asking().await;
    let boss = json!({ "name": "boss", "password": "boss's password", "admin": true });
    assert_eq!(server.own(Method::POST, "/api/v1/users", boss).await.0, StatusCode::CREATED);
    let new = json!({ "subject": "boss", "name": "laptop", "expires_in": 60 });
    let (_, token) = server.own(Method::POST, "/api/v1/tokens", new).await;
    let (secret, id) = (token["secret"].as_str().unwrap(), token["id"].as_str().unwrap());
    let with = |secret: &str, method: Method, path: &str, body: Value| {
        request(NEAR, method, path, Some(("boss", secret)))
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .unwrap()
    };
    let eve = json!({ "name": "eve", "password": "eve's password", "admin": true });
    for (method, path, body) in [
        (Method::POST, "/api/v1/users", eve.clone()),
        (Method::GET, "/api/v1/users", json!({})),
        (Method::GET, "/api/v1/audit", json!({})),
        (Method::POST, "/api/v1/gc", json!({})),
        (Method::GET, "/api/v1/tokens?subject=other", json!({})),
        (Method::PUT, "/api/v1/users/boss/password", json!({ "password": "taken over!" })),
        (Method::POST, "/api/v1/tokens", json!({ "name": "another" })),
        (Method::DELETE, &format!("/api/v1/tokens/{id}"), json!({})),
    ] {
        let (status, body) = server.send(with(secret, method.clone(), path, body)).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{method} {path}: {}", String::from_utf8_lossy(&body));
    }
    // It is good for what a token is for.
    let (status, _) = server.send(with(secret, Method::GET, "/v2/", json!({}))).await;
    assert_eq!(status, StatusCode::OK);
    let upload = server.send(with(secret, Method::POST, "/v2/any/blobs/uploads/", json!({}))).await;
    assert_eq!(upload.0, StatusCode::ACCEPTED);
    let (status, _) = server.send(with("boss's password", Method::POST, "/api/v1/users", eve)).await;
    assert_eq!(status, StatusCode::CREATED, "with a password");
    server.services.close().await;
}

/// Asks `/token` with a refresh token.
fn refresh(address: &str, secret: &str) -> Request<Body> {
    let form = format!("grant_type=refresh_token&service=berth&client_id=test&refresh_token={secret}");
    request(address, Method::POST, "/token", None)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(form))
        .unwrap()
}

#[tokio::test]
async fn r28_refresh_tokens_are_tried_no_oftener_than_passwords() {
    let server = Server::asking().await;
    let alice = json!({ "name": "alice", "password": "alice's password" });
    assert_eq!(server.own(Method::POST, "/api/v1/users", alice).await.0, StatusCode::CREATED);
    let (_, token) = server.own(Method::POST, "/api/v1/tokens", json!({ "subject": "alice" })).await;
    let good = token["secret"].as_str().unwrap();
    assert_eq!(server.send(refresh(FAR, good)).await.0, StatusCode::OK);
    let mut refused = 0;
    for n in 0..100 {
        let guess = format!("brt_{}{n:04}", "a".repeat(39));
        match server.send(refresh(FAR, &guess)).await.0 {
            StatusCode::BAD_REQUEST => refused += 1,
            status => {
                assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
                break;
            }
        }
    }
    assert!((5..=30).contains(&refused), "{refused} guesses were looked at");
    // Passwords and tokens are counted together.
    let login = server.from(FAR, Method::GET, "/v2/", Some(("alice", "no password of hers"))).await;
    assert_eq!(login, StatusCode::TOO_MANY_REQUESTS);
    // Others, and one that came in well from there, are not touched.
    assert_eq!(server.send(refresh("192.0.2.9:9", good)).await.0, StatusCode::OK);
    assert_eq!(server.send(refresh(FAR, good)).await.0, StatusCode::OK);
    server.services.close().await;
}

#[tokio::test]
async fn r34_what_was_typed_where_a_name_belongs_is_in_the_audit_log_only_if_it_is_one() {
    let server = Server::asking().await;
    let alice = json!({ "name": "alice", "password": "alice's password" });
    assert_eq!(server.own(Method::POST, "/api/v1/users", alice).await.0, StatusCode::CREATED);
    for name in ["hunter2", "alice", "hunter2", "team/hunter2"] {
        let status = server.from(FAR, Method::GET, "/v2/", Some((name, "no password"))).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
    server.services.audit.close().await;
    let (_, log) = server.own(Method::GET, "/api/v1/audit?verb=login", json!({})).await;
    let who: Vec<_> = log["entries"].as_array().unwrap().iter().rev().map(|one| one["who"].clone()).collect();
    assert!(!log.to_string().contains("hunter2"), "{log}");
    assert_eq!(who[1], "user:alice");
    assert!(who[0].as_str().unwrap().starts_with("unknown:"), "{who:?}");
    assert_eq!(who[0], who[2], "one name is one mark");
    assert_ne!(who[0], who[3]);
    server.services.close().await;
}

#[tokio::test]
async fn metrics_are_shown_to_whoever_logged_in_and_without_logins_to_this_machine() {
    const METRICS: &str = "/metrics";
    let server = Server::asking().await;
    let alice = json!({ "name": "alice", "password": "alice's password" });
    assert_eq!(server.own(Method::POST, "/api/v1/users", alice).await.0, StatusCode::CREATED);
    for address in [NEAR, FAR] {
        assert_eq!(server.from(address, Method::GET, METRICS, None).await, StatusCode::UNAUTHORIZED);
        let login = Some(("alice", "alice's password"));
        assert_eq!(server.from(address, Method::GET, METRICS, login).await, StatusCode::OK);
        let wrong = server.from(address, Method::GET, METRICS, Some(("alice", "x"))).await;
        assert_eq!(wrong, StatusCode::UNAUTHORIZED);
    }
    server.services.close().await;

    let server = Server::new(|config| config.server.insecure_open = true).await;
    assert_eq!(server.from(NEAR, Method::GET, METRICS, None).await, StatusCode::OK);
    assert_eq!(server.from(FAR, Method::GET, METRICS, None).await, StatusCode::FORBIDDEN);
    let proxied = request(NEAR, Method::GET, METRICS, None).header("x-forwarded-for", "203.0.113.9");
    assert_eq!(server.send(proxied.body(Body::empty()).unwrap()).await.0, StatusCode::FORBIDDEN);
    server.services.close().await;

    let server = Server::new(|config| {
        config.auth.enabled = true;
        config.metrics.public = true;
    })
    .await;
    assert_eq!(server.from(FAR, Method::GET, METRICS, None).await, StatusCode::OK);
    server.services.close().await;
}

#[tokio::test]
async fn what_can_be_brought_back_of_a_repository_that_is_not_there_is_an_error() {
    let server = Server::new(|_| ()).await;
    server.push(b"config").await;
    let known = server.own(Method::GET, "/api/v1/deleted?repository=a", json!({})).await;
    assert_eq!(known.0, StatusCode::OK, "it has nothing, and is there");
    let (status, body) = server.own(Method::GET, "/api/v1/deleted?repository=nowhere/x", json!({})).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{body}");
    assert!(body["error"]["message"].as_str().unwrap().contains("nowhere/x"), "{body}");
    server.services.close().await;
}

#[tokio::test]
async fn f13_an_empty_catalog_over_a_full_storage_is_told_of_and_recover_is_named() {
    let server = Server::new(|_| ()).await;
    assert_eq!(forgotten(&*server.services.catalog, &*server.services.store).await.unwrap(), None, "all new");
    let config = server.push(b"{}").await;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2 },
        "layers": [],
    });
    let put = request(NEAR, Method::PUT, "/v2/a/manifests/v1", None);
    let put = put.header("content-type", "application/vnd.oci.image.manifest.v1+json");
    let put = put.body(Body::from(manifest.to_string())).unwrap();
    assert_eq!(server.send(put).await.0, StatusCode::CREATED);
    assert_eq!(forgotten(&*server.services.catalog, &*server.services.store).await.unwrap(), None);
    server.services.close().await;
    for entry in std::fs::read_dir(server.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("catalog.db") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let mut config = Config::default();
    config.data.dir = server.folder.path().to_owned();
    // Before the first start there is no catalog at all, and after it an empty one.
    for _ in 0..2 {
        let looks = crate::doctor::look(&config, false).await;
        let told: Vec<_> = looks.iter().filter(|look| look.says.contains("berth-registry recover")).collect();
        assert_eq!(told.len(), 1, "{looks:?}");
        assert_eq!(told[0].verdict, crate::doctor::Verdict::Failure);
        let services = Services::open(config.clone()).await.unwrap();
        let said = forgotten(&*services.catalog, &*services.store).await.unwrap().unwrap();
        assert!(said.contains("berth-registry recover"), "{said}");
        services.close().await;
    }
}
