//! F19: replicas whose clocks disagree.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use tokio::sync::mpsc;

use super::{
    Client, FaultError, Result, Shim,
    client::random_blob,
    steps::{comes_true, runtime},
};
use crate::harness::{Hop, OutsideStack, Replicas, Scratch, Stack};

/// By so many seconds the replicas' clocks are off: two of each pair are two hours apart.
const OFF: [i64; 4] = [-3600, 3600, -60, 60];
const REPO: &str = "faults/clocks";
const LIMIT: Duration = Duration::from_secs(60);

fn broken<T>(what: impl Into<String>) -> Result<T> {
    Err(FaultError::broken("F19", what))
}

/// F19: four replicas whose clocks are off by a minute and by an hour, each way, and sessions that expire after ten
/// minutes. A session of one is another's as well and is not thrown away; a claim is respected by all; and a lease of
/// the one is not over for the other.
pub fn clocks_apart() -> Result<String> {
    let (runtime, shim) = (runtime()?, Shim::new()?);
    // A bucket refuses signatures of another hour by itself, so that these share a folder.
    let (stack, folder) = (OutsideStack::shared()?, Scratch::new("shared")?);
    let address = format!("{:?}", stack.postgres().url(stack.database()));
    let mut replicas = Replicas::with(stack, OFF.len(), Hop::Connection, |at, builder| {
        let [preload, control] = shim.env();
        let builder = builder.stack(Stack::Embedded).data(folder.path());
        let builder = builder.set("catalog.kind", "\"postgres\"").set("catalog.url", &address);
        let builder = builder.env(preload.0, preload.1).env(control.0, control.1);
        builder.env("BERTH_FAULT_CLOCK", OFF[at].to_string()).set("uploads.expiry", "\"10m\"")
    })?;
    let clients: Vec<_> = replicas.urls().iter().map(|url| Client::new(url)).collect::<Result<_>>()?;
    for (at, client) in clients.iter().enumerate() {
        let when = |other: usize| format!("clocks off by {} s and {} s", OFF[at], OFF[other]);
        let blob = random_blob(10_000);
        let location = match runtime.block_on(client.start(REPO))? {
            Ok(location) => location,
            Err(status) => return broken(format!("POST says {status}")),
        };
        // Each looks for expired sessions when it starts.
        for other in 0..OFF.len() {
            replicas.replica(other).start()?;
        }
        shim.must_have_met()?;
        for (other, client) in clients.iter().enumerate() {
            let (status, offset) = runtime.block_on(client.session(&location))?;
            if (status, offset) != (204, 0) {
                return broken(format!("{}: the session is {status} with {offset}", when(other)));
            }
        }
        runtime.block_on(async {
            let (pieces, taken) = mpsc::channel(1);
            let body = stream::unfold(taken, async |mut taken| Some((taken.recv().await?, taken)));
            let patch = tokio::spawn({
                let (client, location) = (client.clone(), location.clone());
                async move { client.stream(&location, body).await }
            });
            // When the second piece is taken the request has begun.
            for piece in [blob.bytes.slice(..4000), blob.bytes.slice(4000..5000)] {
                pieces.send(Ok(piece)).await.map_err(std::io::Error::other)?;
            }
            let stack = replicas.stack();
            let claimed = || stack.postgres().sql(stack.database(), "SELECT count(writer) FROM uploads");
            if !comes_true(LIMIT, async || Ok(claimed()?.trim() == "1")).await? {
                return broken("nobody claims the session that is written to".to_owned());
            }
            for (other, second) in clients.iter().enumerate().filter(|(other, _)| *other != at) {
                let status = second.patch(&location, 0, Bytes::from_static(b"not mine")).await?;
                if status != 416 {
                    return broken(format!(
                        "{}: a session that is written to takes a chunk: {status}",
                        when(other)
                    ));
                }
            }
            drop(pieces);
            let status = patch.await.map_err(std::io::Error::other)??;
            if status != 202 {
                return broken(format!("clock off by {} s: the chunk is {status}", OFF[at]));
            }
            let other = &clients[(at + 1) % clients.len()];
            let status = other.finish(&location, blob.digest.as_str(), blob.bytes.slice(5000..)).await?;
            if status != 201 {
                return broken(format!("{}: the end is {status}", when((at + 1) % clients.len())));
            }
            Ok::<_, FaultError>(())
        })?;
    }
    Ok(format!("{} replicas whose clocks are off by {OFF:?} s, nothing freed early", OFF.len()))
}
