//! Manifests that are not what they should be, and texts that are not for people (C5, C8, C12).

use berth_copier::{Error, RawManifest, Session, Settings};
use berth_oci::{Algorithm, Digest, ManifestReference, MediaType};

use super::{Body, Hostile, Lab, Reply, anonymous};

fn latest() -> ManifestReference {
    "latest".parse().unwrap()
}

/// A small image manifest.
pub(crate) fn image() -> RawManifest {
    with_subject("")
}

fn with_subject(subject: &str) -> RawManifest {
    let empty = Digest::of(Algorithm::Sha256, b"{}");
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"{}","digest":"{empty}","size":2}},"layers":[]{subject}}}"#,
        MediaType::OCI_MANIFEST,
        MediaType::OCI_EMPTY,
    );
    RawManifest::new(text.into(), None)
}

fn served(manifest: &RawManifest) -> Reply {
    Reply::new(200, manifest.raw.to_vec())
        .with("Content-Type", MediaType::OCI_MANIFEST)
        .with("Docker-Content-Digest", &manifest.digest)
}

#[tokio::test]
async fn c5_a_digest_is_verified_whatever_the_registry_says() {
    let (image, other) = (image(), with_subject(r#","annotations":{"a":"b"}"#));
    let reply = served(&other);
    let registry = Hostile::start(move |_| reply.clone()).await;
    let repository = Lab::new().open(&registry.host(), "app");
    let pinned = ManifestReference::Digest(image.digest.clone());
    for error in [
        repository.manifest(&pinned).await.unwrap_err(),
        repository.head_manifest(&pinned).await.unwrap_err(),
    ] {
        assert_eq!(error.exit_code(), 4, "{error}");
        assert!(error.to_string().contains(image.digest.as_str()), "{error}");
    }
    let lying = Hostile::start(move |_| served(&image).body(Body::Whole(b"{}".to_vec()))).await;
    let error = Lab::new().open(&lying.host(), "app").manifest(&latest()).await.unwrap_err();
    assert_eq!(error.exit_code(), 4, "{error}");
}

#[tokio::test]
async fn c5_a_tag_that_moves_is_resolved_once() {
    let (before, after) = (image(), with_subject(r#","annotations":{"a":"b"}"#));
    let (first, second) = (before.clone(), after);
    let registry = Hostile::start(move |request| match (request.method.as_str(), request.path.as_str()) {
        ("HEAD", _) => served(&first),
        (_, path) if path.ends_with(first.digest.as_str()) => served(&first),
        _ => served(&second),
    })
    .await;
    let session = Session::new(Settings::default()).unwrap();
    let name = format!("docker://{}/app:latest", registry.host()).parse().unwrap();
    let source = session.source(&name, &anonymous()).await.unwrap();
    assert_eq!(source.head().await.unwrap().unwrap().digest, before.digest);
    for _ in 0..2 {
        assert_eq!(source.manifest(None).await.unwrap().digest, before.digest);
    }
    assert_eq!(registry.lines().len(), 2);
}

#[tokio::test]
async fn c8_a_manifest_has_at_most_four_mebibytes() {
    for length in [None, Some(10_000_000_000_u64)] {
        let registry = Hostile::start(move |_| {
            let reply = Reply::new(200, "");
            match length {
                None => reply.body(Body::Endless(b" ")),
                Some(length) => reply.body(Body::Cut(vec![b' '; 100], length)),
            }
        })
        .await;
        let error = Lab::new().open(&registry.host(), "app").manifest(&latest()).await.unwrap_err();
        assert_eq!(error.exit_code(), 4, "{error}");
        // What the socket's buffers took besides is not read.
        assert!(registry.sent() < 24 * 1024 * 1024, "{}", registry.sent());
    }
}

#[tokio::test]
async fn c8_an_error_has_at_most_one_mebibyte() {
    for status in [400, 401, 403, 404, 500] {
        let registry = Hostile::start(move |_| Reply::new(status, "").body(Body::Endless(b"no! "))).await;
        let error = Lab::new().open(&registry.host(), "app").manifest(&latest()).await.unwrap_err();
        assert!(!matches!(error.root(), Error::Network { .. }), "{error}");
        assert!(registry.sent() < 40 * 1024 * 1024, "{status}: {}", registry.sent());
    }
}

#[tokio::test]
async fn c8_a_token_has_at_most_one_mebibyte() {
    let registry = Hostile::start(|request| match request.path.as_str() {
        "/token?scope=repository%3Aapp%3Apull" => Reply::new(200, "").body(Body::Endless(b" ")),
        _ => Reply::new(401, "").with(
            "WWW-Authenticate",
            format!("Bearer realm=\"http://{}/token\"", request.header("host").unwrap()),
        ),
    })
    .await;
    let error = Lab::new().open(&registry.host(), "app").manifest(&latest()).await.unwrap_err();
    assert_eq!(error.exit_code(), 4, "{error}");
    assert!(registry.lines().contains(&"GET /token".to_owned()));
    assert!(registry.sent() < 20 * 1024 * 1024, "{}", registry.sent());
}

#[tokio::test]
async fn c12_a_servers_text_reaches_people_without_its_control_characters() {
    let evil = "\u{1b}]0;owned\u{7}\u{202e}".repeat(5000);
    let body = serde_json::json!({"errors": [{"code": "DENIED", "message": evil.clone()}]}).to_string();
    for (status, body) in [(403, body.clone()), (500, body), (404, evil)] {
        let registry = Hostile::start(move |_| Reply::new(status, body.clone())).await;
        let repository = Lab::new().open(&registry.host(), "app");
        for text in [
            repository.manifest(&latest()).await.unwrap_err().to_string(),
            repository.tags().await.unwrap_err().to_string(),
        ] {
            assert!(text.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{text}");
            assert!(text.contains("owned") && text.len() < 5000, "{}", text.len());
        }
    }
    let to = "http://\u{1}x/".to_owned();
    let registry = Hostile::start(move |_| Reply::new(307, "").with("Location", &to)).await;
    let error = Lab::new().open(&registry.host(), "app").manifest(&latest()).await.unwrap_err();
    assert!(error.to_string().chars().all(|c| !c.is_control()), "{error}");
}

#[tokio::test]
async fn an_unexpected_status_is_said_as_scripts_expect_it() {
    let registry = Hostile::start(|_| Reply::new(500, "")).await;
    let error = Lab::new().open(&registry.host(), "app").manifest(&latest()).await.unwrap_err();
    let place = format!("reading manifest latest in {}/app", registry.host());
    assert_eq!(
        error.to_string(),
        format!("{place}: received unexpected HTTP status: 500 Internal Server Error")
    );
}

#[tokio::test]
async fn a_manifest_that_the_registry_stored_as_another_is_an_error() {
    let registry = Hostile::start(|_| {
        Reply::new(201, "").with("Docker-Content-Digest", Digest::of(Algorithm::Sha256, b"x"))
    })
    .await;
    let error = Lab::new().open(&registry.host(), "app").put_manifest(&image(), &latest()).await.unwrap_err();
    assert_eq!(error.exit_code(), 4, "{error}");
}

#[tokio::test]
async fn a_registry_that_cannot_delete_says_so_in_a_sentence() {
    let registry = Hostile::start(|_| {
        Reply::new(405, r#"{"errors":[{"code":"UNSUPPORTED","message":"The operation is unsupported."}]}"#)
    })
    .await;
    let repository = Lab::new().open(&registry.host(), "app");
    for reference in [latest(), ManifestReference::Digest(image().digest)] {
        let error = repository.delete_manifest(&reference).await.unwrap_err();
        assert!(matches!(error, Error::Unsupported(_)), "{error}");
        assert!(error.to_string().contains("does not delete"), "{error}");
    }
}
