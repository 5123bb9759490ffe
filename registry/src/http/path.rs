//! What a path under `/v2/` asks for. Repository names contain `/`, so a path is read from its
//! end: the last segments say which endpoint it is, and all before them is the name.
//!
//! A segment is percent-decoded by itself, after the split: an escaped `/` never makes a segment.

use std::borrow::Cow;

use berth_oci::{Digest, ManifestReference, RepoName};
use percent_encoding::percent_decode_str;
use uuid::Uuid;

use super::error::ApiError;
use crate::catalog::UploadId;

/// An endpoint of the distribution specification with its typed parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// end-1: `/v2/`.
    Base,
    /// `/v2/_catalog`.
    Catalog,
    /// end-2, end-10: a blob.
    Blob(RepoName, Result<Digest, berth_oci::DigestError>),
    /// end-4, end-11: where uploads start.
    Uploads(RepoName),
    /// end-5, end-6, end-13, end-14: one upload; `None` when its id is not one of ours.
    Upload(RepoName, Option<UploadId>),
    /// end-3, end-7, end-9: a manifest.
    Manifest(RepoName, Result<ManifestReference, berth_oci::name::ReferenceError>, String),
    /// end-8: the tags.
    Tags(RepoName),
    /// end-12: the referrers of a subject.
    Referrers(RepoName, Result<Digest, berth_oci::DigestError>),
}

fn name(segments: &[Cow<'_, str>]) -> Result<RepoName, ApiError> {
    if segments.iter().any(|segment| segment.contains('/')) {
        return Err(ApiError::PathInvalid);
    }
    Ok(segments.join("/").parse()?)
}

/// Reads the raw (still percent-encoded) path of a request, beginning with `/v2`.
///
/// # Errors
/// `NameInvalid` or `PathInvalid` when the name is none, `EndpointUnknown` when the end of the path is none of ours.
pub fn parse(raw: &str) -> Result<Endpoint, ApiError> {
    let rest = match raw.strip_prefix("/v2") {
        Some("" | "/") => return Ok(Endpoint::Base),
        Some(rest) => rest.strip_prefix('/').ok_or(ApiError::EndpointUnknown)?,
        None => return Err(ApiError::EndpointUnknown),
    };
    let segments = rest
        .split('/')
        // What is no UTF-8 becomes a character that no name, tag or digest has.
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy())
        .collect::<Vec<_>>();
    let text: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
    let before = |tail: usize| name(&segments[..segments.len() - tail]);
    match text.as_slice() {
        ["_catalog"] => Ok(Endpoint::Catalog),
        [.., _, "blobs", "uploads", ""] => Ok(Endpoint::Uploads(before(3)?)),
        [.., _, "blobs", "uploads"] => Ok(Endpoint::Uploads(before(2)?)),
        [.., _, "blobs", "uploads", id] => {
            Ok(Endpoint::Upload(before(3)?, Uuid::try_parse(id).ok().map(UploadId)))
        }
        [.., _, "blobs", digest] => Ok(Endpoint::Blob(before(2)?, digest.parse())),
        [.., _, "manifests", reference] => {
            Ok(Endpoint::Manifest(before(2)?, reference.parse(), (*reference).to_owned()))
        }
        [.., _, "tags", "list"] => Ok(Endpoint::Tags(before(2)?)),
        [.., _, "referrers", digest] => Ok(Endpoint::Referrers(before(2)?, digest.parse())),
        // A name with a `/` smuggled in, or one that breaks the pattern, is told so before the
        // endpoint is; whoever probes for files learns nothing else.
        _ if name(&segments).is_err() => Err(ApiError::PathInvalid),
        _ => Err(ApiError::EndpointUnknown),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn repo(text: &str) -> RepoName {
        text.parse().unwrap()
    }

    #[test]
    fn a_path_is_read_from_its_end() {
        let id = Uuid::nil();
        let digest = Digest::from_hash(berth_oci::Algorithm::Sha256, &[7; 32]);
        for (path, endpoint) in [
            ("/v2".to_owned(), Endpoint::Base),
            ("/v2/".to_owned(), Endpoint::Base),
            ("/v2/_catalog".to_owned(), Endpoint::Catalog),
            ("/v2/a/tags/list".to_owned(), Endpoint::Tags(repo("a"))),
            ("/v2/a/blobs/uploads/".to_owned(), Endpoint::Uploads(repo("a"))),
            ("/v2/a/blobs/uploads".to_owned(), Endpoint::Uploads(repo("a"))),
            (format!("/v2/a/b/blobs/uploads/{id}"), Endpoint::Upload(repo("a/b"), Some(UploadId(id)))),
            ("/v2/a/blobs/uploads/x".to_owned(), Endpoint::Upload(repo("a"), None)),
            (format!("/v2/a/blobs/{digest}"), Endpoint::Blob(repo("a"), Ok(digest.clone()))),
            (
                format!("/v2/blobs/uploads/blobs/{}", digest.as_str().replace(':', "%3A")),
                Endpoint::Blob(repo("blobs/uploads"), Ok(digest.clone())),
            ),
            (format!("/v2/tags/list/referrers/{digest}"), Endpoint::Referrers(repo("tags/list"), Ok(digest))),
        ] {
            assert_eq!(parse(&path).unwrap(), endpoint, "{path}");
        }
    }

    #[test]
    fn r1_names_that_are_none_are_bad_requests() {
        for path in [
            "/v2/../a/tags/list",
            "/v2/%2e%2e/a/tags/list",
            "/v2/a%2fb/tags/list",
            "/v2/a%2f..%2fb/manifests/x",
            "/v2/A/tags/list",
            "/v2/a%00/tags/list",
            "/v2/%ff/tags/list",
            "/v2//tags/list",
            "/v2/../../etc/passwd",
        ] {
            assert!(
                matches!(parse(path), Err(ApiError::NameInvalid(_) | ApiError::PathInvalid)),
                "{path}: {:?}",
                parse(path)
            );
        }
    }

    proptest! {
        #[test]
        fn r1_no_path_makes_a_name_outside_the_pattern(path in "(/|[a-zA-Z0-9._%:-]|%2[eEfF]|%00|\\.\\./|manifests/|blobs/|uploads/|tags/list){0,40}") {
            if let Ok(Endpoint::Manifest(name, ..) | Endpoint::Blob(name, _) | Endpoint::Tags(name)) = parse(&format!("/v2/{path}")) {
                prop_assert!(!name.as_str().split('/').any(|part| part.is_empty() || part.starts_with('.')));
            }
        }
    }
}
