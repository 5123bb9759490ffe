//! Programs that platforms vouch for, and token servers of others.

use std::collections::BTreeMap;

use super::*;
use crate::auth::FederatedLogin;

const GITHUB: &str = "https://token.actions.example";

fn outside(name: &str, issuer: &str, keys: KeySource) -> Outside {
    Outside {
        name: name.to_owned(),
        issuer: issuer.to_owned(),
        audience: vec![SERVICE.to_owned()],
        algorithms: vec![Algorithm::ES256, Algorithm::RS256],
        keys,
        connection: Connection::default(),
    }
}

fn conditions(list: &[(&str, &str)]) -> BTreeMap<String, Allowed> {
    let one = |(claim, pattern): &(&str, &str)| {
        ((*claim).to_owned(), Allowed::new(&[(*pattern).to_owned()]).unwrap())
    };
    list.iter().map(one).collect()
}

fn entry(name: &str, platform: Platform, file: PathBuf, list: &[(&str, &str)]) -> Federation {
    Federation {
        outside: outside(name, GITHUB, KeySource::File(file)),
        platform,
        conditions: conditions(list),
        subject: platform.subject().to_owned(),
        pull_requests: false,
        session: Duration::from_hours(1),
    }
}

/// A registry that lets in what `stranger` signs, by the conditions of one entry called `ci`.
async fn with_entry(stranger: &Stranger, platform: Platform, list: &[(&str, &str)]) -> Fixture {
    Fixture::with(|folder| {
        let file = folder.join("keys.json");
        std::fs::write(&file, stranger.jwks()).unwrap();
        Settings { federations: vec![entry("ci", platform, file, list)], ..settings() }
    })
    .await
}

fn github() -> Value {
    json!({
        "iss": GITHUB, "aud": SERVICE, "sub": "repo:octo/app:ref:refs/heads/main",
        "iat": at(NOW), "nbf": at(NOW) - 5, "exp": at(NOW) + 300,
        "repository": "octo/app", "repository_id": "42", "repository_owner_id": "7",
        "ref": "refs/heads/main", "event_name": "push", "environment": "production",
    })
}

fn header() -> Value {
    json!({ "alg": "ES256", "kid": "k", "typ": "JWT" })
}

