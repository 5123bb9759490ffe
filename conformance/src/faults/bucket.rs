//! F7 to F10: what becomes of pushes and pulls when the bucket or the disk misbehaves.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::stream;

use super::{
    Client, Expect, FaultError, Journal, Pusher, Result, Taste, Way,
    client::random_blob,
    error::clean,
    steps::{comes_true, replay, runtime},
};
use crate::{
    data::{Blob, digest_of},
    harness::{Berth, Fault, FaultProxy, HarnessError, S3, Scratch, Tool, fair},
};

/// Each so many images, one blob large enough for a multipart upload.
const LARGE: usize = 10;
const MULTIPART: usize = (9 << 20) + 17;
/// Pushers at a time.
const WORKERS: usize = 4;
/// What hangs is answered within so long, with `storage.timeout` at its shortest.
const ANSWERED: Duration = Duration::from_secs(12);
const LIMIT: Duration = Duration::from_secs(60);

/// F8: so many images are pushed while a fifth of all requests to the bucket go wrong in one of the usual ways. What is
/// pulled meanwhile is right or an error, and nothing acknowledged is lost.
pub fn bucket_goes_wrong(images: usize) -> Result<String> {
    let runtime = runtime()?;
    let proxy = FaultProxy::start(S3::shared()?)?;
    let berth = proxy.registry().start()?;
    let scratch = Scratch::new("journal")?;
    let journal = Arc::new(Journal::open(scratch.join("journal"))?);
    proxy.disturb(20);
    let pulled = runtime.block_on(async {
        let push = async |worker: usize| {
            let client = Client::new(&berth.url())?;
            let repo = format!("faults/bucket{worker}");
            let pusher = Pusher::new(client.clone(), journal.clone(), &*repo, Taste::Anything);
            let mut pulled = 0;
            for number in 0..images.div_ceil(WORKERS) {
                pusher.image().await?;
                let size = if number % LARGE == 0 { MULTIPART } else { 20_000 };
                let (blob, way) = (random_blob(size), Way::ALL[number % Way::ALL.len()]);
                if pusher.blob(&blob, way).await? {
                    pulled += usize::from(pull(&client, &repo, &blob, "F8").await? == Pull::Right);
                }
            }
            Ok::<_, FaultError>(pulled)
        };
        let all: Vec<_> = (0..WORKERS).map(push).collect();
        Ok::<usize, FaultError>(futures_util::future::try_join_all(all).await?.into_iter().sum())
    })?;
    let (requests, faults) = proxy.counts();
    proxy.choose(|_| Fault::None);
    let history = journal.history()?;
    replay(&runtime, &berth.url(), &history, Expect::MACHINE, "F8")?;
    let (told, refused) = (history.acknowledged, history.refused.len());
    if told < images || faults * 10 < requests {
        let why =
            format!("{told} acknowledgements, {faults} faults in {requests} requests: that proves nothing");
        return Err(HarnessError::Unexpected(why).into());
    }
    Ok(format!(
        "{faults} faults in {requests} requests: {told} acknowledgements, {refused} refusals, {pulled} pulls meanwhile, 0 lost, \
         0 wrong"
    ))
}

/// How a pull ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pull {
    /// Whole and right.
    Right,
    /// It began, and was broken off.
    Cut,
    /// It was refused.
    Refused,
    /// There was no answer.
    Unanswered,
}

/// Pulls a blob. Wrong bytes that come whole are the end.
async fn pull(client: &Client, repo: &str, blob: &Blob, when: &str) -> Result<Pull> {
    match client.get(&format!("/v2/{repo}/blobs/{}", blob.digest)).await {
        Ok((200, body)) => {
            let is = digest_of(blob.digest.algorithm(), &body);
            let wrong =
                (is != blob.digest).then(|| format!("{} is served with the bytes of {is}", blob.digest));
            clean(when, wrong.into_iter().collect())?;
            Ok(Pull::Right)
        }
        Ok(_) => Ok(Pull::Refused),
        Err(FaultError::Request(error)) if error.is_body() || error.is_decode() => Ok(Pull::Cut),
        Err(FaultError::Request(_)) => Ok(Pull::Unanswered),
        Err(error) => Err(error),
    }
}

