//! Parts of a blob (RFC 9110, section 14).

use std::{ops::Range, sync::Arc};

use berth_oci::Algorithm;

use super::push::{blob_at, given_blob};
use crate::{
    case::{Stop, Verdict, ensure, fail},
    data::Blob,
    http::{Answer, Cx},
};

/// Length of the blob that is asked for.
const LENGTH: usize = 2048;

async fn asked(cx: &Cx, algorithm: Algorithm, range: &str) -> Result<(Answer, Blob), Stop> {
    let blob = given_blob(cx, cx.repo(), algorithm, LENGTH).await?;
    let answer = cx.get(blob_at(cx.repo(), &blob.digest))?.header("range", range).send().await?;
    Ok((answer, blob))
}

/// `Range: asks` is 206 with just these bytes.
pub(super) async fn part(
    cx: Arc<Cx>,
    algorithm: Algorithm,
    asks: &'static str,
    due: Range<usize>,
) -> Verdict {
    let (answer, blob) = asked(&cx, algorithm, asks).await?;
    if answer.status == 200 {
        return fail("200: the whole blob, the range is ignored");
    }
    answer.expect(&[206])?.body_is(&blob.bytes[due.clone()])?;
    answer.header_is("content-length", &due.len().to_string())?;
    let known = format!("bytes {}-{}/{LENGTH}", due.start, due.end - 1);
    let unknown = format!("bytes {}-{}/*", due.start, due.end - 1);
    let says = answer.require("content-range")?;
    ensure(says == known || says == unknown, || format!("Content-Range is {says:?} where {known:?} is due"))
}

/// `Range: asks` is 416.
pub(super) async fn unsatisfiable(cx: Arc<Cx>, algorithm: Algorithm, asks: &'static str) -> Verdict {
    asked(&cx, algorithm, asks).await?.0.expect(&[416]).map(drop)
}

/// 416 says how long the blob is.
pub(super) async fn refusal_says_the_length(cx: Arc<Cx>) -> Verdict {
    let (answer, _) = asked(&cx, Algorithm::Sha256, "bytes=5000-10000").await?;
    answer.expect(&[416])?.header_is("content-range", &format!("bytes */{LENGTH}"))
}

/// What is no range, or in a unit that nobody knows, may only be ignored or refused, never be
/// answered with a part.
pub(super) async fn not_understood(cx: Arc<Cx>, asks: &'static str) -> Verdict {
    let (answer, blob) = asked(&cx, Algorithm::Sha256, asks).await?;
    match answer.expect(&[200, 400, 416])?.status {
        200 => answer.body_is(&blob.bytes),
        _ => Ok(()),
    }
}

/// Several ranges: all of them in multipart/byteranges, or the whole blob.
pub(super) async fn several(cx: Arc<Cx>) -> Verdict {
    let (answer, blob) = asked(&cx, Algorithm::Sha256, "bytes=0-9,100-109").await?;
    match answer.expect(&[200, 206, 416])?.status {
        200 => answer.body_is(&blob.bytes),
        206 => {
            let media_type = answer.require("content-type")?;
            ensure(media_type.starts_with("multipart/byteranges"), || {
                format!("206 for two ranges as {media_type:?}")
            })
        }
        _ => Ok(()),
    }
}

pub(super) async fn head_ignores_it(cx: Arc<Cx>) -> Verdict {
    let blob = given_blob(&cx, cx.repo(), Algorithm::Sha256, LENGTH).await?;
    let answer = cx.head(blob_at(cx.repo(), &blob.digest))?.header("range", "bytes=0-9").send().await?;
    answer.expect(&[200])?.header_is("content-length", &LENGTH.to_string())
}

/// `If-Range` with another entity's tag: the whole blob.
pub(super) async fn if_range_of_another(cx: Arc<Cx>) -> Verdict {
    let blob = given_blob(&cx, cx.repo(), Algorithm::Sha256, LENGTH).await?;
    let call = cx.get(blob_at(cx.repo(), &blob.digest))?.header("range", "bytes=0-9");
    let answer = call.header("if-range", "\"another\"").send().await?;
    answer.expect(&[200])?.body_is(&blob.bytes)
}

pub(super) async fn if_range_of_this(cx: Arc<Cx>) -> Verdict {
    let blob = given_blob(&cx, cx.repo(), Algorithm::Sha256, LENGTH).await?;
    let at = blob_at(cx.repo(), &blob.digest);
    let whole = cx.get(&at)?.send().await?;
    let tag = whole.expect(&[200])?.require("etag")?.to_owned();
    let answer = cx.get(&at)?.header("range", "bytes=0-9").header("if-range", tag).send().await?;
    answer.expect(&[206])?.body_is(&blob.bytes[..10])
}

pub(super) async fn are_announced(cx: Arc<Cx>) -> Verdict {
    let blob = given_blob(&cx, cx.repo(), Algorithm::Sha256, LENGTH).await?;
    let answer = cx.head(blob_at(cx.repo(), &blob.digest))?.send().await?;
    answer.expect(&[200])?.header_is("accept-ranges", "bytes")
}

/// A resumed pull: the parts make the whole.
pub(super) async fn resume(cx: Arc<Cx>) -> Verdict {
    let blob = given_blob(&cx, cx.repo(), Algorithm::Sha256, 100_000).await?;
    let at = blob_at(cx.repo(), &blob.digest);
    let mut bytes = Vec::new();
    for asks in ["bytes=0-33333", "bytes=33334-66666", "bytes=66667-"] {
        let answer = cx.get(&at)?.header("range", asks).send().await?;
        bytes.extend_from_slice(&answer.expect(&[206])?.body);
    }
    ensure(bytes == blob.bytes, || "the parts do not make the whole".to_owned())
}

pub(super) async fn of_the_empty_blob(cx: Arc<Cx>) -> Verdict {
    let blob = given_blob(&cx, cx.repo(), Algorithm::Sha256, 0).await?;
    let answer = cx.get(blob_at(cx.repo(), &blob.digest))?.header("range", "bytes=0-9").send().await?;
    answer.expect(&[200, 416]).map(drop)
}
