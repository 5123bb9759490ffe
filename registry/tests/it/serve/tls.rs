//! TLS: both protocols, and a certificate that changes under the server.

use std::{path::Path, sync::Arc};

use axum::{Extension, Router, routing::get};
use berth_registry::http::serve::{Limits, Options, Outlet, Peer, Tls, TlsFiles, file_body};

use super::{options, start};

/// Writes a certificate for 127.0.0.1 and its key, and returns the certificate's PEM.
fn write(folder: &Path) -> String {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made.cert.pem()
}

fn load(folder: &Path) -> Tls {
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    Tls::load(TlsFiles { cert, key, client_ca: None }).unwrap()
}

fn client(pem: &str, http1: bool) -> reqwest::Client {
    let builder =
        reqwest::Client::builder().tls_certs_only([reqwest::Certificate::from_pem(pem.as_bytes()).unwrap()]);
    if http1 { builder.http1_only() } else { builder }.build().unwrap()
}

fn router() -> Router {
    let file = Arc::new(tempfile::tempfile().unwrap());
    file.set_len(3_000_000).unwrap();
    let answer = async move |Extension(peer): Extension<Peer>, outlet: Option<Extension<Outlet>>| {
        assert!(peer.tls && outlet.is_none());
        axum::response::Response::new(file_body(None, file, 0..3_000_000))
    };
    Router::new().route("/", get(answer))
}

#[tokio::test]
async fn both_protocols_are_offered_and_files_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let pem = write(folder.path());
    let tls = Some(Arc::new(load(folder.path())));
    let server = start(router(), Options { tls, ..options(Limits::default()) }).await;
    let url = format!("https://{}/", server.addr);
    for (http1, version) in [(true, reqwest::Version::HTTP_11), (false, reqwest::Version::HTTP_2)] {
        let answer = client(&pem, http1).get(&url).send().await.unwrap();
        assert_eq!(answer.version(), version);
        assert_eq!(answer.bytes().await.unwrap().len(), 3_000_000);
    }
}

#[tokio::test]
async fn a_new_certificate_is_used_without_a_restart_and_a_bad_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let old = write(folder.path());
    let tls = Arc::new(load(folder.path()));
    let server = start(router(), Options { tls: Some(tls.clone()), ..options(Limits::default()) }).await;
    let url = format!("https://{}/", server.addr);
    let works = async |pem: &str| client(pem, true).get(&url).send().await.is_ok();
    assert!(works(&old).await);
    let new = write(folder.path());
    tls.reload().unwrap();
    assert!(works(&new).await);
    assert!(!works(&old).await);
    let key = std::fs::read(folder.path().join("key.pem")).unwrap();
    for bad in [&b""[..], b"nonsense", &key] {
        std::fs::write(folder.path().join("cert.pem"), bad).unwrap();
        assert!(tls.reload().is_err());
        assert!(works(&new).await);
    }
    // A certificate beside the key of another.
    let key = std::fs::read(folder.path().join("key.pem")).unwrap();
    write(folder.path());
    std::fs::write(folder.path().join("key.pem"), key).unwrap();
    assert!(tls.reload().is_err());
    assert!(works(&new).await);
}

#[tokio::test]
async fn r29_a_handshake_that_never_ends_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let limits = Limits { head_timeout: std::time::Duration::from_millis(300), ..Limits::default() };
    let tls = Some(Arc::new(load(folder.path())));
    let server = start(router(), Options { tls, ..options(limits) }).await;
    let mut stream = super::connect(server.addr).await;
    assert_eq!(super::read_all(&mut stream).await, b"");
}
