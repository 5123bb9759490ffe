//! What callers of every kind are answered, on the wire.

use async_trait::async_trait;
use axum::{Router, body::Body};
use berth_oci::{Algorithm, Digest};
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;
use crate::{
    blobs::{self, Blobs},
    catalog::{AuditQuery, Catalog, SqliteCatalog, SqliteOptions},
    clock::{SystemClock, Timestamp},
    http::{Api, Settings, router},
    manifests::{self, Manifests},
    policy::{Effect, Live, Rule, Verb as V, Verbs},
    records::Records,
    storage::Filesystem,
    tags::Immutable,
};

/// Believes the header `x-who`: nothing, `NAME`, or `NAME SCOPE…` for the holder of a token.
#[derive(Debug)]
struct Believing;

#[async_trait]
impl Authenticate for Believing {
    async fn identify(&self, request: &Parts) -> Result<Principal, AuthError> {
        let Some(who) = request.headers.get("x-who").map(|who| who.to_str().unwrap()) else {
            return Ok(Principal::anonymous());
        };
        let mut words = who.split(' ');
        let name = words.next().unwrap();
        if name == "wrong" {
            return Err(AuthError::Invalid("wrong password".to_owned()));
        }
        let scopes: Vec<_> = words.map(|scope| scope.parse().unwrap()).collect();
        let authority = if scopes.is_empty() { Authority::Policy } else { Authority::Granted(scopes) };
        Ok(Principal { subject: Subject::User(name.to_owned()), authority, ..Principal::default() })
    }

    async fn attempt(
        &self,
        _request: &Parts,
        _secret: &str,
        look: BoxFuture<'_, Result<Principal, AuthError>>,
    ) -> Result<Principal, AuthError> {
        look.await
    }

    async fn knows(&self, _name: &str) -> bool {
        true
    }

    fn challenge(&self, _request: &Parts, scope: &str, refused: Refused) -> Option<String> {
        Some(format!("Bearer scope=\"{scope}\",error=\"{refused:?}\""))
    }
}

struct Server {
    router: Router,
    catalog: Arc<dyn Catalog>,
    log: Log,
    _folder: tempfile::TempDir,
}

#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

fn rule(name: &str, subject: &str, verbs: &[V], repository: &str) -> Rule {
    Rule {
        name: name.to_owned(),
        effect: Effect::Allow,
        subjects: vec![subject.to_owned()],
        verbs: Verbs::of(verbs),
        repositories: vec![repository.to_owned()],
        tags: Vec::new(),
    }
}

async fn server(rules: Vec<Rule>, deletes: bool, immutable: &[&str]) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let catalog = SqliteCatalog::open(folder.path(), SqliteOptions::default()).await.unwrap();
    let catalog: Arc<dyn Catalog> = Arc::new(catalog);
    let store = Arc::new(Filesystem::open(folder.path().join("storage"), 0).unwrap());
    let clock = Arc::new(SystemClock);
    let blobs = Blobs::new(catalog.clone(), store.clone(), clock.clone(), blobs::Settings::default());
    let settings = manifests::Settings {
        sparse_indexes: false,
        sparse_images: false,
        max_depth: 20,
        immutable: Immutable::new(immutable.iter().map(|tag| (*tag).to_owned()).collect()),
        blob_lease: std::time::Duration::from_secs(3600),
        undelete: true,
        most: manifests::PerRepository::default(),
    };
    let records = Records::new(catalog.clone(), store);
    let manifests = Manifests::new(catalog.clone(), clock.clone(), records, settings);
    let log = Log::start(catalog.clone(), clock);
    let policy = Policy::Rules(Live::new(rules).unwrap());
    let believing = Recorded {
        inner: Arc::new(Believing),
        log: log.clone(),
        origin: Arc::default(),
        marks: RandomState::new(),
    };
    let gate = Gate::new(Arc::new(believing), policy).recorded(log.clone(), Arc::default());
    let settings = Settings {
        max_manifest_bytes: 4 << 20,
        deletes,
        origin: Arc::default(),
        rates: None,
        redirects: crate::http::Redirects::default(),
    };
    let router = router(Api::new(catalog.clone(), blobs, manifests, gate, settings));
    Server { router, catalog, log, _folder: folder }
}

