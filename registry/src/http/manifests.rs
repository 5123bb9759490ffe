//! end-3, end-7, end-9: manifests by tag and by digest.

use axum::{body::Body, response::Response};
use berth_oci::{ManifestReference, MediaType, RepoName, Tag, name::ReferenceError};
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, StatusCode, header, request::Parts};
use http_body_util::BodyExt;

use super::{
    Api,
    access::{Access, Caller, Delete, Pull, Push},
    error::ApiError,
    headers,
    page::query,
};
use crate::{
    audit::{Act, Entry},
    manifests::{DeleteError, PutError, Stored},
    policy::Verb,
};

/// So much of a body that is too large is read and dropped, since a client that is still sending
/// may never see the answer. Past that the connection is cut, and sooner where the end of the body
/// was not announced.
const DISCARD_BYTES: u64 = 64 * 1024 * 1024;
const DISCARD_UNANNOUNCED_BYTES: u64 = 16 * 1024 * 1024;

/// How many tags one push by digest may set.
const MAX_TAGS: usize = 100;

/// Reading: what can be no tag names no manifest.
pub(super) fn to_read(
    reference: Result<ManifestReference, ReferenceError>,
    text: String,
) -> Result<ManifestReference, ApiError> {
    reference.map_err(|error| match error {
        ReferenceError::Digest(e) => ApiError::DigestMalformed(e),
        ReferenceError::Tag(_) => ApiError::ManifestUnknown(text),
    })
}

/// Writing: what can be no tag is told why.
pub(super) fn to_write(
    reference: Result<ManifestReference, ReferenceError>,
) -> Result<ManifestReference, ApiError> {
    reference.map_err(|error| match error {
        ReferenceError::Digest(e) => ApiError::DigestMalformed(e),
        ReferenceError::Tag(e) => ApiError::TagInvalid(e),
    })
}

/// `GET` and `HEAD /v2/<name>/manifests/<reference>`. The manifest is answered whatever `Accept`
/// says: Berth converts nothing, and a client that asked by digest wants those bytes.
pub(super) async fn get(
    api: &Api,
    access: &Access<Pull>,
    reference: ManifestReference,
    parts: &Parts,
) -> Result<Response, ApiError> {
    let manifest = api.inner.manifests.get(access.repo(), &reference).await?;
    let manifest = manifest.ok_or_else(|| ApiError::manifest_unknown(&reference))?;
    if headers::none_match(&parts.headers, &manifest.digest) {
        return Ok(headers::not_modified(&manifest.digest));
    }
    let length = manifest.body.len();
    let body = if parts.method == http::Method::HEAD { Body::empty() } else { Body::from(manifest.body) };
    let mut response = Response::new(body);
    let to = response.headers_mut();
    headers::insert(to, header::CONTENT_TYPE, manifest.media_type.as_str());
    to.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers::content_digest(to, &manifest.digest);
    Ok(response)
}

/// `PUT /v2/<name>/manifests/<reference>[?tag=…]`: 201 with `Location`, `OCI-Subject` when it has
/// a subject, `OCI-Tag` for each tag of the query.
pub(super) async fn put(
    api: &Api,
    caller: &Caller,
    access: &Access<Push>,
    reference: ManifestReference,
    parts: &Parts,
    body: Body,
) -> Result<Response, ApiError> {
    let tags = query(&parts.uri, "tag")
        .map(|tag| tag.parse::<Tag>().map_err(ApiError::TagInvalid))
        .collect::<Result<Vec<_>, _>>()?;
    if tags.len() > MAX_TAGS {
        return Err(ApiError::TooManyTags(MAX_TAGS));
    }
    let content_type = match parts.headers.get(header::CONTENT_TYPE) {
        Some(value) => {
            let text = value.to_str().map_err(|_| ApiError::ContentTypeInvalid)?;
            Some(MediaType::new(text)).filter(|media_type| !media_type.as_str().is_empty())
        }
        None => None,
    };
    let body = read_limited(body, parts, api.inner.settings.max_manifest_bytes).await?;
    let repo = access.repo();
    let fixed = caller.fixed(Verb::Overwrite, repo);
    let put =
        api.inner.manifests.put(repo, reference, tags.clone(), content_type.as_ref(), body, fixed).await;
    if let Err(PutError::Immutable(tag) | PutError::Kept(tag)) = &put {
        caller.denied(parts, Verb::Overwrite, repo, tag.as_str());
    }
    let stored = put.map_err(put_error)?;
    record(caller, parts, repo, &stored).await;

    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::CREATED;
    let to = response.headers_mut();
    headers::insert(to, header::LOCATION, &format!("/v2/{repo}/manifests/{}", stored.digest));
    headers::insert(to, headers::DOCKER_CONTENT_DIGEST, stored.digest.as_str());
    if let Some(subject) = &stored.subject {
        headers::insert(to, headers::OCI_SUBJECT, subject.as_str());
    }
    for tag in &tags {
        if let Ok(value) = HeaderValue::from_str(tag.as_str()) {
            to.append(headers::OCI_TAG, value);
        }
    }
    if stored.deprecated_layers {
        to.insert(
            header::WARNING,
            HeaderValue::from_static(
                "299 - \"non-distributable layers are deprecated; this registry may not hold their content\"",
            ),
        );
    }
    Ok(response)
}

