//! The endpoints as they look on the wire.

use std::{collections::BTreeSet, fs, path::Path};

use axum::body::Body;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;
use crate::{
    auth::{Principal, Subject, Trusted},
    config::{Config, Tables},
    http::serve::Peer,
    policy::{Rule, Verb, Verbs},
};

struct Server {
    services: Services,
    _folder: tempfile::TempDir,
}

fn rule(name: &str, subject: &str, verbs: &[Verb], repository: &str) -> Rule {
    Rule {
        name: name.to_owned(),
        effect: crate::policy::Effect::Allow,
        subjects: vec![subject.to_owned()],
        verbs: Verbs::of(verbs),
        repositories: vec![repository.to_owned()],
        tags: Vec::new(),
    }
}

async fn server(rules: Vec<Rule>) -> Server {
    open(rules, false).await
}

/// One where callers have to say who they are.
async fn asking_server(rules: Vec<Rule>) -> Server {
    open(rules, true).await
}

async fn open(rules: Vec<Rule>, asking: bool) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.auth.enabled = asking;
    config.data.dir = folder.path().to_owned();
    config.policy.rules = Tables(rules);
    Server { services: Services::open(config).await.unwrap(), _folder: folder }
}

/// Who asks: the owner by the control socket, or a user whom the connection vouches for.
fn local() -> Principal {
    Principal { subject: Subject::Local, ..Principal::default() }
}

fn user(name: &str) -> Principal {
    Principal { subject: Subject::User(name.to_owned()), ..Principal::default() }
}

