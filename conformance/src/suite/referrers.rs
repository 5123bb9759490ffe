//! Listing referrers (end-12).

use std::sync::Arc;

use berth_oci::{Algorithm, ErrorCode, MediaType};
use serde_json::Value;

use super::push::{UploadPath, given_image, manifest_at, put_manifest, try_push, unpushed_image};
use crate::{
    case::{Stop, Verdict, ensure, fail},
    data::{Blob, DataSet, Kind, Manifest, TYPE_A, TYPE_B},
    http::{Answer, Cx, link_next},
};

fn referrers_at(repo: &str, digest: &(impl AsRef<str> + ?Sized)) -> String {
    format!("/v2/{repo}/referrers/{}", digest.as_ref())
}

/// The descriptors of a list, which must be an OCI index.
fn descriptors(answer: &Answer) -> Result<Vec<Value>, Stop> {
    answer.expect(&[200])?.header_is("content-type", MediaType::OCI_INDEX)?;
    let body = answer.json()?;
    ensure(body["schemaVersion"] == 2 && body["mediaType"] == MediaType::OCI_INDEX, || {
        format!("schemaVersion {} and mediaType {} are no index's", body["schemaVersion"], body["mediaType"])
    })?;
    match body["manifests"].as_array() {
        Some(manifests) => Ok(manifests.clone()),
        None => fail("manifests is no list"),
    }
}

/// Fails unless the list has the manifest, once, with all that the specification wants of it.
pub(super) fn lists(answer: &Answer, manifest: &Manifest) -> Verdict {
    let all = descriptors(answer)?;
    let found: Vec<&Value> = all.iter().filter(|entry| entry["digest"] == manifest.digest.as_str()).collect();
    let [entry] = found.as_slice() else {
        return fail(format!("{} is listed {} times where once is due", manifest.digest, found.len()));
    };
    ensure(entry["mediaType"] == manifest.media_type.as_str(), || {
        format!("mediaType is {}", entry["mediaType"])
    })?;
    ensure(entry["size"] == manifest.bytes.len(), || format!("size is {}", entry["size"]))?;
    let artifact_type = entry.get("artifactType").and_then(Value::as_str);
    ensure(artifact_type == manifest.artifact_type.as_deref(), || {
        format!("artifactType is {artifact_type:?} where {:?} is due", manifest.artifact_type)
    })?;
    for (name, text) in &manifest.annotations {
        ensure(entry["annotations"][name] == *text, || format!("annotation {name} is not repeated"))?;
    }
    Ok(())
}

async fn given(cx: &Cx, kind: Kind, algorithm: Algorithm) -> Result<DataSet, Stop> {
    let set = kind.make(algorithm);
    for blob in &set.blobs {
        try_push(cx, cx.repo(), UploadPath::PostPut, blob).await?.expect(&[201])?;
    }
    for manifest in &set.manifests {
        put_manifest(cx, cx.repo(), &manifest.digest, manifest).await?.expect(&[201])?;
    }
    Ok(set)
}

async fn asked(
    cx: &Cx,
    digest: &(impl AsRef<str> + ?Sized),
    artifact_type: Option<&str>,
) -> Result<Answer, Stop> {
    let mut call = cx.get(referrers_at(cx.repo(), digest))?;
    if let Some(artifact_type) = artifact_type {
        call = call.query("artifactType", artifact_type);
    }
    call.send().await
}

/// The first manifest is the subject, the rest refer to it: all are listed, and nothing else.
pub(super) async fn all(cx: Arc<Cx>, kind: Kind, algorithm: Algorithm) -> Verdict {
    let set = given(&cx, kind, algorithm).await?;
    let answer = asked_of(&cx, &set, None).await?;
    let referrers: Vec<&Manifest> =
        set.manifests.iter().filter(|manifest| manifest.subject.is_some()).collect();
    for manifest in &referrers {
        lists(&answer, manifest)?;
    }
    let count = descriptors(&answer)?.len();
    ensure(count == referrers.len(), || format!("{count} are listed where {} refer", referrers.len()))
}