/// F9: each answer of the bucket to a GET has one bit flipped. None of them reaches a client whole, all are counted, and
/// once the bucket is well all is served again.
pub fn bucket_flips_bits(pulls: usize) -> Result<String> {
    let runtime = runtime()?;
    let proxy = FaultProxy::start(S3::shared()?)?;
    let berth = proxy.registry().start()?;
    runtime.block_on(async {
        let client = Client::new(&berth.url())?;
        let blobs = [1, 100, 70_000, 3 << 20, MULTIPART].map(random_blob);
        for blob in &blobs {
            let pushed = comes_true(LIMIT, async || {
                Ok(client.push("faults/flips", blob, Way::PostPut, || Ok(())).await?.is_acknowledged())
            });
            if !pushed.await? {
                return Err(FaultError::broken("F9", "no push is taken"));
            }
        }
        proxy.choose(|_| Fault::Flipped);
        // A bucket that a busy machine makes slow is refused, and then no byte of it was seen.
        let (mut cut, mut unanswered, begun) = (0, 0, Instant::now());
        for number in 0.. {
            match pull(&client, "faults/flips", &blobs[number % blobs.len()], "F9").await? {
                Pull::Right => return Err(FaultError::broken("F9", "a flipped bit went unnoticed")),
                Pull::Cut => cut += 1,
                Pull::Unanswered => unanswered += 1,
                Pull::Refused => {}
            }
            if cut == pulls {
                break;
            }
            if begun.elapsed() > fair(LIMIT) {
                return Err(FaultError::broken("F9", format!("{cut} of {pulls} pulls began")));
            }
        }
        proxy.choose(|_| Fault::None);
        let counted = metric(&client, "berth_storage_wrong_bytes_total").await?;
        if !(pulls..=pulls + unanswered).contains(&counted) {
            return Err(FaultError::broken("F9", format!("{counted} of {pulls} were counted")));
        }
        for blob in &blobs {
            let served = comes_true(LIMIT, async || {
                Ok(pull(&client, "faults/flips", blob, "F9").await? == Pull::Right)
            });
            if !served.await? {
                return Err(FaultError::broken("F9", "a blob is not served when all is well again"));
            }
        }
        Ok(format!("{pulls} flipped bits, all found, stopped and counted"))
    })
}

async fn metric(client: &Client, name: &str) -> Result<usize> {
    let (_, text) = client.get("/metrics").await?;
    let text = String::from_utf8_lossy(&text);
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.ok_or_else(|| FaultError::broken("metrics", format!("{name} is not there")))
}

/// F10: the registry is killed between two parts of an upload and between the end of a part and the next request. After the
/// sessions have expired, none of it is left in the bucket.
pub fn parts_are_purged() -> Result<String> {
    let runtime = runtime()?;
    let proxy = FaultProxy::start(S3::shared()?)?;
    let mut berth = proxy.registry().start()?;
    let url = berth.url();
    let two = runtime.block_on(async {
        let client = Client::new(&url)?;
        // One whose bytes stop coming behind its first part, of a session and of a single request each.
        for repo in ["faults/patch", "faults/post"] {
            let client = client.clone();
            let piece = Bytes::from(vec![7_u8; 1 << 20]);
            let pieces = stream::iter((0..17).map(move |_| Ok::<_, std::io::Error>(piece.clone())));
            let body = stream::StreamExt::chain(pieces, stream::pending());
            tokio::spawn(async move {
                // It ends with the registry.
                if repo.ends_with("post") {
                    let digest = random_blob(1).digest.to_string();
                    drop(client.post(repo, &digest, reqwest::Body::wrap_stream(body)).await);
                } else if let Ok(Ok(location)) = client.start(repo).await {
                    drop(client.stream(&location, body).await);
                }
            });
        }
        comes_true(LIMIT, async || Ok(proxy.multiparts().len() == 2)).await
    })?;
    if !two {
        return Err(HarnessError::Unexpected("no multipart upload was begun".to_owned()).into());
    }
    berth.kill()?;
    let left = proxy.multiparts();
    // Two days pass: for the bucket, whose list tells when uploads began, and for the session.
    proxy.age(Duration::from_hours(48))?;
    let expired = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('UPDATE uploads SET expires_at = 1'); \
                   assert db.total_changes == 1; db.commit()";
    Tool::new("python3")?.args(["-c", expired]).arg(berth.data().join("catalog.db")).run()?;
    berth.start()?;
    let gone = runtime.block_on(comes_true(LIMIT, async || Ok(proxy.multiparts().is_empty())))?;
    if !gone {
        return Err(FaultError::broken("F10", format!("{:?} is left", proxy.multiparts())));
    }
    Ok(format!("killed with {} multipart uploads under way, none left after the purge", left.len()))
}

