//! Pulling blobs (end-2).

use std::sync::Arc;

use berth_oci::{Algorithm, ErrorCode};
use bytes::Bytes;

use super::push::{UploadPath, blob_at, given_blob, push};
use crate::{
    case::{Verdict, ensure},
    data::{Blob, digest_of},
    http::Cx,
};

pub(super) async fn get(cx: Arc<Cx>, algorithm: Algorithm) -> Verdict {
    let blob = given_blob(&cx, cx.repo(), algorithm, 5000).await?;
    let answer = cx.get(blob_at(cx.repo(), &blob.digest))?.send().await?;
    answer.expect(&[200])?.body_is(&blob.bytes)
}

pub(super) async fn get_says_the_length(cx: Arc<Cx>) -> Verdict {
    let blob = given_blob(&cx, cx.repo(), Algorithm::Sha256, 5000).await?;
    let answer = cx.get(blob_at(cx.repo(), &blob.digest))?.send().await?;
    answer.expect(&[200])?.header_is("content-length", "5000")
}

pub(super) async fn get_says_the_digest(cx: Arc<Cx>, algorithm: Algorithm) -> Verdict {
    let blob = given_blob(&cx, cx.repo(), algorithm, 5000).await?;
    let answer = cx.get(blob_at(cx.repo(), &blob.digest))?.send().await?;
    answer.expect(&[200])?.header_is("docker-content-digest", blob.digest.as_str())
}

pub(super) async fn head(cx: Arc<Cx>, algorithm: Algorithm) -> Verdict {
    let blob = given_blob(&cx, cx.repo(), algorithm, 5000).await?;
    let answer = cx.head(blob_at(cx.repo(), &blob.digest))?.send().await?;
    answer.expect(&[200])?.header_is("content-length", "5000")
}

pub(super) async fn head_says_the_digest(cx: Arc<Cx>, algorithm: Algorithm) -> Verdict {
    let blob = given_blob(&cx, cx.repo(), algorithm, 5000).await?;
    let answer = cx.head(blob_at(cx.repo(), &blob.digest))?.send().await?;
    answer.expect(&[200])?.header_is("docker-content-digest", blob.digest.as_str())
}

/// HEAD has the headers of GET (RFC 9110, 9.3.2).
pub(super) async fn head_equals_get(cx: Arc<Cx>) -> Verdict {
    let blob = given_blob(&cx, cx.repo(), Algorithm::Sha256, 5000).await?;
    same_headers(&cx, &blob_at(cx.repo(), &blob.digest)).await
}

/// HEAD and GET of `at` agree on what belongs to the content.
pub(super) async fn same_headers(cx: &Cx, at: &str) -> Verdict {
    let head = cx.head(at)?.send().await?;
    let get = cx.get(at)?.send().await?;
    head.expect(&[200])?;
    get.expect(&[200])?;
    for name in
        ["content-length", "content-type", "docker-content-digest", "etag", "accept-ranges", "cache-control"]
    {
        let (from_head, from_get) = (head.header(name), get.header(name));
        ensure(from_head == from_get, || {
            format!("{name} is {from_head:?} for HEAD and {from_get:?} for GET")
        })?;
    }
    Ok(())
}

pub(super) async fn get_unknown(cx: Arc<Cx>, algorithm: Algorithm) -> Verdict {
    given_blob(&cx, cx.repo(), algorithm, 10).await?;
    let digest = Blob::random(algorithm, 64).digest;
    cx.get(blob_at(cx.repo(), &digest))?.send().await?.error(404, ErrorCode::BlobUnknown)
}

pub(super) async fn head_unknown(cx: Arc<Cx>, algorithm: Algorithm) -> Verdict {
    given_blob(&cx, cx.repo(), algorithm, 10).await?;
    let digest = Blob::random(algorithm, 64).digest;
    let answer = cx.head(blob_at(cx.repo(), &digest))?.send().await?;
    answer.expect(&[404])?.body_is(b"")
}

pub(super) async fn unknown_repository(cx: Arc<Cx>) -> Verdict {
    let digest = Blob::random(Algorithm::Sha256, 64).digest;
    cx.get(blob_at(cx.repo(), &digest))?.send().await?.expect(&[404]).map(drop)
}

pub(super) async fn malformed_digest(cx: Arc<Cx>) -> Verdict {
    given_blob(&cx, cx.repo(), Algorithm::Sha256, 10).await?;
    cx.get(blob_at(cx.repo(), "sha256:baddigeststring"))?.send().await?.expect(&[400, 404]).map(drop)
}

/// A blob is of the repositories that it was pushed to, and of no other.
pub(super) async fn not_in_another_repository(cx: Arc<Cx>) -> Verdict {
    let other = cx.other_repo();
    let blob = given_blob(&cx, &other, Algorithm::Sha256, 100).await?;
    given_blob(&cx, cx.repo(), Algorithm::Sha256, 100).await?;
    cx.get(blob_at(cx.repo(), &blob.digest))?.send().await?.error(404, ErrorCode::BlobUnknown)?;
    cx.head(blob_at(cx.repo(), &blob.digest))?.send().await?.expect(&[404]).map(drop)
}

pub(super) async fn well_known(cx: Arc<Cx>, algorithm: Algorithm, content: &'static str) -> Verdict {
    let blob = Blob::new(algorithm, Bytes::from_static(content.as_bytes()));
    for path in UploadPath::ALL {
        match push(&cx, cx.repo(), path, &blob).await {
            Ok(()) | Err(crate::case::Stop::Skip(_)) => {}
            Err(stop) => return Err(stop),
        }
    }
    let answer = cx.get(blob_at(cx.repo(), &blob.digest))?.send().await?;
    answer.expect(&[200])?.body_is(content.as_bytes())?;
    answer.header_is("content-length", &content.len().to_string())
}

/// The blob's own tag brings 304 and no body.
pub(super) async fn unchanged_is_304(cx: Arc<Cx>) -> Verdict {
    let blob = given_blob(&cx, cx.repo(), Algorithm::Sha256, 100).await?;
    not_modified(&cx, &blob_at(cx.repo(), &blob.digest)).await
}

/// `If-None-Match` with the answer's own `ETag` is 304 without a body; with another's it is 200.
pub(super) async fn not_modified(cx: &Cx, at: &str) -> Verdict {
    let answer = cx.get(at)?.send().await?;
    let tag = answer.expect(&[200])?.require("etag")?.to_owned();
    let is_quoted = tag.strip_prefix("W/").unwrap_or(&tag).starts_with('"') && tag.ends_with('"');
    ensure(is_quoted, || format!("ETag {tag} is not quoted"))?;
    let again = cx.get(at)?.header("if-none-match", &tag).send().await?;
    again.expect(&[304])?.body_is(b"")?;
    let listed = cx.get(at)?.header("if-none-match", format!("\"another\", {tag}")).send().await?;
    listed.expect(&[304])?;
    cx.get(at)?.header("if-none-match", "\"another\"").send().await?.expect(&[200])?;
    Ok(())
}

/// Both algorithms name one content; each has to be pushed under its own name.
pub(super) async fn names_are_apart(cx: Arc<Cx>) -> Verdict {
    let blob = given_blob(&cx, cx.repo(), Algorithm::Sha256, 333).await?;
    let other = digest_of(Algorithm::Sha512, &blob.bytes);
    // A registry may know the content under both names, but then it must be the same content.
    let answer = cx.get(blob_at(cx.repo(), &other))?.send().await?;
    if answer.expect(&[200, 404])?.status == 200 { answer.body_is(&blob.bytes) } else { Ok(()) }
}