fn index(n: u32) -> Bytes {
    let media_type = "application/vnd.oci.image.index.v1+json";
    format!("{{\"schemaVersion\":2,\"mediaType\":\"{media_type}\",\"manifests\":[],\"annotations\":{{\"n\":\"{n}\"}}}}").into()
}

fn digest(body: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, body)
}

impl Server {
    async fn ask(&self, who: &str, method: &str, path: &str, body: impl Into<Bytes>) -> Answer {
        let body = body.into();
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
        if !who.is_empty() {
            request = request.header("x-who", who);
        }
        let request = request.header("content-length", body.len()).body(Body::from(body)).unwrap();
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    async fn push(&self, who: &str, repo: &str, tag: &str, body: Bytes) -> u16 {
        self.ask(who, "PUT", &format!("/v2/{repo}/manifests/{tag}"), body).await.status
    }

    async fn blob(&self, who: &str, repo: &str, content: &'static [u8]) -> Digest {
        let digest = digest(content);
        let path = format!("/v2/{repo}/blobs/uploads/?digest={digest}");
        assert_eq!(self.ask(who, "POST", &path, content).await.status, 201);
        digest
    }

    async fn log(&self) -> Vec<String> {
        self.log.close().await;
        let query = AuditQuery { limit: 1000, since: Timestamp(0), ..AuditQuery::default() };
        let rows = self.catalog.audit(&query).await.unwrap();
        let line = |row: crate::catalog::AuditRow| {
            format!("{} {} {} {} {}", row.who, row.verb, row.outcome, row.repository, row.reference)
        };
        rows.into_iter().rev().map(|(_, row)| line(row)).collect()
    }
}

fn owner() -> Rule {
    rule("owner", "user:owner", &V::ALL, "**")
}

#[tokio::test]
async fn r21_a_private_repository_answers_as_an_absent_one() {
    let server = server(vec![owner(), rule("dev", "user:dev", &V::ALL, "dev/**")], true, &[]).await;
    assert_eq!(server.push("owner", "team/here", "v1", index(1)).await, 201);
    let blob = server.blob("owner", "team/here", b"secret").await;
    let manifest = digest(&index(1));
    for who in ["", "dev", "dev repository:dev/x:pull,push,delete"] {
        for (method, path) in [
            ("GET", "manifests/v1".to_owned()),
            ("HEAD", format!("manifests/{manifest}")),
            ("GET", format!("blobs/{blob}")),
            ("HEAD", format!("blobs/{blob}")),
            ("GET", "tags/list".to_owned()),
            ("GET", format!("referrers/{manifest}")),
            ("PUT", "manifests/v1".to_owned()),
            ("POST", "blobs/uploads/".to_owned()),
            ("POST", format!("blobs/uploads/?mount={blob}&from=team/here")),
            ("PATCH", "blobs/uploads/0193d7c4-0000-7000-8000-000000000000".to_owned()),
            ("DELETE", "manifests/v1".to_owned()),
            ("DELETE", format!("blobs/{blob}")),
        ] {
            let here = server.ask(who, method, &format!("/v2/team/here/{path}"), index(1)).await;
            let gone = server.ask(who, method, &format!("/v2/team/gone/{path}"), index(1)).await;
            assert_eq!(here.status, if who == "dev" { 403 } else { 401 }, "{who} {method} {path}");
            let named = |answer: &Answer| {
                let headers: Vec<_> = answer
                    .headers
                    .iter()
                    .map(|(name, value)| {
                        format!("{name}: {}", value.to_str().unwrap().replace("team/gone", "team/here"))
                    })
                    .collect();
                (answer.status, headers, answer.text().replace("team/gone", "team/here"))
            };
            assert_eq!(named(&here), named(&gone), "{who} {method} {path}");
        }
    }
}

#[tokio::test]
async fn a_challenge_says_which_token_would_do() {
    let server = server(vec![owner()], true, &[]).await;
    let challenge = async |who: &str, method: &str, path: &str| {
        server.ask(who, method, path, "").await.header("www-authenticate").to_owned()
    };
    let anonymous = |scope: &str| format!("Bearer scope=\"{scope}\",error=\"Anonymous\"");
    assert_eq!(challenge("", "GET", "/v2/").await, anonymous(""));
    assert_eq!(challenge("", "GET", "/v2/_catalog").await, anonymous("registry:catalog:*"));
    assert_eq!(challenge("", "GET", "/v2/a/b/tags/list").await, anonymous("repository:a/b:pull"));
    assert_eq!(challenge("", "HEAD", "/v2/a/b/manifests/x").await, anonymous("repository:a/b:pull,push"));
    assert_eq!(challenge("", "POST", "/v2/a/b/blobs/uploads/").await, anonymous("repository:a/b:pull,push"));
    assert_eq!(challenge("", "DELETE", "/v2/a/b/manifests/x").await, anonymous("repository:a/b:delete"));
    assert_eq!(
        challenge("dev repository:a/b:pull", "POST", "/v2/a/b/blobs/uploads/").await,
        "Bearer scope=\"repository:a/b:pull,push\",error=\"Insufficient\""
    );
    assert_eq!(challenge("wrong", "GET", "/v2/").await, "Bearer scope=\"\",error=\"Invalid\"");
    assert_eq!(challenge("dev", "GET", "/v2/a/b/tags/list").await, "", "other credentials would not help");
    assert_eq!(server.ask("dev", "GET", "/v2/", "").await.status, 200);
}

#[tokio::test]
async fn r21_the_list_of_repositories_has_what_the_caller_may_pull() {
    let hidden = Rule { effect: Effect::Deny, ..rule("hidden", "user:dev", &[V::Pull], "team/hidden/**") };
    let rules = vec![
        owner(),
        rule("dev", "user:dev", &[V::Pull], "team/**"),
        rule("web", "user:dev", &[V::Pull], "{x,y}/web"),
        rule("exact", "user:exact", &[V::Pull], "team/b"),
        hidden,
    ];
    let server = server(rules, true, &[]).await;
    for name in ["a", "team/a", "team/b", "team/hidden/c", "team/z", "teams", "x/web", "x/web2", "zz"] {
        assert_eq!(server.push("owner", name, "v1", index(1)).await, 201);
    }
    assert_eq!(server.ask("", "GET", "/v2/_catalog", "").await.status, 401);
    assert_eq!(server.ask("dev repository:team/a:pull", "GET", "/v2/_catalog", "").await.status, 401);
    let listed = async |who: &str, size: u32| {
        let (mut all, mut path) = (Vec::new(), format!("/v2/_catalog?n={size}"));
        loop {
            let answer = server.ask(who, "GET", &path, "").await;
            assert_eq!(answer.status, 200);
            let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            let names = body["repositories"].as_array().unwrap();
            assert!(names.len() <= size as usize);
            all.extend(names.iter().map(|name| name.as_str().unwrap().to_owned()));
            let link = answer.header("link");
            assert!(!link.contains("hidden") && !link.contains("zz"), "{link}");
            match link.split_once('<').and_then(|(_, rest)| rest.split_once('>')) {
                Some((next, _)) => path = next.to_owned(),
                None => return all,
            }
        }
    };
    for size in [1, 2, 3, 1000] {
        assert_eq!(listed("dev", size).await, ["team/a", "team/b", "team/z", "x/web"], "{size}");
        assert_eq!(listed("exact", size).await, ["team/b"]);
        assert!(listed("nobody", size).await.is_empty());
        assert_eq!(listed("dev registry:catalog:*", size).await.len(), 4, "as the rules say");
    }
    assert_eq!(listed("owner", 1000).await.len(), 9);
}

#[tokio::test]
async fn r10_a_mount_from_what_the_caller_may_not_read_is_one_of_an_unknown_blob() {
    let server = server(vec![owner(), rule("dev", "user:dev", &V::ALL, "dev/**")], true, &[]).await;
    let (secret, own) =
        (server.blob("owner", "team/a", b"secret").await, server.blob("dev", "dev/a", b"own").await);
    let unknown = digest(b"nowhere");
    let mount = async |who: &str, digest: &Digest, from: &str| {
        let path = format!("/v2/dev/b/blobs/uploads/?mount={digest}{from}");
        let answer = server.ask(who, "POST", &path, "").await;
        let shape: Vec<_> =
            answer.headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.len())).collect();
        (answer.status, shape, answer.body)
    };
    let absent = mount("dev", &unknown, "&from=dev/a").await;
    assert_eq!(absent.0, 202);
    for from in ["&from=team/a", "", "&from=..", "&from=nobody/there"] {
        assert_eq!(mount("dev", &secret, from).await, absent, "{from:?}");
        assert_eq!(mount("dev", &unknown, from).await, absent, "{from:?}");
    }
    let token = "dev repository:dev/b:pull,push";
    assert_eq!(mount(token, &own, "&from=dev/a").await, absent, "a token that does not reach there");
    assert_eq!(mount("dev", &own, "&from=dev/a").await.0, 201);
    assert_eq!(mount("owner", &secret, "").await.0, 201);
}