async fn login(f: &Fixture, token: &str) -> Result<Option<String>, String> {
    match f.tokens.login("ci", token).await {
        Ok(who) => Ok(who.map(|who| who.subject.to_string())),
        Err(AuthError::Invalid(why)) => Err(why),
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_pipeline_whose_claims_fit_is_let_in_and_exchanged() {
    let github_key = Stranger::new("k");
    let list = [("repository_id", "42"), ("ref", "refs/heads/*"), ("environment", "production")];
    let f = with_entry(&github_key, Platform::GitHub, &list).await;
    let token = github_key.sign(&header(), &github());
    assert_eq!(login(&f, &token).await, Ok(Some("ci:ci:octo/app".to_owned())));
    assert!(f.tokens.login("anything", &token).await.unwrap().is_some(), "whatever name is given");
    let who = f.tokens.exchanged(&token).await.unwrap();
    let scopes = asked(["repository:octo/app:push"]).unwrap();
    let grant = Grant { who, scopes: &scopes, offline: Some("docker"), shown: Some(&token) };
    let answer = f.tokens.issue(grant).await.unwrap();
    assert_eq!(f.tokens.check(&answer.token).await.unwrap().subject.to_string(), "ci:ci:octo/app");
    // A login outlives the platform's token, but not the session, used or not.
    let secret = answer.refresh.unwrap();
    f.clock.set(NOW + Duration::from_mins(59));
    assert!(f.tokens.refreshed(secret.reveal()).await.is_ok());
    f.clock.set(NOW + Duration::from_mins(60));
    assert!(f.tokens.refreshed(secret.reveal()).await.is_err());
}

#[tokio::test]
async fn a_claim_that_does_not_fit_lets_nobody_in() {
    let key = Stranger::new("k");
    let list = [("repository_id", "42"), ("ref", "refs/heads/*"), ("environment", "production")];
    let f = with_entry(&key, Platform::GitHub, &list).await;
    for (name, value) in [
        ("repository_id", json!("43")),
        ("repository_id", json!(["42"])),
        ("ref", json!("refs/tags/heads/x")),
        ("environment", json!("productionx")),
        ("environment", Value::Null),
        ("event_name", json!("pull_request")),
        ("event_name", json!("pull_request_target")),
        ("event_name", Value::Null),
        ("repository", json!("octo/app\n")),
        ("repository", json!("")),
        ("aud", json!("other.example")),
        ("aud", Value::Null),
    ] {
        let mut claims = github();
        claims[name] = value.clone();
        let outcome = login(&f, &key.sign(&header(), &claims)).await;
        assert!(outcome.is_err(), "{name} {value}: {outcome:?}");
    }
    for name in ["repository_id", "environment", "event_name", "aud", "exp"] {
        let mut claims = github();
        claims.as_object_mut().unwrap().remove(name);
        assert!(login(&f, &key.sign(&header(), &claims)).await.is_err(), "without {name}");
    }
    let mut renamed = github();
    renamed["repository"] = "octo/renamed".into();
    assert!(login(&f, &key.sign(&header(), &renamed)).await.is_ok(), "its id is what counts");
}

#[tokio::test]
async fn r23_what_another_key_signed_is_not_the_platforms() {
    let (key, stranger) = (Stranger::new("k"), Stranger::new("k"));
    let f = with_entry(&key, Platform::GitHub, &[("repository_id", "42")]).await;
    for header in [
        header(),
        json!({ "alg": "ES256", "kid": "other" }),
        json!({ "alg": "ES256" }),
        json!({ "alg": "ES256", "kid": "k", "jwk": stranger.jwk }),
    ] {
        assert!(login(&f, &stranger.sign(&header, &github())).await.is_err(), "{header}");
    }
    let unsigned = format!("{}.{}.", part(&json!({ "alg": "none", "kid": "k" })), part(&github()));
    assert_eq!(login(&f, &unsigned).await, Ok(None), "no token of an issuer");
    let secret = EncodingKey::from_secret(key.jwk.to_string().as_bytes());
    let message = format!("{}.{}", part(&json!({ "alg": "HS256", "kid": "k" })), part(&github()));
    let mac = jsonwebtoken::crypto::sign(message.as_bytes(), &secret, Algorithm::HS256).unwrap();
    assert!(login(&f, &format!("{message}.{mac}")).await.is_err());
    assert!(login(&f, &key.sign(&json!({ "alg": "ES256" }), &github())).await.is_ok(), "no name, one key");
}

#[tokio::test]
async fn r24_f19_times_of_a_platforms_token_are_looked_at() {
    let key = Stranger::new("k");
    let f = with_entry(&key, Platform::GitHub, &[("repository_id", "42")]).await;
    let token = key.sign(&header(), &github());
    for (seconds, fits) in
        [(-64_i64, true), (-66, false), (-3600, false), (359, true), (360, false), (3600, false)]
    {
        f.clock.set(Timestamp(NOW.0 + seconds * 1_000_000));
        assert_eq!(login(&f, &token).await.is_ok(), fits, "{seconds}");
    }
    f.clock.set(NOW);
    for (name, value) in [("exp", json!("1")), ("nbf", json!("1")), ("exp", Value::Null)] {
        let mut claims = github();
        claims[name] = value;
        assert!(login(&f, &key.sign(&header(), &claims)).await.is_err(), "{name}");
    }
    let mut claims = github();
    claims.as_object_mut().unwrap().remove("nbf");
    assert!(login(&f, &key.sign(&header(), &claims)).await.is_ok(), "iat stands for nbf");
    claims.as_object_mut().unwrap().remove("iat");
    assert!(login(&f, &key.sign(&header(), &claims)).await.is_err(), "but something has to");
}

#[tokio::test]
async fn gitlab_and_kubernetes_name_their_programs_their_way() {
    let key = Stranger::new("k");
    let common =
        json!({ "iss": GITHUB, "aud": SERVICE, "iat": at(NOW), "nbf": at(NOW), "exp": at(NOW) + 300 });
    let mut gitlab = common.clone();
    gitlab["project_id"] = 22.into();
    gitlab["project_path"] = "group/app".into();
    gitlab["ref_protected"] = "true".into();
    gitlab["pipeline_source"] = "push".into();
    let f = with_entry(&key, Platform::GitLab, &[("project_id", "22"), ("ref_protected", "true")]).await;
    assert_eq!(login(&f, &key.sign(&header(), &gitlab)).await, Ok(Some("ci:ci:group/app".to_owned())));
    gitlab["pipeline_source"] = "merge_request_event".into();
    assert!(login(&f, &key.sign(&header(), &gitlab)).await.is_err());

    let mut pod = common;
    pod["sub"] = "system:serviceaccount:build:kaniko".into();
    pod["kubernetes.io"] =
        json!({ "namespace": "build", "serviceaccount": { "name": "kaniko", "uid": "x" } });
    pod["aud"] = json!(["other", SERVICE]);
    let list = [("namespace", "build"), ("serviceaccount", "kan*")];
    let f = with_entry(&key, Platform::Kubernetes, &list).await;
    assert_eq!(login(&f, &key.sign(&header(), &pod)).await, Ok(Some("ci:ci:build/kaniko".to_owned())));
    pod["kubernetes.io"]["namespace"] = "other".into();
    assert!(login(&f, &key.sign(&header(), &pod)).await.is_err());
}

#[tokio::test]
async fn of_several_entries_the_one_that_fits_counts_and_a_name_chooses_one() {
    let key = Stranger::new("k");
    let f = Fixture::with(|folder| {
        let file = folder.join("keys.json");
        std::fs::write(&file, key.jwks()).unwrap();
        let one = |name: &str, id| entry(name, Platform::GitHub, file.clone(), &[("repository_id", id)]);
        Settings { federations: vec![one("first", "41"), one("second", "42")], ..settings() }
    })
    .await;
    let token = key.sign(&header(), &github());
    assert_eq!(login(&f, &token).await, Ok(Some("ci:second:octo/app".to_owned())));
    assert!(f.tokens.login("first", &token).await.is_err());
    assert!(f.tokens.login("second", &token).await.is_ok());
    assert_eq!(login(&f, "hunter2").await, Ok(None));
    let mut other = github();
    other["iss"] = "https://other.example".into();
    assert_eq!(login(&f, &key.sign(&header(), &other)).await, Ok(None), "somebody else may know it");
    assert!(f.tokens.exchanged(&key.sign(&header(), &other)).await.is_err());
}

/// A registry whose tokens another server issues.
async fn with_server(keys: impl FnOnce(PathBuf) -> KeySource) -> Fixture {
    Fixture::with(|folder| {
        let server = TokenServer {
            outside: outside("legacy", "auth.example", keys(folder)),
            realm: Some("https://auth.example/token".to_owned()),
            service: "registry.legacy".to_owned(),
        };
        Settings { token_servers: vec![server], enabled: false, ..settings() }
    })
    .await
}

fn legacy() -> Value {
    json!({
        "iss": "auth.example", "aud": SERVICE, "sub": "alice", "jti": "x",
        "iat": at(NOW), "nbf": at(NOW), "exp": at(NOW) + 300,
        "access": [{ "type": "repository", "class": "", "name": "team/app", "actions": ["pull", "push"] }],
    })
}

#[tokio::test]
async fn an_existing_token_server_goes_on_working() {
    let key = Stranger::new("k");
    let f = with_server(|folder| {
        std::fs::write(folder.join("keys.json"), key.jwks()).unwrap();
        KeySource::File(folder.join("keys.json"))
    })
    .await;
    let token = key.sign(&header(), &legacy());
    let who = f.tokens.check(&token).await.unwrap();
    let granted = vec!["repository:team/app:pull,push,overwrite".parse().unwrap()];
    assert_eq!(who.authority, Authority::Granted(granted), "its push moves tags");
    assert_eq!(who.subject.to_string(), "ci:legacy:alice", "not our user of that name");
    let request = http::Request::new(()).into_parts().0;
    let challenge = f.tokens.challenge(&request, "", crate::auth::Refused::Anonymous);
    assert_eq!(challenge, "Bearer realm=\"https://auth.example/token\",service=\"registry.legacy\"");
    for (name, value) in [
        ("iss", json!("other.example")),
        ("aud", json!("other")),
        ("exp", json!("9999999999")),
        ("nbf", Value::Null),
    ] {
        let mut claims = legacy();
        claims[name] = value;
        f.refused(&key.sign(&header(), &claims)).await;
    }
    f.refused(&Stranger::new("k").sign(&header(), &legacy())).await;
    assert_eq!(f.tokens.published().keys, [], "and no keys of our own are made");
}

#[tokio::test]
async fn a_bundle_of_certificates_gives_keys_by_both_their_names() {
    install_jwt_provider();
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["auth.example".to_owned()]).unwrap();
    let pem = certificate.self_signed(&pair).unwrap().pem();
    let key = EncodingKey::from_ec_der(&pair.serialize_der());
    let f = with_server(|folder| {
        std::fs::write(folder.join("bundle.pem"), pem).unwrap();
        KeySource::Certificates(folder.join("bundle.pem"))
    })
    .await;
    let jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
    let thumbprint = jwk.thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256).unwrap();
    // libtrust's name has twelve groups of four letters, made of the key's DER.
    let spki = rcgen::PublicKeyData::subject_public_key_info(&pair);
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &spki);
    let bits: String = hash.as_ref()[..30].iter().map(|byte| format!("{byte:08b}")).collect();
    let letter = |at: usize| {
        let digit = u32::from_str_radix(&bits[at * 5..at * 5 + 5], 2).unwrap();
        char::from_u32(if digit < 26 { 65 + digit } else { 24 + digit }).unwrap()
    };
    let groups: Vec<String> = (0..12).map(|group| (0..4).map(|n| letter(group * 4 + n)).collect()).collect();
    for header in [
        json!({ "alg": "ES256", "kid": thumbprint }),
        json!({ "alg": "ES256", "kid": groups.join(":") }),
        json!({ "alg": "ES256" }),
    ] {
        assert!(f.tokens.check(&sign(&key, &header, &legacy())).await.is_ok(), "{header}");
    }
    f.refused(&sign(&key, &json!({ "alg": "ES256", "kid": "other" }), &legacy())).await;
}