/// F7: the bucket takes requests and never answers. Pushes and pulls are 503 in time, and all goes on when it answers again.
pub fn bucket_stalls() -> Result<String> {
    let proxy = FaultProxy::start(S3::shared()?)?;
    let berth = proxy.registry().set("storage.timeout", "\"2s\"").start()?;
    let blob = random_blob(70_000);
    let pushed = push(&berth, &blob, Way::PostPut)?.0;
    proxy.choose(|_| Fault::Stalled);
    let mut slowest = Duration::ZERO;
    for size in [1000, MULTIPART] {
        for way in Way::ALL {
            let (status, took) = push(&berth, &random_blob(size), way)?;
            slowest = slowest.max(answered(&format!("{way:?} of {size}"), status, took)?);
        }
    }
    let begun = Instant::now();
    let path = format!("/v2/faults/stall/blobs/{}", blob.digest);
    let (status, _) = runtime()?.block_on(async { Client::new(&berth.url())?.get(&path).await })?;
    slowest = slowest.max(answered("GET", status, begun.elapsed())?);
    proxy.choose(|_| Fault::None);
    let again = push(&berth, &random_blob(MULTIPART), Way::Streamed)?.0;
    if (pushed, again) != (201, 201) {
        return Err(FaultError::broken("F7", format!("before it pushes are {pushed}, and after it {again}")));
    }
    Ok(format!("9 requests are 503 within {slowest:.1?} where storage.timeout is 2s"))
}

/// F7: the disk hangs at the moment a blob gets its name. The push is 503 in time.
pub fn disk_stalls() -> Result<String> {
    let calls = "rename,renameat,renameat2";
    let words = ["strace", "-f", "-qq", "-o", "/dev/null", "-e"].map(str::to_owned).into_iter();
    let words = words.chain([
        format!("trace={calls}"),
        "-e".to_owned(),
        format!("inject={calls}:delay_enter=40000000"),
    ]);
    let berth = Berth::builder().wrapper(words).set("storage.timeout", "\"2s\"").start()?;
    let mut slowest = Duration::ZERO;
    for way in Way::ALL {
        let (status, took) = push(&berth, &random_blob(70_000), way)?;
        slowest = slowest.max(answered(&format!("{way:?}"), status, took)?);
    }
    Ok(format!("4 pushes are 503 within {slowest:.1?} where storage.timeout is 2s"))
}

fn push(berth: &Berth, blob: &Blob, way: Way) -> Result<(u16, Duration)> {
    let begun = Instant::now();
    let pushed = runtime()?
        .block_on(async { Client::new(&berth.url())?.push("faults/stall", blob, way, || Ok(())).await })?;
    Ok((pushed.status, begun.elapsed()))
}

fn answered(what: &str, status: u16, took: Duration) -> Result<Duration> {
    if status != 503 || took > fair(ANSWERED) {
        return Err(FaultError::broken("F7", format!("{what} is {status} after {took:?}")));
    }
    Ok(took)
}
