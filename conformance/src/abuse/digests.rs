//! R3, R4, R11, R12: digests that are none, that do not match, of what is elsewhere or gone.

use std::sync::Arc;

use berth_oci::{Algorithm, ErrorCode};

use crate::{
    case::{Stop, Verdict},
    data::{Blob, digest_of},
    http::Cx,
    suite::push::{
        Session, UploadPath, blob_at, given_blob, given_image, manifest_at, try_push, unpushed_image, uploads,
    },
};

/// Digests that are none, as they stand in a path.
pub(super) const DIGESTS: [(&str, &str); 9] = [
    ("short", "sha256:abc"),
    ("no-hex", "sha256:zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"),
    ("capitals", "sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"),
    ("md5", "md5:d41d8cd98f00b204e9800998ecf8427e"),
    ("sha512-of-64", "sha512:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("path", "sha256:..%2f..%2fx"),
    ("nul", "sha256:e3b0%00"),
    ("nothing", "sha256:"),
    ("two-colons", "sha256:sha256:abc"),
];

/// 400 DIGEST_INVALID wherever a digest may stand in a path.
pub(super) async fn in_a_path(cx: Arc<Cx>, digest: &'static str) -> Verdict {
    let manifest = given_image(&cx, cx.repo(), Algorithm::Sha256, Some("v1")).await?;
    for (method, kind, body) in [
        ("GET", "blobs", &b""[..]),
        ("DELETE", "blobs", b""),
        ("GET", "manifests", b""),
        ("PUT", "manifests", &manifest.bytes),
        ("DELETE", "manifests", b""),
        ("GET", "referrers", b""),
    ] {
        let mut head = format!("{method} /v2/{}/{kind}/{digest} HTTP/1.1", cx.repo());
        if method == "PUT" {
            head.push_str(&format!(
                "\nContent-Type: {}\nContent-Length: {}",
                manifest.media_type,
                body.len()
            ));
        }
        cx.raw(&head, body, false).await?.error(400, ErrorCode::DigestInvalid)?;
    }
    Ok(())
}

/// 400 DIGEST_INVALID wherever a digest may stand in a query; the session survives.
pub(super) async fn in_a_query(cx: Arc<Cx>, digest: &'static str) -> Verdict {
    let session = Session::open(&cx, cx.repo()).await?;
    session.put(&cx, digest, "abc".into()).await?.error(400, ErrorCode::DigestInvalid)?;
    for name in ["digest", "mount"] {
        let call = cx.post(uploads(cx.repo()))?.query(name, digest).query("from", cx.repo());
        call.body("abc").send().await?.error(400, ErrorCode::DigestInvalid)?;
    }
    Ok(())
}

pub(super) async fn mismatch(cx: Arc<Cx>, path: UploadPath, algorithm: Algorithm) -> Verdict {
    let mut blob = Blob::random(algorithm, 5000);
    let mut bytes = blob.bytes.to_vec();
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    blob.bytes = bytes.into();
    try_push(&cx, cx.repo(), path, &blob).await?.error(400, ErrorCode::DigestInvalid)?;
    for digest in [blob.digest, digest_of(algorithm, &blob.bytes)] {
        cx.head(blob_at(cx.repo(), &digest))?.send().await?.expect(&[404])?;
    }
    Ok(())
}

pub(super) async fn mismatched_manifest(cx: Arc<Cx>, algorithm: Algorithm) -> Verdict {
    let manifest = unpushed_image(&cx, cx.repo(), algorithm, |_| ()).await?;
    let other = Blob::random(algorithm, 10).digest;
    let call = cx.put(manifest_at(cx.repo(), &other))?.header("content-type", &manifest.media_type);
    call.body(manifest.bytes.clone()).send().await?.error(400, ErrorCode::DigestInvalid)?;
    for digest in [other, manifest.digest] {
        cx.head(manifest_at(cx.repo(), &digest))?.send().await?.expect(&[404])?;
    }
    Ok(())
}

/// A blob of one repository, asked for through another, is as unknown as one that is nowhere.
pub(super) async fn elsewhere(cx: Arc<Cx>, algorithm: Algorithm) -> Verdict {
    let blob = given_blob(&cx, &cx.other_repo(), algorithm, 900).await?;
    given_blob(&cx, cx.repo(), algorithm, 900).await?;
    let at = blob_at(cx.repo(), &blob.digest);
    cx.head(&at)?.send().await?.expect(&[404])?;
    cx.get(&at)?.send().await?.error(404, ErrorCode::BlobUnknown)?;
    cx.get(&at)?.header("range", "bytes=0-9").send().await?.error(404, ErrorCode::BlobUnknown)?;
    cx.delete(&at)?.send().await?.error(404, ErrorCode::BlobUnknown)
}

/// What was read often enough to be in every cache is gone at once when it is deleted.
pub(super) async fn cached_and_deleted(cx: Arc<Cx>) -> Verdict {
    let blob = given_blob(&cx, cx.repo(), Algorithm::Sha256, 900).await?;
    let manifest = given_image(&cx, cx.repo(), Algorithm::Sha256, Some("v1")).await?;
    let of_blob = blob_at(cx.repo(), &blob.digest);
    let (by_tag, by_digest) = (manifest_at(cx.repo(), "v1"), manifest_at(cx.repo(), &manifest.digest));
    for at in [&of_blob, &by_tag, &by_digest] {
        for _ in 0..5 {
            cx.get(at)?.send().await?.expect(&[200])?;
            cx.head(at)?.send().await?.expect(&[200])?;
        }
    }
    for at in [&of_blob, &by_digest] {
        let answer = cx.delete(at)?.send().await?;
        if answer.status == 405 {
            return Err(Stop::Skip("405: this cannot be deleted".to_owned()));
        }
        answer.expect(&[202])?;
    }
    for at in [&of_blob, &by_tag, &by_digest] {
        for _ in 0..3 {
            cx.head(at)?.send().await?.expect(&[404])?;
            cx.get(at)?.send().await?.expect(&[404])?;
        }
    }
    Ok(())
}