#[tokio::test]
async fn r11_r12_a_blob_is_there_where_it_is_linked_and_until_it_is_deleted() {
    let server = server(vec![owner()], true, &[]).await;
    let blob = server.blob("owner", "team/a", b"content").await;
    assert_eq!(server.push("owner", "team/b", "v1", index(1)).await, 201);
    let status = async |method: &str, repo: &str| {
        let answer = server.ask("owner", method, &format!("/v2/{repo}/blobs/{blob}"), "").await;
        if answer.status == 200 {
            assert_eq!(answer.header("cache-control"), "no-cache", "whoever keeps it asks each time");
        }
        answer.status
    };
    for method in ["HEAD", "GET"] {
        assert_eq!(status(method, "team/b").await, 404);
        assert_eq!(status(method, "team/a").await, 200);
    }
    assert_eq!(status("DELETE", "team/a").await, 202);
    for method in ["HEAD", "GET", "DELETE"] {
        assert_eq!(status(method, "team/a").await, 404);
    }
}

/// What each verb is good for, on a repository with a tag, where some tags are kept.
#[tokio::test]
async fn r22_policy_by_verb_by_tag_and_digest() {
    let mut kept = rule("kept", "everyone", &[V::Overwrite, V::Delete], "**");
    kept.effect = Effect::Deny;
    kept.tags = vec!["kept*".to_owned()];
    let grants = |verbs: &[V]| verbs.iter().map(|verb| verb.as_str()).collect::<Vec<_>>().join(",");
    let cases: [&[V]; 7] = [
        &[],
        &[V::Pull],
        &[V::Push],
        &[V::Pull, V::Push],
        &[V::Push, V::Overwrite],
        &[V::Pull, V::Delete],
        &V::ALL,
    ];
    for verbs in cases {
        for (as_token, deletes) in [(false, true), (true, true), (false, false), (true, false)] {
            let mut rules = vec![owner(), kept.clone()];
            if !verbs.is_empty() {
                rules.push(rule("them", "user:them", verbs, "team/**"));
            }
            let server = server(rules, deletes, &["fixed*"]).await;
            for tag in ["free", "kept", "fixed"] {
                assert_eq!(server.push("owner", "team/a", tag, index(1)).await, 201);
            }
            let who = match as_token {
                true => format!("them repository:team/a:{}", grants(verbs)),
                false => "them".to_owned(),
            };
            let has = |verb| verbs.contains(&verb);
            let refused = if as_token { 401 } else { 403 };
            let expect = |verb, status| if has(verb) { status } else { refused };
            let told = format!("{verbs:?}, token: {as_token}, deletes: {deletes}");
            let path = |reference: &str| format!("/v2/team/a/manifests/{reference}");
            let by_digest = digest(&index(1)).to_string();

            for reference in ["free", by_digest.as_str()] {
                let status = server.ask(&who, "GET", &path(reference), "").await.status;
                assert_eq!(status, expect(V::Pull, 200), "pull {reference}: {told}");
            }
            // A tag that is new, the same manifest again, another manifest.
            assert_eq!(
                server.push(&who, "team/a", "new", index(2)).await,
                expect(V::Push, 201),
                "new: {told}"
            );
            for tag in ["free", "kept", "fixed"] {
                let same = server.push(&who, "team/a", tag, index(1)).await;
                assert_eq!(same, expect(V::Push, 201), "the same under {tag}: {told}");
                let moves = has(V::Overwrite) && tag == "free";
                let other = server.push(&who, "team/a", tag, index(3)).await;
                let expected = expect(V::Push, if moves { 201 } else { 403 });
                assert_eq!(other, expected, "another under {tag}: {told}");
            }
            let several = server
                .ask(&who, "PUT", &path(&format!("{}?tag=also&tag=kept", digest(&index(4)))), index(4))
                .await;
            assert_eq!(several.status, expect(V::Push, 403), "several tags: {told}");
            assert_eq!(
                server.ask("owner", "GET", &path("also"), "").await.status,
                404,
                "nothing was set: {told}"
            );

            let delete = |status| if deletes { expect(V::Delete, status) } else { expect(V::Delete, 405) };
            for (tag, status) in [("free", 202), ("kept", 403), ("fixed", 403)] {
                let deleted = server.ask(&who, "DELETE", &path(tag), "").await.status;
                assert_eq!(deleted, delete(status), "delete {tag}: {told}");
            }
            // A manifest that a kept tag points at goes as little as the tag.
            let deleted = server.ask(&who, "DELETE", &path(&by_digest), "").await.status;
            assert_eq!(deleted, delete(403), "delete by digest: {told}");
            assert_eq!(server.ask("owner", "GET", &path("kept"), "").await.status, 200);
        }
    }
}

