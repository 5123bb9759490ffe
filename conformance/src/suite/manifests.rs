//! Pushing and pulling manifests (end-3, end-7).

use std::sync::Arc;

use berth_oci::{Algorithm, ErrorCode, MediaType};

use super::{
    blobs::{not_modified, same_headers},
    push::{given_blob, given_image, manifest_at, put_manifest, unpushed_image},
};
use crate::{
    case::{Verdict, ensure},
    data::{Blob, Builder, Kind, digest_of},
    http::Cx,
};

pub(super) async fn put_by_tag(cx: Arc<Cx>) -> Verdict {
    let manifest = unpushed_image(&cx, cx.repo(), Algorithm::Sha256, |_| ()).await?;
    let answer = put_manifest(&cx, cx.repo(), "v1", &manifest).await?;
    let at = answer.expect(&[201])?.location()?;
    cx.get(at)?.send().await?.expect(&[200])?.body_is(&manifest.bytes)
}

pub(super) async fn put_by_digest(cx: Arc<Cx>, algorithm: Algorithm) -> Verdict {
    let manifest = unpushed_image(&cx, cx.repo(), algorithm, |_| ()).await?;
    let answer = put_manifest(&cx, cx.repo(), &manifest.digest, &manifest).await?;
    let at = answer.expect(&[201])?.location()?;
    cx.get(at)?.send().await?.expect(&[200])?.body_is(&manifest.bytes)
}

pub(super) async fn put_says_the_digest(cx: Arc<Cx>, algorithm: Algorithm) -> Verdict {
    let manifest = unpushed_image(&cx, cx.repo(), algorithm, |_| ()).await?;
    let answer = put_manifest(&cx, cx.repo(), &manifest.digest, &manifest).await?;
    answer.expect(&[201])?.header_is("docker-content-digest", manifest.digest.as_str())
}

pub(super) async fn put_by_tag_says_the_digest(cx: Arc<Cx>) -> Verdict {
    let manifest = unpushed_image(&cx, cx.repo(), Algorithm::Sha256, |_| ()).await?;
    let answer = put_manifest(&cx, cx.repo(), "v1", &manifest).await?;
    answer.expect(&[201])?.header_is("docker-content-digest", manifest.digest.as_str())
}

/// What was tagged is there under its digest as well.
pub(super) async fn tagged_is_there_by_digest(cx: Arc<Cx>) -> Verdict {
    let manifest = given_image(&cx, cx.repo(), Algorithm::Sha256, Some("v1")).await?;
    let answer = cx.get(manifest_at(cx.repo(), &manifest.digest))?.send().await?;
    answer.expect(&[200])?.body_is(&manifest.bytes)
}

pub(super) async fn get(cx: Arc<Cx>, algorithm: Algorithm) -> Verdict {
    let manifest = given_image(&cx, cx.repo(), algorithm, None).await?;
    let call = cx.get(manifest_at(cx.repo(), &manifest.digest))?;
    let answer = call.send().await?;
    answer.expect(&[200])?.body_is(&manifest.bytes)?;
    answer.header_is("content-type", &manifest.media_type)?;
    answer.header_is("content-length", &manifest.bytes.len().to_string())
}

pub(super) async fn get_says_the_digest(cx: Arc<Cx>, algorithm: Algorithm) -> Verdict {
    let manifest = given_image(&cx, cx.repo(), algorithm, None).await?;
    let at = manifest_at(cx.repo(), &manifest.digest);
    for call in [cx.get(&at)?, cx.head(&at)?] {
        let answer = call.send().await?;
        answer.expect(&[200])?.header_is("docker-content-digest", manifest.digest.as_str())?;
    }
    Ok(())
}

pub(super) async fn get_by_tag_says_the_digest(cx: Arc<Cx>) -> Verdict {
    let manifest = given_image(&cx, cx.repo(), Algorithm::Sha256, Some("v1")).await?;
    let at = manifest_at(cx.repo(), "v1");
    for call in [cx.get(&at)?, cx.head(&at)?] {
        let answer = call.send().await?;
        answer.expect(&[200])?.header_is("docker-content-digest", manifest.digest.as_str())?;
    }
    Ok(())
}

