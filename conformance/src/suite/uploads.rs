//! Upload sessions: what every step says, and how they end.

use std::sync::Arc;

use berth_oci::{Algorithm, Digest, ErrorCode};
use bytes::Bytes;
use futures_util::future;
use reqwest::Method;

use super::push::{Session, UploadPath, blob_at, given_blob, has_range, is_stored, push, try_push, uploads};
use crate::{
    case::{Stop, Verdict, ensure, fail},
    data::{Blob, digest_of, random},
    http::{Answer, Cx, range_end},
};

/// A blob of `length` bytes goes up by `path` and comes back.
pub(super) async fn round_trip(
    cx: Arc<Cx>,
    path: UploadPath,
    algorithm: Algorithm,
    length: usize,
) -> Verdict {
    let blob = Blob::random(algorithm, length);
    push(&cx, cx.repo(), path, &blob).await?;
    let head = cx.head(blob_at(cx.repo(), &blob.digest))?.send().await?;
    head.expect(&[200])?.header_is("content-length", &length.to_string())
}

/// Content that does not match its digest is 400 and never becomes visible.
pub(super) async fn bad_digest(cx: Arc<Cx>, path: UploadPath, algorithm: Algorithm) -> Verdict {
    let mut blob = Blob::random(algorithm, 3000);
    blob.bytes = [&blob.bytes, b"more".as_slice()].concat().into();
    try_push(&cx, cx.repo(), path, &blob).await?.expect(&[400])?;
    cx.head(blob_at(cx.repo(), &blob.digest))?.send().await?.expect(&[404])?;
    // Nor under the digest that the content really has.
    let real = digest_of(algorithm, &blob.bytes);
    cx.head(blob_at(cx.repo(), &real))?.send().await?.expect(&[404])?;
    Ok(())
}

pub(super) async fn post_answers_202(cx: Arc<Cx>) -> Verdict {
    let answer = cx.post(uploads(cx.repo()))?.send().await?;
    answer.expect(&[202])?.location()?;
    Ok(())
}

pub(super) async fn post_without_slash(cx: Arc<Cx>) -> Verdict {
    let answer = cx.post(uploads(cx.repo()).trim_end_matches('/'))?.send().await?;
    answer.expect(&[202])?.location()?;
    Ok(())
}

pub(super) async fn locations_differ(cx: Arc<Cx>) -> Verdict {
    let first = Session::open(&cx, cx.repo()).await?;
    let second = Session::open(&cx, cx.repo()).await?;
    ensure(first.at != second.at, || format!("two sessions are at {}", first.at))
}

pub(super) async fn min_chunk_is_a_length(cx: Arc<Cx>) -> Verdict {
    Session::open(&cx, cx.repo()).await.map(drop)
}

/// Registries write nothing-yet as `0-0` or `0--1`; a client must be able to read it as `0-N`.
pub(super) async fn empty_session_has_status(cx: Arc<Cx>) -> Verdict {
    let session = Session::open(&cx, cx.repo()).await?;
    let status = session.status(&cx).await?;
    status.expect(&[204])?.location()?;
    let range = status.require("range")?;
    ensure(matches!(range_end(range), Some(-1 | 0)), || {
        format!("Range is {range:?} for a session of no bytes")
    })
}

pub(super) async fn status_says_how_far(cx: Arc<Cx>) -> Verdict {
    let mut session = Session::open(&cx, cx.repo()).await?;
    let length = 1000.max(session.min_chunk);
    session.patch(&cx, &random(length), 0..length).await?;
    let status = session.status(&cx).await?;
    status.expect(&[204])?.location()?;
    has_range(&status, length)
}

pub(super) async fn status_after_a_stream(cx: Arc<Cx>) -> Verdict {
    let mut session = Session::open(&cx, cx.repo()).await?;
    session.stream(&cx, &random(5000)).await?;
    has_range(session.status(&cx).await?.expect(&[204])?, 5000)
}

/// The Location of a status answer goes on with the session.
pub(super) async fn status_location_goes_on(cx: Arc<Cx>) -> Verdict {
    let mut session = Session::open(&cx, cx.repo()).await?;
    let length = 2 * session.min_chunk.max(600);
    let blob = Blob::random(Algorithm::Sha256, length);
    session.patch(&cx, &blob.bytes, 0..length / 2).await?;
    session.at = session.status(&cx).await?.expect(&[204])?.location()?;
    session.patch(&cx, &blob.bytes, length / 2..length).await?;
    let answer = session.put(&cx, &blob.digest, Bytes::new()).await?;
    is_stored(&cx, &answer, &blob).await
}

