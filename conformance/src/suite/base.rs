//! The version check (end-1), names, and what errors look like.

use std::sync::Arc;

use berth_oci::{Algorithm, ErrorCode, MediaType};

use super::push::{blob_at, given_blob, given_image, manifest_at, put_manifest, unpushed_image, uploads};
use crate::{
    case::{Stop, Verdict, ensure, fail},
    data::{Blob, digest_of},
    http::{Answer, Cx, warning_faults},
};

pub(super) async fn version(cx: Arc<Cx>) -> Verdict {
    cx.get("/v2/")?.send().await?.expect(&[200]).map(drop)
}

pub(super) async fn version_header(cx: Arc<Cx>) -> Verdict {
    let answer = cx.get("/v2/")?.send().await?;
    answer.expect(&[200])?.header_is("docker-distribution-api-version", "registry/2.0")
}

pub(super) async fn version_head(cx: Arc<Cx>) -> Verdict {
    cx.head("/v2/")?.send().await?.expect(&[200])?.body_is(b"")
}

pub(super) async fn unknown_endpoint(cx: Arc<Cx>) -> Verdict {
    let answer = cx.get(format!("/v2/{}/nothing/here", cx.repo()))?.send().await?;
    answer.expect(&[404, 405]).map(drop)
}

/// An image in a repository with this name behind the case's own.
pub(super) async fn valid_name(cx: Arc<Cx>, suffix: &'static str) -> Verdict {
    let repo = format!("{}-other/{suffix}", cx.repo());
    let manifest = given_image(&cx, &repo, Algorithm::Sha256, Some("v1")).await?;
    let answer = cx.get(manifest_at(&repo, "v1"))?.send().await?;
    answer.expect(&[200])?.body_is(&manifest.bytes)
}

/// The longest name that is valid: 255 characters.
pub(super) async fn longest_name(cx: Arc<Cx>) -> Verdict {
    let start = format!("{}/", cx.other_repo());
    let repo = format!("{start}{}", "a".repeat(255_usize.saturating_sub(start.len())));
    given_blob(&cx, &repo, Algorithm::Sha256, 10).await.map(drop)
}

pub(super) async fn invalid_name(cx: Arc<Cx>, name: &'static str) -> Verdict {
    let answer = cx.post(uploads(&format!("{}/{name}", cx.repo())))?.send().await?;
    answer.expect(&[400, 404]).map(drop)
}

pub(super) async fn valid_tag(cx: Arc<Cx>, tag: &'static str) -> Verdict {
    let manifest = given_image(&cx, cx.repo(), Algorithm::Sha256, Some(tag)).await?;
    let answer = cx.get(manifest_at(cx.repo(), tag))?.send().await?;
    answer.expect(&[200])?.body_is(&manifest.bytes)
}

pub(super) async fn longest_tag(cx: Arc<Cx>) -> Verdict {
    let tag = "a".repeat(128);
    given_image(&cx, cx.repo(), Algorithm::Sha256, Some(&tag)).await?;
    cx.get(manifest_at(cx.repo(), &tag))?.send().await?.expect(&[200]).map(drop)
}

pub(super) async fn invalid_tag(cx: Arc<Cx>, tag: &'static str) -> Verdict {
    let manifest = unpushed_image(&cx, cx.repo(), Algorithm::Sha256, |_| ()).await?;
    let answer = put_manifest(&cx, cx.repo(), tag, &manifest).await?;
    ensure((400..500).contains(&answer.status), || format!("status {} for the tag {tag:?}", answer.status))
}

/// One of the ways to be told no.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refusal {
    Blob,
    Manifest,
    Upload,
    Digest,
    Tags,
    Name,
}

/// What an error's body must be, if it is JSON: the envelope, codes of capitals and underscores.
pub(super) async fn envelope(cx: Arc<Cx>, refusal: Refusal) -> Verdict {
    let answer = refused(&cx, refusal).await?;
    ensure((400..500).contains(&answer.status), || format!("status {} where 4xx is due", answer.status))?;
    for entry in answer.errors()?.errors {
        let code = &entry.code;
        let shaped = !code.is_empty() && code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        ensure(shaped, || format!("error code {code:?} is not of capitals and underscores"))?;
    }
    Ok(())
}

/// The code is one of the specification's table.
pub(super) async fn code(cx: Arc<Cx>, refusal: Refusal) -> Verdict {
    let answer = refused(&cx, refusal).await?;
    match refusal {
        Refusal::Blob => answer.code(ErrorCode::BlobUnknown),
        Refusal::Manifest => answer.code(ErrorCode::ManifestUnknown),
        Refusal::Upload => answer.code(ErrorCode::BlobUploadUnknown),
        Refusal::Digest => answer.code(ErrorCode::DigestInvalid),
        Refusal::Tags => answer.code(ErrorCode::NameUnknown),
        Refusal::Name => answer.code(ErrorCode::NameInvalid),
    }
}

async fn refused(cx: &Cx, refusal: Refusal) -> Result<Answer, Stop> {
    given_image(cx, cx.repo(), Algorithm::Sha256, Some("v1")).await?;
    let digest = Blob::random(Algorithm::Sha256, 20).digest;
    let repo = cx.repo();
    match refusal {
        Refusal::Blob => cx.get(blob_at(repo, &digest))?.send().await,
        Refusal::Manifest => cx.get(manifest_at(repo, "absent"))?.send().await,
        Refusal::Upload => cx.get(format!("{}{}", uploads(repo), uuid::Uuid::new_v4()))?.send().await,
        Refusal::Digest => {
            let call = cx.post(uploads(repo))?.query("digest", "sha256:short").body("x");
            call.send().await
        }
        Refusal::Tags => cx.get(format!("/v2/{}/tags/list", cx.other_repo()))?.send().await,
        Refusal::Name => cx.get(format!("/v2/{repo}/Upper/tags/list"))?.send().await,
    }
}

/// Warnings along a whole push and pull, if there are any, have the form that clients parse.
pub(super) async fn warnings(cx: Arc<Cx>) -> Verdict {
    let manifest = unpushed_image(&cx, cx.repo(), Algorithm::Sha256, |_| ()).await?;
    let put = put_manifest(&cx, cx.repo(), "v1", &manifest).await?;
    let get = cx.get(manifest_at(cx.repo(), "v1"))?.send().await?;
    put.expect(&[201])?;
    get.expect(&[200])?;
    for answer in [&put, &get] {
        let values = answer.headers.get_all("warning").iter().filter_map(|value| value.to_str().ok());
        let faults = warning_faults(values);
        if !faults.is_empty() {
            return fail(faults.join("; "));
        }
    }
    Ok(())
}

/// Content types carry no parameters.
pub(super) async fn plain_content_type(cx: Arc<Cx>) -> Verdict {
    given_image(&cx, cx.repo(), Algorithm::Sha256, Some("v1")).await?;
    let answer = cx.get(manifest_at(cx.repo(), "v1"))?.send().await?;
    answer.expect(&[200])?.header_is("content-type", MediaType::OCI_MANIFEST)
}

/// Both forms of a digest that are almost one.
pub(super) async fn digest_case(cx: Arc<Cx>) -> Verdict {
    given_blob(&cx, cx.repo(), Algorithm::Sha256, 10).await?;
    let digest = digest_of(Algorithm::Sha256, b"abc").as_str().to_uppercase().replace("SHA256", "sha256");
    cx.get(blob_at(cx.repo(), &digest))?.send().await?.expect(&[400, 404]).map(drop)
}
