//! Tokens over the wire: Docker's and OAuth2's ways to one, forged ones (R23, R24), scopes (R25), people who are shut
//! out (R26), pipelines that a platform vouches for, and real clients.

#![allow(clippy::unwrap_used, reason = "the steps of a test panic as the test itself does")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use berth_conformance::clients::{Content, Layout, Podman, Skopeo, digest_of, new_repository};
use berth_conformance::harness::{
    Berth, BerthBuilder, CountingProxy, Dockerd, Scratch, Tool, berth_program, require, require_root, until,
};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

/// alice: wonderland, bob: builder-bob.
const ALICE: &str = "alice:$2y$04$D5pmbsESauGhFf1geA9UFO.rIKQBFRYnF/83h5bSAu5DNscp6cOd6\n";
const BOB: &str = "bob:$2y$04$lvi6XSh8vYno4xGJauEvAO.kU7u7i8hjFMz18Fdga11rwWQskW4Ua\n";
const RULES: &str = r#"[
    { name = "team", subjects = ["user:alice", "ci:github:octo/*"], verbs = ["pull", "push", "overwrite"], repositories = ["team/**"] },
    { name = "own", subjects = ["user:bob"], verbs = ["pull", "push"], repositories = ["bob/**"] },
    { name = "public", subjects = ["anonymous"], verbs = ["pull"], repositories = ["public/**"] },
]"#;

/// A registry that knows alice and bob.
struct Bench {
    berth: Berth,
    users: Scratch,
    client: Client,
    runtime: Runtime,
}

/// A status, a header, a body.
struct Answer {
    status: u16,
    challenge: String,
    body: Value,
}

impl Bench {
    fn new(more: impl FnOnce(BerthBuilder) -> BerthBuilder) -> Self {
        let users = Scratch::new("users").unwrap();
        let file = users.write("htpasswd", format!("{ALICE}{BOB}")).unwrap();
        let builder = Berth::builder()
            .set("auth.enabled", "true")
            .set("auth.htpasswd", &format!("{:?}", file.display().to_string()))
            .set("auth.admins", "[\"bob\"]")
            .set("policy.rules", &RULES.replace('\n', " ").replace("},  ]", "} ]"));
        let berth = more(builder).start().unwrap();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        Self { berth, users, client: Client::builder().no_proxy().build().unwrap(), runtime }
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.berth.url()))
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.berth.url()))
    }

    fn send(&self, request: RequestBuilder) -> Answer {
        self.runtime.block_on(async {
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            let challenge = answer.headers().get(WWW_AUTHENTICATE);
            let challenge = challenge.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
            let body = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default();
            Answer { status, challenge, body }
        })
    }

    /// A GET with a bearer token.
    fn with(&self, token: &str, path: &str) -> Answer {
        self.send(self.get(path).bearer_auth(token))
    }

    /// Docker's way to a token.
    fn docker(&self, who: Option<(&str, &str)>, query: &str) -> Answer {
        let request = self.get(&format!("/token?service=berth{query}"));
        self.send(match who {
            Some((name, password)) => request.basic_auth(name, Some(password)),
            None => request,
        })
    }

    fn alice(&self, query: &str) -> Answer {
        self.docker(Some(("alice", "wonderland")), query)
    }

    /// OAuth2's way.
    fn oauth(&self, form: &[(&str, &str)]) -> Answer {
        let mut url = reqwest::Url::parse("http://form/").unwrap();
        url.query_pairs_mut().extend_pairs(form);
        let request = self.post("/token").header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request.body(url.query().unwrap().to_owned()))
    }
}

fn token(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["token"], answer.body["access_token"]);
    answer.body["token"].as_str().unwrap().to_owned()
}

/// The `access` claim.
fn access(token: &str) -> Value {
    claims(token)["access"].clone()
}

fn claims(token: &str) -> Value {
    serde_json::from_slice(&unbase64(token.split('.').nth(1).unwrap())).unwrap()
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, at| bits << 8 | u32::from(*group.get(at).unwrap_or(&0)));
        for digit in 0..=group.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * digit) & 63) as usize]));
        }
    }
    text
}

