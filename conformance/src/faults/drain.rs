//! F21: the registry is asked to stop in the middle of an upload.

use std::time::Duration;

use futures_util::stream;
use tokio::sync::mpsc;

use super::{
    Client, FaultError, Result,
    client::random_blob,
    steps::{comes_true, runtime},
};
use crate::harness::{Berth, Signal, Stack};

const SIZE: usize = 3 << 20;
const DRAIN: &str = "\"300ms\"";
const LIMIT: Duration = Duration::from_secs(60);

/// F21: `TERM` while a PATCH is under way that will not end; so many rounds. The request is cut when the drain is over,
/// the process ends with status 0, and after the restart the session says how far it is and is continued from there to
/// the right digest.
pub fn uploads_resume(stack: Stack, rounds: usize) -> Result<String> {
    let runtime = runtime()?;
    let mut berth = Berth::builder().stack(stack).set("server.drain", DRAIN).start()?;
    let in_folder = matches!(berth.stack(), Stack::Embedded);
    let mut kept = 0;
    for round in 1..=rounds {
        let when = format!("F21, round {round}");
        let blob = random_blob(SIZE);
        let sent = rand::random_range(SIZE / 6..SIZE);
        let client = Client::new(&berth.url())?;
        let (location, patch, hold) = runtime.block_on(async {
            let location = client.start("faults/drain").await?;
            let location =
                location.map_err(|status| FaultError::broken(when.clone(), format!("POST says {status}")))?;
            let (pieces, taken) = mpsc::channel(1);
            let body = stream::unfold(taken, async |mut taken| Some((taken.recv().await?, taken)));
            let patch = tokio::spawn({
                let (client, location) = (client.clone(), location.clone());
                async move { client.stream(&location, body).await }
            });
            // When the second piece is taken the first is on its way.
            for piece in [blob.bytes.slice(..sent / 2), blob.bytes.slice(sent / 2..sent)] {
                pieces.send(Ok(piece)).await.map_err(std::io::Error::other)?;
            }
            Ok::<_, FaultError>((location, patch, pieces))
        })?;
        let arrived = runtime.block_on(comes_true(LIMIT, async || Ok(written(&berth, &location) >= 1)))?;
        if !arrived {
            return Err(FaultError::broken(when, "no byte of the upload was staged"));
        }
        berth.signal(Signal::TERM);
        let status = berth.wait(LIMIT)?;
        drop(hold);
        // Cut: by an answer that says so or by the end of the connection, but never by a yes.
        if let Ok(status @ 200..300) = runtime.block_on(patch).map_err(std::io::Error::other)? {
            return Err(FaultError::broken(when, format!("half an upload was answered by {status}")));
        }
        if !status.success() {
            return Err(FaultError::broken(when, format!("it ended with {status}")));
        }
        berth.start()?;
        kept += runtime.block_on(resume(&berth.url(), &location, &blob, sent, in_folder, &when))?;
    }
    Ok(format!("{rounds} uploads cut and continued, {} KiB kept on average", kept / rounds.max(1) / 1024))
}

/// Continues a session where it says it is; how far it was.
async fn resume(
    url: &str,
    location: &str,
    blob: &crate::data::Blob,
    sent: usize,
    in_folder: bool,
    when: &str,
) -> Result<usize> {
    let client = Client::new(url)?;
    let (status, offset) = client.session(location).await?;
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    let broken = |what: String| Err(FaultError::broken(when, what));
    let least = usize::from(in_folder);
    if status != 204 || offset > sent || offset < least {
        return broken(format!("the session is {status} with {offset} of {sent} bytes"));
    }
    let status = client.patch(location, offset, blob.bytes.slice(offset..)).await?;
    if status != 202 {
        return broken(format!("the rest from {offset} on is {status}"));
    }
    let digest = blob.digest.as_str();
    let status = client.finish(location, digest, bytes::Bytes::new()).await?;
    if status != 201 {
        return broken(format!("the end is {status}"));
    }
    let (status, body) = client.get(&format!("/v2/faults/drain/blobs/{digest}")).await?;
    if status != 200 || body != blob.bytes {
        return broken(format!("the blob is {status} with {} bytes", body.len()));
    }
    Ok(offset)
}

/// Bytes that lie in the session's staged file. In a bucket nothing is seen of a session before its first part is full,
/// so that there the moment is random, and nothing may have come yet.
fn written(berth: &Berth, location: &str) -> u64 {
    match berth.stack() {
        Stack::Embedded => {
            let id = location.rsplit('/').next().unwrap_or_default();
            let staged = berth.data().join("storage/uploads").join(id);
            staged.metadata().map_or(0, |staged| staged.len())
        }
        Stack::Outside(_) => 1,
    }
}
