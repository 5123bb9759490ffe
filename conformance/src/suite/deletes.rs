//! Deleting tags, manifests and blobs (end-9, end-10). A registry may do without.

use std::sync::Arc;

use berth_oci::{Algorithm, ErrorCode};

use super::push::{UploadPath, blob_at, given_blob, given_image, manifest_at, push, put_manifest};
use crate::{
    case::{Stop, Verdict, ensure},
    data::{Blob, Kind},
    http::{Answer, Cx},
};

/// Deletes what is at `at`, which is well formed; skips where the registry says that it does not
/// delete: 405, or 400 for manifests and tags.
async fn delete(cx: &Cx, at: &str) -> Result<Answer, Stop> {
    let answer = cx.delete(at)?.send().await?;
    let declined = answer.status == 405 || (answer.status == 400 && at.contains("/manifests/"));
    if declined { Err(Stop::Skip(format!("{}: this cannot be deleted", answer.status))) } else { Ok(answer) }
}

async fn is_gone(cx: &Cx, at: &str) -> Verdict {
    cx.head(at)?.send().await?.expect(&[404])?;
    cx.get(at)?.send().await?.expect(&[404]).map(drop)
}

pub(super) async fn tag(cx: Arc<Cx>) -> Verdict {
    given_image(&cx, cx.repo(), Algorithm::Sha256, Some("v1")).await?;
    delete(&cx, &manifest_at(cx.repo(), "v1")).await?.expect(&[202])?;
    is_gone(&cx, &manifest_at(cx.repo(), "v1")).await
}

/// Without its tag the manifest is still there, and so are its other tags.
pub(super) async fn tag_leaves_the_manifest(cx: Arc<Cx>) -> Verdict {
    let manifest = given_image(&cx, cx.repo(), Algorithm::Sha256, Some("v1")).await?;
    put_manifest(&cx, cx.repo(), "v2", &manifest).await?.expect(&[201])?;
    delete(&cx, &manifest_at(cx.repo(), "v1")).await?.expect(&[202])?;
    for reference in ["v2", manifest.digest.as_str()] {
        let answer = cx.get(manifest_at(cx.repo(), reference))?.send().await?;
        answer.expect(&[200])?.body_is(&manifest.bytes)?;
    }
    Ok(())
}

pub(super) async fn tag_leaves_the_list(cx: Arc<Cx>) -> Verdict {
    let manifest = given_image(&cx, cx.repo(), Algorithm::Sha256, Some("v1")).await?;
    put_manifest(&cx, cx.repo(), "v2", &manifest).await?.expect(&[201])?;
    delete(&cx, &manifest_at(cx.repo(), "v1")).await?.expect(&[202])?;
    let answer = cx.get(format!("/v2/{}/tags/list", cx.repo()))?.send().await?;
    let body = answer.expect(&[200])?.json()?;
    ensure(body["tags"] == serde_json::json!(["v2"]), || format!("tags are {}", body["tags"]))
}

pub(super) async fn unknown_tag(cx: Arc<Cx>) -> Verdict {
    given_image(&cx, cx.repo(), Algorithm::Sha256, Some("v1")).await?;
    delete(&cx, &manifest_at(cx.repo(), "v2")).await?.error(404, ErrorCode::ManifestUnknown)
}

pub(super) async fn manifest(cx: Arc<Cx>, algorithm: Algorithm) -> Verdict {
    let manifest = given_image(&cx, cx.repo(), algorithm, None).await?;
    let at = manifest_at(cx.repo(), &manifest.digest);
    delete(&cx, &at).await?.expect(&[202])?;
    is_gone(&cx, &at).await
}

/// With the manifest go the tags that point at it; not those that point elsewhere.
pub(super) async fn manifest_takes_its_tags(cx: Arc<Cx>) -> Verdict {
    let manifest = given_image(&cx, cx.repo(), Algorithm::Sha256, Some("v1")).await?;
    put_manifest(&cx, cx.repo(), "v2", &manifest).await?.expect(&[201])?;
    let kept = given_image(&cx, cx.repo(), Algorithm::Sha256, Some("v3")).await?;
    delete(&cx, &manifest_at(cx.repo(), &manifest.digest)).await?.expect(&[202])?;
    is_gone(&cx, &manifest_at(cx.repo(), "v1")).await?;
    is_gone(&cx, &manifest_at(cx.repo(), "v2")).await?;
    let answer = cx.get(format!("/v2/{}/tags/list", cx.repo()))?.send().await?;
    let body = answer.expect(&[200])?.json()?;
    ensure(body["tags"] == serde_json::json!(["v3"]), || format!("tags are {}", body["tags"]))?;
    cx.get(manifest_at(cx.repo(), "v3"))?.send().await?.expect(&[200])?.body_is(&kept.bytes)
}

pub(super) async fn unknown_manifest(cx: Arc<Cx>, algorithm: Algorithm) -> Verdict {
    given_image(&cx, cx.repo(), algorithm, None).await?;
    let at = manifest_at(cx.repo(), &Blob::random(algorithm, 9).digest);
    delete(&cx, &at).await?.error(404, ErrorCode::ManifestUnknown)
}

pub(super) async fn manifest_twice(cx: Arc<Cx>) -> Verdict {
    let manifest = given_image(&cx, cx.repo(), Algorithm::Sha256, None).await?;
    let at = manifest_at(cx.repo(), &manifest.digest);
    delete(&cx, &at).await?.expect(&[202])?;
    delete(&cx, &at).await?.expect(&[404]).map(drop)
}

