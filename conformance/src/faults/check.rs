//! The replay: after recovery, everything that the journal knows of is asked for again.

use std::time::{Duration, Instant};

use berth_oci::Algorithm;
use futures_util::{StreamExt, stream};
use serde_json::Value;

use super::{
    Client, Result,
    journal::{Entry, History, SessionEntry, Sight, TagEntry},
};
use crate::data::digest_of;

/// Requests at a time.
const AT_ONCE: usize = 8;
/// For so long it is asked again.
const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(500);

/// What may be expected of the recovery.
#[derive(Clone, Copy, Debug)]
pub struct Expect {
    /// Open sessions are still there, with all that was acknowledged: after the death of the process, not of the
    /// machine.
    pub sessions: bool,
    /// Only what the journal says from this line on.
    pub from: usize,
}

impl Expect {
    /// Everything, after the process died.
    pub const PROCESS: Self = Self { sessions: true, from: 0 };
    /// Everything, after the machine died.
    pub const MACHINE: Self = Self { sessions: false, from: 0 };

    /// Only what the journal says from this line on.
    #[must_use]
    pub const fn from(self, line: usize) -> Self {
        Self { from: line, ..self }
    }
}

/// Asks for everything in `history`. One sentence for each broken promise.
pub async fn check(client: &Client, history: &History, expect: Expect) -> Result<Vec<String>> {
    let new = |line: usize| line > expect.from;
    let mut found = Vec::new();
    let blobs = history.blobs.values().filter(|entry| new(entry.line));
    found.extend(each(blobs.map(|entry| blob(client, entry))).await?);
    let manifests = history.manifests.values().filter(|entry| new(entry.line));
    found.extend(each(manifests.map(|entry| manifest(client, entry))).await?);
    let tags = history.tags.values().filter(|entry| new(entry.line));
    found.extend(each(tags.map(|entry| tag(client, entry))).await?);
    if expect.sessions {
        let sessions = history.sessions.values().filter(|entry| new(entry.line));
        found.extend(each(sessions.map(|entry| session(client, entry))).await?);
    }
    Ok(found)
}

async fn each(asked: impl Iterator<Item = impl Future<Output = Result<Vec<String>>>>) -> Result<Vec<String>> {
    let mut answers = stream::iter(asked).buffer_unordered(AT_ONCE);
    let mut found = Vec::new();
    while let Some(answer) = answers.next().await {
        found.extend(answer?);
    }
    Ok(found)
}

/// What is wrong with content that was asked for by its digest.
fn content(what: &str, entry: &Entry, status: u16, body: &[u8]) -> Option<String> {
    let name = format!("{what} {}@{}", entry.repo, entry.digest);
    match (entry.sight, status) {
        (Sight::Never, 404) | (Sight::Sent, 404) => None,
        (Sight::Never, status) => Some(format!("I4: {name} was never sent whole, and GET says {status}")),
        (Sight::Sent | Sight::Acked, 200) => {
            let is = digest_of(Algorithm::Sha256, body);
            (is.as_str() != entry.digest).then(|| format!("I2: {name} is served with the bytes of {is}"))
        }
        (Sight::Sent, status) => Some(format!("I2: {name} was sent, and GET says {status}")),
        (Sight::Acked, status) => Some(format!("I1: {name} was acknowledged, and GET says {status}")),
    }
}

/// Asks until the answer is another than 503. That is no promise broken: whoever asks again is served, and on a machine
/// with much else to do bucket and database may be late. What stays so is a finding like any other.
async fn settled<T>(mut ask: impl AsyncFnMut() -> Result<(u16, T)>) -> Result<(u16, T)> {
    let begun = Instant::now();
    loop {
        let answer = ask().await?;
        if answer.0 != 503 || begun.elapsed() > LIMIT {
            return Ok(answer);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn fetch(client: &Client, path: &str) -> Result<(u16, Vec<u8>)> {
    settled(async || once(client, path).await).await
}

async fn head(client: &Client, path: &str) -> Result<u16> {
    Ok(settled(async || Ok((client.head(path).await?, ()))).await?.0)
}

/// A body cut short is a finding like any other: the registry may not promise bytes that it does not have.
async fn once(client: &Client, path: &str) -> Result<(u16, Vec<u8>)> {
    match client.get(path).await {
        Ok((status, body)) => Ok((status, body.into())),
        Err(super::FaultError::Request(error)) if error.is_body() || error.is_decode() => Ok((0, Vec::new())),
        Err(error) => Err(error),
    }
}

async fn blob(client: &Client, entry: &Entry) -> Result<Vec<String>> {
    let path = format!("/v2/{}/blobs/{}", entry.repo, entry.digest);
    let (status, body) = fetch(client, &path).await?;
    Ok(content("blob", entry, status, &body).into_iter().collect())
}

async fn manifest(client: &Client, entry: &Entry) -> Result<Vec<String>> {
    let path = format!("/v2/{}/manifests/{}", entry.repo, entry.digest);
    let (status, body) = fetch(client, &path).await?;
    let mut found: Vec<_> = content("manifest", entry, status, &body).into_iter().collect();
    if status == 200 && found.is_empty() {
        for child in children(&body) {
            let status = head(client, &format!("/v2/{}/blobs/{child}", entry.repo)).await?;
            if status != 200 {
                found.push(format!("I3: {path} is there and its child {child} is {status}"));
            }
        }
    }
    Ok(found)
}

fn children(manifest: &[u8]) -> Vec<String> {
    let Ok(json) = serde_json::from_slice::<Value>(manifest) else { return Vec::new() };
    let layers = json["layers"].as_array().into_iter().flatten();
    let all = layers.chain(std::iter::once(&json["config"]));
    all.filter_map(|child| child["digest"].as_str().map(str::to_owned)).collect()
}

async fn tag(client: &Client, entry: &TagEntry) -> Result<Vec<String>> {
    let name = format!("{}:{}", entry.repo, entry.tag);
    let (status, body) = fetch(client, &format!("/v2/{}/manifests/{}", entry.repo, entry.tag)).await?;
    let finding = match (entry.sight, status) {
        (Sight::Never | Sight::Sent, 404) => None,
        (Sight::Never, status) => Some(format!("I4: tag {name} was never set, and GET says {status}")),
        (Sight::Sent | Sight::Acked, 200) => {
            let is = digest_of(Algorithm::Sha256, &body);
            let known = entry.may_name.iter().any(|digest| digest == is.as_str());
            (!known).then(|| format!("I1: tag {name} names {is}, not one of {:?}", entry.may_name))
        }
        (Sight::Sent | Sight::Acked, status) => {
            Some(format!("I1: tag {name} was set, and GET says {status}"))
        }
    };
    Ok(finding.into_iter().collect())
}

async fn session(client: &Client, entry: &SessionEntry) -> Result<Vec<String>> {
    let (status, offset) = settled(async || client.session(&entry.location).await).await?;
    let kept = status == 204 && offset >= entry.offset;
    let says =
        || format!("session {} had {} bytes, and is {status} with {offset}", entry.location, entry.offset);
    Ok((!kept).then(says).into_iter().collect())
}