fn unbase64(text: &str) -> Vec<u8> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for letter in text.bytes() {
        bits =
            bits << 6 | u32::try_from(ALPHABET.iter().position(|known| *known == letter).unwrap()).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 255).unwrap());
        }
    }
    bytes
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn docker_and_oauth2_get_the_granted_subset_in_their_own_form() {
    let bench = Bench::new(|builder| builder);
    let challenge = bench.send(bench.get("/v2/"));
    assert_eq!(challenge.status, 401);
    let realm = format!("Bearer realm=\"{}/token\",service=\"berth\"", bench.berth.url());
    assert_eq!(challenge.challenge, realm);
    let given = bench.alice("&scope=repository:team/app:pull,push&scope=repository:bob/x:pull&account=alice");
    assert_eq!(given.body["expires_in"], 300);
    assert!(given.body["issued_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(given.body.get("refresh_token"), None);
    let token = token(&given);
    let granted =
        json!([{ "type": "repository", "name": "team/app", "actions": ["pull", "push", "overwrite"] }]);
    assert_eq!(access(&token), granted);
    assert_eq!(bench.with(&token, "/v2/").status, 200);
    assert_eq!(bench.with(&token, "/v2/team/app/tags/list").status, 404, "let in; there is none yet");

    let login = [("grant_type", "password"), ("username", "alice"), ("password", "wonderland")];
    let login = [
        &login[..],
        &[("service", "berth"), ("scope", "repository:team/app:pull"), ("access_type", "offline")],
    ];
    let given = bench.oauth(&login.concat());
    assert_eq!(given.body["scope"], "repository:team/app:pull");
    assert_eq!(given.body["token_type"], "Bearer");
    let refresh = given.body["refresh_token"].as_str().unwrap().to_owned();
    let again =
        [("grant_type", "refresh_token"), ("refresh_token", &refresh), ("scope", "repository:team/b:push")];
    let given = bench.oauth(&again);
    assert_eq!(claims(&self::token(&given))["sub"], "user:alice");
    assert_eq!(given.body["refresh_token"], refresh.as_str());

    let nobody = bench.docker(None, "&scope=repository:public/a:pull,push&scope=repository:team/app:pull");
    let nobody = self::token(&nobody);
    assert_eq!(access(&nobody), json!([{ "type": "repository", "name": "public/a", "actions": ["pull"] }]));
    assert_eq!(bench.with(&nobody, "/v2/public/a/tags/list").status, 404);
}

#[test]
fn what_is_wrong_is_said_in_the_words_that_clients_read() {
    let bench = Bench::new(|builder| builder);
    let wrong = bench.docker(Some(("alice", "rabbit")), "");
    assert_eq!((wrong.status, wrong.challenge.as_str()), (401, "Basic realm=\"berth\""));
    assert_eq!(wrong.body["errors"][0]["code"], "UNAUTHORIZED");
    let wrong = bench.oauth(&[("grant_type", "password"), ("username", "alice"), ("password", "rabbit")]);
    assert_eq!((wrong.status, &wrong.body["error"]), (400, &json!("invalid_grant")));
    let wrong = bench.oauth(&[("grant_type", "refresh_token"), ("refresh_token", "brt_x")]);
    assert_eq!((wrong.status, &wrong.body["error"]), (400, &json!("invalid_grant")));
    for form in [
        &[("grant_type", "password"), ("username", "alice")][..],
        &[("grant_type", "password"), ("username", "a:b"), ("password", "c")],
        &[("grant_type", "refresh_token"), ("grant_type", "password"), ("refresh_token", "x")],
        &[("scope", "repository:team/app:pull")],
    ] {
        let wrong = bench.oauth(form);
        assert_eq!((wrong.status, &wrong.body["error"]), (400, &json!("invalid_request")), "{form:?}");
    }
    let wrong = bench.oauth(&[("grant_type", "client_credentials")]);
    assert_eq!((wrong.status, &wrong.body["error"]), (400, &json!("unsupported_grant_type")));
    let other = bench.send(bench.get("/token?service=other"));
    assert_eq!((other.status, &other.body["error"]), (400, &json!("invalid_request")));
    let many = "&scope=repository:team/app:pull".repeat(101);
    assert_eq!(bench.alice(&many).body["error"], "invalid_scope");
    let long = bench.post("/token").body("a".repeat(1 << 20));
    assert_eq!(bench.send(long).status, 400);
    let put = bench.send(bench.client.put(format!("{}/token", bench.berth.url())));
    assert_eq!(put.status, 405);
}

#[test]
fn r23_forged_tokens_are_refused_over_the_wire() {
    let bench = Bench::new(|builder| builder);
    let good = token(&bench.alice("&scope=repository:team/app:pull"));
    let [head, body, signature] = [0, 1, 2].map(|at| good.split('.').nth(at).unwrap());
    let header: Value = serde_json::from_slice(&unbase64(head)).unwrap();
    let keys = bench.send(bench.get("/token/jwks")).body;
    assert_eq!(keys, bench.send(bench.get("/.well-known/jwks.json")).body);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut header = header.clone();
        change(&mut header);
        base64(header.to_string().as_bytes())
    };
    let none = with(&|header| header["alg"] = "none".into());
    let hmac = with(&|header| header["alg"] = "HS256".into());
    let key = keys["keys"][0].to_string();
    let mac = base64(&hmac_sha256(key.as_bytes(), format!("{hmac}.{body}").as_bytes()));
    let path = with(&|header| header["kid"] = "../../../dev/null".into());
    let jwk = with(&|header| {
        header["jwk"] = keys["keys"][0].clone();
        header["jku"] = "http://127.0.0.1:1/keys".into();
        header["x5c"] = json!(["MIIB"]);
    });
    for forged in [
        format!("{none}.{body}."),
        format!("{none}.{body}.{signature}"),
        format!("{hmac}.{body}.{mac}"),
        format!("{path}.{body}.{signature}"),
        format!("{jwk}.{body}.{signature}"),
        format!("{head}.{body}."),
        "x".to_owned(),
        "e30.e30.".to_owned(),
    ] {
        let answer = bench.with(&forged, "/v2/team/app/tags/list");
        assert_eq!(answer.status, 401, "{forged}");
        assert!(answer.challenge.ends_with("error=\"invalid_token\""), "{}", answer.challenge);
    }
    assert_eq!(bench.with(&good, "/v2/team/app/tags/list").status, 404, "it is the forgery alone");
}

fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let key = if key.len() > 64 { Sha256::digest(key).to_vec() } else { key.to_vec() };
    let padded = |with: u8| (0..64).map(|at| key.get(at).unwrap_or(&0) ^ with).collect::<Vec<u8>>();
    let inner = Sha256::digest([padded(0x36), message.to_vec()].concat());
    Sha256::digest([padded(0x5c), inner.to_vec()].concat()).to_vec()
}

