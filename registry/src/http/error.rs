//! The one table from what can go wrong to what goes over the wire.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use berth_oci::{
    Digest, DigestError, ErrorBody, ErrorCode, ManifestReference, NameError, TagError,
    manifest::ManifestError,
};
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};
use tracing::error;

use crate::{
    catalog::{BoxError, CatalogError, ManifestRef, Refusal, UploadId},
    limits::{Rate, RateLimited},
    storage::StorageError,
};

/// Everything that a request to `/v2/` can end with but success.
#[derive(Debug)]
pub enum ApiError {
    /// Credentials are missing or wrong.
    Unauthorized {
        /// `WWW-Authenticate`.
        challenge: Option<String>,
        /// What is wrong.
        why: String,
    },
    /// The policy says no.
    Denied(String),
    /// Too many requests of one kind; seconds until the next is looked at.
    Throttled {
        /// Seconds.
        retry_after: u64,
    },
    /// More requests in a time than the caller may make.
    RateLimited(RateLimited),
    /// The repository's name breaks the pattern.
    NameInvalid(NameError),
    /// A name that is not even text: bad percent-encoding, or a `/` or NUL smuggled in.
    PathInvalid,
    /// No such repository.
    NameUnknown,
    /// No such endpoint.
    EndpointUnknown,
    /// The endpoint does not take the method; it takes these.
    MethodNotAllowed(&'static str),
    /// The digest is malformed.
    DigestMalformed(DigestError),
    /// The bytes have another digest than the client said.
    DigestMismatch {
        /// What the client said.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// The blob is not in the repository.
    BlobUnknown(Digest),
    /// The blob is in the repository, and storage has lost its bytes.
    BlobLost(Digest),
    /// The tag in a push breaks the pattern.
    TagInvalid(TagError),
    /// No such manifest.
    ManifestUnknown(String),
    /// The manifest breaks a rule.
    ManifestInvalid(ManifestError),
    /// The index lies deeper than the limit.
    ManifestTooDeep(usize),
    /// The manifest has more bytes than the limit.
    ManifestTooLarge(usize),
    /// The manifest names what is not there.
    ManifestReferencesMissing(Vec<ManifestRef>),
    /// A push by digest wants to set more tags than this.
    TooManyTags(usize),
    /// Content-Type is not text.
    ContentTypeInvalid,
    /// A push would move a tag that must not move.
    TagImmutable(String),
    /// Deleting is switched off.
    DeletesOff,
    /// No such upload session here.
    UploadUnknown(Option<UploadId>),
    /// A header or parameter of an upload breaks a rule, which the sentence names.
    UploadInvalid(String),
    /// The chunk is not the next one; so many bytes are stored.
    UploadOutOfOrder {
        /// The session.
        location: String,
        /// Bytes stored.
        offset: u64,
    },
    /// The length is not the announced one, or the blob is over the limit.
    SizeInvalid(String),
    /// The blob has more bytes than the limit.
    BlobTooLarge(u64),
    /// The range of a GET is not in the blob, which has so many bytes.
    RangeNotSatisfiable(u64),
    /// `n` is no number.
    PageSizeInvalid,
    /// The client sent too slowly, or stopped; what came is kept.
    BodyTooSlow,
    /// The client's body broke off.
    BodyBroken(String),
    /// Too much is open at a time, which the sentence names.
    TooMany(String),
    /// The namespace's limits say no.
    Refused(Refusal),
    /// The repository has as many of these as it may have.
    RepositoryFull {
        /// `tags` or `manifests`.
        what: &'static str,
        /// How many.
        limit: u32,
    },
    /// The registry is stopping; what came is kept.
    Draining,
    /// The catalog failed.
    Catalog(CatalogError),
    /// Storage failed.
    Storage(StorageError),
    /// What should not be.
    Internal(BoxError),
}

impl From<CatalogError> for ApiError {
    fn from(error: CatalogError) -> Self {
        Self::Catalog(error)
    }
}

impl From<RateLimited> for ApiError {
    fn from(limited: RateLimited) -> Self {
        Self::RateLimited(limited)
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<NameError> for ApiError {
    fn from(error: NameError) -> Self {
        Self::NameInvalid(error)
    }
}

impl From<DigestError> for ApiError {
    fn from(error: DigestError) -> Self {
        Self::DigestMalformed(error)
    }
}

impl ApiError {
    /// A manifest that a reader asked for and that is not there.
    #[must_use]
    pub fn manifest_unknown(reference: &ManifestReference) -> Self {
        Self::ManifestUnknown(reference.to_string())
    }

    #[expect(clippy::too_many_lines, reason = "one row per way to fail")]
    fn row(&self) -> (StatusCode, ErrorCode, String, Value) {
        use ErrorCode as C;
        use StatusCode as S;
        let plain = |status, code, message: String| (status, code, message, Value::Null);
        match self {
            Self::NameInvalid(e) => plain(S::BAD_REQUEST, C::NameInvalid, e.to_string()),
            Self::PathInvalid => plain(
                S::BAD_REQUEST,
                C::NameInvalid,
                "the path is not percent-encoded UTF-8 without `/`".into(),
            ),
            Self::NameUnknown => plain(S::NOT_FOUND, C::NameUnknown, "no such repository".into()),
            Self::EndpointUnknown => {
                plain(S::NOT_FOUND, C::Unsupported, "no endpoint of the distribution specification".into())
            }
            Self::Unauthorized { why, .. } => plain(S::UNAUTHORIZED, C::Unauthorized, why.clone()),
            Self::Denied(why) => plain(S::FORBIDDEN, C::Denied, why.clone()),
            Self::Throttled { retry_after } => plain(
                S::TOO_MANY_REQUESTS,
                C::TooManyRequests,
                format!("too many requests; try again in {retry_after} s"),
            ),
            Self::RateLimited(RateLimited { retry_after, rate }) => plain(
                S::TOO_MANY_REQUESTS,
                C::TooManyRequests,
                format!(
                    "more than {} requests a second (limits.rate); try again in {retry_after} s",
                    rate.per_second
                ),
            ),
            Self::MethodNotAllowed(allow) => {
                plain(S::METHOD_NOT_ALLOWED, C::Unsupported, format!("this endpoint takes {allow}"))
            }
            Self::DigestMalformed(e) => plain(S::BAD_REQUEST, C::DigestInvalid, e.to_string()),
            Self::DigestMismatch { expected, actual } => (
                S::BAD_REQUEST,
                C::DigestInvalid,
                format!("the content is {actual}, not {expected}; nothing was stored"),
                json!({ "expected": expected, "actual": actual }),
            ),
            Self::BlobUnknown(digest) => (
                S::NOT_FOUND,
                C::BlobUnknown,
                format!("blob {digest} is not in this repository"),
                json!({ "digest": digest }),
            ),
            Self::BlobLost(digest) => (
                S::NOT_FOUND,
                C::BlobUnknown,
                format!("the registry has lost the bytes of blob {digest}; push it again"),
                json!({ "digest": digest }),
            ),
            Self::TagInvalid(e) => plain(S::BAD_REQUEST, C::ManifestInvalid, e.to_string()),
            Self::ManifestUnknown(reference) => (
                S::NOT_FOUND,
                C::ManifestUnknown,
                "no such manifest in this repository".into(),
                json!({ "reference": reference }),
            ),
            Self::ManifestInvalid(e) => plain(S::BAD_REQUEST, C::ManifestInvalid, e.to_string()),
            Self::ManifestTooDeep(limit) => plain(
                S::BAD_REQUEST,
                C::ManifestInvalid,
                format!("the index is nested deeper than {limit} levels; push a flatter one"),
            ),
            Self::ManifestTooLarge(limit) => plain(
                S::PAYLOAD_TOO_LARGE,
                C::ManifestInvalid,
                format!("the manifest has more than {limit} bytes; put large content into a blob"),
            ),
            Self::ManifestReferencesMissing(missing) => {
                let mut body = String::from("push these to the repository first:");
                for reference in missing.iter().take(10) {
                    body.push(' ');
                    body.push_str(reference.digest.as_str());
                }
                let digests: Vec<_> = missing.iter().map(|m| json!({ "digest": m.digest })).collect();
                (S::BAD_REQUEST, C::ManifestBlobUnknown, body, Value::Array(digests))
            }
            Self::TooManyTags(limit) => {
                plain(S::BAD_REQUEST, C::ManifestInvalid, format!("one push sets {limit} tags at most"))
            }
            Self::ContentTypeInvalid => {
                plain(S::BAD_REQUEST, C::ManifestInvalid, "Content-Type is not a media type".into())
            }
            Self::TagImmutable(tag) => plain(
                S::FORBIDDEN,
                C::Denied,
                format!("tag {tag} is immutable here and points at another manifest; push under a new tag"),
            ),
            Self::DeletesOff => plain(
                S::METHOD_NOT_ALLOWED,
                C::Unsupported,
                "deletes are switched off (delete.enabled)".into(),
            ),
            Self::UploadUnknown(_) => plain(
                S::NOT_FOUND,
                C::BlobUploadUnknown,
                "no such upload session in this repository; start again with a POST".into(),
            ),
            Self::UploadInvalid(sentence) => plain(S::BAD_REQUEST, C::BlobUploadInvalid, sentence.clone()),
            Self::UploadOutOfOrder { offset, .. } => plain(
                S::RANGE_NOT_SATISFIABLE,
                C::BlobUploadInvalid,
                format!("{offset} bytes are stored; go on from there"),
            ),
            Self::SizeInvalid(sentence) => plain(S::BAD_REQUEST, C::SizeInvalid, sentence.clone()),
            Self::BlobTooLarge(limit) => plain(
                S::PAYLOAD_TOO_LARGE,
                C::SizeInvalid,
                format!("the blob has more than {limit} bytes (uploads.max_blob_size)"),
            ),
            Self::RangeNotSatisfiable(size) => {
                plain(S::RANGE_NOT_SATISFIABLE, C::RangeInvalid, format!("the blob has {size} bytes"))
            }
            Self::PageSizeInvalid => plain(
                S::BAD_REQUEST,
                C::PaginationNumberInvalid,
                "`n` is not a whole number of 0 or more".into(),
            ),
            Self::BodyTooSlow => plain(
                S::REQUEST_TIMEOUT,
                C::BlobUploadInvalid,
                "the body came too slowly; what was stored is kept, ask for the upload's status".into(),
            ),
            Self::BodyBroken(why) => {
                plain(S::BAD_REQUEST, C::SizeInvalid, format!("the body broke off: {why}; what came is kept"))
            }
            Self::TooMany(sentence) => plain(S::TOO_MANY_REQUESTS, C::TooManyRequests, sentence.clone()),
            Self::Refused(Refusal::Bytes { namespace, used, limit, size }) => (
                S::FORBIDDEN,
                C::Denied,
                format!(
                    "namespace {namespace} holds {used} of the {limit} bytes of its quota, and {size} more do not fit; \
                     delete manifests that nobody needs (their blobs go with the next collection), or ask for a \
                     higher quota"
                ),
                json!({ "namespace": namespace.as_str(), "used": used, "limit": limit, "size": size }),
            ),
            Self::Refused(Refusal::Repositories { namespace, limit }) => plain(
                S::FORBIDDEN,
                C::Denied,
                format!(
                    "namespace {namespace} has {limit} repositories, and may have no more \
                     (limits.repositories_per_namespace)"
                ),
            ),
            Self::RepositoryFull { what, limit } => plain(
                S::FORBIDDEN,
                C::Denied,
                format!(
                    "the repository has {limit} {what}, and may have no more (limits.{what}_per_repository); delete some"
                ),
            ),
            Self::Draining => plain(
                S::SERVICE_UNAVAILABLE,
                C::Unavailable,
                "the registry is stopping; what was stored is kept, try again".into(),
            ),
            Self::Catalog(CatalogError::Unavailable(_)) => {
                plain(S::SERVICE_UNAVAILABLE, C::Unavailable, "the catalog does not answer; try again".into())
            }
            Self::Storage(StorageError::Full) => {
                plain(S::INSUFFICIENT_STORAGE, C::Unavailable, "storage is full; nothing was lost".into())
            }
            Self::Storage(StorageError::Unavailable(_)) => {
                plain(S::SERVICE_UNAVAILABLE, C::Unavailable, "storage does not answer; try again".into())
            }
            // What follows is ours alone: the detail is logged, never sent.
            Self::Catalog(CatalogError::Corrupt(_))
            | Self::Storage(StorageError::Corrupt(_))
            | Self::Internal(_) => {
                plain(S::INTERNAL_SERVER_ERROR, C::Unknown, "the registry failed; its log says more".into())
            }
        }
    }

    /// Logged here and nowhere else.
    fn log(&self) {
        match self {
            Self::Catalog(e) => error!(error = %e, "Catalog failed: {e}"),
            Self::Storage(e) => error!(error = %e, "Storage failed: {e}"),
            Self::Internal(e) => error!(error = %e, "Request failed: {e}"),
            _ => {}
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.log();
        let (status, code, message, detail) = self.row();
        let body = serde_json::to_vec(&ErrorBody::one(code, message, detail)).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        match &self {
            Self::MethodNotAllowed(allow) => {
                headers.insert(header::ALLOW, HeaderValue::from_static(allow));
            }
            Self::Unauthorized { challenge: Some(challenge), .. } => {
                super::headers::insert(headers, header::WWW_AUTHENTICATE, challenge);
            }
            Self::Throttled { retry_after } => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(*retry_after));
            }
            Self::RateLimited(RateLimited { retry_after, rate }) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(*retry_after));
                let Rate { per_second, burst } = rate;
                super::headers::insert(
                    headers,
                    super::headers::RATE_LIMIT_POLICY,
                    &format!("\"rate\";q={burst};w={}", burst.div_ceil((*per_second).max(1))),
                );
                super::headers::insert(
                    headers,
                    super::headers::RATE_LIMIT,
                    &format!("\"rate\";r=0;t={retry_after}"),
                );
            }
            Self::DeletesOff => {
                headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, PUT"));
            }
            Self::UploadOutOfOrder { location, offset } => {
                super::headers::upload_progress(headers, location, *offset);
            }
            Self::RangeNotSatisfiable(size) => {
                super::headers::insert(headers, header::CONTENT_RANGE, &format!("bytes */{size}"));
            }
            _ => {}
        }
        response
    }
}

/// Whether a method only reads.
#[must_use]
pub fn is_read(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}