impl Server {
    async fn send(&self, request: Request<Body>) -> (StatusCode, Value) {
        let (parts, body) = self.services.router().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn ask(
        &self,
        who: Principal,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let mut request = Request::builder().method(method).uri(path).extension(Trusted(who));
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.send(request.body(body).unwrap()).await
    }
}

fn public() -> Value {
    json!({ "name": "public", "subjects": ["anonymous"], "verbs": ["pull"], "repositories": ["public/**"] })
}

#[tokio::test]
async fn a_rule_is_in_force_from_its_addition_to_its_removal() {
    let server = server(vec![rule("file", "user:alice", &[Verb::Pull], "a/**")]).await;
    let explain = async || {
        let path = "/api/v1/policy/explain?subject=bob&verb=pull&repository=public/x";
        server.ask(local(), Method::GET, path, None).await.1
    };
    assert_eq!(explain().await["allowed"], false);
    let (status, body) = server.ask(local(), Method::POST, "/api/v1/policy/rules", Some(public())).await;
    assert_eq!((status, &body["in_force"]), (StatusCode::CREATED, &json!(true)));
    let explained = explain().await;
    assert_eq!(explained["allowed"], true);
    assert_eq!((explained["rule"].as_str(), explained["source"].as_str()), (Some("public"), Some("catalog")));
    let listed = server.ask(local(), Method::GET, "/api/v1/policy", None).await.1;
    let names: Vec<_> = listed["rules"].as_array().unwrap().iter().map(|rule| &rule["name"]).collect();
    assert_eq!(names, ["file", "public"]);

    let again = server.ask(local(), Method::POST, "/api/v1/policy/rules", Some(public())).await;
    assert_eq!(again.0, StatusCode::CONFLICT);
    let configured = server.ask(local(), Method::DELETE, "/api/v1/policy/rules/file", None).await;
    assert_eq!(configured.0, StatusCode::CONFLICT, "that one is in the configuration");
    let removed = server.ask(local(), Method::DELETE, "/api/v1/policy/rules/public", None).await;
    assert_eq!(removed.0, StatusCode::NO_CONTENT);
    assert_eq!(explain().await["allowed"], false);
    let gone = server.ask(local(), Method::DELETE, "/api/v1/policy/rules/public", None).await;
    assert_eq!(gone.0, StatusCode::NOT_FOUND);
    server.services.close().await;
}

#[tokio::test]
async fn an_answer_that_says_no_says_which_rules_are_near() {
    let server = server(vec![rule("team", "group:dev", &[Verb::Push], "team/**")]).await;
    let ask = async |query: &str| {
        server.ask(local(), Method::GET, &format!("/api/v1/policy/explain?{query}"), None).await
    };
    let (_, body) = ask("subject=alice&verb=push&repository=team/app").await;
    assert_eq!(body["nearest"], json!([{ "rule": "team", "but": "subjects" }]));
    let (_, body) = ask("subject=alice&groups=dev&verb=push&repository=team/app").await;
    assert_eq!((&body["allowed"], &body["rule"]), (&json!(true), &json!("team")));
    for wrong in
        ["subject=alice&verb=shove", "subject=x:y&verb=pull", "verb=pull&repository=../x", "verb=pull&x=1"]
    {
        assert_eq!(ask(wrong).await.0, StatusCode::BAD_REQUEST, "{wrong}");
    }
    server.services.close().await;
}

#[tokio::test]
async fn only_administrators_administer() {
    let server = server(vec![
        rule("admins", "user:root", &[Verb::Admin], "**"),
        rule("some", "user:some", &[Verb::Admin], "team/**"),
    ])
    .await;
    let admin = Principal { admin: true, ..user("boss") };
    for (who, allowed) in [
        (local(), true),
        (admin, true),
        (user("root"), true),
        (user("some"), false),
        (user("nobody"), false),
        (Principal::anonymous(), false),
    ] {
        for path in ["/api/v1/policy", "/api/v1/audit"] {
            let status = server.ask(who.clone(), Method::GET, path, None).await.0;
            assert_eq!(
                status,
                if allowed { StatusCode::OK } else { StatusCode::FORBIDDEN },
                "{who:?} {path}"
            );
        }
    }
    let other = "/api/v1/policy/explain?subject=root&verb=pull";
    assert_eq!(server.ask(user("nobody"), Method::GET, other, None).await.0, StatusCode::FORBIDDEN);
    let own = "/api/v1/policy/explain?verb=pull";
    assert_eq!(server.ask(user("nobody"), Method::GET, own, None).await.1["subject"], "user:nobody");
    server.services.close().await;
}

#[tokio::test]
async fn an_open_registry_is_administered_from_its_own_machine() {
    let server = server(Vec::new()).await;
    for (address, status) in [("127.0.0.1:9", 200), ("[::1]:9", 200), ("192.0.2.1:9", 403)] {
        let peer = Peer { addr: address.parse().unwrap(), tls: false };
        let request = Request::get("/api/v1/policy").extension(peer).header("host", "localhost");
        assert_eq!(server.send(request.body(Body::empty()).unwrap()).await.0, status, "{address}");
    }
    server.services.close().await;
}

#[tokio::test]
async fn a_proxy_on_the_same_machine_passes_no_administration_on() {
    let server = server(Vec::new()).await;
    for (name, value) in [
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-for", "127.0.0.1"),
        ("forwarded", "for=unknown"),
        ("x-real-ip", "203.0.113.9"),
        ("via", "1.1 proxy"),
    ] {
        let peer = Peer { addr: "127.0.0.1:9".parse().unwrap(), tls: false };
        let request = Request::get("/api/v1/audit").extension(peer).header("host", "localhost");
        let request = request.header(name, value).body(Body::empty()).unwrap();
        assert_eq!(server.send(request).await.0, StatusCode::FORBIDDEN, "{name}: {value}");
    }
    server.services.close().await;
}

#[tokio::test]
async fn an_open_registry_takes_a_rule_from_its_owner_alone() {
    let server = server(Vec::new()).await;
    let rule = json!({ "name": "mine", "subjects": ["anonymous"], "verbs": ["*"], "repositories": ["**"] });
    let near = |request: http::request::Builder| {
        let peer = Peer { addr: "127.0.0.1:9".parse().unwrap(), tls: false };
        request.extension(peer).header("host", "localhost").header("content-type", "application/json")
    };
    let add = near(Request::post("/api/v1/policy/rules")).body(Body::from(rule.to_string())).unwrap();
    assert_eq!(server.send(add).await.0, StatusCode::FORBIDDEN, "it would hold once authentication is on");
    let own = server.ask(local(), Method::POST, "/api/v1/policy/rules", Some(rule)).await;
    assert_eq!(own.0, StatusCode::CREATED);
    let remove = near(Request::delete("/api/v1/policy/rules/mine")).body(Body::empty()).unwrap();
    assert_eq!(server.send(remove).await.0, StatusCode::FORBIDDEN);
    server.services.close().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_answered_as_every_other_fault_is() {
    let server = server(Vec::new()).await;
    let send = async |method: &str, path: &str, body: &'static str| {
        let path = path.replace("{*name}", "a/tags").replace("{name}", "a").replace("{member}", "user:a");
        let request = Request::builder().method(method).uri(path.replace("{namespace}", "a"));
        let request = request.extension(Trusted(local())).header("content-type", "application/json");
        server.send(request.body(Body::from(body)).unwrap()).await
    };
    for operation in openapi::OPERATIONS {
        let method = operation.method.to_uppercase();
        for body in ["{", "\"x\"", r#"{"colour": "red"}"#, r#"{"limit": "1GiB"}"#] {
            let (status, answer) = send(&method, operation.path, body).await;
            let told = answer["error"]["message"].is_string();
            assert!(told || operation.body.is_none(), "{operation:?} {body}: {status} {answer}");
        }
        if method == "GET" {
            let (status, answer) = send(&method, &format!("{}?limit=x&n=x", operation.path), "").await;
            let told = answer["error"]["message"].is_string();
            assert!(told || status.is_success(), "{operation:?}: {status} {answer}");
        }
    }
    server.services.close().await;
}

#[tokio::test]
async fn an_open_registry_answers_by_its_machines_names_alone() {
    let server = server(Vec::new()).await;
    for (host, status) in [("localhost:5000", 200), ("127.0.0.1", 200), ("evil.example", 421)] {
        for path in ["/v2/", "/api/v1"] {
            let peer = Peer { addr: "127.0.0.1:9".parse().unwrap(), tls: false };
            let request = Request::get(path).extension(peer).header("host", host);
            assert_eq!(server.send(request.body(Body::empty()).unwrap()).await.0, status, "{host} {path}");
        }
    }
    server.services.close().await;
}

#[tokio::test]
async fn r35_a_page_of_another_site_adds_no_rule() {
    let server = server(Vec::new()).await;
    let post = |headers: &[(&str, &str)]| {
        let mut request = Request::post("/api/v1/policy/rules").extension(Trusted(local()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::from(public().to_string())).unwrap()
    };
    let json = ("content-type", "application/json");
    for (headers, status) in [
        (vec![json, ("origin", "https://evil.example"), ("host", "localhost")], 403),
        (vec![json, ("sec-fetch-site", "cross-site")], 403),
        (vec![("content-type", "text/plain"), ("content-length", "9")], 415),
        (vec![json], 201),
    ] {
        let (answered, body) = server.send(post(&headers)).await;
        assert_eq!(answered, status, "{headers:?} {body}");
    }
    server.services.close().await;
}

#[tokio::test]
async fn what_administrators_change_is_in_the_audit_log_with_who_and_how_it_ended() {
    let server = asking_server(vec![rule("admins", "user:root", &[Verb::Admin], "**")]).await;
    let rules = "/api/v1/policy/rules";
    server.ask(user("root"), Method::POST, rules, Some(public())).await;
    server.ask(user("root"), Method::POST, rules, Some(public())).await;
    server.ask(user("eve"), Method::DELETE, "/api/v1/policy/rules/public", None).await;
    server.services.audit.close().await;
    let (_, log) = server.ask(local(), Method::GET, "/api/v1/audit?verb=admin", None).await;
    let entries: Vec<_> = log["entries"].as_array().unwrap().iter().rev().collect();
    let told: Vec<_> = entries
        .iter()
        .map(|entry| ["who", "reference", "outcome"].map(|name| entry[name].as_str().unwrap()).join(" "))
        .collect();
    assert_eq!(
        told,
        [
            "user:root POST /api/v1/policy/rules done",
            "user:root POST /api/v1/policy/rules failed",
            "user:eve DELETE /api/v1/policy/rules/public denied",
        ]
    );
    let (_, page) = server.ask(local(), Method::GET, "/api/v1/audit?limit=2", None).await;
    let next = page["next"].as_str().unwrap();
    let (_, rest) = server.ask(local(), Method::GET, &format!("/api/v1/audit?after={next}"), None).await;
    assert_eq!((rest["entries"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));
    assert_eq!(rest["entries"][0]["reference"], entries[0]["reference"]);
    for wrong in ["since=yesterday", "after=x", "limit=x", "colour=red", "verb=shove"] {
        let status = server.ask(local(), Method::GET, &format!("/api/v1/audit?{wrong}"), None).await.0;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    server.services.close().await;
}

fn basic(name: &str, secret: &str) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    format!("Basic {}", STANDARD.encode(format!("{name}:{secret}")))
}

#[tokio::test]
async fn a_token_that_is_good_as_a_password_makes_nothing_that_outlives_it() {
    let server = asking_server(Vec::new()).await;
    let eve = json!({ "name": "eve", "password": "eve's password" });
    assert_eq!(
        server.ask(local(), Method::POST, "/api/v1/users", Some(eve.clone())).await.0,
        StatusCode::CREATED
    );
    let send = async |secret: &str, method: Method, path: &str, body: Value| {
        let peer = Peer { addr: "127.0.0.1:9".parse().unwrap(), tls: false };
        let request = Request::builder().method(method).uri(path).extension(peer);
        let request = request.header("content-type", "application/json").header("host", "localhost");
        let request = request.header("authorization", basic("eve", secret));
        server.send(request.body(Body::from(body.to_string())).unwrap()).await
    };
    let new = json!({ "name": "build", "expires_in": 60 });
    let (status, token) = send("eve's password", Method::POST, "/api/v1/tokens", new.clone()).await;
    assert_eq!(status, StatusCode::CREATED, "{token}");
    let secret = token["secret"].as_str().unwrap();
    assert_eq!(send(secret, Method::GET, "/api/v1/me", json!({})).await.1["subject"], "user:eve");
    assert_eq!(send(secret, Method::POST, "/api/v1/tokens", new).await.0, StatusCode::FORBIDDEN);
    let taken = json!({ "password": "taken over!", "current": secret });
    for shown in [secret, "eve's password"] {
        let path = "/api/v1/users/eve/password";
        assert_eq!(send(shown, Method::PUT, path, taken.clone()).await.0, StatusCode::FORBIDDEN);
    }
    assert_eq!(send("eve's password", Method::GET, "/api/v1/me", json!({})).await.0, StatusCode::OK);
    server.services.close().await;
}

#[tokio::test]
async fn a_failed_login_is_in_the_audit_log_as_the_subject_it_would_have_been() {
    let server = asking_server(Vec::new()).await;
    let user = json!({ "name": "local", "password": "no secret at all" });
    for (path, body) in [("/api/v1/users", user), ("/api/v1/robots", json!({ "name": "team/ci" }))] {
        assert_eq!(server.ask(local(), Method::POST, path, Some(body)).await.0, StatusCode::CREATED);
    }
    for name in ["local", "team/ci"] {
        let peer = Peer { addr: "127.0.0.1:9".parse().unwrap(), tls: false };
        let request = Request::get("/api/v1/me").extension(peer).header("host", "localhost");
        let request = request.header("authorization", basic(name, "x")).body(Body::empty()).unwrap();
        assert_eq!(server.send(request).await.0, StatusCode::UNAUTHORIZED);
    }
    server.services.audit.close().await;
    let (_, log) = server.ask(local(), Method::GET, "/api/v1/audit?verb=login", None).await;
    let who: Vec<_> = log["entries"].as_array().unwrap().iter().map(|entry| entry["who"].as_str()).collect();
    assert_eq!(who, [Some("robot:team/ci"), Some("user:local")]);
    server.services.close().await;
}

#[tokio::test]
async fn whoever_gets_a_name_gets_no_sessions_of_who_had_it_before() {
    use crate::{auth::tokens::NewRefresh, catalog::RefreshKind};
    let server = asking_server(Vec::new()).await;
    // As somebody in a password file got it, who is not there any more.
    let tokens = server.services.tokens.clone().unwrap();
    let mut secrets = Vec::new();
    for subject in [Subject::User("eve".to_owned()), Subject::Robot("team/ci".to_owned())] {
        let new = NewRefresh { subject, kind: RefreshKind::Offline, name: String::new(), expires_at: None };
        secrets.push(tokens.add_refresh(new).await.unwrap().1);
    }
    let eve = json!({ "name": "eve", "password": "eve's password", "admin": true });
    let robot = json!({ "name": "team/ci" });
    for (path, body) in [("/api/v1/users", eve), ("/api/v1/robots", robot)] {
        assert_eq!(server.ask(local(), Method::POST, path, Some(body)).await.0, StatusCode::CREATED);
    }
    for secret in secrets {
        assert!(tokens.refreshed(secret.reveal()).await.is_err());
    }
    server.services.close().await;
}

/// Routes that the files beside this one make, as `get /api/v1/…`.
fn routes() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api");
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|end| end != "rs") || path.ends_with("tests.rs") {
                continue;
            }
            let text: String = fs::read_to_string(path).unwrap().split_whitespace().collect();
            for route in text.split(".route(\"").skip(1) {
                let (path, rest) = route.split_once("\",").unwrap();
                let methods = rest.split([';', '}']).next().unwrap().split(".route(").next().unwrap();
                for method in ["get", "post", "put", "patch", "delete"] {
                    if methods.starts_with(&format!("{method}(")) || methods.contains(&format!(").{method}("))
                    {
                        found.insert(format!("{method} {path}"));
                    }
                }
            }
        }
    }
    found
}

