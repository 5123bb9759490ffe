//! R8, R9, R10: sessions used twice at once or by the wrong repository, and mounts that must not
//! tell what is elsewhere.

use std::{collections::BTreeSet, sync::Arc};

use berth_oci::{Algorithm, ErrorCode};
use bytes::Bytes;
use reqwest::Method;

use crate::{
    case::{Stop, Verdict, ensure},
    data::Blob,
    http::{Answer, Cx},
    suite::{
        mounts::mount,
        push::{Session, given_blob, has_range, is_stored},
    },
};

/// Rounds of two clients that write to one session.
const ROUNDS: usize = 100;

/// Of two PATCHes at once, for the same range, one is taken and the other is 416.
pub(super) async fn two_writers(cx: Arc<Cx>) -> Verdict {
    for round in 0..ROUNDS {
        let blob = Blob::random(Algorithm::Sha256, 64 * 1024);
        let mut session = Session::open(&cx, cx.repo()).await?;
        let length = blob.bytes.len();
        let patches = tokio::join!(
            session.try_patch(&cx, &blob.bytes, 0..length),
            session.try_patch(&cx, &blob.bytes, 0..length)
        );
        let (first, second) = (patches.0?, patches.1?);
        let mut statuses = [first.status, second.status];
        statuses.sort_unstable();
        ensure(statuses == [202, 416], || format!("round {round}: {statuses:?} where 202 and 416 are due"))?;
        let taken = if first.status == 202 { &first } else { &second };
        has_range(taken, length)?;
        session.at = taken.location()?;
        has_range(session.status(&cx).await?.expect(&[204])?, length)?;
        let answer = session.put(&cx, &blob.digest, Bytes::new()).await?;
        is_stored(&cx, &answer, &blob).await?;
    }
    Ok(())
}

/// A session's URL with the name of another repository: 404 for everything, and the session is as
/// it was.
pub(super) async fn another_repository(cx: Arc<Cx>) -> Verdict {
    let other = cx.other_repo();
    given_blob(&cx, &other, Algorithm::Sha256, 10).await?;
    let blob = Blob::random(Algorithm::Sha256, 2000);
    let mut session = Session::open(&cx, cx.repo()).await?;
    session.patch(&cx, &blob.bytes, 0..1500).await?;
    let path = session.at.path().replacen(cx.repo(), &other, 1);
    if path == session.at.path() {
        return Err(Stop::Skip("a session's Location does not name its repository".to_owned()));
    }
    let mut at = session.at.clone();
    at.set_path(&path);
    for method in [Method::GET, Method::PATCH, Method::PUT, Method::DELETE] {
        let mut call = cx.call(method.clone(), &at)?;
        if matches!(method, Method::PATCH | Method::PUT) {
            call = call.body(blob.bytes.slice(1500..));
        }
        if method == Method::PUT {
            call = call.query("digest", blob.digest.as_str());
        }
        call.send().await?.error(404, ErrorCode::BlobUploadUnknown)?;
    }
    has_range(session.status(&cx).await?.expect(&[204])?, 1500)?;
    let answer = session.put(&cx, &blob.digest, blob.bytes.slice(1500..)).await?;
    is_stored(&cx, &answer, &blob).await
}

/// The names of an answer's headers: what is there tells as much as what it says.
fn shape(answer: &Answer) -> (u16, BTreeSet<String>, usize) {
    let names = answer.headers.keys().map(|name| name.as_str().to_owned());
    (answer.status, names.filter(|name| name != "date").collect(), answer.body.len())
}

/// Mounts of what is not to be had from where it is asked for all look alike.
pub(super) async fn mounts_look_alike(cx: Arc<Cx>) -> Verdict {
    given_blob(&cx, cx.repo(), Algorithm::Sha256, 10).await?;
    let other = cx.other_repo();
    let there = given_blob(&cx, &other, Algorithm::Sha256, 10).await?;
    let nowhere = Blob::random(Algorithm::Sha256, 10);
    let due = shape(&mount(&cx, &nowhere.digest, Some(&other)).await?);
    ensure(due.0 == 202, || format!("status {} for a blob that is nowhere", due.0))?;
    let absent = format!("{other}/absent");
    for (what, answer) in [
        ("no from", mount(&cx, &nowhere.digest, None).await?),
        ("an unknown repository", mount(&cx, &nowhere.digest, Some(&absent)).await?),
        ("a repository that has it not", mount(&cx, &there.digest, Some(&absent)).await?),
    ] {
        let is = shape(&answer);
        ensure(is == due, || format!("{what}: {is:?} where {due:?} is due"))?;
    }
    Ok(())
}
