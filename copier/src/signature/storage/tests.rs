//! Stores in folders, and on web servers that mean harm.

use std::fs;

use berth_oci::Algorithm;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use url::Url;

use super::*;
use crate::{Session, Settings, Side};

fn repository() -> Repository {
    let registries_d = Some(tempfile::tempdir().unwrap().path().to_owned());
    let session = Session::new(Settings { registries_d, ..Settings::default() }).unwrap();
    let side = Side { anonymous: true, ..Side::default() };
    session.remote().repository(&"registry.example/ns/app".parse().unwrap(), &side).unwrap()
}

fn storage(base: &str) -> Storage {
    let base = Some(Url::parse(base).unwrap());
    Storage { lookaside: base.clone(), lookaside_staging: base, use_sigstore_attachments: false }
}

fn digest() -> Digest {
    Digest::of(Algorithm::Sha256, b"{}")
}

fn simple(number: u8) -> Signature {
    Signature::Simple(vec![0x90, number].into())
}

/// A web server that answers each path as told, with a status and a body.
async fn serve(answer: impl Fn(&str) -> (&'static str, Vec<u8>) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/sig/store/", listener.local_addr().unwrap());
    let answer = std::sync::Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = std::sync::Arc::clone(&answer);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if stream.read_exact(&mut byte).await.is_err() {
                        return;
                    }
                    head.push(byte[0]);
                }
                let head = String::from_utf8(head).unwrap();
                let (status, body) = answer(head.split(' ').nth(1).unwrap());
                let answer = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                // The client hangs up on bodies that are too long.
                let _ = stream.write_all(&[answer.into_bytes(), body].concat()).await;
            });
        }
    });
    base
}

#[tokio::test]
async fn a_folder_holds_a_file_per_signature() {
    let folder = tempfile::tempdir().unwrap();
    let (repository, storage) = (repository(), storage(&format!("file://{}/deep", folder.path().display())));
    assert_eq!(read(&repository, &storage, &digest()).await.unwrap(), []);
    write(&repository, &storage, &digest(), &[simple(1), simple(2)]).await.unwrap();
    write(&repository, &storage, &digest(), &[simple(2), simple(3)]).await.unwrap();
    assert_eq!(read(&repository, &storage, &digest()).await.unwrap(), [simple(1), simple(2), simple(3)]);
    let place = folder.path().join(format!("deep/ns/app@sha256={}", digest().hex()));
    let mut names: Vec<_> = fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["signature-1", "signature-2", "signature-3"]);
    fs::remove_file(place.join("signature-2")).unwrap();
    assert_eq!(read(&repository, &storage, &digest()).await.unwrap(), [simple(1)]);
    // What is in the way behind a gap stays.
    write(&repository, &storage, &digest(), &[simple(4), simple(5)]).await.unwrap();
    assert_eq!(
        read(&repository, &storage, &digest()).await.unwrap(),
        [simple(1), simple(4), simple(3), simple(5)]
    );
    fs::write(place.join("signature-2"), "garbage").unwrap();
    let error = read(&repository, &storage, &digest()).await.unwrap_err();
    assert!(error.to_string().contains("unrecognized signature format"), "{error}");
}

#[tokio::test]
async fn a_web_server_is_read_until_a_number_is_missing() {
    let base = serve(|path| {
        let wanted = format!("/sig/store/ns/app@sha256={}/signature-", digest().hex());
        match path.strip_prefix(&wanted) {
            Some(number @ ("1" | "2")) => ("200 OK", simple(number.parse().unwrap()).to_file_bytes()),
            _ => ("404 Not Found", Vec::new()),
        }
    });
    let (repository, storage) = (repository(), storage(&base.await));
    assert_eq!(read(&repository, &storage, &digest()).await.unwrap(), [simple(1), simple(2)]);
    let error = write(&repository, &storage, &digest(), &[simple(3)]).await.unwrap_err();
    assert!(error.to_string().contains("lookaside-staging"), "{error}");
}

#[tokio::test]
async fn a_server_that_fails_is_not_one_without_signatures() {
    let base = serve(|_| ("403 Forbidden", Vec::new())).await;
    read(&repository(), &storage(&base), &digest()).await.unwrap_err();
    read(&repository(), &storage("ftp://example.org/x"), &digest()).await.unwrap_err();
}

#[tokio::test]
async fn c9_a_flood_of_signatures_is_cut() {
    let base = serve(|_| ("200 OK", simple(0).to_file_bytes())).await;
    assert_eq!(read(&repository(), &storage(&base), &digest()).await.unwrap().len(), MAX_SIGNATURES);
    let base = serve(|_| ("200 OK", [vec![0x90], vec![0; 3 * 1024 * 1024]].concat())).await;
    assert_eq!(read(&repository(), &storage(&base), &digest()).await.unwrap().len(), 5);
    let base = serve(|_| ("200 OK", vec![0x90; MAX_SIGNATURE_BYTES + 1])).await;
    let error = read(&repository(), &storage(&base), &digest()).await.unwrap_err();
    assert_eq!(error.exit_code(), 4, "{error}");
}

#[tokio::test]
async fn signatures_without_a_place_are_refused_with_the_way_out() {
    let nowhere = Storage { lookaside: None, lookaside_staging: None, use_sigstore_attachments: false };
    assert_eq!(read(&repository(), &nowhere, &digest()).await.unwrap(), []);
    write(&repository(), &nowhere, &digest(), &[]).await.unwrap();
    let error = write(&repository(), &nowhere, &digest(), &[simple(1)]).await.unwrap_err();
    assert!(error.to_string().contains("--remove-signatures"), "{error}");
}