/// Several streamed PATCHes in one session follow each other.
pub(super) async fn streams_add_up(cx: Arc<Cx>) -> Verdict {
    let blob = Blob::random(Algorithm::Sha256, 6000);
    let mut session = Session::open(&cx, cx.repo()).await?;
    for (start, end) in [(0, 2500), (2500, 6000)] {
        let call = cx.patch(&session.at)?.header("content-type", "application/octet-stream");
        let answer = call.streamed(&blob.bytes.slice(start..end), 700).send().await?;
        has_range(answer.expect(&[202])?, end)?;
        session.at = answer.location()?;
    }
    let answer = session.put(&cx, &blob.digest, Bytes::new()).await?;
    is_stored(&cx, &answer, &blob).await
}

/// The last bytes come in the PUT without a Content-Range.
pub(super) async fn put_brings_the_rest(cx: Arc<Cx>) -> Verdict {
    let blob = Blob::random(Algorithm::Sha256, 4000);
    let mut session = Session::open(&cx, cx.repo()).await?;
    session.stream(&cx, &blob.bytes.slice(..3000)).await?;
    let answer = session.put(&cx, &blob.digest, blob.bytes.slice(3000..)).await?;
    is_stored(&cx, &answer, &blob).await
}

pub(super) async fn put_can_be_streamed(cx: Arc<Cx>) -> Verdict {
    let blob = Blob::random(Algorithm::Sha256, 4000);
    let session = Session::open(&cx, cx.repo()).await?;
    let answer = cx.put(session.finish_at(&blob.digest))?.streamed(&blob.bytes, 900).send().await?;
    is_stored(&cx, &answer, &blob).await
}

pub(super) async fn no_content_type_is_needed(cx: Arc<Cx>) -> Verdict {
    let blob = Blob::random(Algorithm::Sha256, 400);
    let session = Session::open(&cx, cx.repo()).await?;
    let answer = cx.patch(&session.at)?.body(blob.bytes.clone()).send().await?;
    let at = answer.expect(&[202])?.location()?;
    let answer = cx.put(at)?.query("digest", blob.digest.as_str()).send().await?;
    is_stored(&cx, &answer, &blob).await
}

/// The colon of a digest needs no escape in a query (RFC 3986, 3.4); most clients escape it.
pub(super) async fn digest_may_be_unescaped(cx: Arc<Cx>) -> Verdict {
    let blob = Blob::random(Algorithm::Sha256, 400);
    let session = Session::open(&cx, cx.repo()).await?;
    let mut at = session.at.clone();
    let query = at.query().map_or_else(String::new, |query| format!("{query}&"));
    at.set_query(Some(&format!("{query}digest={}", blob.digest)));
    let answer = cx.put(at)?.body(blob.bytes.clone()).send().await?;
    is_stored(&cx, &answer, &blob).await
}

pub(super) async fn an_empty_patch_is_taken(cx: Arc<Cx>) -> Verdict {
    let blob = Blob::random(Algorithm::Sha256, 400);
    let mut session = Session::open(&cx, cx.repo()).await?;
    session.stream(&cx, &Bytes::new()).await?;
    let answer = session.put(&cx, &blob.digest, blob.bytes.clone()).await?;
    is_stored(&cx, &answer, &blob).await
}

pub(super) async fn cancel_is_204(cx: Arc<Cx>) -> Verdict {
    let session = cancelled(&cx).await?;
    session.status(&cx).await?.expect(&[404])?;
    let answer = session.try_patch(&cx, &random(10), 0..10).await?;
    answer.expect(&[404])?;
    let blob = Blob::random(Algorithm::Sha256, 10);
    session.put(&cx, &blob.digest, blob.bytes.clone()).await?.expect(&[404])?;
    cx.delete(&session.at)?.send().await?.expect(&[404])?;
    Ok(())
}

/// A session that got bytes and was cancelled.
async fn cancelled(cx: &Cx) -> Result<Session, Stop> {
    let mut session = Session::open(cx, cx.repo()).await?;
    session.stream(cx, &random(2000)).await?;
    let answer = cx.delete(&session.at)?.send().await?;
    if answer.status == 405 {
        return Err(Stop::Skip("405: uploads cannot be cancelled".to_owned()));
    }
    answer.expect(&[204])?;
    Ok(session)
}

/// Requests to a session that never was.
pub(super) async fn unknown_session(cx: Arc<Cx>, method: Method) -> Verdict {
    // One real upload, so that the repository is there.
    given_blob(&cx, cx.repo(), Algorithm::Sha256, 10).await?;
    let digest = digest_of(Algorithm::Sha256, b"x");
    let query = if method == Method::PUT { format!("?digest={digest}") } else { String::new() };
    let at = format!("{}{}{query}", uploads(cx.repo()), uuid::Uuid::new_v4());
    let call = cx.call(method.clone(), at)?;
    let call = if matches!(method, Method::PUT | Method::PATCH) { call.body("x") } else { call };
    call.send().await?.expect(&[404]).map(drop)
}

pub(super) async fn a_finished_session_is_gone(cx: Arc<Cx>) -> Verdict {
    let blob = Blob::random(Algorithm::Sha256, 300);
    let session = Session::open(&cx, cx.repo()).await?;
    session.put(&cx, &blob.digest, blob.bytes.clone()).await?.expect(&[201])?;
    session.status(&cx).await?.expect(&[404])?;
    Ok(())
}

