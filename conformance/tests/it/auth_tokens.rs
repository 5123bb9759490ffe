//! Tokens over the wire: Docker's and OAuth2's ways to one, forged ones (R23), scopes (R25), people who are shut out
//! (R26), commands.

#![allow(clippy::unwrap_used, reason = "the steps of a test panic as the test itself does")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use berth_conformance::harness::{Berth, Tool, until};
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::auth_bench::{BOB, Bench, access, base64, claims, seconds, token, unbase64};

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
    assert_eq!(claims(&super::auth_bench::token(&given))["sub"], "user:alice");
    assert_eq!(given.body["refresh_token"], refresh.as_str());

    let nobody = bench.docker(None, "&scope=repository:public/a:pull,push&scope=repository:team/app:pull");
    let nobody = super::auth_bench::token(&nobody);
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
        Bench::new(|builder| builder.set("auth.tokens.life", "\"8s\"").set("auth.tokens.leeway", "\"0s\""));
    let offline = bench.alice("&scope=repository:team/app:pull&offline_token=true&client_id=test");
    let (token, refresh) = (token(&offline), offline.body["refresh_token"].as_str().unwrap().to_owned());
    assert_eq!(bench.with(&token, "/v2/team/app/tags/list").status, 404);
    std::fs::write(bench.users.join("htpasswd"), BOB).unwrap();
    let gone = until(Duration::from_secs(60), || {
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