pub(super) async fn head_equals_get(cx: Arc<Cx>) -> Verdict {
    let manifest = given_image(&cx, cx.repo(), Algorithm::Sha256, Some("v1")).await?;
    same_headers(&cx, &manifest_at(cx.repo(), "v1")).await?;
    same_headers(&cx, &manifest_at(cx.repo(), &manifest.digest)).await
}

/// Whatever a client says that it takes, what is stored is what it gets.
pub(super) async fn accept(cx: Arc<Cx>, accept: Option<&'static str>) -> Verdict {
    let manifest = given_image(&cx, cx.repo(), Algorithm::Sha256, Some("v1")).await?;
    for reference in ["v1", manifest.digest.as_str()] {
        let answer = cx.get(manifest_at(cx.repo(), reference))?.accept(accept).send().await?;
        answer.expect(&[200])?.body_is(&manifest.bytes)?;
        answer.header_is("content-type", MediaType::OCI_MANIFEST)?;
    }
    Ok(())
}

pub(super) async fn unknown_tag(cx: Arc<Cx>) -> Verdict {
    given_image(&cx, cx.repo(), Algorithm::Sha256, Some("v1")).await?;
    cx.get(manifest_at(cx.repo(), "v2"))?.send().await?.error(404, ErrorCode::ManifestUnknown)?;
    cx.head(manifest_at(cx.repo(), "v2"))?.send().await?.expect(&[404])?.body_is(b"")
}

pub(super) async fn unknown_digest(cx: Arc<Cx>, algorithm: Algorithm) -> Verdict {
    given_image(&cx, cx.repo(), algorithm, None).await?;
    let digest = Blob::random(algorithm, 20).digest;
    cx.get(manifest_at(cx.repo(), &digest))?.send().await?.error(404, ErrorCode::ManifestUnknown)?;
    cx.head(manifest_at(cx.repo(), &digest))?.send().await?.expect(&[404])?.body_is(b"")
}

pub(super) async fn unknown_repository(cx: Arc<Cx>) -> Verdict {
    cx.get(manifest_at(cx.repo(), "latest"))?.send().await?.expect(&[404]).map(drop)
}

/// A manifest is of the repositories that it was pushed to, and of no other.
pub(super) async fn not_in_another_repository(cx: Arc<Cx>) -> Verdict {
    let manifest = given_image(&cx, &cx.other_repo(), Algorithm::Sha256, Some("v1")).await?;
    given_image(&cx, cx.repo(), Algorithm::Sha256, Some("v2")).await?;
    for reference in ["v1", manifest.digest.as_str()] {
        cx.get(manifest_at(cx.repo(), reference))?.send().await?.expect(&[404])?;
    }
    Ok(())
}

/// Nor is a blob a manifest, or a manifest a blob, where no client said so.
pub(super) async fn a_blob_is_no_manifest(cx: Arc<Cx>) -> Verdict {
    let blob = given_blob(&cx, cx.repo(), Algorithm::Sha256, 100).await?;
    cx.get(manifest_at(cx.repo(), &blob.digest))?.send().await?.expect(&[404]).map(drop)
}

pub(super) async fn mismatched_digest(cx: Arc<Cx>, algorithm: Algorithm) -> Verdict {
    let mut manifest = unpushed_image(&cx, cx.repo(), algorithm, |_| ()).await?;
    manifest.bytes = [&manifest.bytes, b"  ".as_slice()].concat().into();
    let answer = put_manifest(&cx, cx.repo(), &manifest.digest, &manifest).await?;
    answer.expect(&[400])?;
    for digest in [manifest.digest.clone(), digest_of(algorithm, &manifest.bytes)] {
        cx.head(manifest_at(cx.repo(), &digest))?.send().await?.expect(&[404])?;
    }
    Ok(())
}

pub(super) async fn malformed_digest_put(cx: Arc<Cx>) -> Verdict {
    let manifest = unpushed_image(&cx, cx.repo(), Algorithm::Sha256, |_| ()).await?;
    put_manifest(&cx, cx.repo(), "sha256:baddigeststring", &manifest).await?.expect(&[400]).map(drop)
}