#[test]
fn r25_a_token_reaches_as_far_as_its_scope_and_says_what_is_lacking() {
    let bench = Bench::new(|builder| builder);
    for scope in [
        "repository:*:*",
        "repository:bob/x:*",
        "repository:team/*:pull",
        "registry:*:*",
        "repository:team/app:pull%20repository:bob/x:*%22",
        "repository:bob/x:pull,repository:team/app:pull",
    ] {
        let token = token(&bench.alice(&format!("&scope={scope}")));
        assert!(!access(&token).to_string().contains("bob"), "{scope}: {}", access(&token));
        assert!(!access(&token).to_string().contains('*'), "{scope}: {}", access(&token));
        let denied = bench.with(&token, "/v2/bob/x/tags/list");
        assert_eq!(denied.status, 401, "{scope}");
        let lacking = "scope=\"repository:bob/x:pull\",error=\"insufficient_scope\"";
        assert!(denied.challenge.ends_with(lacking), "{}", denied.challenge);
    }
    let pull = token(&bench.alice("&scope=repository:team/app:pull"));
    let push = bench.send(bench.post("/v2/team/app/blobs/uploads/").bearer_auth(&pull));
    assert_eq!(push.status, 401);
    let lacking = "scope=\"repository:team/app:pull,push\",error=\"insufficient_scope\"";
    assert!(push.challenge.ends_with(lacking), "{}", push.challenge);
    let again = bench.send(bench.get("/token").bearer_auth(&pull));
    assert_eq!(again.status, 401, "a token is not had with a token");
}

