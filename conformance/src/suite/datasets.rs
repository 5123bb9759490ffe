//! Each data set, pushed, looked at from every side, and deleted again.

use std::sync::Arc;

use berth_oci::{Algorithm, ErrorCode};
use serde_json::Value;

use super::push::{UploadPath, blob_at, manifest_at, push, put_manifest};
use crate::{
    case::{Verdict, ensure, fail},
    data::{DataSet, Kind, Manifest},
    http::{Answer, Cx},
};

/// Pushes a set by `path` and judges every request that a client could make of it.
pub(super) async fn round_trip(cx: Arc<Cx>, kind: Kind, path: UploadPath, algorithm: Algorithm) -> Verdict {
    let set = kind.make(algorithm);
    let repo = cx.repo();
    for blob in &set.blobs {
        push(&cx, repo, path, blob).await?;
    }
    for (number, manifest) in set.manifests.iter().enumerate() {
        let is_sparse = set.sparse && number + 1 == set.manifests.len();
        let answer = put_manifest(&cx, repo, manifest.digest.as_str(), manifest).await?;
        if is_sparse && !cx.options().sparse && answer.status != 201 {
            // Whether an index may lack a child is the registry's choice; how it says no is not.
            answer.expect(&[400, 404])?;
            return answer.code(ErrorCode::ManifestBlobUnknown);
        }
        is_stored(&cx, &answer, manifest).await?;
    }
    let tagged = tag_last(&cx, &set).await?;
    look(&cx, &set, tagged).await?;
    list(&cx, tagged).await?;
    refer(&cx, &set).await?;
    delete(&cx, &set, tagged).await
}

async fn is_stored(cx: &Cx, answer: &Answer, manifest: &Manifest) -> Verdict {
    let at = answer.expect(&[201])?.location()?;
    answer.header_is_or_absent("docker-content-digest", manifest.digest.as_str())?;
    if let Some(subject) = &manifest.subject {
        answer.header_is("oci-subject", subject.as_str())?;
    }
    let there = cx.get(at)?.send().await?;
    there.expect(&[200])?.header_is("content-type", &manifest.media_type)?;
    there.body_is(&manifest.bytes)
}

/// Tags the last manifest. One whose digest is not canonical can only be tagged by parameter,
/// which a registry may not know.
async fn tag_last<'a>(
    cx: &Cx,
    set: &'a DataSet,
) -> Result<Option<(&'static str, &'a Manifest)>, crate::case::Stop> {
    let Some(manifest) = set.manifests.last() else { return fail("the set has no manifest") };
    let tag = "Latest_1.0-rc";
    if set.algorithm == Algorithm::Sha256 {
        let answer = put_manifest(cx, cx.repo(), tag, manifest).await?;
        is_stored(cx, &answer, manifest).await?;
        return Ok(Some((tag, manifest)));
    }
    let at = format!("{}?tag={tag}", manifest_at(cx.repo(), manifest.digest.as_str()));
    let call = cx.put(at)?.header("content-type", &manifest.media_type).body(manifest.bytes.clone());
    let answer = call.send().await?;
    is_stored(cx, &answer, manifest).await?;
    Ok(answer.header("oci-tag").is_some().then_some((tag, manifest)))
}

/// GET and HEAD of everything; HEAD says what GET says.
async fn look(cx: &Cx, set: &DataSet, tagged: Option<(&str, &Manifest)>) -> Verdict {
    let by_digest = set.manifests.iter().map(|manifest| (manifest.digest.as_str(), manifest));
    for (reference, manifest) in by_digest.chain(tagged) {
        let at = manifest_at(cx.repo(), reference);
        for answer in [cx.head(&at)?.send().await?, cx.get(&at)?.send().await?] {
            answer.expect(&[200])?.header_is("content-type", &manifest.media_type)?;
            answer.header_is("content-length", &manifest.bytes.len().to_string())?;
            answer.header_is_or_absent("docker-content-digest", manifest.digest.as_str())?;
            ensure(answer.body.is_empty() || answer.body == manifest.bytes, || {
                "other bytes came back".into()
            })?;
        }
    }
    for blob in &set.blobs {
        let at = blob_at(cx.repo(), &blob.digest);
        let head = cx.head(&at)?.send().await?;
        head.expect(&[200])?.header_is("content-length", &blob.bytes.len().to_string())?;
        let get = cx.get(&at)?.send().await?;
        get.expect(&[200])?.body_is(&blob.bytes)?;
        get.header_is("content-length", &blob.bytes.len().to_string())?;
        get.header_is_or_absent("docker-content-digest", blob.digest.as_str())?;
    }
    Ok(())
}

async fn list(cx: &Cx, tagged: Option<(&str, &Manifest)>) -> Verdict {
    let Some((tag, _)) = tagged else { return Ok(()) };
    let answer = cx.get(format!("/v2/{}/tags/list", cx.repo()))?.send().await?;
    let body = answer.expect(&[200])?.json()?;
    let tags = body["tags"].as_array().cloned().unwrap_or_default();
    ensure(tags == [Value::from(tag)], || format!("tags {tags:?} where only {tag:?} is due"))
}

/// Each referrer is in its subject's list, with the type and annotations that it has.
async fn refer(cx: &Cx, set: &DataSet) -> Verdict {
    for manifest in &set.manifests {
        let Some(subject) = &manifest.subject else { continue };
        let answer = cx.get(format!("/v2/{}/referrers/{subject}", cx.repo()))?.send().await?;
        super::referrers::lists(answer.expect(&[200])?, manifest)?;
        let Some(artifact_type) = &manifest.artifact_type else { continue };
        let call =
            cx.get(format!("/v2/{}/referrers/{subject}", cx.repo()))?.query("artifactType", artifact_type);
        super::referrers::lists(call.send().await?.expect(&[200])?, manifest)?;
    }
    Ok(())
}

/// Deletes everything, parents first; each is gone at once. A registry that does not delete is
/// judged elsewhere.
async fn delete(cx: &Cx, set: &DataSet, tagged: Option<(&str, &Manifest)>) -> Verdict {
    let tag = tagged.map(|(tag, _)| manifest_at(cx.repo(), tag));
    let manifests =
        set.manifests.iter().rev().map(|manifest| manifest_at(cx.repo(), manifest.digest.as_str()));
    let blobs = set.blobs.iter().map(|blob| blob_at(cx.repo(), &blob.digest));
    for at in tag.into_iter().chain(manifests).chain(blobs) {
        let answer = cx.delete(&at)?.send().await?;
        if answer.status == 405 || (answer.status == 400 && at.contains("/manifests/")) {
            continue;
        }
        answer.expect(&[202])?;
        cx.head(&at)?.send().await?.expect(&[404])?;
    }
    Ok(())
}
