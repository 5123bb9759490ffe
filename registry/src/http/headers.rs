//! Header names of the specification, and how they are filled.

use axum::body::Body;
use berth_oci::Digest;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};

/// Docker's digest header, which the specification took over.
pub const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// The upload session's id, for Docker.
pub const DOCKER_UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
/// Which protocol this is, for Docker.
pub const DOCKER_API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
/// The smallest chunk that the registry wants, in bytes.
pub const OCI_CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");
/// The subject of a manifest that was pushed.
pub const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// A tag that a push by digest set; once for each.
pub const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");
/// Which filters a referrers list went through.
pub const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// How many requests are left, and when there will be more (draft-ietf-httpapi-ratelimit-headers).
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// How many requests there may be in how many seconds.
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Inserts a value that we made of checked parts. Should one not be a header value all the same,
/// the header is left out: no header is better than a broken answer.
pub fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// `Docker-Content-Digest`, and the digest as a strong `ETag`.
pub fn content_digest(headers: &mut HeaderMap, digest: &Digest) {
    insert(headers, DOCKER_CONTENT_DIGEST, digest.as_str());
    insert(headers, header::ETAG, &format!("\"{digest}\""));
}

/// Where an upload goes on, and the range that is stored: `0-<last byte>`. An empty session says
/// `0-0` as every registry does, since a range has no empty form.
pub fn upload_progress(headers: &mut HeaderMap, location: &str, offset: u64) {
    insert(headers, header::LOCATION, location);
    insert(headers, header::RANGE, &format!("0-{}", offset.saturating_sub(1)));
}

/// Puts `base` before a `Location` that is a path.
pub fn make_absolute(headers: &mut HeaderMap, base: &str) {
    if base.is_empty() {
        return;
    }
    let path = headers.get(header::LOCATION).and_then(|location| location.to_str().ok());
    let absolute = path.filter(|path| path.starts_with('/')).map(|path| format!("{base}{path}"));
    if let Some(absolute) = absolute {
        insert(headers, header::LOCATION, &absolute);
    }
}

/// Whether `If-None-Match` names the digest (RFC 9110, 13.1.2), so that 304 is the answer.
#[must_use]
pub fn none_match(headers: &HeaderMap, digest: &Digest) -> bool {
    headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|tag| {
            let tag = tag.trim();
            let tag = tag.strip_prefix("W/").unwrap_or(tag);
            tag == "*" || tag.trim_matches('"') == digest.as_str()
        })
    })
}

/// 304 with what a cache needs.
#[must_use]
pub fn not_modified(digest: &Digest) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = http::StatusCode::NOT_MODIFIED;
    content_digest(response.headers_mut(), digest);
    response
}