pub(super) async fn malformed_digest_get(cx: Arc<Cx>) -> Verdict {
    given_image(&cx, cx.repo(), Algorithm::Sha256, Some("v1")).await?;
    cx.get(manifest_at(cx.repo(), "sha256:baddigeststring"))?.send().await?.expect(&[400, 404]).map(drop)
}

/// A tag moves, and what it pointed at stays.
pub(super) async fn a_tag_moves(cx: Arc<Cx>) -> Verdict {
    let first = given_image(&cx, cx.repo(), Algorithm::Sha256, Some("v1")).await?;
    let second = given_image(&cx, cx.repo(), Algorithm::Sha256, Some("v1")).await?;
    cx.get(manifest_at(cx.repo(), "v1"))?.send().await?.expect(&[200])?.body_is(&second.bytes)?;
    let answer = cx.get(manifest_at(cx.repo(), &first.digest))?.send().await?;
    answer.expect(&[200])?.body_is(&first.bytes)
}

pub(super) async fn again(cx: Arc<Cx>) -> Verdict {
    let manifest = given_image(&cx, cx.repo(), Algorithm::Sha256, Some("v1")).await?;
    for reference in ["v1", "v2", manifest.digest.as_str()] {
        put_manifest(&cx, cx.repo(), reference, &manifest).await?.expect(&[201])?;
        let answer = cx.get(manifest_at(cx.repo(), reference))?.send().await?;
        answer.expect(&[200])?.body_is(&manifest.bytes)?;
    }
    Ok(())
}

/// Parameters behind a media type say nothing about a manifest.
pub(super) async fn type_parameters(cx: Arc<Cx>) -> Verdict {
    let mut manifest = unpushed_image(&cx, cx.repo(), Algorithm::Sha256, |_| ()).await?;
    manifest.media_type.push_str("; charset=utf-8");
    put_manifest(&cx, cx.repo(), "v1", &manifest).await?.expect(&[201])?;
    let answer = cx.get(manifest_at(cx.repo(), "v1"))?.send().await?;
    answer.expect(&[200])?.header_is("content-type", MediaType::OCI_MANIFEST)
}

/// `mediaType` is optional in an OCI manifest: then the header says what it is.
pub(super) async fn no_media_type(cx: Arc<Cx>) -> Verdict {
    let manifest = unpushed_image(&cx, cx.repo(), Algorithm::Sha256, |body| {
        if let Some(fields) = body.as_object_mut() {
            fields.remove("mediaType");
        }
    })
    .await?;
    put_manifest(&cx, cx.repo(), "v1", &manifest).await?.expect(&[201])?;
    let answer = cx.get(manifest_at(cx.repo(), "v1"))?.send().await?;
    answer.expect(&[200])?.header_is("content-type", MediaType::OCI_MANIFEST)?;
    answer.body_is(&manifest.bytes)
}

/// A registry may refuse a manifest whose blob is not there, but only in these words.
pub(super) async fn missing_blob(cx: Arc<Cx>) -> Verdict {
    let absent = Builder::new(Algorithm::Sha256).absent(MediaType::OCI_LAYER_GZIP, 77);
    let manifest =
        unpushed_image(&cx, cx.repo(), Algorithm::Sha256, |body| body["layers"] = vec![absent].into())
            .await?;
    let answer = put_manifest(&cx, cx.repo(), "v1", &manifest).await?;
    if answer.expect(&[201, 400, 404])?.status == 201 {
        Ok(())
    } else {
        answer.code(ErrorCode::ManifestBlobUnknown)
    }
}

pub(super) async fn missing_subject(cx: Arc<Cx>) -> Verdict {
    let subject = Builder::new(Algorithm::Sha256).absent(MediaType::OCI_MANIFEST, 77);
    let manifest =
        unpushed_image(&cx, cx.repo(), Algorithm::Sha256, |body| body["subject"] = subject).await?;
    put_manifest(&cx, cx.repo(), "v1", &manifest).await?.expect(&[201]).map(drop)
}

