//! Tokens: asked for once, renewed in time, and asked for again when they end in the middle of something.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use berth_copier::{Error, Secret, Side};
use berth_oci::{ManifestReference, RepoName};

use super::{Hostile, Lab, Reply, Seen, anonymous, seconds, somebody};
use crate::real::{Memory, blob, descriptor};

fn latest() -> ManifestReference {
    "latest".parse().unwrap()
}

fn challenge(request: &Seen, scope: &str) -> Reply {
    let realm = format!("http://{}/token", request.header("host").unwrap());
    Reply::new(401, r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#)
        .with("WWW-Authenticate", format!("Bearer realm=\"{realm}\",service=\"s\"{scope}"))
}

/// Tokens `t0`, `t1`, … of this life; each is good for `uses` requests.
fn registry(
    life: u64,
    uses: usize,
    answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
) -> impl Fn(&Seen) -> Reply {
    let used: Mutex<Vec<usize>> = Mutex::default();
    move |request: &Seen| {
        let mut used = used.lock().unwrap();
        if request.path.starts_with("/token") {
            used.push(0);
            return Reply::new(200, format!(r#"{{"token":"t{}","expires_in":{life}}}"#, used.len() - 1));
        }
        let token = request.header("authorization").and_then(|header| header.strip_prefix("Bearer t"));
        match token.and_then(|number| used.get_mut(number.parse::<usize>().unwrap())) {
            Some(used) if *used < uses => {
                *used += 1;
                answer(request)
            }
            _ => challenge(request, ""),
        }
    }
}

fn tokens(server: &Hostile) -> Vec<String> {
    server
        .seen()
        .iter()
        .filter(|seen| seen.path.starts_with("/token"))
        .map(|seen| seen.path.clone())
        .collect()
}

#[tokio::test]
async fn a_challenge_is_learnt_once_and_a_token_is_asked_for_once_per_scope() {
    let server = Hostile::start(registry(300, 1000, |_| Reply::new(404, ""))).await;
    let lab = Lab::new();
    for name in ["one", "two", "one"] {
        let repository = lab.open_as(&server.host(), name, &somebody());
        for _ in 0..2 {
            assert!(repository.head_manifest(&latest()).await.unwrap().is_none());
        }
    }
    assert_eq!(server.seen().iter().filter(|seen| seen.header("authorization").is_none()).count(), 1);
    assert_eq!(
        tokens(&server),
        [
            "/token?service=s&scope=repository%3Aone%3Apull&account=user",
            "/token?service=s&scope=repository%3Atwo%3Apull&account=user",
        ]
    );
}

#[tokio::test]
async fn parallel_requests_of_one_scope_wait_for_one_token() {
    let server = Hostile::start(registry(300, 1000, |_| Reply::new(404, ""))).await;
    let lab = Lab::new();
    let repository = lab.open(&server.host(), "app");
    assert!(repository.head_manifest(&latest()).await.unwrap().is_none());
    let writer = repository.for_writing();
    let at_once = (0..20).map(|n| {
        let (writer, digest) = (writer.clone(), descriptor(&[n]).digest);
        async move { writer.has_blob(&digest).await.unwrap() }
    });
    assert!(futures_util::future::join_all(at_once).await.iter().all(Option::is_none));
    assert_eq!(
        tokens(&server),
        [
            "/token?service=s&scope=repository%3Aapp%3Apull",
            "/token?service=s&scope=repository%3Aapp%3Apull%2Cpush",
        ]
    );
    // A token that allows more serves for less.
    assert!(repository.head_manifest(&latest()).await.unwrap().is_none());
    assert_eq!(tokens(&server).len(), 2);
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end() {
    let server = Hostile::start(registry(100, 1000, |_| Reply::new(404, ""))).await;
    let lab = Lab::new();
    let repository = lab.open(&server.host(), "app");
    for wait in [0, 89, 2] {
        berth_copier::remote::Clock::sleep(&*lab.clock, seconds(wait)).await;
        assert!(repository.head_manifest(&latest()).await.unwrap().is_none());
    }
    assert_eq!(tokens(&server).len(), 2);
    assert_eq!(server.seen().iter().filter(|seen| seen.header("authorization").is_none()).count(), 3);
}

#[tokio::test]
async fn a_token_that_ends_in_the_middle_of_an_upload_is_renewed_and_the_step_goes_on() {
    // POST uses up the first token, so that PUT comes with one that is not taken any more.
    let server = Hostile::start(registry(300, 1, |request| match request.method.as_str() {
        "POST" => Reply::new(202, "").with("Location", "/v2/app/blobs/uploads/1?state=x"),
        _ => Reply::new(201, ""),
    }))
    .await;
    let lab = Lab::new();
    let layer = vec![7_u8; 200_000];
    let writer = lab.open(&server.host(), "app");
    writer.put_blob(&blob(Some(descriptor(&layer))), &Memory(layer.clone().into()), None).await.unwrap();
    writer.put_blob(&blob(None), &Memory(layer.clone().into()), None).await.unwrap();
    let seen = server.seen();
    let puts: Vec<&Seen> = seen.iter().filter(|seen| seen.method == "PUT").collect();
    assert!(puts.iter().filter(|put| put.body == layer).count() >= 2, "sent again with the new token");
    assert_eq!(seen.iter().filter(|seen| seen.method == "POST").count(), 4, "{:?}", server.lines());
    let patched = seen.iter().filter(|seen| seen.method == "PATCH" && seen.body == layer).count();
    assert_eq!(patched, 2);
}

#[tokio::test]
async fn a_registry_that_takes_no_token_is_not_asked_for_ever() {
    let server = Hostile::start(registry(300, 0, |_| Reply::new(200, ""))).await;
    let error = Lab::new().open_as(&server.host(), "app", &somebody()).manifest(&latest()).await.unwrap_err();
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains("unauthorized: authentication required"), "{error}");
    assert!(server.lines().len() <= 6, "{:?}", server.lines());
}

#[tokio::test]
async fn wrong_credentials_are_said_as_scripts_expect_it() {
    let server = Hostile::start(|request| {
        if request.path.starts_with("/token") {
            Reply::new(
                401,
                r#"{"errors":[{"code":"UNAUTHORIZED","message":"incorrect username or password"}]}"#,
            )
        } else {
            challenge(request, "")
        }
    })
    .await;
    let lab = Lab::new();
    let error = lab.open_as(&server.host(), "app", &somebody()).manifest(&latest()).await.unwrap_err();
    assert_eq!(error.exit_code(), 3);
    assert!(
        error.to_string().contains("invalid username/password: unauthorized: incorrect username"),
        "{error}"
    );
    let login = lab
        .client
        .check_login(&server.host(), "user", &Secret::new("s3cret"), &somebody())
        .await
        .unwrap_err();
    assert_eq!(login.exit_code(), 3);
    assert!(!format!("{error} {error:?} {login} {login:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_login_is_checked_by_the_registrys_root() {
    let server = Hostile::start(registry(300, 9, |_| Reply::new(200, "{}"))).await;
    let lab = Lab::new();
    lab.client.check_login(&server.host(), "user", &Secret::new("s3cret"), &anonymous()).await.unwrap();
    assert_eq!(server.lines(), ["GET /v2/", "GET /token", "GET /v2/"]);
    assert_eq!(server.seen()[1].header("authorization"), Some("Basic dXNlcjpzM2NyZXQ="));
}

#[tokio::test]
async fn basic_credentials_are_sent_when_they_are_asked_for_and_from_then_on() {
    let server = Hostile::start(|request| match request.header("authorization") {
        Some("Basic dXNlcjpzM2NyZXQ=") => Reply::new(404, ""),
        _ => Reply::new(401, "").with("WWW-Authenticate", "Basic realm=\"r\""),
    })
    .await;
    let lab = Lab::new();
    let repository = lab.open_as(&server.host(), "app", &somebody());
    for _ in 0..3 {
        assert!(repository.head_manifest(&latest()).await.unwrap().is_none());
    }
    assert_eq!(server.lines().len(), 4);
    let error = lab.open(&server.host(), "app").head_manifest(&latest()).await.unwrap_err();
    assert_eq!(error.exit_code(), 3);
}

#[tokio::test]
async fn an_identity_token_goes_to_the_token_service_as_oauth2_says() {
    let server = Hostile::start(registry(300, 9, |_| Reply::new(404, ""))).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    // "00000000-0000-0000-0000-000000000000:" is what registries that know no user names have there.
    let auths = serde_json::json!({"auths": {server.host(): {
        "auth": "MDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAwOg==",
        "identitytoken": "r3fresh"
    }}});
    std::fs::write(file.path(), auths.to_string()).unwrap();
    let side = Side { tls_verify: Some(false), authfile: Some(file.path().to_owned()), ..Side::default() };
    let lab = Lab::new();
    assert!(lab.open_as(&server.host(), "app", &side).head_manifest(&latest()).await.unwrap().is_none());
    let seen = server.seen();
    let asked = seen.iter().find(|seen| seen.path == "/token").unwrap();
    let form: std::collections::BTreeMap<_, _> =
        url::form_urlencoded::parse(&asked.body).into_owned().collect();
    let expected = [
        ("client_id", "berth-copier"),
        ("grant_type", "refresh_token"),
        ("refresh_token", "r3fresh"),
        ("scope", "repository:app:pull"),
        ("service", "s"),
    ];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    assert_eq!(form, expected);
    assert_eq!((asked.method.as_str(), asked.header("authorization")), ("POST", None));
}

#[tokio::test]
async fn a_registry_token_is_sent_as_it_is_and_never_exchanged() {
    let server = Hostile::start(|request| match request.header("authorization") {
        Some("Bearer given") => Reply::new(404, ""),
        _ => challenge(request, ""),
    })
    .await;
    let with = |token: &str| Side { registry_token: Some(Secret::new(token)), ..anonymous() };
    let lab = Lab::new();
    assert!(
        lab.open_as(&server.host(), "app", &with("given")).head_manifest(&latest()).await.unwrap().is_none()
    );
    assert_eq!(server.lines().len(), 1);
    let error =
        lab.open_as(&server.host(), "app", &with("other")).head_manifest(&latest()).await.unwrap_err();
    assert_eq!((error.exit_code(), server.lines().len()), (3, 2));
    let error = lab.open_as(&server.host(), "app", &with("a\nb")).head_manifest(&latest()).await.unwrap_err();
    assert!(matches!(error, Error::Usage(_)), "{error}");
}

#[tokio::test]
async fn a_mount_asks_for_a_token_of_both_repositories() {
    let server = Hostile::start(registry(300, 1000, |_| Reply::new(201, ""))).await;
    let lab = Lab::new();
    let from: RepoName = "team/source".parse().unwrap();
    lab.open(&server.host(), "app").for_writing().mount(&descriptor(b"x").digest, Some(&from)).await.unwrap();
    let asked = tokens(&server);
    assert_eq!(asked.len(), 1);
    for scope in ["scope=repository%3Aapp%3Apull%2Cpush", "scope=repository%3Ateam%2Fsource%3Apull"] {
        assert!(asked[0].contains(scope), "{asked:?}");
    }
}

#[tokio::test]
async fn what_a_challenge_wants_besides_is_asked_for_from_then_on() {
    let counted = Arc::new(AtomicUsize::new(0));
    let challenges = Arc::clone(&counted);
    let server = Hostile::start(move |request| {
        if request.path.starts_with("/token") {
            let wide = request.path.contains("repository%3Acache%2Fapp%3Apull");
            return Reply::new(200, format!(r#"{{"token":"{}"}}"#, if wide { "wide" } else { "narrow" }));
        }
        if request.header("authorization") == Some("Bearer wide") {
            return Reply::new(404, "");
        }
        challenges.fetch_add(1, Ordering::SeqCst);
        challenge(request, ",scope=\"repository:cache/app:pull\"")
    })
    .await;
    let lab = Lab::new();
    let repository = lab.open(&server.host(), "app");
    for _ in 0..3 {
        assert!(repository.head_manifest(&latest()).await.unwrap().is_none());
    }
    assert_eq!(counted.load(Ordering::SeqCst), 1);
}
