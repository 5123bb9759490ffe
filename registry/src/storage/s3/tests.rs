//! How a bucket is addressed, and who it is asked as.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{
    catalog::ObjectKey,
    storage::{
        BlobStore,
        suite::read,
        testing::{Proxy, S3Server},
    },
};

fn key() -> ObjectKey {
    ObjectKey("manifests/a/_sha256-1".to_owned())
}

async fn works(store: &ObjectBackend) {
    store.put(&key(), Bytes::from_static(b"hello")).await.unwrap();
    assert_eq!(read(store, &key(), 5, 0..5).await.unwrap(), "hello");
    store.delete(&key()).await.unwrap();
}

/// Answers of a loopback server, by the path of the request, and what was asked.
async fn serve(answers: fn(&str) -> String) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let (head, _) = crate::storage::testing::head(&mut client).await.unwrap();
            let body = answers(&head);
            seen.lock().unwrap().push(head);
            let head =
                format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            client.write_all((head + &body).as_bytes()).await.unwrap();
        }
    });
    (address, asked)
}

#[tokio::test]
async fn a_bucket_is_addressed_by_path_by_host_and_below_a_path() {
    let Some(server) = S3Server::start() else { return };
    works(&s3(&server.options("")).unwrap()).await;
    // The bucket is nowhere but in the name of the host.
    let mut options = server.options("deep/er");
    options.endpoint = Some(format!("http://localhost:{}", server.port));
    options.virtual_hosted_style = true;
    works(&s3(&options).unwrap()).await;
    assert_eq!(address(&options, "https://s3.example/below/").unwrap(), "https://berth.s3.example/below");
    assert!(address(&options, "https://127.0.0.1").is_err());
    // A server that is reached below a path.
    let below = Proxy::start(server.port, server.root.path(), |head| {
        assert!(head.contains(" /below/berth"), "{head}");
        head.to_owned()
    });
    let mut options = server.options("");
    options.endpoint = Some(format!("http://127.0.0.1:{}/below", below.port));
    // For the server behind, the path is a bucket.
    s3(&options).unwrap().put(&key(), Bytes::new()).await.unwrap();
    assert!(server.root.path().join("below/berth").is_dir());
}

#[tokio::test]
async fn an_address_is_signed_for_one_object_under_the_public_endpoint_and_for_a_time() {
    let Some(server) = S3Server::start() else { return };
    let mut options = server.options("pre");
    options.public_endpoint = Some(format!("http://localhost:{}", server.port));
    // By the host's name s3s-fs would look for a bucket.
    options.virtual_hosted_style = false;
    let store = s3(&options).unwrap();
    store.put(&key(), Bytes::from_static(b"hello")).await.unwrap();
    let life = std::time::Duration::from_secs(60);
    let url = store.signed_url(&key(), life).await.unwrap().unwrap();
    assert!(
        url.starts_with(&format!("http://localhost:{}/berth/pre/manifests/a/_sha256-1?", server.port)),
        "{url}"
    );
    assert!(url.contains("X-Amz-Expires=60") && !url.contains("secret&"), "{url}");

    options.public_endpoint = Some(format!("http://127.0.0.1:{}", server.port));
    let url = s3(&options).unwrap().signed_url(&key(), life).await.unwrap().unwrap();
    let got = reqwest::get(&url).await.unwrap();
    assert_eq!((got.status().as_u16(), got.text().await.unwrap().as_str()), (200, "hello"));
    // Not for another object, nor for another deed.
    let other = url.replace("_sha256-1", "_sha256-2");
    assert_eq!(reqwest::get(&other).await.unwrap().status(), 403);
    let deleted = reqwest::Client::new().delete(&url).send().await.unwrap();
    assert_eq!(deleted.status(), 403);
    assert!(store.size(&key()).await.unwrap().is_some());
}