#[tokio::test]
async fn what_is_done_and_refused_is_in_the_audit_log() {
    let server = server(vec![owner(), rule("dev", "user:dev", &[V::Pull, V::Push], "**")], true, &[]).await;
    server.push("owner", "a", "v1", index(1)).await;
    server.push("owner", "a", "v1", index(1)).await;
    server.push("owner", "a", "v1", index(2)).await;
    server.push("dev", "a", "v1", index(3)).await;
    server.ask("dev", "DELETE", "/v2/a/manifests/v1", "").await;
    server.ask("nobody", "GET", "/v2/a/tags/list", "").await;
    server.ask("wrong", "GET", "/v2/", "").await;
    server.ask("", "GET", "/v2/a/tags/list", "").await;
    server.ask("owner", "GET", "/v2/a/manifests/v1", "").await;
    server.ask("owner", "DELETE", "/v2/a/manifests/v1", "").await;
    let blob = server.blob("owner", "a", b"x").await;
    server.ask("owner", "POST", &format!("/v2/b/blobs/uploads/?mount={blob}&from=a"), "").await;
    server.ask("owner", "DELETE", &format!("/v2/b/blobs/{blob}"), "").await;
    assert_eq!(
        server.log().await,
        [
            "user:owner push done a v1",
            "user:owner push done a v1",
            "user:owner overwrite done a v1",
            "user:dev overwrite denied a v1",
            "user:dev delete denied a /v2/a/manifests/v1",
            "user:nobody pull denied a /v2/a/tags/list",
            " login failed  ",
            "user:owner delete done a v1",
            "user:owner mount done b ",
            "user:owner delete done b ",
        ]
    );
}