/// Asks for the referrers of the set's subject.
async fn asked_of(cx: &Cx, set: &DataSet, artifact_type: Option<&str>) -> Result<Answer, Stop> {
    let subject = set.manifests.iter().find_map(|manifest| manifest.subject.as_ref());
    let Some(subject) = subject else { return fail("the set has no subject") };
    asked(cx, subject, artifact_type).await
}

pub(super) async fn of_unknown_repository(cx: Arc<Cx>, algorithm: Algorithm) -> Verdict {
    let answer = asked(&cx, &Blob::random(algorithm, 9).digest, None).await?;
    let count = descriptors(&answer)?.len();
    ensure(count == 0, || format!("{count} referrers in a repository that is not there"))
}

pub(super) async fn of_nobody(cx: Arc<Cx>, algorithm: Algorithm) -> Verdict {
    let manifest = given_image(&cx, cx.repo(), algorithm, None).await?;
    let count = descriptors(&asked(&cx, &manifest.digest, None).await?)?.len();
    ensure(count == 0, || format!("{count} referrers of a manifest that nobody refers to"))
}

pub(super) async fn malformed_digest(cx: Arc<Cx>, digest: &'static str) -> Verdict {
    given_image(&cx, cx.repo(), Algorithm::Sha256, None).await?;
    asked(&cx, digest, None).await?.error(400, ErrorCode::DigestInvalid)
}

/// A filter that is applied leaves just its own; the answer says that it was.
pub(super) async fn filtered(cx: Arc<Cx>, artifact_type: &'static str, due: usize) -> Verdict {
    let set = given(&cx, Kind::Subject, Algorithm::Sha256).await?;
    let answer = asked_of(&cx, &set, Some(artifact_type)).await?;
    let found = descriptors(&answer)?;
    let applied = answer.require("oci-filters-applied")?;
    ensure(applied.split(',').any(|filter| filter.trim() == "artifactType"), || {
        format!("OCI-Filters-Applied is {applied:?}")
    })?;
    ensure(found.len() == due && found.iter().all(|entry| entry["artifactType"] == artifact_type), || {
        format!("{} are listed where {due} of {artifact_type} refer", found.len())
    })
}

pub(super) async fn filtered_by_config(cx: Arc<Cx>) -> Verdict {
    filtered(cx, MediaType::OCI_CONFIG, 1).await
}

pub(super) async fn filtered_by_a(cx: Arc<Cx>) -> Verdict {
    filtered(cx, TYPE_A, 1).await
}

/// `+` in a type is a plus when it is escaped.
pub(super) async fn filtered_by_b(cx: Arc<Cx>) -> Verdict {
    filtered(cx, TYPE_B, 1).await
}

pub(super) async fn no_filter_no_header(cx: Arc<Cx>) -> Verdict {
    let set = given(&cx, Kind::Subject, Algorithm::Sha256).await?;
    let answer = asked_of(&cx, &set, None).await?;
    ensure(answer.expect(&[200])?.header("oci-filters-applied").is_none(), || {
        "OCI-Filters-Applied though no filter was asked for".to_owned()
    })
}

/// The referrer is there before what it refers to.
pub(super) async fn before_the_subject(cx: Arc<Cx>) -> Verdict {
    let mut set = Kind::Subject.make(Algorithm::Sha256);
    for blob in &set.blobs {
        try_push(&cx, cx.repo(), UploadPath::PostPut, blob).await?.expect(&[201])?;
    }
    set.manifests.reverse();
    for manifest in &set.manifests {
        put_manifest(&cx, cx.repo(), &manifest.digest, manifest).await?.expect(&[201])?;
    }
    let answer = asked_of(&cx, &set, None).await?;
    set.manifests.iter().filter(|manifest| manifest.subject.is_some()).try_for_each(|m| lists(&answer, m))
}

