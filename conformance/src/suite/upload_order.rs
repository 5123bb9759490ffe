//! Chunks out of order: 416, and the session goes on as if nothing had been sent.

use std::{ops::Range, sync::Arc};

use berth_oci::Algorithm;
use bytes::Bytes;

use super::push::{Session, has_range, is_stored};
use crate::{
    case::{Stop, Verdict},
    data::Blob,
    http::{Answer, Cx, range_end},
};

/// A session that got the first of three chunks, and all of the blob.
pub(crate) async fn begun(cx: &Cx, algorithm: Algorithm) -> Result<(Session, Blob, usize), Stop> {
    let mut session = Session::open(cx, cx.repo()).await?;
    let chunk = session.min_chunk.max(1024);
    let blob = Blob::random(algorithm, chunk * 3 - 5);
    session.patch(cx, &blob.bytes, 0..chunk).await?;
    Ok((session, blob, chunk))
}

/// Finishes what [`begun`] began.
pub(crate) async fn finish(cx: &Cx, mut session: Session, blob: &Blob, chunk: usize) -> Verdict {
    session.patch(cx, &blob.bytes, chunk..2 * chunk).await?;
    session.patch(cx, &blob.bytes, 2 * chunk..blob.bytes.len()).await?;
    let answer = session.put(cx, &blob.digest, Bytes::new()).await?;
    is_stored(cx, &answer, blob).await
}

/// Sends `range` in a PATCH, where `chunk` bytes are there: 416; the session is as before, and
/// ends well.
async fn refused(cx: &Cx, algorithm: Algorithm, range: impl FnOnce(usize) -> Range<usize>) -> Verdict {
    let (mut session, blob, chunk) = begun(cx, algorithm).await?;
    session.try_patch(cx, &blob.bytes, range(chunk)).await?.expect(&[416])?;
    survives(cx, &mut session, chunk).await?;
    finish(cx, session, &blob, chunk).await
}

/// The session's URL answers 204 and says that `length` bytes are there; its Location goes on.
async fn survives(cx: &Cx, session: &mut Session, length: usize) -> Verdict {
    let status = session.status(cx).await?;
    has_range(status.expect(&[204])?, length)?;
    session.at = status.location()?;
    Ok(())
}

pub(super) async fn gap(cx: Arc<Cx>, algorithm: Algorithm) -> Verdict {
    refused(&cx, algorithm, |chunk| 2 * chunk..3 * chunk - 5).await
}

pub(super) async fn overlap(cx: Arc<Cx>, algorithm: Algorithm) -> Verdict {
    refused(&cx, algorithm, |chunk| chunk / 2..chunk / 2 + chunk).await
}

pub(super) async fn repeat(cx: Arc<Cx>, algorithm: Algorithm) -> Verdict {
    refused(&cx, algorithm, |chunk| 0..chunk).await
}

pub(super) async fn gap_of_one(cx: Arc<Cx>) -> Verdict {
    refused(&cx, Algorithm::Sha256, |chunk| chunk + 1..2 * chunk).await
}

pub(super) async fn first_chunk_not_at_zero(cx: Arc<Cx>, algorithm: Algorithm) -> Verdict {
    let mut session = Session::open(&cx, cx.repo()).await?;
    let chunk = session.min_chunk.max(1024);
    let blob = Blob::random(algorithm, chunk * 3 - 5);
    session.try_patch(&cx, &blob.bytes, chunk..2 * chunk).await?.expect(&[416])?;
    let status = session.status(&cx).await?;
    let range = status.expect(&[204])?.require("range")?;
    if !matches!(range_end(range), Some(-1 | 0)) {
        return Err(Stop::Fail(format!("Range is {range:?} for a session of no bytes")));
    }
    session.at = status.location()?;
    session.patch(&cx, &blob.bytes, 0..chunk).await?;
    finish(&cx, session, &blob, chunk).await
}

/// The last chunk, out of order, in the PUT; `before` says whether the middle one was sent.
async fn put(cx: &Cx, session: &Session, blob: &Blob, range: Range<usize>) -> Result<Answer, Stop> {
    let call = cx.put(session.finish_at(&blob.digest))?.header("content-type", "application/octet-stream");
    let call = call.header("content-range", format!("{}-{}", range.start, range.end - 1));
    call.body(blob.bytes.slice(range)).send().await
}

pub(super) async fn put_gap(cx: Arc<Cx>, algorithm: Algorithm) -> Verdict {
    let (mut session, blob, chunk) = begun(&cx, algorithm).await?;
    put(&cx, &session, &blob, 2 * chunk..3 * chunk - 5).await?.expect(&[416])?;
    survives(&cx, &mut session, chunk).await?;
    finish(&cx, session, &blob, chunk).await
}

pub(super) async fn put_overlap(cx: Arc<Cx>, algorithm: Algorithm) -> Verdict {
    let (mut session, blob, chunk) = begun(&cx, algorithm).await?;
    put(&cx, &session, &blob, 0..chunk).await?.expect(&[416])?;
    survives(&cx, &mut session, chunk).await?;
    finish(&cx, session, &blob, chunk).await
}

/// A client that was refused in the PUT asks the URL it used, `?digest=` and all.
pub(super) async fn status_at_the_put_url(cx: Arc<Cx>) -> Verdict {
    let (mut session, blob, chunk) = begun(&cx, Algorithm::Sha256).await?;
    put(&cx, &session, &blob, 2 * chunk..3 * chunk - 5).await?.expect(&[416])?;
    let status = cx.get(session.finish_at(&blob.digest))?.send().await?;
    has_range(status.expect(&[204])?, chunk)?;
    session.at = status.location()?;
    // A Location with the query carried over would get a second digest; take what a client takes.
    session.at.set_query(None);
    finish(&cx, session, &blob, chunk).await
}

/// Out of order before each chunk, as a confused client might: every one is refused, and the
/// upload ends well all the same.
pub(super) async fn refused_at_each_chunk(cx: Arc<Cx>, algorithm: Algorithm) -> Verdict {
    let mut session = Session::open(&cx, cx.repo()).await?;
    let chunk = session.min_chunk.max(1024);
    let blob = Blob::random(algorithm, chunk * 3 - 5);
    let length = blob.bytes.len();
    let mut sent = 0;
    while sent < length {
        let ahead = if sent + chunk < length { sent + chunk } else { 0 };
        let wrong = ahead..(ahead + chunk).min(length);
        session.try_patch(&cx, &blob.bytes, wrong).await?.expect(&[416])?;
        let status = session.status(&cx).await?;
        if sent > 0 {
            has_range(status.expect(&[204])?, sent)?;
        }
        session.at = status.expect(&[204])?.location()?;
        let end = (sent + chunk).min(length);
        session.patch(&cx, &blob.bytes, sent..end).await?;
        sent = end;
    }
    let answer = session.put(&cx, &blob.digest, Bytes::new()).await?;
    is_stored(&cx, &answer, &blob).await
}

/// 416 itself says how far the session is, so that no second question is needed.
pub(super) async fn refusal_says_the_range(cx: Arc<Cx>) -> Verdict {
    let (session, blob, chunk) = begun(&cx, Algorithm::Sha256).await?;
    let answer = session.try_patch(&cx, &blob.bytes, 2 * chunk..3 * chunk - 5).await?;
    answer.expect(&[416])?.location()?;
    has_range(&answer, chunk)
}