#[test]
fn r26_whoever_is_shut_out_is_denied_when_their_token_ends() {
    let bench =
        Bench::new(|builder| builder.set("auth.tokens.life", "\"3s\"").set("auth.tokens.leeway", "\"0s\""));
    let offline = bench.alice("&scope=repository:team/app:pull&offline_token=true&client_id=test");
    let (token, refresh) = (token(&offline), offline.body["refresh_token"].as_str().unwrap().to_owned());
    assert_eq!(bench.with(&token, "/v2/team/app/tags/list").status, 404);
    std::fs::write(bench.users.join("htpasswd"), BOB).unwrap();
    let gone = until(Duration::from_secs(20), || {
        (bench.with(&token, "/v2/team/app/tags/list").status == 401).then_some(())
    });
    assert!(gone.is_some());
    assert!(claims(&token)["exp"].as_u64().unwrap() <= seconds());
    assert_eq!(bench.alice("").status, 401);
    assert_eq!(bench.oauth(&[("grant_type", "refresh_token"), ("refresh_token", &refresh)]).status, 400);
}

#[test]
fn the_realm_is_what_the_client_used_and_never_what_it_made_up() {
    let bench = Bench::new(|builder| builder);
    let ask = |host: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", bench.berth.port())).unwrap();
        write!(stream, "GET /v2/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    assert!(ask("registry.example:5000").contains("Bearer realm=\"http://registry.example:5000/token\""));
    for host in ["a/b", "user@a", "a\",realm=\"b", "a b", "a,b"] {
        let text = ask(host);
        assert!(!text.contains("Bearer realm"), "{host}: {text}");
    }
    let set = Bench::new(|builder| builder.set("server.external_url", "\"https://registry.example\""));
    let challenge = set.send(set.get("/v2/")).challenge;
    assert!(challenge.starts_with("Bearer realm=\"https://registry.example/token\""), "{challenge}");
}

/// A token server or platform whose keys are in a file: RSA, which openssl signs with.
struct Issuer {
    scratch: Scratch,
}

impl Issuer {
    const TOOLS: &[&str] = &["openssl", "setpriv"];

    fn new() -> Self {
        let issuer = Self { scratch: Scratch::new("issuer").unwrap() };
        let key = issuer.path("key.pem");
        issuer.openssl(&["genrsa", "-out", &key, "2048"]);
        let modulus = issuer.openssl(&["rsa", "-in", &key, "-noout", "-modulus"]);
        let modulus = hex(modulus.trim().strip_prefix("Modulus=").unwrap());
        let jwk = json!({ "kty": "RSA", "kid": "k", "use": "sig", "n": base64(&modulus), "e": "AQAB" });
        issuer.scratch.write("jwks.json", json!({ "keys": [jwk] }).to_string()).unwrap();
        issuer
    }

    fn path(&self, name: &str) -> String {
        self.scratch.join(name).display().to_string()
    }

    fn openssl(&self, words: &[&str]) -> String {
        Tool::new("openssl").unwrap().args(words).run().unwrap()
    }

