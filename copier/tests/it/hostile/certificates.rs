//! Certificates that a registry shows, and HTTPS before HTTP.

use std::fs;

use berth_copier::{Error, Side};
use berth_oci::ManifestReference;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;

use super::{Hostile, Lab, Reply, anonymous};

type Served = (CertificateDer<'static>, PrivateKeyDer<'static>);

fn params(name: &str, authority: bool) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    if authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    params
}

fn key_of(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(key.serialize_der().into())
}

fn folder(pem: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("ca.crt"), pem).unwrap();
    folder
}

/// A certificate as `openssl req -x509` makes it, its own authority, and a folder that trusts it.
pub(crate) fn pinned() -> (CertificateDer<'static>, PrivateKeyDer<'static>, TempDir) {
    let key = KeyPair::generate().unwrap();
    let certificate = params("127.0.0.1", true).self_signed(&key).unwrap();
    let folder = folder(&certificate.pem());
    (certificate.der().clone(), key_of(&key), folder)
}

async fn fetch(served: Served, side: &Side) -> Result<(), Error> {
    let registry = Hostile::at("127.0.0.1", Some(served), |_| Reply::new(200, "here")).await;
    let latest: ManifestReference = "latest".parse().unwrap();
    Lab::new().open_as(&registry.host(), "app", side).manifest(&latest).await.map(drop)
}

fn trusting(folder: &TempDir) -> Side {
    Side { tls_verify: None, cert_dir: Some(folder.path().to_owned()), anonymous: true, ..Side::default() }
}

#[tokio::test]
async fn a_self_signed_certificate_that_calls_itself_an_authority_is_taken_if_it_is_the_trusted_one() {
    let (certificate, key, folder) = pinned();
    fetch((certificate, key), &trusting(&folder)).await.unwrap();
    // Another one of the same name is not.
    let (certificate, key, _other) = pinned();
    let error = fetch((certificate, key), &trusting(&folder)).await.unwrap_err();
    assert!(error.to_string().contains("x509"), "{error}");
    assert!(error.to_string().starts_with("pinging container registry 127.0.0.1:"), "{error}");
}

#[tokio::test]
async fn a_trusted_certificate_has_to_be_of_the_host_and_of_the_time() {
    let key = KeyPair::generate().unwrap();
    let certificate = params("registry.example.org", true).self_signed(&key).unwrap();
    let trusted = folder(&certificate.pem());
    let error = fetch((certificate.der().clone(), key_of(&key)), &trusting(&trusted)).await.unwrap_err();
    assert!(error.to_string().contains("x509: certificate is not valid for 127.0.0.1"), "{error}");

    let mut old = params("127.0.0.1", true);
    old.not_before = rcgen::date_time_ymd(2001, 1, 1);
    old.not_after = rcgen::date_time_ymd(2002, 1, 1);
    let certificate = old.self_signed(&key).unwrap();
    let trusted = folder(&certificate.pem());
    let error = fetch((certificate.der().clone(), key_of(&key)), &trusting(&trusted)).await.unwrap_err();
    assert!(error.to_string().contains("x509: certificate has expired"), "{error}");
}

#[tokio::test]
async fn a_certificate_of_a_trusted_authority_is_taken() {
    let (authority_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let authority = params("our authority", true);
    let trusted = folder(&authority.self_signed(&authority_key).unwrap().pem());
    let issuer = Issuer::new(authority, authority_key);
    let certificate = params("127.0.0.1", false).signed_by(&key, &issuer).unwrap();
    fetch((certificate.der().clone(), key_of(&key)), &trusting(&trusted)).await.unwrap();
}

#[tokio::test]
async fn without_verification_any_certificate_is_taken_and_with_it_none_unknown() {
    let (certificate, key, _folder) = pinned();
    fetch((certificate.clone(), key.clone_key()), &anonymous()).await.unwrap();
    let strict = Side { tls_verify: Some(true), ..anonymous() };
    let error = fetch((certificate, key), &strict).await.unwrap_err();
    assert!(error.to_string().contains("x509: certificate signed by unknown authority"), "{error}");
}

#[tokio::test]
async fn plain_http_is_spoken_only_where_it_is_allowed_and_found_out_once() {
    let registry = Hostile::start(|_| Reply::new(404, "")).await;
    let latest: ManifestReference = "latest".parse().unwrap();
    let lab = Lab::new();
    let strict = Side { tls_verify: None, ..anonymous() };
    let error = lab.open_as(&registry.host(), "app", &strict).head_manifest(&latest).await.unwrap_err();
    assert!(error.to_string().contains("http: server gave HTTP response to HTTPS client"), "{error}");
    assert_eq!(registry.lines(), [""; 0]);

    let allowed = lab.open(&registry.host(), "app");
    let at_once = (0..10).map(|_| allowed.head_manifest(&latest));
    for found in futures_util::future::join_all(at_once).await {
        assert!(found.unwrap().is_none());
    }
    assert_eq!(registry.lines().len(), 10);
}

#[tokio::test]
async fn nothing_that_listens_is_said_as_scripts_expect_it() {
    let gone = super::nobody();
    let latest: ManifestReference = "latest".parse().unwrap();
    let error = Lab::new().open(&gone, "app").manifest(&latest).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&format!("pinging container registry {gone}")), "{text}");
    assert!(text.contains("connection refused"), "{text}");
    let strict = Side { tls_verify: None, ..anonymous() };
    let error = Lab::new().open_as("registry.invalid", "app", &strict).manifest(&latest).await.unwrap_err();
    assert!(error.to_string().contains("pinging container registry registry.invalid: "), "{error}");
}
