//! F18: many writers of one tag, on several replicas.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use berth_oci::Algorithm;
use tokio::task::JoinSet;

use super::{
    Client, FaultError, Result, client::random_blob, error::clean, pusher::manifest_of, steps::runtime,
};
use crate::{
    data::digest_of,
    harness::{Hop, Replicas},
};

const REPLICAS: usize = 3;
const WRITERS: usize = 10;
const WRITES: usize = 10;
const READERS: usize = 6;
const REPO: &str = "faults/tags";

/// One call: what it wrote or saw, and between which ticks of a common clock it ran.
#[derive(Clone, Debug)]
struct Seen {
    from: u64,
    to: u64,
    digest: String,
}

#[derive(Debug, Default)]
struct Events {
    writes: Vec<Seen>,
    reads: Vec<Seen>,
}

/// F18: ten writers set one tag over three replicas while others read it, so many rounds, each with a tag of its own.
/// What was seen could have been seen if each call had taken place at one moment between its begin and its end.
pub fn tag_races(rounds: usize) -> Result<String> {
    let runtime = runtime()?;
    let replicas = Replicas::start(REPLICAS, Hop::Connection)?;
    let urls = replicas.urls();
    let (mut writes, mut reads) = (0, 0);
    for round in 1..=rounds {
        let events = runtime.block_on(race(&urls, &format!("t{round}")))?;
        writes += events.writes.len();
        reads += events.reads.len();
        clean(format!("F18, round {round}"), judge(&events))?;
    }
    Ok(format!("{rounds} rounds, {writes} writes and {reads} reads over {REPLICAS} replicas, linearisable"))
}

async fn race(urls: &[String], tag: &str) -> Result<Events> {
    let (clock, left) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicUsize::new(WRITERS)));
    let events = Arc::new(Mutex::new(Events::default()));
    let blob = random_blob(100);
    Client::new(&urls[0])?.post(REPO, blob.digest.as_str(), blob.bytes.clone()).await?;
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS {
        let client = Client::new(&urls[writer % urls.len()])?;
        let (clock, left, events) = (clock.clone(), left.clone(), events.clone());
        let (blob, tag) = (blob.clone(), tag.to_owned());
        tasks.spawn(async move {
            for _ in 0..WRITES {
                let bytes = manifest_of(std::slice::from_ref(&blob));
                let digest = digest_of(Algorithm::Sha256, &bytes).to_string();
                let from = clock.fetch_add(1, Ordering::SeqCst);
                let status = client.put_manifest(REPO, &tag, bytes).await?;
                let to = clock.fetch_add(1, Ordering::SeqCst);
                if status != 201 {
                    return Err(FaultError::broken("F18", format!("a write says {status}")));
                }
                events.lock().unwrap_or_else(PoisonError::into_inner).writes.push(Seen { from, to, digest });
            }
            left.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        });
    }
    for reader in 0..READERS {
        let client = Client::new(&urls[reader % urls.len()])?;
        let (clock, left, events) = (clock.clone(), left.clone(), events.clone());
        let path = format!("/v2/{REPO}/manifests/{tag}");
        tasks.spawn(async move {
            let mut last = false;
            while !last {
                // Once more when the last writer has ended.
                last = left.load(Ordering::SeqCst) == 0;
                let from = clock.fetch_add(1, Ordering::SeqCst);
                let (status, body) = client.get(&path).await?;
                let to = clock.fetch_add(1, Ordering::SeqCst);
                match status {
                    200 => {
                        let digest = digest_of(Algorithm::Sha256, &body).to_string();
                        events.lock().unwrap_or_else(PoisonError::into_inner).reads.push(Seen {
                            from,
                            to,
                            digest,
                        });
                    }
                    404 => {}
                    status => return Err(FaultError::broken("F18", format!("a read says {status}"))),
                }
            }
            Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.map_err(std::io::Error::other)??;
    }
    Ok(std::mem::take(&mut *events.lock().unwrap_or_else(PoisonError::into_inner)))
}

/// Each write is of a value of its own, so that it is enough to look at pairs: nothing is read before it was written, or
/// after something else was written over it, and no value comes back.
fn judge(events: &Events) -> Vec<String> {
    let mut found = Vec::new();
    let by_digest: BTreeMap<_, _> = events.writes.iter().map(|write| (&*write.digest, write)).collect();
    let mut read_writes = Vec::new();
    for read in &events.reads {
        let Some(write) = by_digest.get(&*read.digest) else {
            found.push(format!("{} was read and never written", read.digest));
            continue;
        };
        if write.from >= read.to {
            found.push(format!("{} was read before it was written", read.digest));
        }
        if events.writes.iter().any(|later| write.to < later.from && later.to < read.from) {
            found.push(format!("{} was read after it had been overwritten", read.digest));
        }
        read_writes.push((read, write));
    }
    // Two reads one after the other never see two writes the other way round.
    for (first, earlier) in &read_writes {
        for (second, later) in &read_writes {
            if first.to < second.from && later.to < earlier.from {
                found.push(format!("{} came back", second.digest));
            }
        }
    }
    // What is read between two reads of one value is that value.
    let mut spans: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (read, _) in &read_writes {
        let span = spans.entry(&read.digest).or_insert((read.to, read.from));
        *span = (span.0.min(read.to), span.1.max(read.from));
    }
    for (read, _) in &read_writes {
        for (digest, (from, to)) in &spans {
            if *digest != read.digest && *from < read.from && read.to < *to {
                found.push(format!("{digest} came back after {} was read", read.digest));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(from: u64, to: u64, digest: &str) -> Seen {
        Seen { from, to, digest: digest.to_owned() }
    }

    #[test]
    fn what_could_not_have_been_is_found() {
        let writes = vec![seen(0, 1, "a"), seen(2, 3, "b"), seen(2, 9, "c")];
        let found = |reads: &[Seen]| judge(&Events { writes: writes.clone(), reads: reads.to_vec() });
        assert_eq!(found(&[seen(4, 5, "b"), seen(6, 7, "c"), seen(8, 9, "c")]), Vec::<String>::new());
        assert!(found(&[seen(4, 5, "a")])[0].contains("overwritten"));
        assert!(found(&[seen(4, 5, "x")])[0].contains("never written"));
        assert!(found(&[seen(0, 1, "b")])[0].contains("before"));
        let back = found(&[seen(4, 5, "c"), seen(6, 7, "b"), seen(8, 10, "c")]);
        assert!(back[0].contains("came back"), "{back:?}");
    }
}