#[tokio::test]
async fn the_machines_role_is_asked_of_its_metadata_service() {
    let Some(server) = S3Server::start() else { return };
    let (metadata, asked) = serve(|head| {
        if head.starts_with("PUT /latest/api/token") {
            "token".to_owned()
        } else if head.starts_with("GET /latest/meta-data/iam/security-credentials/ ") {
            "role".to_owned()
        } else {
            assert!(head.starts_with("GET /latest/meta-data/iam/security-credentials/role"), "{head}");
            r#"{"AccessKeyId": "test", "SecretAccessKey": "secret", "Token": "session", "Code": "Success",
                "Expiration": "2099-01-01T00:00:00Z"}"#
                .to_owned()
        }
    })
    .await;
    let mut options = server.options("");
    options.credentials = S3Credentials::Instance { metadata_endpoint: Some(metadata) };
    works(&s3(&options).unwrap()).await;
    // Asked once, for all that was done.
    assert_eq!(asked.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_web_identity_takes_its_role_from_the_token_service_that_a_certificate_vouches_for() {
    let Some(server) = S3Server::start() else { return };
    let sts = tls_sts().await;
    let token = server.root.path().join("token");
    std::fs::write(&token, "the-token").unwrap();
    let mut options = server.options("");
    options.credentials = S3Credentials::WebIdentity {
        token_file: token,
        role_arn: "arn:aws:iam::1:role/berth".to_owned(),
        sts_endpoint: Some(sts.address),
    };
    // Without the certificate the token goes nowhere.
    let refused = s3(&options).unwrap().put(&key(), Bytes::new()).await;
    assert!(refused.is_err());
    assert!(sts.asked.lock().unwrap().is_empty());
    options.connection.ca = Some(sts.ca.into_bytes());
    works(&s3(&options).unwrap()).await;
    let asked = sts.asked.lock().unwrap();
    let [request] = &asked[..] else { panic!("asked {} times", asked.len()) };
    assert!(request.contains("WebIdentityToken=the-token") && request.contains("RoleArn=arn"), "{request}");
}

struct Sts {
    address: String,
    ca: String,
    asked: Arc<Mutex<Vec<String>>>,
}

async fn tls_sts() -> Sts {
    crate::http::serve::install_crypto_provider();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (cert, secret) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&secret, made.signing_key.serialize_pem()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = tls_config(&made);
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            // A client that trusts nobody hangs up.
            let Ok(mut client) = acceptor.accept::<TcpStream>(client).await else { continue };
            let mut buffer = vec![0; 8192];
            let read = client.read(&mut buffer).await.unwrap();
            seen.lock().unwrap().push(String::from_utf8(buffer[..read].to_vec()).unwrap());
            let body = "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
                <SessionToken>session</SessionToken><SecretAccessKey>secret</SecretAccessKey>\
                <Expiration>2099-01-01T00:00:00Z</Expiration><AccessKeyId>test</AccessKeyId></Credentials>\
                </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>";
            let head =
                format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            client.write_all((head + body).as_bytes()).await.unwrap();
            client.shutdown().await.unwrap();
        }
    });
    Sts { address: format!("https://localhost:{port}"), ca: made.cert.pem(), asked }
}

fn tls_config(made: &rcgen::CertifiedKey<rcgen::KeyPair>) -> tokio_rustls::rustls::ServerConfig {
    let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    tokio_rustls::rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap()
}

#[tokio::test]
async fn what_is_written_is_encrypted_as_was_asked() {
    for (encryption, header) in [
        (Encryption::Aes256, "x-amz-server-side-encryption: aes256"),
        (Encryption::Kms(None), "x-amz-server-side-encryption: aws:kms"),
        (Encryption::Kms(Some("k7".to_owned())), "x-amz-server-side-encryption-aws-kms-key-id: k7"),
    ] {
        let (endpoint, asked) = serve(|_| String::new()).await;
        let options = S3Options {
            bucket: "berth".to_owned(),
            region: "us-east-1".to_owned(),
            endpoint: Some(endpoint),
            public_endpoint: None,
            virtual_hosted_style: false,
            credentials: S3Credentials::Keys("a".to_owned(), "b".to_owned()),
            encryption: Some(encryption),
            connection: Connection { allow_http: true, ..Connection::default() },
        };
        // The server's answer is none of S3's; what counts is what it was asked.
        s3(&options).unwrap().put(&key(), Bytes::new()).await.unwrap_err();
        assert!(asked.lock().unwrap()[0].to_lowercase().contains(header), "{header}");
    }
}
