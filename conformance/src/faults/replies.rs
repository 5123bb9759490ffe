//! F12: a commit took place, and its reply never came.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use reqwest::Method;

use super::{
    Client, FaultError, Result,
    client::random_blob,
    pusher::manifest_of,
    steps::{comes_true, runtime},
};
use crate::{
    data::{Blob, digest_of},
    harness::{Berth, Durability, OutsideStack, Postgres, Stack, Wire, fair},
};

const REPO: &str = "faults/replies";
const WELL: Duration = Duration::from_secs(15);
/// In one round of so many the registry cannot ask the database what became of it either.
const CLOSED: usize = 50;

/// The wire between registry and database is cut after COMMIT and before its reply, for each kind of change; so many
/// times. Where the registry can ask what became of it the answer is the right one; where it cannot it is 503, and the
/// same request again has the right answer.
pub fn lost_replies(rounds: usize) -> Result<String> {
    let runtime = runtime()?;
    let postgres = Arc::new(Postgres::start(Durability::Full)?);
    let stack = OutsideStack::on(postgres.clone())?;
    let wire = Wire::start(postgres.port(), REPO)?;
    let address = format!("{:?}", Postgres::url_at(wire.port(), stack.database()));
    let berth = Berth::builder().stack(Stack::Outside(stack)).set("catalog.url", &address).start()?;
    let story = Story { client: Client::new(&berth.url())?, wire };
    let mut unknown = 0;
    for round in 1..=rounds {
        let closed = round % CLOSED == 1;
        unknown += runtime.block_on(story.round(round, closed))?;
    }
    Ok(format!(
        "{rounds} rounds of six changes, each answered rightly; {unknown} times by 503 and then rightly"
    ))
}

struct Story {
    client: Client,
    wire: Wire,
}

impl Story {
    async fn round(&self, round: usize, closed: bool) -> Result<usize> {
        let mut unknown = self.tell(&format!("F12, round {round}"), round, false).await?;
        if closed {
            unknown += self.tell(&format!("F12, round {round}, nobody to ask"), round, true).await?;
        }
        Ok(unknown)
    }

    /// Each change once, its reply lost. How often it was answered by 503.
    async fn tell(&self, when: &str, round: usize, closed: bool) -> Result<usize> {
        let mut unknown = 0;
        let (client, blob) = (&self.client, random_blob(3000));
        let digest = blob.digest.as_str();
        let location = match client.start(REPO).await? {
            Ok(location) => location,
            Err(status) => return Err(FaultError::broken(when, format!("POST says {status}"))),
        };
        let end = async || client.finish(&location, digest, blob.bytes.clone()).await;
        // The session is over when the blob is there.
        unknown += self.change(when, "the end of an upload", closed, 201, &[201, 404], end).await?;
        self.holds(when, &format!("/v2/{REPO}/blobs/{digest}"), Some(&blob)).await?;
        let again = client.post(REPO, digest, blob.bytes.clone()).await?;
        self.is(when, "the same push again", again, &[201])?;

        let one = random_blob(2000);
        let post = async || client.post(REPO, one.digest.as_str(), one.bytes.clone()).await;
        unknown += self.change(when, "a push in one request", closed, 201, &[201], post).await?;
        self.holds(when, &format!("/v2/{REPO}/blobs/{}", one.digest), Some(&one)).await?;

        let bytes = manifest_of(&[blob.clone(), one.clone()]);
        let manifest = Blob { digest: digest_of(berth_oci::Algorithm::Sha256, &bytes), bytes };
        let tag = format!("t{round}");
        let put = async || client.put_manifest(REPO, &tag, manifest.bytes.clone()).await;
        unknown += self.change(when, "a manifest", closed, 201, &[201], put).await?;
        let (by_tag, by_digest) =
            (format!("/v2/{REPO}/manifests/{tag}"), format!("/v2/{REPO}/manifests/{}", manifest.digest));
        self.holds(when, &by_tag, Some(&manifest)).await?;

        for (what, path) in [
            ("the delete of a tag", &by_tag),
            ("the delete of a manifest", &by_digest),
            ("the delete of a blob", &format!("/v2/{REPO}/blobs/{digest}")),
        ] {
            let delete = async || client.delete(path).await;
            unknown += self.change(when, what, closed, 202, &[404], delete).await?;
            self.holds(when, path, None).await?;
        }
        Ok(unknown)
    }

    /// Asks for a change whose reply is lost, and asks again. `first` is the right answer, and `again` those that are
    /// right the second time.
    async fn change(
        &self,
        when: &str,
        what: &str,
        closed: bool,
        first: u16,
        again: &[u16],
        ask: impl AsyncFn() -> Result<u16>,
    ) -> Result<usize> {
        self.wire.cut_next_commit(closed);
        let status = ask().await?;
        if !self.wire.was_cut() {
            return Err(FaultError::broken(when, format!("{what} committed nothing, and says {status}")));
        }
        self.wire.open();
        self.is(when, what, status, &[if closed { 503 } else { first }])?;
        if closed {
            let ready = comes_true(fair(WELL), async || Ok(self.client.get("/readyz").await?.0 == 200));
            if !ready.await? {
                return Err(FaultError::broken(when, format!("not ready {WELL:?} after {what}")));
            }
        }
        let status = ask().await?;
        self.is(when, &format!("{what}, again"), status, again)?;
        Ok(usize::from(closed))
    }

    fn is(&self, when: &str, what: &str, status: u16, right: &[u16]) -> Result<()> {
        if right.contains(&status) {
            return Ok(());
        }
        Err(FaultError::broken(when, format!("{what} says {status}, not {right:?}")))
    }

    async fn holds(&self, when: &str, path: &str, content: Option<&Blob>) -> Result<()> {
        let (status, body) = self.client.get(path).await?;
        let right = match content {
            Some(content) => status == 200 && body == content.bytes,
            None => status == 404,
        };
        if right {
            return Ok(());
        }
        Err(FaultError::broken(
            when,
            format!("{} {path} says {status} with {} bytes", Method::GET, Bytes::len(&body)),
        ))
    }
}
