//! R5, R6, R7: chunks whose length, place or range is not what it should be.

use std::sync::Arc;

use berth_oci::{Algorithm, ErrorCode};
use bytes::Bytes;
use tokio::io::AsyncWriteExt;

use crate::{
    case::{Stop, Verdict, ensure, fail},
    data::Blob,
    http::{Cx, range_end},
    suite::{
        push::{Session, has_range, is_stored},
        upload_order::{begun, finish},
    },
};

/// The path and query of a session's URL, for a raw request.
fn target(session: &Session) -> String {
    let query = session.at.query().map_or_else(String::new, |query| format!("?{query}"));
    format!("{}{query}", session.at.path())
}

/// Content-Range says more, or less, than Content-Length.
pub(super) async fn range_is_not_length(cx: Arc<Cx>, says: usize) -> Verdict {
    let (session, blob, chunk) = begun(&cx, Algorithm::Sha256).await?;
    let call = cx.patch(&session.at)?.header("content-range", format!("{chunk}-{}", chunk + says - 1));
    let answer = call.body(blob.bytes.slice(chunk..chunk + 500)).send().await?;
    answer.error(400, ErrorCode::SizeInvalid)?;
    has_range(session.status(&cx).await?.expect(&[204])?, chunk)?;
    finish(&cx, session, &blob, chunk).await
}

/// A PATCH that is cut off in its body: never acknowledged; the session is where its bytes are,
/// and goes on from there to the right content.
pub(super) async fn cut_body(cx: Arc<Cx>, chunked: bool) -> Verdict {
    let blob = Blob::random(Algorithm::Sha256, 100_000);
    let mut session = Session::open(&cx, cx.repo()).await?;
    let part = &blob.bytes[..40_000];
    let head = format!("PATCH {} HTTP/1.1\nContent-Type: application/octet-stream", target(&session));
    let answer = if chunked {
        let mut body = format!("{:x}\r\n", part.len()).into_bytes();
        body.extend_from_slice(part);
        cx.raw(&format!("{head}\nTransfer-Encoding: chunked"), &body, true).await?
    } else {
        cx.raw(&format!("{head}\nContent-Length: {}", blob.bytes.len()), part, true).await?
    };
    let acknowledged = answer.status.is_some_and(|status| (200..300).contains(&status));
    ensure(!acknowledged, || "a body that was cut off is acknowledged".to_owned())?;
    let at = settled(&cx, &mut session).await?;
    ensure(at <= part.len(), || format!("the session is at {at}, {} bytes were sent", part.len()))?;
    let call = cx.patch(&session.at)?.header("content-range", format!("{at}-{}", blob.bytes.len() - 1));
    let answer = call.body(blob.bytes.slice(at..)).send().await?;
    session.at = answer.expect(&[202])?.location()?;
    let answer = session.put(&cx, &blob.digest, Bytes::new()).await?;
    is_stored(&cx, &answer, &blob).await
}

/// How many bytes the session has, once the registry has let go of the broken request.
async fn settled(cx: &Cx, session: &mut Session) -> Result<usize, Stop> {
    let mut before = None;
    for _ in 0..50 {
        let status = session.status(cx).await?;
        let range = status.expect(&[204])?.require("range")?;
        let end = range_end(range).ok_or_else(|| Stop::Fail(format!("Range is {range:?}")))?;
        session.at = status.location()?;
        if before == Some(end) {
            // `0-0` is written for no byte as well as for one.
            return Ok(if end <= 0 { 0 } else { usize::try_from(end + 1).unwrap_or(usize::MAX) });
        }
        before = Some(end);
    }
    fail("the session does not come to rest")
}

/// A PUT of everything that is cut off stores nothing.
pub(super) async fn cut_put(cx: Arc<Cx>) -> Verdict {
    let blob = Blob::random(Algorithm::Sha256, 100_000);
    let session = Session::open(&cx, cx.repo()).await?;
    let mut whole = session.clone();
    whole.at = session.finish_at(&blob.digest);
    let head = format!("PUT {} HTTP/1.1\nContent-Length: {}", target(&whole), blob.bytes.len());
    let answer = cx.raw(&head, &blob.bytes[..60_000], true).await?;
    let acknowledged = answer.status.is_some_and(|status| (200..300).contains(&status));
    ensure(!acknowledged, || "a body that was cut off is acknowledged".to_owned())?;
    let at = crate::suite::push::blob_at(cx.repo(), &blob.digest);
    cx.head(at)?.send().await?.expect(&[404]).map(drop)
}

/// A manifest that is cut off is not stored.
pub(super) async fn cut_manifest(cx: Arc<Cx>) -> Verdict {
    let mut socket = cx.raw_socket().await?;
    let at = crate::suite::push::manifest_at(cx.repo(), "v1");
    let head = cx.raw_head(&format!(
        "PUT {at} HTTP/1.1\nContent-Type: application/vnd.oci.image.index.v1+json\nContent-Length: 1000"
    ));
    // What is sent is an index as it stands, so only the length says that more is to come.
    let index =
        br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    let sent = async {
        socket.write_all(head.as_bytes()).await?;
        socket.write_all(index).await?;
        socket.shutdown().await
    };
    sent.await.map_err(|error| Stop::Fail(format!("sending: {error}")))?;
    drop(socket);
    cx.head(at)?.send().await?.expect(&[404]).map(drop)
}

/// Where a wrong chunk is put.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Gap,
    Overlap,
    Repeat,
    Before,
}

/// 416 with `Range`, in PATCH or the final PUT, and the session survives.
pub(super) async fn misplaced(cx: Arc<Cx>, place: Place, put: bool) -> Verdict {
    let (session, blob, chunk) = begun(&cx, Algorithm::Sha256).await?;
    let range = match place {
        Place::Gap => chunk + 1..2 * chunk,
        Place::Overlap => chunk - 1..2 * chunk,
        Place::Repeat => 0..chunk,
        Place::Before => 0..chunk / 2,
    };
    let call = if put { cx.put(session.finish_at(&blob.digest))? } else { cx.patch(&session.at)? };
    let call = call.header("content-range", format!("{}-{}", range.start, range.end - 1));
    let answer = call.body(blob.bytes.slice(range)).send().await?;
    has_range(answer.expect(&[416])?, chunk)?;
    has_range(session.status(&cx).await?.expect(&[204])?, chunk)?;
    finish(&cx, session, &blob, chunk).await
}

/// Content-Range that is no range.
pub(super) const NO_RANGES: [(&str, &str); 7] = [
    ("backwards", "5-2"),
    ("bytes", "bytes 0-5"),
    ("total", "0-5/6"),
    ("two-to-64", "0-18446744073709551616"),
    ("letters", "a-b"),
    ("negative", "-5-0"),
    ("open", "0-"),
];

/// 400 BLOB_UPLOAD_INVALID, in PATCH and in the final PUT, and the session survives.
pub(super) async fn no_range(cx: Arc<Cx>, range: &'static str) -> Verdict {
    let (session, blob, chunk) = begun(&cx, Algorithm::Sha256).await?;
    let mut last = session.clone();
    last.at = session.finish_at(&blob.digest);
    for (method, at) in [("PATCH", &session), ("PUT", &last)] {
        let head = format!("{method} {} HTTP/1.1\nContent-Range: {range}\nContent-Length: 6", target(at));
        cx.raw(&head, b"abcdef", false).await?.error(400, ErrorCode::BlobUploadInvalid)?;
    }
    has_range(session.status(&cx).await?.expect(&[204])?, chunk)?;
    finish(&cx, session, &blob, chunk).await
}