#[test]
fn every_route_is_documented_and_every_documented_operation_is_a_route() {
    let documented: BTreeSet<_> = openapi::OPERATIONS
        .iter()
        .map(|operation| format!("{} {}", operation.method, operation.path))
        .collect();
    let routes = routes();
    assert!(routes.len() > 5, "the routes were not found");
    let (missing, idle): (Vec<_>, Vec<_>) =
        (routes.difference(&documented).collect(), documented.difference(&routes).collect());
    assert!(
        missing.is_empty() && idle.is_empty(),
        "api/openapi.rs lacks {missing:?}, and has {idle:?} for nothing"
    );
}

#[tokio::test]
async fn every_documented_operation_answers() {
    let server = server(Vec::new()).await;
    for operation in openapi::OPERATIONS {
        let path = operation
            .path
            .replace("{*name}", "a/tags")
            .replace("{name}", "a")
            .replace("{member}", "user:a")
            .replace("{namespace}", "a");
        let method = operation.method.to_uppercase().parse().unwrap();
        let (status, body) = server.ask(local(), method, &path, Some(json!({}))).await;
        assert_ne!(status, StatusCode::METHOD_NOT_ALLOWED, "{operation:?}");
        let message = body["error"]["message"].as_str().unwrap_or_default();
        assert!(!message.contains("no such endpoint"), "{operation:?}");
    }
    let (status, document) = server.ask(local(), Method::GET, "/api/v1/openapi.json", None).await;
    for schema in openapi::OPERATIONS.iter().filter_map(|operation| operation.body) {
        assert!(document["components"]["schemas"][schema].is_object(), "{schema}");
    }
    assert_eq!((status, document["openapi"].as_str()), (StatusCode::OK, Some("3.1.0")));
    assert!(document["paths"]["/api/v1/repositories/{name}/tags"]["get"].is_object());
    let nowhere = server.ask(local(), Method::GET, "/api/v1/nowhere", None).await;
    assert_eq!((nowhere.0, nowhere.1["error"]["code"].as_str()), (StatusCode::NOT_FOUND, Some("unknown")));
    server.services.close().await;
}

