//! R1, R2: names and tags that are none, as bytes that no client would send.

use std::sync::Arc;

use berth_oci::{Algorithm, ErrorCode, MediaType};

use crate::{
    case::{Verdict, ensure},
    http::Cx,
    suite::push::{given_image, manifest_at},
};

/// Names that are none, as they stand in a path. What they mean must not matter: they are refused
/// before anything is looked up.
pub(super) const NAMES: [(&str, &str); 14] = [
    ("dots", "a/../../../etc"),
    ("leading-dots", "../../etc"),
    ("escaped-dots", "a/%2e%2e/%2e%2e/etc"),
    ("half-escaped-dots", "a/.%2e/b"),
    ("escaped-slash", "a%2fb"),
    ("escaped-dots-and-slash", "a%2f..%2f..%2fetc"),
    ("backslash", "a%5c..%5cb"),
    ("capital", "a/Upper"),
    ("nul", "a%00b"),
    ("no-utf8", "a%ffb"),
    ("space", "a%20b"),
    ("newline", "a%0d%0ab"),
    ("empty-component", "a//b"),
    ("double-escape", "a%252e%252e"),
];

/// 400 NAME_INVALID wherever a name may stand.
pub(super) async fn name(cx: Arc<Cx>, name: &'static str) -> Verdict {
    for (method, behind) in [
        ("GET", "tags/list"),
        ("GET", "manifests/latest"),
        ("PUT", "manifests/latest"),
        ("POST", "blobs/uploads/"),
        ("GET", "blobs/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("GET", "referrers/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ] {
        let length = if method == "GET" { "" } else { "\nContent-Length: 0" };
        let head = format!("{method} /v2/{name}/{behind} HTTP/1.1{length}");
        cx.raw(&head, b"", false).await?.error(400, ErrorCode::NameInvalid)?;
    }
    Ok(())
}

pub(super) async fn long_name(cx: Arc<Cx>) -> Verdict {
    for name in ["a".repeat(256), format!("{}a", "a/".repeat(128)), "a".repeat(4000)] {
        let answer = cx.post(format!("/v2/{name}/blobs/uploads/"))?.send().await?;
        answer.error(400, ErrorCode::NameInvalid)?;
    }
    Ok(())
}

/// Tags that are none, as they stand in a path.
pub(super) const TAGS: [(&str, &str); 6] =
    [("dot", ".a"), ("dash", "-a"), ("space", "a%20b"), ("nul", "a%00"), ("no-utf8", "%ff"), ("plus", "a+b")];

pub(super) async fn tag(cx: Arc<Cx>, tag: &'static str) -> Verdict {
    refused_tag(&cx, tag).await
}

pub(super) async fn long_tag(cx: Arc<Cx>) -> Verdict {
    refused_tag(&cx, &"a".repeat(129)).await?;
    refused_tag(&cx, &"a".repeat(4000)).await
}

/// PUT is 400 MANIFEST_INVALID and stores nothing; GET is 404 MANIFEST_UNKNOWN.
async fn refused_tag(cx: &Cx, tag: &str) -> Verdict {
    let manifest = given_image(cx, cx.repo(), Algorithm::Sha256, Some("v1")).await?;
    let at = manifest_at(cx.repo(), tag);
    let head = format!(
        "PUT {at} HTTP/1.1\nContent-Type: {}\nContent-Length: {}",
        MediaType::OCI_MANIFEST,
        manifest.bytes.len()
    );
    cx.raw(&head, &manifest.bytes, false).await?.error(400, ErrorCode::ManifestInvalid)?;
    cx.raw(&format!("GET {at} HTTP/1.1"), b"", false).await?.error(404, ErrorCode::ManifestUnknown)?;
    let listed = cx.get(format!("/v2/{}/tags/list", cx.repo()))?.send().await?;
    let listed = listed.expect(&[200])?.json()?;
    ensure(listed["tags"] == serde_json::json!(["v1"]), || format!("tags are {}", listed["tags"]))
}
