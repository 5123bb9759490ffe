//! Pipelines that a platform vouches for, and token servers of others.

#![allow(clippy::unwrap_used, reason = "the steps of a test panic as the test itself does")]

use berth_conformance::clients::{Layout, Skopeo};
use berth_conformance::harness::{Scratch, Tool, require};
use serde_json::{Value, json};

use super::auth_bench::{Bench, base64, claims, seconds, token};

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