#[tokio::test]
async fn f13_what_was_brought_back_is_on_record_when_it_is_answered() {
    let server = server(Vec::new()).await;
    let Services { manifests, store, .. } = &server.services;
    let repo: berth_oci::RepoName = "a/b".parse().unwrap();
    let tag: berth_oci::Tag = "v1".parse().unwrap();
    let reference = berth_oci::ManifestReference::Tag(tag.clone());
    let media_type = berth_oci::MediaType::OCI_INDEX;
    let body = format!("{{\"schemaVersion\":2,\"mediaType\":\"{media_type}\",\"manifests\":[]}}");
    let free = || std::sync::Arc::new(|_: &berth_oci::Tag| false);
    manifests.put(&repo, reference.clone(), Vec::new(), None, body.into(), free()).await.unwrap();
    assert!(manifests.delete(&repo, &reference, free()).await.unwrap());
    let record = crate::storage::Key::Tag(&repo, &tag).object();
    assert_eq!(store.size(&record).await.unwrap(), None);
    let wanted = json!({ "name": "a/b:v1" });
    let (status, back) = server.ask(local(), Method::POST, "/api/v1/undelete", Some(wanted)).await;
    assert_eq!((status, &back["tags"]), (StatusCode::OK, &json!(["v1"])));
    assert!(store.size(&record).await.unwrap().is_some());
}
