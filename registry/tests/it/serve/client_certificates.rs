//! Client certificates: whose name a request comes with.

use std::{path::Path, sync::Arc};

use axum::{Extension, Router, routing::get};
use berth_registry::{
    auth::ClientCertificate,
    http::serve::{Limits, Options, Tls, TlsFiles},
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};

use super::{options, start};

/// An authority of the test's own.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate with its key, PEM.
    fn sign(&self, common_names: &[&str], alternative: Option<SanType>) -> (String, String) {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (at, name) in common_names.iter().enumerate() {
            // A name that is pushed again takes the place of the first, unless its type is another.
            let kind = if at == 0 { DnType::CommonName } else { DnType::CustomDnType(vec![2, 5, 4, 3]) };
            params.distinguished_name.push(kind, *name);
        }
        params.subject_alt_names.extend(alternative);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

fn files(folder: &Path, ours: &Authority) -> TlsFiles {
    let [cert, key, client_ca] = ["cert.pem", "key.pem", "clients.pem"].map(|name| folder.join(name));
    let address = SanType::IpAddress("127.0.0.1".parse().unwrap());
    let (cert_pem, key_pem) = ours.sign(&["server"], Some(address));
    std::fs::write(&cert, cert_pem).unwrap();
    std::fs::write(&key, key_pem).unwrap();
    std::fs::write(&client_ca, &ours.pem).unwrap();
    TlsFiles { cert, key, client_ca: Some(client_ca) }
}

fn client(ours: &Authority, shows: Option<&(String, String)>) -> reqwest::Client {
    let root = reqwest::Certificate::from_pem(ours.pem.as_bytes()).unwrap();
    let builder = reqwest::Client::builder().tls_certs_only([root]).no_proxy();
    let builder = match shows {
        Some((cert, key)) => {
            builder.identity(reqwest::Identity::from_pem(format!("{cert}{key}").as_bytes()).unwrap())
        }
        None => builder,
    };
    builder.build().unwrap()
}

fn router() -> Router {
    let name = async |certificate: Option<Extension<ClientCertificate>>| {
        certificate.map_or_else(|| "nobody".to_owned(), |Extension(ClientCertificate(name))| name)
    };
    Router::new().route("/", get(name))
}

#[tokio::test]
async fn a_request_comes_with_the_name_in_a_certificate_of_our_authority_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let tls = Some(Arc::new(Tls::load(files(folder.path(), &ours)).unwrap()));
    let server = start(router(), Options { tls, ..options(Limits::default()) }).await;
    let url = format!("https://{}/", server.addr);
    let ask = async |shows: Option<(String, String)>| {
        let answer = client(&ours, shows.as_ref()).get(&url).send().await.ok()?;
        Some(answer.text().await.unwrap())
    };
    let dns = |name: &str| Some(SanType::DnsName(name.try_into().unwrap()));
    assert_eq!(ask(None).await.as_deref(), Some("nobody"));
    assert_eq!(ask(Some(ours.sign(&["builder"], dns("b.example")))).await.as_deref(), Some("builder"));
    assert_eq!(ask(Some(ours.sign(&[], dns("b.example")))).await.as_deref(), Some("b.example"));
    assert_eq!(ask(Some(ours.sign(&["a\nb"], None))).await.as_deref(), Some("nobody"));
    assert_eq!(ask(Some(ours.sign(&["alice", "root"], None))).await.as_deref(), Some("nobody"), "two names");
    assert_eq!(ask(Some(theirs.sign(&["builder"], None))).await, None, "another authority's");
}