pub(super) async fn in_unknown_repository(cx: Arc<Cx>) -> Verdict {
    let digest = Blob::random(Algorithm::Sha256, 9).digest;
    delete(&cx, &manifest_at(cx.repo(), &digest)).await?.expect(&[404])?;
    delete(&cx, &blob_at(cx.repo(), &digest)).await?.expect(&[404]).map(drop)
}

/// An index goes without its children.
pub(super) async fn index_leaves_children(cx: Arc<Cx>) -> Verdict {
    let set = Kind::Index.make(Algorithm::Sha256);
    for blob in &set.blobs {
        push(&cx, cx.repo(), UploadPath::PostPut, blob).await?;
    }
    for manifest in &set.manifests {
        put_manifest(&cx, cx.repo(), &manifest.digest, manifest).await?.expect(&[201])?;
    }
    let [children @ .., index] = set.manifests.as_slice() else {
        return crate::case::fail("the set is empty");
    };
    delete(&cx, &manifest_at(cx.repo(), &index.digest)).await?.expect(&[202])?;
    for child in children {
        let call = cx.get(manifest_at(cx.repo(), &child.digest))?;
        call.send().await?.expect(&[200])?;
    }
    Ok(())
}

pub(super) async fn manifest_in_one_repository(cx: Arc<Cx>) -> Verdict {
    let other = cx.other_repo();
    let set = Kind::EmptyIndex.make(Algorithm::Sha256);
    let Some(index) = set.manifests.last() else { return crate::case::fail("the set is empty") };
    for repo in [cx.repo(), &other] {
        put_manifest(&cx, repo, &index.digest, index).await?.expect(&[201])?;
    }
    delete(&cx, &manifest_at(cx.repo(), &index.digest)).await?.expect(&[202])?;
    let call = cx.get(manifest_at(&other, &index.digest))?;
    call.send().await?.expect(&[200])?.body_is(&index.bytes)
}

pub(super) async fn blob(cx: Arc<Cx>, algorithm: Algorithm) -> Verdict {
    let blob = given_blob(&cx, cx.repo(), algorithm, 500).await?;
    let at = blob_at(cx.repo(), &blob.digest);
    // Once read, a cache has it: the answer must still change at once.
    cx.get(&at)?.send().await?.expect(&[200])?;
    delete(&cx, &at).await?.expect(&[202])?;
    is_gone(&cx, &at).await
}

pub(super) async fn unknown_blob(cx: Arc<Cx>, algorithm: Algorithm) -> Verdict {
    given_blob(&cx, cx.repo(), algorithm, 5).await?;
    let at = blob_at(cx.repo(), &Blob::random(algorithm, 9).digest);
    delete(&cx, &at).await?.error(404, ErrorCode::BlobUnknown)
}

pub(super) async fn blob_twice(cx: Arc<Cx>) -> Verdict {
    let blob = given_blob(&cx, cx.repo(), Algorithm::Sha256, 500).await?;
    let at = blob_at(cx.repo(), &blob.digest);
    delete(&cx, &at).await?.expect(&[202])?;
    delete(&cx, &at).await?.expect(&[404]).map(drop)
}

pub(super) async fn blob_in_one_repository(cx: Arc<Cx>) -> Verdict {
    let other = cx.other_repo();
    let blob = given_blob(&cx, &other, Algorithm::Sha256, 500).await?;
    push(&cx, cx.repo(), UploadPath::PostPut, &blob).await?;
    delete(&cx, &blob_at(cx.repo(), &blob.digest)).await?.expect(&[202])?;
    is_gone(&cx, &blob_at(cx.repo(), &blob.digest)).await?;
    cx.get(blob_at(&other, &blob.digest))?.send().await?.expect(&[200])?.body_is(&blob.bytes)
}

/// What was deleted can be pushed again, by every path.
pub(super) async fn blob_comes_back(cx: Arc<Cx>, path: UploadPath) -> Verdict {
    let blob = given_blob(&cx, cx.repo(), Algorithm::Sha256, 500).await?;
    delete(&cx, &blob_at(cx.repo(), &blob.digest)).await?.expect(&[202])?;
    push(&cx, cx.repo(), path, &blob).await
}

pub(super) async fn manifest_comes_back(cx: Arc<Cx>) -> Verdict {
    let manifest = given_image(&cx, cx.repo(), Algorithm::Sha256, Some("v1")).await?;
    delete(&cx, &manifest_at(cx.repo(), &manifest.digest)).await?.expect(&[202])?;
    put_manifest(&cx, cx.repo(), "v1", &manifest).await?.expect(&[201])?;
    for reference in ["v1", manifest.digest.as_str()] {
        let answer = cx.get(manifest_at(cx.repo(), reference))?.send().await?;
        answer.expect(&[200])?.body_is(&manifest.bytes)?;
    }
    Ok(())
}

pub(super) async fn malformed_digest(cx: Arc<Cx>) -> Verdict {
    given_blob(&cx, cx.repo(), Algorithm::Sha256, 5).await?;
    for at in [blob_at(cx.repo(), "sha256:baddigeststring"), manifest_at(cx.repo(), "sha256:baddigeststring")]
    {
        cx.delete(at)?.send().await?.expect(&[400, 404, 405])?;
    }
    Ok(())
}