pub(super) async fn says_the_subject(cx: Arc<Cx>, algorithm: Algorithm, kind: Kind) -> Verdict {
    let set = kind.make(algorithm);
    for blob in &set.blobs {
        super::push::try_push(&cx, cx.repo(), super::push::UploadPath::PostPut, blob)
            .await?
            .expect(&[201])?;
    }
    for manifest in &set.manifests {
        let answer = put_manifest(&cx, cx.repo(), &manifest.digest, manifest).await?;
        answer.expect(&[201])?;
        match &manifest.subject {
            Some(subject) => answer.header_is("oci-subject", subject.as_str())?,
            None => {
                ensure(answer.header("oci-subject").is_none(), || "OCI-Subject without a subject".into())?
            }
        }
    }
    Ok(())
}

/// A manifest of just so many bytes, by an annotation.
pub(super) async fn of_size(cx: Arc<Cx>, size: usize, due: u16) -> Verdict {
    let manifest = sized(&cx, size).await?;
    let answer = put_manifest(&cx, cx.repo(), "v1", &manifest).await?;
    answer.expect(&[due])?;
    if due != 201 {
        return cx.head(manifest_at(cx.repo(), "v1"))?.send().await?.expect(&[404]).map(drop);
    }
    let answer = cx.get(manifest_at(cx.repo(), "v1"))?.send().await?;
    answer.expect(&[200])?.body_is(&manifest.bytes)
}

/// An unpushed manifest of exactly `size` bytes.
pub(crate) async fn sized(cx: &Cx, size: usize) -> Result<crate::data::Manifest, crate::case::Stop> {
    let mut manifest = unpushed_image(cx, cx.repo(), Algorithm::Sha256, |body| {
        body["annotations"]["org.example.filler"] = "".into();
    })
    .await?;
    let filler = "f".repeat(size - manifest.bytes.len());
    let text =
        String::from_utf8_lossy(&manifest.bytes).replace("filler\":\"", &format!("filler\":\"{filler}"));
    manifest.bytes = text.into();
    manifest.digest = digest_of(Algorithm::Sha256, &manifest.bytes);
    Ok(manifest)
}

pub(super) async fn unchanged_is_304(cx: Arc<Cx>) -> Verdict {
    given_image(&cx, cx.repo(), Algorithm::Sha256, Some("v1")).await?;
    not_modified(&cx, &manifest_at(cx.repo(), "v1")).await
}

/// The tag of an entity that moved is no longer its tag.
pub(super) async fn changed_is_200(cx: Arc<Cx>) -> Verdict {
    let at = manifest_at(cx.repo(), "v1");
    given_image(&cx, cx.repo(), Algorithm::Sha256, Some("v1")).await?;
    let before = cx.get(&at)?.send().await?;
    let tag = before.expect(&[200])?.require("etag")?.to_owned();
    let second = given_image(&cx, cx.repo(), Algorithm::Sha256, Some("v1")).await?;
    cx.get(&at)?.header("if-none-match", tag).send().await?.expect(&[200])?.body_is(&second.bytes)
}

pub(super) async fn schema_1_is_refused(cx: Arc<Cx>) -> Verdict {
    let body =
        r#"{"schemaVersion":1,"name":"x","tag":"v1","architecture":"amd64","fsLayers":[],"history":[]}"#;
    let call = cx.put(manifest_at(cx.repo(), "v1"))?.header("content-type", MediaType::DOCKER_SCHEMA1);
    call.body(body).send().await?.error(400, ErrorCode::ManifestInvalid)
}

/// A manifest in nothing but what the specification demands.
pub(super) async fn not_json(cx: Arc<Cx>) -> Verdict {
    let call = cx.put(manifest_at(cx.repo(), "v1"))?.header("content-type", MediaType::OCI_MANIFEST);
    call.body("blub").send().await?.error(400, ErrorCode::ManifestInvalid)
}

/// sha512 of a manifest that is tagged names it too, once it was pushed under that name.
pub(super) async fn both_algorithms(cx: Arc<Cx>) -> Verdict {
    let manifest = given_image(&cx, cx.repo(), Algorithm::Sha256, Some("v1")).await?;
    let other = digest_of(Algorithm::Sha512, &manifest.bytes);
    put_manifest(&cx, cx.repo(), &other, &manifest).await?.expect(&[201])?;
    for reference in ["v1", manifest.digest.as_str(), other.as_str()] {
        let answer = cx.get(manifest_at(cx.repo(), reference))?.send().await?;
        answer.expect(&[200])?.body_is(&manifest.bytes)?;
    }
    Ok(())
}