/// `DELETE /v2/<name>/manifests/<reference>`: 202.
pub(super) async fn delete(
    api: &Api,
    caller: &Caller,
    access: &Access<Delete>,
    reference: ManifestReference,
    parts: &Parts,
) -> Result<Response, ApiError> {
    if !api.inner.settings.deletes {
        return Err(ApiError::DeletesOff);
    }
    let repo = access.repo();
    let deleted = api.inner.manifests.delete(repo, &reference, caller.fixed(Verb::Delete, repo)).await;
    if let Err(DeleteError::Immutable(tag) | DeleteError::Kept(tag)) = &deleted {
        caller.denied(parts, Verb::Delete, repo, tag.as_str());
    }
    let deleted = deleted.map_err(|error| match error {
        DeleteError::Immutable(tag) => ApiError::TagImmutable(tag.to_string()),
        DeleteError::Kept(tag) => ApiError::Denied(format!("delete of tag {tag} is not allowed")),
        DeleteError::Catalog(e) => ApiError::Catalog(e),
        DeleteError::Storage(e) => ApiError::Storage(e),
    })?;
    if !deleted {
        return Err(ApiError::manifest_unknown(&reference));
    }
    caller.did(parts, Act::Delete, repo, |entry| entry.reference = reference.to_string()).await;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

/// An entry of the audit log for each tag, or for the manifest where it has none.
async fn record(caller: &Caller, parts: &Parts, repo: &RepoName, stored: &Stored) {
    let digest = stored.digest.as_str();
    if stored.tags.is_empty() {
        let tell = |entry: &mut Entry| digest.clone_into(&mut entry.digest);
        caller.did(parts, Act::Push, repo, tell).await;
    }
    for tag in &stored.tags {
        let before = stored.moved.iter().find(|(moved, _)| moved == tag).map(|(_, before)| before);
        let act = if before.is_some() { Act::Overwrite } else { Act::Push };
        let tell = |entry: &mut Entry| {
            tag.as_str().clone_into(&mut entry.reference);
            digest.clone_into(&mut entry.digest);
            entry.detail = before.map(|before| format!("before: {before}")).unwrap_or_default();
        };
        caller.did(parts, act, repo, tell).await;
    }
}

fn put_error(error: PutError) -> ApiError {
    match error {
        PutError::Invalid(e) => ApiError::ManifestInvalid(e),
        PutError::DigestMismatch { expected, actual } => ApiError::DigestMismatch { expected, actual },
        PutError::Missing(missing) => ApiError::ManifestReferencesMissing(missing),
        PutError::TooDeep(limit) => ApiError::ManifestTooDeep(limit),
        PutError::Immutable(tag) => ApiError::TagImmutable(tag.to_string()),
        PutError::Refused(refusal) => ApiError::Refused(refusal),
        PutError::RepositoryFull { what, limit } => ApiError::RepositoryFull { what, limit },
        PutError::Kept(tag) => ApiError::Denied(format!("overwrite of tag {tag} is not allowed")),
        PutError::Catalog(e) => ApiError::Catalog(e),
        PutError::Storage(e) => ApiError::Storage(e),
    }
}

/// Reads a body of at most `limit` bytes, and never holds more (R13).
async fn read_limited(mut body: Body, parts: &Parts, limit: usize) -> Result<Bytes, ApiError> {
    let length = parts.headers.get(header::CONTENT_LENGTH);
    let announced = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok()).unwrap_or(0);
    let mut over = announced > limit as u64;
    // Who asks before sending, or announces more than is ever read, is answered before a byte.
    if over && (announced > DISCARD_BYTES || parts.headers.contains_key(header::EXPECT)) {
        return Err(ApiError::ManifestTooLarge(limit));
    }
    let discard = if length.is_some() { DISCARD_BYTES } else { DISCARD_UNANNOUNCED_BYTES };
    let mut bytes = BytesMut::new();
    let mut discarded = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(super::body::body_error)?;
        let Ok(data) = frame.into_data() else { continue };
        over |= bytes.len() + data.len() > limit;
        if !over {
            bytes.extend_from_slice(&data);
            continue;
        }
        bytes = BytesMut::new();
        discarded += data.len() as u64;
        if discarded > discard {
            break;
        }
    }
    if over { Err(ApiError::ManifestTooLarge(limit)) } else { Ok(bytes.freeze()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn r13_a_body_is_read_to_the_limit_and_not_a_byte_further() {
        let (parts, ()) = http::Request::new(()).into_parts();
        let read = async |size: usize| read_limited(Body::from(vec![0; size]), &parts, 1000).await;
        assert_eq!(read(1000).await.unwrap().len(), 1000);
        assert!(matches!(read(1001).await, Err(ApiError::ManifestTooLarge(1000))));
    }
}
