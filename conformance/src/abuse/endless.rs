//! R13: manifests too large, and bodies that never end; and what a bystander feels of it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use berth_oci::{Algorithm, ErrorCode, MediaType};
use futures_util::future;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::{
    case::{Stop, Verdict, ensure, fail},
    harness::fair,
    http::Cx,
    suite::{
        manifests::sized,
        push::{given_image, manifest_at, put_manifest},
    },
};

/// A manifest's largest size.
const LIMIT: usize = 4 << 20;
/// Bytes that a registry may take in before it says no: its limit, and what the sockets hold.
const PATIENCE: usize = 32 << 20;

pub(super) async fn one_byte_too_large(cx: Arc<Cx>) -> Verdict {
    let manifest = sized(&cx, LIMIT + 1).await?;
    let answer = put_manifest(&cx, cx.repo(), "v1", &manifest).await?;
    answer.error(413, ErrorCode::ManifestInvalid)?;
    cx.head(manifest_at(cx.repo(), "v1"))?.send().await?.expect(&[404]).map(drop)
}

pub(super) async fn as_large_as_can_be(cx: Arc<Cx>) -> Verdict {
    let manifest = sized(&cx, LIMIT).await?;
    put_manifest(&cx, cx.repo(), "v1", &manifest).await?.expect(&[201])?;
    let answer = cx.get(manifest_at(cx.repo(), "v1"))?.send().await?;
    answer.expect(&[200])?.body_is(&manifest.bytes)
}

/// A manifest announced as far too large is refused without a byte of it.
pub(super) async fn announced(cx: Arc<Cx>) -> Verdict {
    let head = format!(
        "PUT {} HTTP/1.1\nContent-Type: {}\nContent-Length: 1000000000000\nExpect: 100-continue",
        manifest_at(cx.repo(), "v1"),
        MediaType::OCI_MANIFEST
    );
    cx.raw(&head, b"", false).await?.error(413, ErrorCode::ManifestInvalid)
}

pub(super) async fn never_ends(cx: Arc<Cx>) -> Verdict {
    let said = endless(&cx).await?;
    ensure(said.starts_with("HTTP/1.1 413"), || format!("{:?} where 413 is due", said.lines().next()))?;
    cx.head(manifest_at(cx.repo(), "v1"))?.send().await?.expect(&[404]).map(drop)
}

/// Sends chunks of spaces as a manifest until the registry answers or closes; gives what it said.
async fn endless(cx: &Cx) -> Result<String, Stop> {
    let (mut from, mut to) = cx.raw_socket().await?.into_split();
    let head = cx.raw_head(&format!(
        "PUT {} HTTP/1.1\nContent-Type: {}\nTransfer-Encoding: chunked",
        manifest_at(cx.repo(), "v1"),
        MediaType::OCI_MANIFEST
    ));
    let write = async {
        let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
        let mut sent = 0;
        if to.write_all(head.as_bytes()).await.is_err() {
            return sent;
        }
        // A write fails once the registry has closed: that is its way to say enough.
        while sent < PATIENCE && to.write_all(&chunk).await.is_ok() {
            sent += 0x10000;
        }
        sent
    };
    let read = async {
        let mut said = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            said.extend_from_slice(&buffer[..length]);
            if said.windows(4).any(|end| end == b"\r\n\r\n") {
                break;
            }
        }
        String::from_utf8_lossy(&said).into_owned()
    };
    let (sent, said) = tokio::join!(write, timeout(Duration::from_secs(60), read));
    match said {
        Ok(said) if !said.is_empty() => Ok(said),
        Ok(_) => fail(format!("the connection was closed without an answer after {sent} bytes")),
        Err(_) => fail(format!("{sent} bytes of a manifest were taken without an answer")),
    }
}

/// While several bodies never end, a client that behaves gets its answers: p99 under a second.
pub(super) async fn bystander(cx: Arc<Cx>) -> Verdict {
    let manifest = given_image(&cx, cx.repo(), Algorithm::Sha256, Some("good")).await?;
    let attacks = future::join_all((0..4).map(|_| async {
        for _ in 0..3 {
            // How it ends is another case's; here only the others count.
            endless(&cx).await.ok();
        }
    }));
    let client = async {
        let mut took = Vec::new();
        for _ in 0..100 {
            let started = Instant::now();
            let answer = cx.get(manifest_at(cx.repo(), "good"))?.send().await?;
            answer.expect(&[200])?.body_is(&manifest.bytes)?;
            took.push(started.elapsed());
        }
        took.sort();
        Ok::<_, Stop>(took[98])
    };
    let (_, p99) = tokio::join!(attacks, client);
    let p99 = p99?;
    ensure(p99 < fair(Duration::from_secs(1)), || format!("p99 is {p99:?}"))
}
