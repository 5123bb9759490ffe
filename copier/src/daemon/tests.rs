use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{RootCertStore, pki_types::PrivateKeyDer, server::WebPkiClientVerifier};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};

use super::engine::Endpoint;
use crate::{
    ByteStream, Content, Error, Result, Role, Session, Settings, Side, Source, content::Blob, source::Fixture,
};

#[test]
fn engines_are_at_sockets_and_hosts() {
    for (text, tls, expected) in [
        ("unix:///run/x.sock", true, Endpoint::Socket(PathBuf::from("/run/x.sock"))),
        ("tcp://h:2376", true, Endpoint::Tls("h:2376".to_owned())),
        ("tcp://h:2375/", false, Endpoint::Plain("h:2375".to_owned())),
        ("http://h:1", true, Endpoint::Plain("h:1".to_owned())),
        ("https://h:1", false, Endpoint::Tls("h:1".to_owned())),
    ] {
        assert_eq!(Endpoint::parse(text, tls).unwrap(), expected, "{text}");
    }
    for text in ["", "h:2375", "unix://", "ssh://h", "tcp://"] {
        assert!(Endpoint::parse(text, false).is_err(), "{text} was taken");
    }
}

/// An engine that gives one answer to everything, after it read the request.
async fn engine(answer: &'static str) -> (String, tokio::task::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream, answer).await
    });
    (host, served)
}

/// Reads a request to the end of its head or of its chunks, and answers.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str) -> Vec<u8> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let length = stream.read(&mut buffer).await.unwrap();
        request.extend_from_slice(&buffer[..length]);
        let whole = match request.starts_with(b"POST") {
            true => request.ends_with(b"0\r\n\r\n"),
            false => request.ends_with(b"\r\n\r\n"),
        };
        if whole || length == 0 {
            break;
        }
    }
    stream.write_all(answer.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    request
}

fn side(host: &str) -> Side {
    Side { daemon_host: Some(host.to_owned()), ..Side::default() }
}

async fn source(side: &Side) -> Result<Box<dyn Source>> {
    Session::new(Settings { insecure_policy: true, ..Settings::default() })?
        .source(&"docker-daemon:app:v1".parse()?, side)
        .await
}

/// Puts an image without layers.
async fn write(side: &Side) -> Result<()> {
    let session = Session::new(Settings { insecure_policy: true, ..Settings::default() })?;
    let sink = session.sink(&"docker-daemon:app:v1".parse()?, side).await?;
    let given = Fixture::docker_image();
    for (blob, part, content) in &given.blobs {
        let told = Blob { known: Some(blob.clone()), media_type: blob.media_type.clone(), part: *part };
        sink.put(&told, &Memory(content.clone()), None).await?;
    }
    sink.put_manifest(&given.top, Role::Top).await?;
    sink.commit().await
}

struct Memory(Bytes);

#[async_trait::async_trait]
impl Content for Memory {
    async fn open(&self, _from: u64) -> Result<ByteStream> {
        Ok(Box::pin(futures_util::stream::iter([Ok(self.0.clone())])))
    }
}

#[tokio::test]
async fn an_error_behind_a_good_status_is_an_error() {
    let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"stream\":\"x\"}\n{\"errorDetail\":{},\"error\":\"no space \\u001b[2J left\"}\n";
    let (host, served) = engine(answer).await;
    let error = write(&side(&host)).await.unwrap_err();
    assert!(error.to_string().contains("no space \\u{1b}[2J left"), "{error:?}");
    let request = served.await.unwrap();
    let request = String::from_utf8_lossy(&request);
    assert!(request.starts_with("POST /images/load?quiet=1 HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("docker.io/library/app:v1"));
}

#[tokio::test]
async fn a_refusal_is_told_in_the_engines_words() {
    let answer = "HTTP/1.1 500 Error\r\nConnection: close\r\n\r\n{\"message\":\"disk is full\"}";
    let (host, _served) = engine(answer).await;
    let error = write(&side(&host)).await.unwrap_err();
    assert!(error.to_string().contains("disk is full"), "{error:?}");
    let (host, _served) = engine(answer).await;
    let error = source(&side(&host)).await.map(drop).unwrap_err();
    assert!(matches!(error, Error::Registry { status: 500, .. }), "{error:?}");
    let answer = "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n{\"message\":\"No such image: app:v1\"}";
    let (host, served) = engine(answer).await;
    let error = source(&side(&host)).await.map(drop).unwrap_err();
    assert!(
        matches!(error, Error::NotFound { .. }) && error.to_string().contains("No such image"),
        "{error:?}"
    );
    assert!(served.await.unwrap().starts_with(b"GET /images/app:v1/get HTTP/1.1\r\n"));
}

#[tokio::test]
async fn what_the_engine_saves_is_judged_as_any_archive() {
    let (host, _served) = engine("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nthis is no archive").await;
    assert_eq!(source(&side(&host)).await.map(drop).unwrap_err().exit_code(), 4);
    // Fewer bytes than were promised are no archive either.
    let (host, _served) = engine("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx").await;
    let error = source(&side(&host)).await.map(drop).unwrap_err();
    assert!(matches!(error, Error::Network { .. }), "{error:?}");
}

#[tokio::test]
async fn an_engine_on_tls_is_shown_our_certificate_and_shows_its_own() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let issue = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        (certificate, key)
    };
    let ((server, server_key), (client, client_key)) = (issue("localhost"), issue("client"));
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build().unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![server.der().clone()], PrivateKeyDer::Pkcs8(server_key.serialize_der().into()))
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("tcp://localhost:{}", listener.local_addr().unwrap().port());
    let served = tokio::spawn(async move {
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let mut refused = 0;
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(stream) = acceptor.accept(stream).await else {
                refused += 1;
                continue;
            };
            serve(stream, "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n{\"message\":\"reached\"}")
                .await;
            return refused;
        }
    });
    let stranger = tempfile::tempdir().unwrap();
    std::fs::write(stranger.path().join("ca.pem"), authority.pem()).unwrap();
    let trusted = tempfile::tempdir().unwrap();
    for (name, content) in
        [("ca.pem", authority.pem()), ("cert.pem", client.pem()), ("key.pem", client_key.serialize_pem())]
    {
        std::fs::write(trusted.path().join(name), content).unwrap();
    }
    // Who trusts nobody but the system, and who has no certificate to show, does not get through.
    for folder in [None, Some(stranger.path().to_owned())] {
        let error = source(&Side { cert_dir: folder, ..side(&host) }).await.map(drop).unwrap_err();
        assert!(matches!(error, Error::Network { .. }), "{error:?}");
    }
    let own = Side { cert_dir: Some(trusted.path().to_owned()), ..side(&host) };
    let error = source(&own).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("reached"), "{error:?}");
    assert_eq!(served.await.unwrap(), 2);
}
