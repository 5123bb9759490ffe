//! end-4, end-5, end-6, end-11, end-13, end-14: uploads.

use axum::{body::Body, response::Response};
use berth_oci::{Algorithm, Digest, DigestError, RepoName};
use futures_util::{StreamExt, TryStreamExt};
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};

use super::{
    Api,
    access::{Access, Caller, Push},
    body::body_error,
    error::ApiError,
    headers,
    page::query,
};
use crate::{
    audit::{Act, Entry},
    blobs::{self, Chunk, Session, UploadError},
    catalog::{BoxError, UploadId},
};

/// `POST /v2/<name>/blobs/uploads/`, which is four requests in one:
///
/// - with `mount` (end-11): 201 when the blob could be linked, else as without parameters. The
///   answer is the same whether the blob is not there or may not be read (R10);
/// - with `digest` (end-4b): the body is the blob, 201;
/// - with `digest-algorithm`: a session for chunks that end in a digest of that algorithm;
/// - without (end-4a): a session, 202.
pub(super) async fn start(
    api: &Api,
    caller: &Caller,
    access: &Access<Push>,
    parts: &Parts,
    body: Body,
) -> Result<Response, ApiError> {
    let (blobs, repo) = (&api.inner.blobs, access.repo());
    if let Some(digest) = query(&parts.uri, "mount").next() {
        let digest: Digest = digest.parse()?;
        if mount(api, caller, repo, &digest, parts).await? {
            return Ok(created(repo, &digest));
        }
    } else if let Some(digest) = query(&parts.uri, "digest").next() {
        let digest: Digest = digest.parse()?;
        let length = content_length(&parts.headers);
        let stored = blobs.monolithic(repo.clone(), digest, length, stream(body)).await;
        let blob = stored.map_err(|error| api_error(error, None))?;
        return Ok(created(repo, &blob.digest));
    }
    let algorithm = match query(&parts.uri, "digest-algorithm").next() {
        Some(name) => name.parse()?,
        None => Algorithm::Sha256,
    };
    let session = blobs.start(repo, access.principal(), algorithm).await;
    let session = session.map_err(|error| api_error(error, None))?;
    let mut response = progress(StatusCode::ACCEPTED, &session, 0);
    let smallest = blobs.settings().min_chunk_bytes;
    if smallest > 0 {
        response.headers_mut().insert(headers::OCI_CHUNK_MIN_LENGTH, HeaderValue::from(smallest));
    }
    Ok(response)
}

/// Links a blob of another repository, if it is there and the caller may read it there.
async fn mount(
    api: &Api,
    caller: &Caller,
    to: &RepoName,
    digest: &Digest,
    parts: &Parts,
) -> Result<bool, ApiError> {
    let readable = |name: String| name.parse::<RepoName>().ok().filter(|from| caller.may_read(from));
    let from = match query(&parts.uri, "from").next() {
        None if caller.may_read_all() => None,
        // Where there is nothing to be had from, the blob is sought where it is to go: that takes as long as
        // seeking it where it is not, and tells the caller of nothing but what is in their reach (R10).
        None => Some(to.clone()),
        Some(name) => Some(readable(name).unwrap_or_else(|| to.clone())),
    };
    let mounted = api.inner.blobs.mount(from.as_ref(), to, digest).await?.is_some();
    if mounted {
        let tell = |entry: &mut Entry| {
            digest.as_str().clone_into(&mut entry.digest);
            entry.detail = from.map(|from| format!("from: {from}")).unwrap_or_default();
        };
        caller.did(parts, Act::Mount, to, tell).await;
    }
    Ok(mounted)
}

/// `PATCH /v2/<name>/blobs/uploads/<id>`: 202, and how far the session is.
pub(super) async fn append(
    api: &Api,
    access: &Access<Push>,
    id: Option<UploadId>,
    parts: &Parts,
    body: Body,
) -> Result<Response, ApiError> {
    let session = session(access, id)?;
    let chunk = chunk(&parts.headers)?;
    let appended = api.inner.blobs.append(session.clone(), chunk, stream(body)).await;
    let offset = appended.map_err(|error| api_error(error, Some(&session)))?;
    Ok(progress(StatusCode::ACCEPTED, &session, offset))
}