/// A PUT whose `digest` parameter is `digest`, or that has none.
async fn put_with(cx: &Cx, digest: Option<&str>) -> Result<Answer, Stop> {
    let session = Session::open(cx, cx.repo()).await?;
    let mut call = cx.put(&session.at)?.body("abc");
    if let Some(digest) = digest {
        call = call.query("digest", digest);
    }
    call.send().await
}

pub(super) async fn put_needs_a_digest(cx: Arc<Cx>) -> Verdict {
    put_with(&cx, None).await?.error(400, ErrorCode::DigestInvalid)
}

pub(super) async fn put_with_nonsense(cx: Arc<Cx>, digest: &'static str) -> Verdict {
    put_with(&cx, Some(digest)).await?.error(400, ErrorCode::DigestInvalid)
}

pub(super) async fn post_with_nonsense(cx: Arc<Cx>) -> Verdict {
    let call = cx.post(uploads(cx.repo()))?.query("digest", "sha256:abc").body("abc");
    call.send().await?.error(400, ErrorCode::DigestInvalid)
}

/// `digest-algorithm` announces what the PUT will bring (end-4c).
pub(super) async fn announced_algorithm(cx: Arc<Cx>, algorithm: Algorithm) -> Verdict {
    let blob = Blob::random(algorithm, 3000);
    let answer = cx.post(uploads(cx.repo()))?.query("digest-algorithm", algorithm.as_str()).send().await?;
    let mut session = Session { at: answer.expect(&[202])?.location()?, min_chunk: 1 };
    session.stream(&cx, &blob.bytes).await?;
    let answer = session.put(&cx, &blob.digest, Bytes::new()).await?;
    is_stored(&cx, &answer, &blob).await
}

pub(super) async fn unknown_algorithm(cx: Arc<Cx>) -> Verdict {
    let call = cx.post(uploads(cx.repo()))?.query("digest-algorithm", "md5");
    call.send().await?.expect(&[400])?;
    Ok(())
}

/// Many sessions at once, each with its own bytes.
pub(super) async fn sessions_at_once(cx: Arc<Cx>) -> Verdict {
    let pushes =
        (0..8).map(|_| {
            let cx = Arc::clone(&cx);
            async move {
                push(&cx, cx.repo(), UploadPath::Chunked, &Blob::random(Algorithm::Sha256, 20_000)).await
            }
        });
    future::join_all(pushes).await.into_iter().collect()
}

/// The same blob by several clients at once: all succeed.
pub(super) async fn one_blob_at_once(cx: Arc<Cx>) -> Verdict {
    let blob = Blob::random(Algorithm::Sha256, 20_000);
    let pushes = (0..8).map(|_| push(&cx, cx.repo(), UploadPath::PostPut, &blob));
    future::join_all(pushes).await.into_iter().collect()
}

pub(super) async fn a_known_blob_goes_up_again(cx: Arc<Cx>, path: UploadPath) -> Verdict {
    let blob = given_blob(&cx, cx.repo(), Algorithm::Sha256, 500).await?;
    push(&cx, cx.repo(), path, &blob).await
}

pub(super) async fn put_says_the_digest(cx: Arc<Cx>, algorithm: Algorithm) -> Verdict {
    let blob = Blob::random(algorithm, 500);
    let answer = try_push(&cx, cx.repo(), UploadPath::PostPut, &blob).await?;
    answer.expect(&[201])?.header_is("docker-content-digest", blob.digest.as_str())
}

/// Bytes that went up without an announcement are found under the digest that the PUT names, of
/// either algorithm; not under the other.
pub(super) async fn late_algorithm(cx: Arc<Cx>) -> Verdict {
    let bytes = random(3000);
    for algorithm in [Algorithm::Sha512, Algorithm::Sha256] {
        let blob = Blob::new(algorithm, bytes.clone());
        push(&cx, cx.repo(), UploadPath::Chunked, &blob).await?;
    }
    Ok(())
}

pub(super) async fn a_big_blob(cx: Arc<Cx>) -> Verdict {
    let blob = Blob::random(Algorithm::Sha256, 32 << 20);
    push(&cx, cx.repo(), UploadPath::Streamed, &blob).await
}

/// The digest of one algorithm's length under the other's name.
pub(super) async fn mislabelled_digest(cx: Arc<Cx>) -> Verdict {
    let digest: Digest = digest_of(Algorithm::Sha256, b"abc");
    let mislabelled = digest.as_str().replace("sha256", "sha512");
    let session = Session::open(&cx, cx.repo()).await?;
    let answer = session.put(&cx, &mislabelled, Bytes::from_static(b"abc")).await?;
    if answer.status == 201 {
        fail("64 characters are taken for a sha512")
    } else {
        answer.expect(&[400]).map(drop)
    }
}
