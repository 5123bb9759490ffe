//! Where a server sends the client, and what goes along (C1 to C4).

use berth_copier::{
    Error, Settings,
    content::{Blob, Part},
};
use berth_oci::{ManifestReference, MediaType};
use bytes::Bytes;

use super::{Body, Hostile, Lab, Reply, Seen, anonymous, somebody};
use crate::real::{Memory, blob, descriptor, read};

fn latest() -> ManifestReference {
    "latest".parse().unwrap()
}

/// A registry whose token service is at `realm`.
async fn asking(realm: String) -> Hostile {
    Hostile::start(move |request| match request.header("authorization") {
        None => {
            Reply::new(401, "").with("WWW-Authenticate", format!("Bearer realm=\"{realm}\",service=\"s\""))
        }
        Some(_) => Reply::new(404, ""),
    })
    .await
}

fn token(_request: &Seen) -> Reply {
    Reply::new(200, r#"{"token":"t0k3n","expires_in":300}"#)
}

#[tokio::test]
async fn c1_credentials_do_not_go_to_a_token_service_on_another_host() {
    let thief = Hostile::at("127.0.0.2", None, token).await;
    let registry = asking(format!("http://{}/token", thief.host())).await;
    let error =
        Lab::new().open_as(&registry.host(), "app", &somebody()).manifest(&latest()).await.unwrap_err();
    assert!(matches!(error.root(), Error::RefusingCredentials { .. }), "{error}");
    assert_eq!(error.exit_code(), 3);
    assert!(
        error.to_string().contains(&format!("refusing to send credentials to {}", thief.host())),
        "{error}"
    );
    assert_eq!(thief.lines(), [""; 0]);
    // Also where the realm is an address of the public internet, and speaks HTTPS.
    let registry = asking("https://192.0.2.1/token".to_owned()).await;
    let error =
        Lab::new().open_as(&registry.host(), "app", &somebody()).manifest(&latest()).await.unwrap_err();
    assert!(matches!(error.root(), Error::RefusingCredentials { .. }), "{error}");
}

#[tokio::test]
async fn c1_a_token_service_that_the_user_trusts_gets_them() {
    let service = Hostile::at("127.0.0.2", None, token).await;
    let registry = asking(format!("http://{}/token", service.host())).await;
    let settings = Settings { trusted_token_hosts: vec![service.host()], ..Settings::default() };
    let lab = Lab::with(settings);
    let found = lab.open_as(&registry.host(), "app", &somebody()).head_manifest(&latest()).await.unwrap();
    assert!(found.is_none());
    assert_eq!(service.seen()[0].header("authorization"), Some("Basic dXNlcjpzM2NyZXQ="));
    assert_eq!(registry.seen()[1].header("authorization"), Some("Bearer t0k3n"));
}

#[tokio::test]
async fn c2_a_token_service_or_redirect_at_a_private_address_is_refused() {
    let inside = Hostile::at("127.0.0.2", None, token).await;
    let at_name = format!("localhost:{}", inside.address.port());
    for target in [inside.host(), at_name, "169.254.169.254".to_owned()] {
        let realm = asking(format!("http://{target}/token")).await;
        let to = format!("http://{target}/latest/meta-data");
        let redirect = Hostile::start(move |_| Reply::new(307, "").with("Location", &to)).await;
        for registry in [realm, redirect] {
            let error = Lab::new().open(&registry.host(), "app").manifest(&latest()).await.unwrap_err();
            assert!(matches!(error.root(), Error::Refused(_)), "{target}: {error}");
            assert_eq!(error.exit_code(), 5);
        }
    }
    assert_eq!(inside.lines(), [""; 0]);
}

#[tokio::test]
async fn c2_hosts_that_the_user_named_stay_allowed() {
    let mirror =
        Hostile::at("127.0.0.2", None, |_| Reply::new(200, "here").with("Docker-Content-Digest", "x")).await;
    let to = format!("http://{}/elsewhere", mirror.host());
    let registry = Hostile::start(move |_| Reply::new(307, "").with("Location", &to)).await;
    let lab = Lab::new();
    let _named = lab.open(&mirror.host(), "any");
    assert_eq!(lab.open(&registry.host(), "app").manifest(&latest()).await.unwrap().raw, "here");
}

#[tokio::test]
async fn c3_neither_realm_nor_redirect_nor_location_leaves_https() {
    let plain = Hostile::start(token).await;
    let (certificate, key, folder) = super::certificates::pinned();
    let to = format!("http://{}/x", plain.host());
    let registry = Hostile::at("127.0.0.1", Some((certificate, key)), move |request| {
        if request.path.contains("realm") {
            Reply::new(401, "").with("WWW-Authenticate", format!("Bearer realm=\"{to}\""))
        } else if request.method == "POST" {
            Reply::new(202, "").with("Location", &to)
        } else {
            Reply::new(302, "").with("Location", &to)
        }
    })
    .await;
    let lab = Lab::new();
    let side =
        berth_copier::Side { tls_verify: None, cert_dir: Some(folder.path().to_owned()), ..anonymous() };
    for name in ["realm", "redirect"] {
        let error = lab.open_as(&registry.host(), name, &side).manifest(&latest()).await.unwrap_err();
        assert!(matches!(error.root(), Error::Refused(_)), "{error}");
        assert!(error.to_string().contains("leaves HTTPS"), "{error}");
    }
    let writer = lab.open_as(&registry.host(), "app", &side).for_writing();
    let put =
        writer.put_blob(&blob(Some(descriptor(b"abc"))), &Memory(Bytes::from_static(b"abc")), None).await;
    assert_eq!(put.unwrap_err().exit_code(), 5);
    assert_eq!(plain.lines(), [""; 0]);
}

#[tokio::test]
async fn c4_a_redirect_to_another_host_loses_the_authorization() {
    let content = b"layer".to_vec();
    let wanted = descriptor(&content);
    let storage = Hostile::at("127.0.0.2", None, move |_| Reply::new(200, content.clone())).await;
    let to = format!("http://u:p@{}/signed?key=1", storage.host());
    let registry = Hostile::start(move |request| match request.header("authorization") {
        None => Reply::new(401, "").with("WWW-Authenticate", "Basic realm=\"r\""),
        Some(_) => Reply::new(307, "").with("Location", &to),
    })
    .await;
    let lab = Lab::new();
    let _named = lab.open(&storage.host(), "any");
    let repository = lab.open_as(&registry.host(), "app", &somebody());
    assert_eq!(read(&repository, &wanted).await.unwrap(), b"layer");
    assert_eq!(registry.seen()[1].header("authorization"), Some("Basic dXNlcjpzM2NyZXQ="));
    assert_eq!(storage.lines(), ["GET /signed"]);
    assert_eq!(storage.seen()[0].header("authorization"), None);
}

#[tokio::test]
async fn c4_a_redirect_to_the_same_host_keeps_the_authorization() {
    let registry = Hostile::start(move |request| match request.header("authorization") {
        None => Reply::new(401, "").with("WWW-Authenticate", "Basic realm=\"r\""),
        Some(_) if request.path.starts_with("/v2/") => Reply::new(307, "").with("Location", "/moved"),
        Some(_) => Reply::new(200, "here"),
    })
    .await;
    let repository = Lab::new().open_as(&registry.host(), "app", &somebody());
    assert_eq!(repository.manifest(&latest()).await.unwrap().raw, "here");
}

#[tokio::test]
async fn c4_an_uploads_body_does_not_go_to_another_host() {
    let thief = Hostile::at("127.0.0.2", None, |_| Reply::new(201, "")).await;
    let to = format!("http://{}/upload", thief.host());
    let registry = Hostile::start({
        let to = to.clone();
        move |_| Reply::new(202, "").with("Location", &to)
    })
    .await;
    let layer = Blob {
        known: Some(descriptor(b"layer")),
        media_type: MediaType::new(MediaType::OCI_LAYER_GZIP),
        part: Part::Layer(0),
    };
    let content = Memory(Bytes::from_static(b"layer"));
    let lab = Lab::new();
    // Naming the host is not enough: that it may be asked does not mean that it may be given.
    let _named = lab.open(&thief.host(), "any");
    let error = lab.open(&registry.host(), "app").put_blob(&layer, &content, None).await.unwrap_err();
    assert!(matches!(error.root(), Error::Refused(_)), "{error}");
    assert_eq!((error.exit_code(), thief.lines().len()), (5, 0));

    // Nor by a redirect of the upload itself, nor of a manifest.
    let sly = Hostile::start({
        let to = to.clone();
        move |request| match request.method.as_str() {
            "POST" => Reply::new(202, "").with("Location", "/v2/app/blobs/uploads/1"),
            _ => Reply::new(307, "").with("Location", &to),
        }
    })
    .await;
    let writer = lab.open(&sly.host(), "app");
    assert_eq!(writer.put_blob(&layer, &content, None).await.unwrap_err().exit_code(), 5);
    let manifest = super::manifests::image();
    assert_eq!(writer.put_manifest(&manifest, &latest()).await.unwrap_err().exit_code(), 5);
    assert_eq!(thief.lines(), [""; 0]);

    // Where the user trusts it, the bytes go there, and no credentials.
    let settings = Settings { trusted_upload_hosts: vec![thief.host()], ..Settings::default() };
    let asking = Hostile::start(move |request| match request.header("authorization") {
        None => Reply::new(401, "").with("WWW-Authenticate", "Basic realm=\"r\""),
        Some(_) => Reply::new(202, "").with("Location", &to),
    })
    .await;
    let lab = Lab::with(settings);
    lab.open_as(&asking.host(), "app", &somebody()).put_blob(&layer, &content, None).await.unwrap();
    let seen = thief.seen();
    assert_eq!((seen[0].line(), seen[0].body.as_slice()), ("PUT /upload".to_owned(), &b"layer"[..]));
    assert_eq!(seen[0].header("authorization"), None);
}

#[tokio::test]
async fn redirects_have_an_end() {
    let registry =
        Hostile::start(|request| Reply::new(302, "").with("Location", format!("{}x", request.path))).await;
    let error = Lab::new().open(&registry.host(), "app").manifest(&latest()).await.unwrap_err();
    assert!(error.to_string().contains("redirects more than 10 times"), "{error}");
    assert_eq!(registry.lines().len(), 11);
    // One without a body and one without a target are answers like any other.
    let odd = Hostile::start(|_| Reply::new(302, "").body(Body::Whole(Vec::new()))).await;
    let error = Lab::new().open(&odd.host(), "app").manifest(&latest()).await.unwrap_err();
    assert!(error.to_string().contains("302"), "{error}");
}