/// `PUT /v2/<name>/blobs/uploads/<id>?digest=<digest>`: the last chunk, or none; 201.
pub(super) async fn finish(
    api: &Api,
    access: &Access<Push>,
    id: Option<UploadId>,
    parts: &Parts,
    body: Body,
) -> Result<Response, ApiError> {
    let session = session(access, id)?;
    let digest = query(&parts.uri, "digest").next().ok_or(DigestError::Form)?;
    let digest: Digest = digest.parse()?;
    let chunk = chunk(&parts.headers)?;
    let finished = api.inner.blobs.finish(session.clone(), chunk, stream(body), digest).await;
    let blob = finished.map_err(|error| api_error(error, Some(&session)))?;
    Ok(created(access.repo(), &blob.digest))
}

/// `GET /v2/<name>/blobs/uploads/<id>`: 204, and how far the session is.
pub(super) async fn status(
    api: &Api,
    access: &Access<Push>,
    id: Option<UploadId>,
) -> Result<Response, ApiError> {
    let session = session(access, id)?;
    let offset = api.inner.blobs.status(&session).await;
    let offset = offset.map_err(|error| api_error(error, Some(&session)))?;
    Ok(progress(StatusCode::NO_CONTENT, &session, offset))
}

/// `DELETE /v2/<name>/blobs/uploads/<id>`: 204, and the session is gone.
pub(super) async fn cancel(
    api: &Api,
    access: &Access<Push>,
    id: Option<UploadId>,
) -> Result<Response, ApiError> {
    let session = session(access, id)?;
    api.inner.blobs.cancel(&session).await.map_err(|error| api_error(error, Some(&session)))?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

fn session(access: &Access<Push>, id: Option<UploadId>) -> Result<Session, ApiError> {
    let id = id.ok_or(ApiError::UploadUnknown(None))?;
    Ok(Session { repo: access.repo().clone(), id, principal: access.principal().to_owned() })
}

fn location(session: &Session) -> String {
    format!("/v2/{}/blobs/uploads/{}", session.repo, session.id)
}

fn progress(status: StatusCode, session: &Session, offset: u64) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let to = response.headers_mut();
    headers::upload_progress(to, &location(session), offset);
    headers::insert(to, headers::DOCKER_UPLOAD_UUID, &session.id.to_string());
    response
}

fn created(repo: &RepoName, digest: &Digest) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::CREATED;
    let to = response.headers_mut();
    headers::insert(to, header::LOCATION, &format!("/v2/{repo}/blobs/{digest}"));
    headers::insert(to, headers::DOCKER_CONTENT_DIGEST, digest.as_str());
    response
}

/// A length that is no number never comes this far: the server refuses it.
fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn chunk(headers: &HeaderMap) -> Result<Chunk, ApiError> {
    let range = headers.get(header::CONTENT_RANGE).map(|value| {
        // What is not even text has no form either.
        value.to_str().unwrap_or_default().parse().map_err(|error| api_error(error, None))
    });
    Ok(Chunk { range: range.transpose()?, length: content_length(headers) })
}

fn stream(body: Body) -> blobs::Body {
    body.into_data_stream().map_err(|error| Box::new(error) as BoxError).boxed()
}

fn api_error(error: UploadError, session: Option<&Session>) -> ApiError {
    match error {
        UploadError::Unknown => ApiError::UploadUnknown(session.map(|session| session.id)),
        UploadError::OutOfOrder { offset } => {
            ApiError::UploadOutOfOrder { location: session.map(location).unwrap_or_default(), offset }
        }
        UploadError::Invalid(sentence) => ApiError::UploadInvalid(sentence.to_owned()),
        UploadError::Size { announced, received } => ApiError::SizeInvalid(format!(
            "{announced} bytes were announced and {received} came; what was stored is kept"
        )),
        UploadError::TooLarge(limit) => ApiError::BlobTooLarge(limit),
        UploadError::Digest { expected, actual } => ApiError::DigestMismatch { expected, actual },
        UploadError::TooMany { limit, own: true } => ApiError::TooMany(format!(
            "you have {limit} uploads open (limits.sessions_per_user); finish or cancel some, or wait until they expire"
        )),
        UploadError::TooMany { limit, own: false } => {
            ApiError::TooMany(format!("{limit} uploads are open (uploads.max_sessions); try again later"))
        }
        UploadError::Refused(refusal) => ApiError::Refused(refusal),
        UploadError::Body(error) => match error.downcast::<axum::Error>() {
            Ok(error) => body_error(*error),
            Err(error) => ApiError::BodyBroken(error.to_string()),
        },
        UploadError::Storage(error) => ApiError::Storage(error),
        UploadError::Catalog(error) => ApiError::Catalog(error),
    }
}

#[cfg(test)]
mod tests;