pub(super) async fn of_this_repository_only(cx: Arc<Cx>) -> Verdict {
    let set = given(&cx, Kind::Subject, Algorithm::Sha256).await?;
    let Some(subject) = set.manifests.first() else { return fail("the set is empty") };
    let call = cx.get(referrers_at(&cx.other_repo(), &subject.digest))?;
    let count = descriptors(&call.send().await?)?.len();
    ensure(count == 0, || format!("{count} referrers of another repository"))
}

pub(super) async fn a_deleted_one_is_gone(cx: Arc<Cx>) -> Verdict {
    let set = given(&cx, Kind::Subject, Algorithm::Sha256).await?;
    let [.., kept, deleted] = set.manifests.as_slice() else { return fail("the set is too small") };
    let answer = cx.delete(manifest_at(cx.repo(), &deleted.digest))?.send().await?;
    if matches!(answer.status, 400 | 405) {
        return Err(Stop::Skip(format!("{}: manifests cannot be deleted", answer.status)));
    }
    answer.expect(&[202])?;
    let answer = asked_of(&cx, &set, None).await?;
    lists(&answer, kept)?;
    let there = descriptors(&answer)?.iter().any(|entry| entry["digest"] == deleted.digest.as_str());
    ensure(!there, || "a deleted manifest is still listed".to_owned())
}

/// The same manifest under a tag and its digest is one referrer.
pub(super) async fn pushed_twice_is_listed_once(cx: Arc<Cx>) -> Verdict {
    let set = given(&cx, Kind::MissingSubject, Algorithm::Sha256).await?;
    let Some(manifest) = set.manifests.last() else { return fail("the set is empty") };
    put_manifest(&cx, cx.repo(), "v1", manifest).await?.expect(&[201])?;
    lists(&asked_of(&cx, &set, None).await?, manifest)
}

/// A referrer may itself be referred to.
pub(super) async fn chain(cx: Arc<Cx>) -> Verdict {
    let first = given_image(&cx, cx.repo(), Algorithm::Sha256, None).await?;
    let mut below = first;
    for _ in 0..3 {
        let subject = serde_json::json!({
            "mediaType": below.media_type, "digest": below.digest, "size": below.bytes.len(),
        });
        let next =
            unpushed_image(&cx, cx.repo(), Algorithm::Sha256, |body| body["subject"] = subject).await?;
        put_manifest(&cx, cx.repo(), &next.digest, &next).await?.expect(&[201])?;
        lists(&asked(&cx, &below.digest, None).await?, &next)?;
        below = next;
    }
    Ok(())
}

/// Many referrers, over as many pages as the registry makes: each once.
pub(crate) async fn many(cx: Arc<Cx>) -> Verdict {
    let subject = given_image(&cx, cx.repo(), Algorithm::Sha256, None).await?;
    let descriptor = serde_json::json!({
        "mediaType": subject.media_type, "digest": subject.digest, "size": subject.bytes.len(),
    });
    let mut due = Vec::new();
    for number in 0..cx.options().scale {
        let manifest = unpushed_image(&cx, cx.repo(), Algorithm::Sha256, |body| {
            body["subject"] = descriptor.clone();
            body["annotations"]["org.example.number"] = number.to_string().into();
        })
        .await?;
        put_manifest(&cx, cx.repo(), &manifest.digest, &manifest).await?.expect(&[201])?;
        due.push(manifest.digest.to_string());
    }
    let mut answer = asked(&cx, &subject.digest, None).await?;
    let mut found = Vec::new();
    for _ in 0..=due.len() {
        let digests =
            descriptors(&answer)?.into_iter().filter_map(|entry| Some(entry["digest"].as_str()?.to_owned()));
        found.extend(digests);
        let Some(next) = answer.header("link").and_then(link_next) else { break };
        answer = cx.get(answer.resolve(next)?)?.send().await?;
    }
    found.sort();
    due.sort();
    ensure(found == due, || format!("{} referrers are listed where {} refer", found.len(), due.len()))
}
