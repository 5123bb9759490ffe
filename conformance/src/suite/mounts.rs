//! Mounting a blob from another repository (end-11).

use std::sync::Arc;

use berth_oci::{Algorithm, ErrorCode};
use bytes::Bytes;

use super::push::{Session, blob_at, given_blob, is_stored, uploads};
use crate::{
    case::{Stop, Verdict},
    data::Blob,
    http::{Answer, Cx},
};

/// Asks for a mount into the case's own repository.
pub(crate) async fn mount(
    cx: &Cx,
    digest: &(impl AsRef<str> + ?Sized),
    from: Option<&str>,
) -> Result<Answer, Stop> {
    let mut call = cx.post(uploads(cx.repo()))?.query("mount", digest.as_ref());
    if let Some(from) = from {
        call = call.query("from", from);
    }
    call.send().await
}

/// The registry declined; that is allowed, and the session it gave instead must work.
async fn falls_back(cx: &Cx, answer: &Answer, blob: &Blob) -> Verdict {
    let session = Session { at: answer.expect(&[202])?.location()?, min_chunk: 1 };
    let answer = session.put(cx, &blob.digest, blob.bytes.clone()).await?;
    is_stored(cx, &answer, blob).await
}

pub(super) async fn with_from(cx: Arc<Cx>, algorithm: Algorithm) -> Verdict {
    let other = cx.other_repo();
    let blob = given_blob(&cx, &other, algorithm, 700).await?;
    let answer = mount(&cx, &blob.digest, Some(&other)).await?;
    if answer.status == 202 {
        falls_back(&cx, &answer, &blob).await?;
        return Err(Stop::Skip("202: the registry does not mount".to_owned()));
    }
    is_stored(&cx, &answer, &blob).await?;
    cx.head(blob_at(cx.repo(), &blob.digest))?.send().await?.expect(&[200])?;
    Ok(())
}

pub(super) async fn without_from(cx: Arc<Cx>, algorithm: Algorithm) -> Verdict {
    let blob = given_blob(&cx, &cx.other_repo(), algorithm, 700).await?;
    let answer = mount(&cx, &blob.digest, None).await?;
    if answer.status == 202 {
        falls_back(&cx, &answer, &blob).await?;
        return Err(Stop::Skip("202: the registry does not mount without `from`".to_owned()));
    }
    is_stored(&cx, &answer, &blob).await
}

pub(super) async fn says_the_digest(cx: Arc<Cx>) -> Verdict {
    let other = cx.other_repo();
    let blob = given_blob(&cx, &other, Algorithm::Sha256, 700).await?;
    let answer = mount(&cx, &blob.digest, Some(&other)).await?;
    if answer.status == 202 {
        return Err(Stop::Skip("202: the registry does not mount".to_owned()));
    }
    answer.expect(&[201])?.header_is("docker-content-digest", blob.digest.as_str())
}

/// A blob that is nowhere opens an ordinary session.
pub(super) async fn of_nothing(cx: Arc<Cx>, algorithm: Algorithm) -> Verdict {
    // The other repository is there, but has something else.
    let other = cx.other_repo();
    given_blob(&cx, &other, algorithm, 100).await?;
    let blob = Blob::random(algorithm, 700);
    let answer = mount(&cx, &blob.digest, Some(&other)).await?;
    falls_back(&cx, &answer, &blob).await
}

pub(super) async fn of_nothing_without_from(cx: Arc<Cx>) -> Verdict {
    let blob = Blob::random(Algorithm::Sha256, 700);
    let answer = mount(&cx, &blob.digest, None).await?;
    falls_back(&cx, &answer, &blob).await
}

pub(super) async fn from_nowhere(cx: Arc<Cx>) -> Verdict {
    let blob = Blob::random(Algorithm::Sha256, 700);
    let answer = mount(&cx, &blob.digest, Some(&cx.other_repo())).await?;
    falls_back(&cx, &answer, &blob).await
}

/// A repository may be named as its own source.
pub(super) async fn from_itself(cx: Arc<Cx>) -> Verdict {
    let blob = given_blob(&cx, cx.repo(), Algorithm::Sha256, 700).await?;
    let answer = mount(&cx, &blob.digest, Some(cx.repo())).await?;
    if answer.status == 202 {
        falls_back(&cx, &answer, &blob).await
    } else {
        is_stored(&cx, &answer, &blob).await
    }
}

/// What is deleted here stays there.
pub(super) async fn leaves_the_source(cx: Arc<Cx>) -> Verdict {
    let other = cx.other_repo();
    let blob = given_blob(&cx, &other, Algorithm::Sha256, 700).await?;
    if mount(&cx, &blob.digest, Some(&other)).await?.expect(&[201, 202])?.status == 202 {
        return Err(Stop::Skip("202: the registry does not mount".to_owned()));
    }
    let deleted = cx.delete(blob_at(cx.repo(), &blob.digest))?.send().await?;
    if deleted.status == 405 {
        return Err(Stop::Skip("405: blobs cannot be deleted".to_owned()));
    }
    deleted.expect(&[202])?;
    cx.head(blob_at(cx.repo(), &blob.digest))?.send().await?.expect(&[404])?;
    let there = cx.get(blob_at(&other, &blob.digest))?.send().await?;
    there.expect(&[200])?.body_is(&blob.bytes)
}

/// What is no digest is refused, or not taken for a mount.
pub(super) async fn of_nonsense(cx: Arc<Cx>) -> Verdict {
    let answer = mount(&cx, "sha256:nonsense", Some(&cx.other_repo())).await?;
    if answer.expect(&[400, 202])?.status == 400 {
        return answer.code(ErrorCode::DigestInvalid);
    }
    falls_back(&cx, &answer, &Blob::random(Algorithm::Sha256, 70)).await
}

pub(super) async fn falls_back_to_chunks(cx: Arc<Cx>) -> Verdict {
    let blob = Blob::random(Algorithm::Sha512, 3000);
    let answer = mount(&cx, &blob.digest, Some(&cx.other_repo())).await?;
    let mut session = Session { at: answer.expect(&[202])?.location()?, min_chunk: 1 };
    session.stream(&cx, &blob.bytes).await?;
    let answer = session.put(&cx, &blob.digest, Bytes::new()).await?;
    is_stored(&cx, &answer, &blob).await
}