    fn sign(&self, claims: &Value) -> String {
        let header = base64(br#"{"alg":"RS256","kid":"k","typ":"JWT"}"#);
        let message = format!("{header}.{}", base64(claims.to_string().as_bytes()));
        self.scratch.write("message", &message).unwrap();
        let (key, out) = (self.path("key.pem"), self.path("signature"));
        self.openssl(&["dgst", "-sha256", "-sign", &key, "-out", &out, &self.path("message")]);
        format!("{message}.{}", base64(&std::fs::read(out).unwrap()))
    }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn pipeline() -> Value {
    json!({
        "iss": "https://token.actions.example", "aud": "berth", "sub": "repo:octo/app:ref:refs/heads/main",
        "iat": seconds(), "nbf": seconds(), "exp": seconds() + 300, "event_name": "push",
        "repository": "octo/app", "repository_id": "42", "ref": "refs/heads/main",
    })
}

fn federation(issuer: &Issuer) -> String {
    format!(
        "[{{ name = \"github\", kind = \"github\", issuer = \"https://token.actions.example\", audience = \"berth\", \
         jwks_file = {:?}, claims = {{ repository_id = \"42\", ref = \"refs/heads/*\" }} }}]",
        issuer.path("jwks.json")
    )
}

#[test]
fn a_pipeline_logs_in_with_what_its_platform_signed_and_pushes_where_the_policy_lets_it() {
    if !require(Issuer::TOOLS) || !require(Skopeo::TOOLS) {
        return;
    }
    let issuer = Issuer::new();
    let bench = Bench::new(|builder| builder.set("auth.federation", &federation(&issuer)));
    let (id, skopeo) = (issuer.sign(&pipeline()), Skopeo::new().unwrap());
    let from = skopeo.scratch().join("from");
    Layout::small_image(&from, "pipeline").unwrap();
    let from = format!("oci:{}:latest", from.display());
    let image = format!("docker://{}/team/pipeline:latest", bench.berth.host());
    skopeo.copy(&[&format!("--dest-creds=ci:{id}")], &from, &image).unwrap();
    let denied = format!("docker://{}/bob/pipeline:latest", bench.berth.host());
    assert!(skopeo.copy(&[&format!("--dest-creds=ci:{id}")], &from, &denied).is_err());

    // The same, by exchange (RFC 8693).
    let exchange = |subject: &str| {
        bench.oauth(&[
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", subject),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
            ("scope", "repository:team/pipeline:pull,push repository:bob/pipeline:push"),
        ])
    };
    let given = exchange(&id);
    assert_eq!(given.body["issued_token_type"], "urn:ietf:params:oauth:token-type:access_token");
    let given = token(&given);
    assert_eq!(claims(&given)["sub"], "ci:github:octo/app");
    assert_eq!(bench.with(&given, "/v2/team/pipeline/tags/list").status, 200);
    assert_eq!(bench.with(&given, "/v2/bob/pipeline/tags/list").status, 401);
    assert_eq!(
        bench.with(&id, "/v2/team/pipeline/tags/list").status,
        401,
        "what a platform signs is no token here"
    );
    for (name, value) in [
        ("repository_id", json!("43")),
        ("event_name", json!("pull_request_target")),
        ("event_name", json!("pull_request")),
        ("aud", json!("other")),
        ("exp", json!(seconds() - 3600)),
    ] {
        let mut claims = pipeline();
        claims[name] = value;
        let refused = exchange(&issuer.sign(&claims));
        assert_eq!((refused.status, &refused.body["error"]), (400, &json!("invalid_grant")), "{name}");
    }
}

#[test]
fn tokens_of_an_existing_token_server_are_taken_as_they_are() {
    if !require(Issuer::TOOLS) {
        return;
    }
    let issuer = Issuer::new();
    let entry = format!(
        "[{{ name = \"legacy\", issuer = \"auth.example\", realm = \"https://auth.example/token\", \
         audience = \"registry.example\", jwks_file = {:?} }}]",
        issuer.path("jwks.json")
    );
    let bench = Bench::new(|builder| builder.set("auth.issuers", &entry).set("auth.tokens.enabled", "false"));
    let challenge = bench.send(bench.get("/v2/")).challenge;
    assert_eq!(challenge, "Bearer realm=\"https://auth.example/token\",service=\"registry.example\"");
    let mut claims = json!({
        "iss": "auth.example", "aud": "registry.example", "sub": "carol", "iat": seconds(), "nbf": seconds(),
        "exp": seconds() + 300,
        "access": [{ "type": "repository", "name": "legacy/app", "actions": ["pull", "push"] }],
    });
    let good = issuer.sign(&claims);
    assert_eq!(bench.with(&good, "/v2/legacy/app/tags/list").status, 404);
    let denied = bench.with(&good, "/v2/team/app/tags/list");
    assert_eq!(denied.status, 401);
    assert!(denied.challenge.contains("error=\"insufficient_scope\""), "{}", denied.challenge);
    for (name, value) in [("exp", json!("9999999999")), ("nbf", Value::Null), ("aud", json!("other"))] {
        let before = std::mem::replace(&mut claims[name], value);
        assert_eq!(
            bench.with(&issuer.sign(&claims), "/v2/legacy/app/tags/list").status,
            401,
            "R24, R25: {name}"
        );
        claims[name] = before;
    }
    assert_eq!(bench.send(bench.get("/token")).status, 404, "none are issued here");
}

#[test]
fn a_token_made_by_command_is_a_password_until_it_is_revoked() {
    let bench = Bench::new(|builder| builder);
    let command = |words: &[&str]| {
        let config = bench.berth.config().display().to_string();
        let (verb, rest) = words.split_first().unwrap();
        let tool = Tool::at(Berth::binary().unwrap()).args(["token", verb]).args(rest);
        tool.args(["--config", &config]).run()
    };
    let secret = command(&["create", "alice", "--name", "laptop", "--expires", "1d"]).unwrap();
    let secret = secret.trim();
    let login = || bench.docker(Some(("alice", secret)), "&scope=repository:team/app:push");
    assert_eq!(claims(&token(&login()))["sub"], "user:alice");
    assert_eq!(bench.docker(Some(("bob", secret)), "").status, 401, "it is hers");
    let list: Value = serde_json::from_str(&command(&["list", "alice", "--json"]).unwrap()).unwrap();
    assert_eq!(list[0]["name"], "laptop");
    assert!(!list.to_string().contains(secret), "shown once");
    assert!(command(&["create", "carol"]).is_err(), "nobody knows her");
    command(&["revoke", list[0]["id"].as_str().unwrap()]).unwrap();
    assert_eq!(login().status, 401);
    assert!(command(&["revoke", list[0]["id"].as_str().unwrap()]).is_err());

    let keys = || bench.send(bench.get("/token/jwks")).body["keys"].as_array().unwrap().len();
    assert_eq!(keys(), 1);
    let rotated = Tool::at(Berth::binary().unwrap()).args(["token", "keys", "rotate", "--config"]);
    let kid = rotated.arg(bench.berth.config()).run().unwrap();
    assert_eq!(keys(), 2);
    let listed = Tool::at(Berth::binary().unwrap()).args(["token", "keys", "list", "--config"]);
    let listed = listed.arg(bench.berth.config()).run().unwrap();
    assert!(listed.lines().next().unwrap().starts_with(kid.trim()), "{listed}");

    // The same over HTTP: one's own, and for administrators everybody's.
    let (alice, bob) = (("alice", "wonderland"), ("bob", "builder-bob"));
    let ask = |who: (&str, &str), body: Value| {
        let request = bench.post("/api/v1/tokens").basic_auth(who.0, Some(who.1));
        bench.send(request.header(CONTENT_TYPE, "application/json").body(body.to_string()))
    };
    assert_eq!(ask(alice, json!({ "name": "mine" })).status, 201);
    assert_eq!(ask(alice, json!({ "subject": "bob" })).status, 403);
    assert_eq!(ask(bob, json!({ "subject": "user:alice" })).status, 201);
    let list =
        |who: (&str, &str)| bench.send(bench.get("/api/v1/tokens").basic_auth(who.0, Some(who.1))).body;
    assert_eq!(list(alice)["tokens"].as_array().unwrap().len(), 2);
    assert_eq!(
        bench.send(bench.get("/api/v1/tokens/keys").basic_auth("alice", Some("wonderland"))).status,
        403
    );
    let token = token(&bench.docker(Some(bob), "&scope=repository:bob/x:pull"));
    assert_eq!(bench.with(&token, "/api/v1/tokens/keys").status, 401, "a token does not administer");
}

/// A PATCH whose body comes slowly.
#[test]
fn an_upload_that_began_with_a_good_token_ends_well_though_the_token_ends_meanwhile() {
    let bench =
        Bench::new(|builder| builder.set("auth.tokens.life", "\"3s\"").set("auth.tokens.leeway", "\"0s\""));
    let scope = "&scope=repository:team/slow:pull,push";
    let good = token(&bench.alice(scope));
    let location = bench.runtime.block_on(async {
        let begin = bench.post("/v2/team/slow/blobs/uploads/").bearer_auth(&good).send().await.unwrap();
        assert_eq!(begin.status().as_u16(), 202);
        begin.headers()["location"].to_str().unwrap().to_owned()
    });
    let piece = vec![7_u8; 1 << 20];
    let mut stream = TcpStream::connect(("127.0.0.1", bench.berth.port())).unwrap();
    let length = piece.len() * 8;
    write!(
        stream,
        "PATCH {location} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {good}\r\nContent-Length: {length}\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    )
    .unwrap();
    stream.write_all(&piece).unwrap();
    let ended = until(Duration::from_secs(20), || {
        (bench.with(&good, "/v2/team/slow/tags/list").status == 401).then_some(())
    });
    assert!(ended.is_some(), "the token has ended");
    (1..8).for_each(|_| stream.write_all(&piece).unwrap());
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 202");
    let digest = digest_of(&piece.repeat(8));
    let finish = |token: &str| {
        let url = format!("{}{location}?digest={digest}", bench.berth.url());
        bench.send(bench.client.put(url).bearer_auth(token)).status
    };
    assert_eq!(finish(&good), 401);
    assert_eq!(finish(&token(&bench.alice(scope))), 201, "with a new one it goes on where it was");
}

#[test]
fn berth_copier_gets_new_tokens_in_the_middle_of_a_push() {
    let copier = berth_program("BERTH_COPIER_BIN", "berth-copier").unwrap();
    let bench =
        Bench::new(|builder| builder.set("auth.tokens.life", "\"3s\"").set("auth.tokens.leeway", "\"0s\""));
    let proxy = CountingProxy::slow(&bench.berth.host(), 2 << 20).unwrap();
    let scratch = Scratch::new("copier").unwrap();
    let layout = Layout::create(scratch.join("from")).unwrap();
    let layers: Vec<_> = (0..8)
        .map(|seed| {
            let noise = Content::Noise { seed, size: 2 << 20 };
            layout.layer(&[(&format!("noise{seed}"), noise)]).unwrap()
        })
        .collect();
    layout.tag("latest", &layout.image("amd64", &layers).unwrap()).unwrap();
    let begun = Instant::now();
    let name = format!("docker://{}/team/large:latest", proxy.host());
    let policy = scratch.write("policy.json", r#"{"default":[{"type":"insecureAcceptAnything"}]}"#).unwrap();
    Tool::at(copier)
        .args(["--policy", &policy.display().to_string(), "copy", "--dest-tls-verify=false"])
        .args(["--dest-creds=alice:wonderland", &format!("oci:{}:latest", layout.path().display()), &name])
        .env("HOME", scratch.path())
        .run()
        .unwrap();
    assert!(begun.elapsed() > Duration::from_secs(6), "it outlasted two tokens: {:?}", begun.elapsed());
    let requests = proxy.take().requests;
    let tokens =
        requests.iter().filter(|(kind, _)| kind.ends_with("token")).map(|(_, count)| count).sum::<usize>();
    assert!(tokens >= 2, "{tokens} tokens");
}

#[test]
fn docker_logs_in_pushes_and_pulls_with_tokens() {
    if !require_root() || !require(Dockerd::TOOLS) {
        return;
    }
    let bench = Bench::new(|builder| builder);
    let (dockerd, scratch) = (Dockerd::start().unwrap(), Scratch::new("docker").unwrap());
    let docker = |words: &[&str]| dockerd.docker().unwrap().args(words).run();
    let password = scratch.write("password", "wonderland").unwrap();
    let login =
        dockerd.docker().unwrap().args(["login", "-u", "alice", "--password-stdin", &bench.berth.host()]);
    login.stdin(password).run().unwrap();
    let repository = format!("team/{}", new_repository("docker"));
    let image = format!("{}/{repository}:latest", bench.berth.host());
    let layout = Layout::create(scratch.join("layout")).unwrap();
    let layer = layout.layer(&[("hello", Content::Bytes(b"hello"))]).unwrap();
    let tar = layout.path().join("blobs/sha256").join(layer.digest.hex()).display().to_string();
    docker(&["import", &tar, &image]).unwrap();
    docker(&["push", &image]).unwrap();
    docker(&["rmi", &image]).unwrap();
    docker(&["pull", &image]).unwrap();
    let denied = format!("{}/bob/x:latest", bench.berth.host());
    docker(&["tag", &image, &denied]).unwrap();
    assert!(docker(&["push", &denied]).unwrap_err().to_string().contains("denied"));
    // Docker keeps a refresh token, not the password.
    let list = bench.send(bench.get("/api/v1/tokens").basic_auth("alice", Some("wonderland"))).body;
    assert_eq!(list["tokens"][0]["kind"], "offline", "{list}");
    docker(&["logout", &bench.berth.host()]).unwrap();
    assert!(docker(&["push", &image]).is_err());
}

#[test]
fn podman_skopeo_and_oras_push_and_pull_with_tokens() {
    let bench = Bench::new(|builder| builder);
    let host = bench.berth.host();
    let scratch = Scratch::new("clients").unwrap();
    let from = scratch.join("from");
    Layout::small_image(&from, "clients").unwrap();
    let from = format!("oci:{}:latest", from.display());
    if require(Skopeo::TOOLS) {
        let skopeo = Skopeo::new().unwrap();
        let name = format!("docker://{host}/team/skopeo:latest");
        skopeo.copy(&["--dest-creds=alice:wonderland"], &from, &name).unwrap();
        let to = format!("dir:{}", skopeo.scratch().join("to").display());
        skopeo.copy(&["--src-creds=alice:wonderland"], &name, &to).unwrap();
        assert!(skopeo.copy(&["--src-creds=alice:rabbit"], &name, &to).is_err());
        assert!(skopeo.copy(&["--src-creds=bob:builder-bob"], &name, &to).is_ok(), "bob administers");
        assert!(skopeo.copy(&[], &name, &to).is_err(), "and nobody is not let in");
        let tags =
            skopeo.command("list-tags").unwrap().args(["--tls-verify=false", "--creds=alice:wonderland"]);
        assert!(tags.arg(&name[..name.len() - 7]).run().unwrap().contains("latest"));
    }
    if require_root() && require(Podman::TOOLS) {
        let podman = Podman::new().unwrap();
        let image = format!("{host}/team/podman:latest");
        let credentials = ["--tls-verify=false", "--creds=alice:wonderland"];
        podman.run(&["login", "--tls-verify=false", "-u", "alice", "-p", "wonderland", &host]).unwrap();
        let [plain, creds] = credentials;
        podman.run(&["pull", plain, creds, &format!("{host}/team/skopeo:latest")]).unwrap();
        podman.run(&["tag", &format!("{host}/team/skopeo:latest"), &image]).unwrap();
        podman.run(&["push", plain, creds, &image]).unwrap();
        assert!(podman.run(&["push", plain, "--creds=alice:rabbit", &image]).is_err());
        assert!(podman.run(&["login", "--tls-verify=false", "-u", "alice", "-p", "x", &host]).is_err());
    }
    if require(&["oras-python", "setpriv"]) {
        const SCRIPT: &str = "import sys, oras.client\n\
            client = oras.client.OrasClient(hostname=sys.argv[1], insecure=True)\n\
            client.login(hostname=sys.argv[1], username='alice', password='wonderland', insecure=True, config_path=sys.argv[4])\n\
            client.push(target=sys.argv[2], files=[sys.argv[3]], disable_path_validation=True)\n\
            client.pull(target=sys.argv[2], outdir=sys.argv[5])\n";
        let file = scratch.write("hello.txt", "hello").unwrap().display().to_string();
        let (config, out) = (scratch.write("config.json", "{}").unwrap(), scratch.subfolder("out").unwrap());
        let (config, out) = (config.display().to_string(), out.display().to_string());
        let target = format!("{host}/team/oras:v1");
        let python = Tool::new("oras-python").unwrap().env("HOME", scratch.path());
        python.args(["-c", SCRIPT, &host, &target, &file, &config, &out]).run().unwrap();
        assert_eq!(std::fs::read_to_string(scratch.join("out/hello.txt")).unwrap(), "hello");
    }
    let header = bench.send(bench.get("/v2/").header(AUTHORIZATION, "Basic YWxpY2U6d29uZGVybGFuZA=="));
    assert_eq!(header.status, 200, "and simple clients need none");
}
