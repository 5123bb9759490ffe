//! end-2, end-10: blobs by digest.

use std::ops::Range;

use axum::{body::Body, response::Response};
use berth_oci::Digest;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};

use super::{
    Api,
    access::{Access, Caller, Delete, Pull},
    error::ApiError,
    headers, redirect, serve,
};
use crate::{audit::Act, blobs::BlobError, storage::BlobBody};

/// A cache may keep a blob, but must ask each time: the answer depends on who asks, and a deleted
/// blob must not come back (R12). Asking is cheap, since its digest is its ETag.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("no-cache");

impl From<BlobError> for ApiError {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Catalog(error) => Self::Catalog(error),
            BlobError::Storage(error) => Self::Storage(error),
            BlobError::Refused(refusal) => Self::Refused(refusal),
            BlobError::Lost(digest) => Self::BlobLost(digest),
        }
    }
}

/// `GET` and `HEAD /v2/<name>/blobs/<digest>`: 200, 206 for one range, 304 for whoever has it.
pub(super) async fn get(
    api: &Api,
    access: &Access<Pull>,
    digest: Digest,
    parts: &Parts,
) -> Result<Response, ApiError> {
    let blobs = &api.inner.blobs;
    // A HEAD asks whether a blob need not be pushed, so its lease has to hold.
    let blob = match parts.method == Method::HEAD {
        true => blobs.stat(access.repo(), &digest).await?,
        false => blobs.stat_to_read(access.repo(), &digest).await?,
    };
    let Some(blob) = blob else { return Err(ApiError::BlobUnknown(digest)) };
    if headers::none_match(&parts.headers, &digest) {
        let mut response = headers::not_modified(&digest);
        response.headers_mut().insert(header::CACHE_CONTROL, CACHE_CONTROL);
        return Ok(response);
    }
    let head = parts.method == Method::HEAD;
    // Whoever is told that a blob is there does not push it.
    if head && !blobs.is_there(access.repo(), &blob).await? {
        return Err(ApiError::BlobUnknown(digest));
    }
    if !head && let Some(elsewhere) = redirect::of(api, &blob, parts).await? {
        return Ok(elsewhere);
    }
    let range = if head { None } else { wanted(&parts.headers, &digest, blob.size)? };
    let whole = 0..blob.size;
    let mut response = Response::new(Body::empty());
    if !head {
        let bytes = range.clone().unwrap_or(whole.clone());
        let body = blobs.open(access.repo(), &blob, bytes).await?;
        *response.body_mut() = to_body(body.ok_or(ApiError::BlobUnknown(digest.clone()))?, parts);
    }
    let to = response.headers_mut();
    to.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    to.insert(header::CACHE_CONTROL, CACHE_CONTROL);
    to.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers::content_digest(to, &digest);
    if let Some(range) = &range {
        let shown = format!("bytes {}-{}/{}", range.start, range.end - 1, blob.size);
        headers::insert(to, header::CONTENT_RANGE, &shown);
    }
    let sent = range.as_ref().unwrap_or(&whole);
    to.insert(header::CONTENT_LENGTH, HeaderValue::from(sent.end - sent.start));
    if range.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// `DELETE /v2/<name>/blobs/<digest>`: 202. The blob is gone from this repository at once; others
/// that link it keep it.
pub(super) async fn delete(
    api: &Api,
    caller: &Caller,
    access: &Access<Delete>,
    digest: Digest,
    parts: &Parts,
) -> Result<Response, ApiError> {
    if !api.inner.settings.deletes {
        return Err(ApiError::DeletesOff);
    }
    if !api.inner.blobs.delete(access.repo(), &digest).await? {
        return Err(ApiError::BlobUnknown(digest));
    }
    caller
        .did(parts, Act::Delete, access.repo(), |entry| digest.as_str().clone_into(&mut entry.digest))
        .await;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

fn to_body(body: BlobBody, parts: &Parts) -> Body {
    match body {
        BlobBody::File { range, .. } if range.is_empty() => Body::empty(),
        BlobBody::File { file, range } => {
            serve::file_body(parts.extensions.get::<serve::Outlet>(), file, range)
        }
        BlobBody::Stream(stream) => Body::from_stream(stream.boxed()),
    }
}

/// The range of a blob of `size` bytes that a request wants, if it wants one (RFC 9110, 14.2).
/// What is no single range of bytes is ignored, as the RFC allows: the answer is then the whole blob.
fn wanted(headers: &HeaderMap, digest: &Digest, size: u64) -> Result<Option<Range<u64>>, ApiError> {
    let Some(text) = headers.get(header::RANGE).and_then(|value| value.to_str().ok()) else {
        return Ok(None);
    };
    if let Some(condition) = headers.get(header::IF_RANGE) {
        // A date never fits: there is no Last-Modified to have taken it from.
        if condition.as_bytes() != format!("\"{digest}\"").as_bytes() {
            return Ok(None);
        }
    }
    let number = |text: &str| {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        // More digits than a number holds is just far away.
        Some(text.parse::<u64>().unwrap_or(u64::MAX))
    };
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|spec| spec.trim().split_once('-')) else {
        return Ok(None);
    };
    let range = match (number(first), number(last), first.is_empty(), last.is_empty()) {
        (Some(first), _, _, true) => first..size,
        (Some(first), Some(last), ..) if first <= last => first..last.saturating_add(1).min(size),
        // No range at all; the RFC lets a server ignore or reject it, and whoever sent it is wrong.
        (Some(_), Some(_), ..) => 0..0,
        (_, Some(suffix), true, _) => size.saturating_sub(suffix)..size,
        _ => return Ok(None),
    };
    if range.is_empty() { Err(ApiError::RangeNotSatisfiable(size)) } else { Ok(Some(range)) }
}

#[cfg(test)]
mod tests {
    use berth_oci::Algorithm;

    use super::*;

    fn asked(range: &str, if_range: Option<&str>, size: u64) -> Result<Option<Range<u64>>, u64> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, range.parse().unwrap());
        if let Some(condition) = if_range {
            headers.insert(header::IF_RANGE, condition.parse().unwrap());
        }
        let digest = Digest::from_hash(Algorithm::Sha256, &[0; 32]);
        wanted(&headers, &digest, size).map_err(|error| match error {
            ApiError::RangeNotSatisfiable(size) => size,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn one_range_of_bytes_is_served() {
        for (text, range) in [
            ("bytes=0-0", 0..1),
            ("bytes=0-9", 0..10),
            ("bytes=0-99999999999999999999999", 0..10),
            ("bytes=3-", 3..10),
            ("bytes=-4", 6..10),
            ("bytes=-40", 0..10),
            ("bytes=9-9", 9..10),
        ] {
            assert_eq!(asked(text, None, 10), Ok(Some(range)), "{text}");
        }
    }

    #[test]
    fn a_range_outside_the_blob_cannot_be_satisfied() {
        for text in ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=5-2", "bytes=99999999999999999999999-"] {
            assert_eq!(asked(text, None, 10), Err(10), "{text}");
        }
        assert_eq!(asked("bytes=0-", None, 0), Err(0));
    }

    #[test]
    fn what_is_no_single_range_of_bytes_is_the_whole_blob() {
        for text in ["bytes=0-1,3-4", "bytes=", "bytes=-", "bytes=a-b", "lines=0-1", "0-1"] {
            assert_eq!(asked(text, None, 10), Ok(None), "{text}");
        }
    }

    #[test]
    fn if_range_holds_for_the_digest_alone() {
        let tag = format!("\"sha256:{}\"", "0".repeat(64));
        assert_eq!(asked("bytes=0-0", Some(&tag), 10), Ok(Some(0..1)));
        for other in ["\"x\"".to_owned(), format!("W/{tag}"), "Sat, 21 Nov 2026 08:00:00 GMT".to_owned()] {
            assert_eq!(asked("bytes=0-0", Some(&other), 10), Ok(None), "{other}");
        }
    }
}
