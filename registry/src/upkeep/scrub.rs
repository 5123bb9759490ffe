//! Reads all blobs again, over days, and takes those out of service that have changed at rest.

use std::{sync::Arc, time::Duration};

use berth_oci::Digest;
use prometheus_client::metrics::counter::Counter;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::{
    UpkeepError,
    read::{Pace, State, verify},
};
use crate::{
    catalog::{Catalog, CatalogError, StoredBlob},
    clock::{Clock, Timestamp},
    storage::BlobStore,
};

/// The task, as the catalog knows it.
const TASK: &str = "scrub";
/// Blobs after which it is noted how far the scrub has come.
const PAGE: u32 = 64;

/// What a scrub counts.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Blobs read.
    pub blobs: Counter,
    /// Their bytes.
    pub bytes: Counter,
    /// Blobs found damaged, or whose objects are gone or cannot be read.
    pub findings: Counter,
}

/// Scrubs.
#[derive(Clone, Debug)]
pub struct Scrub {
    /// The catalog.
    pub catalog: Arc<dyn Catalog>,
    /// Storage.
    pub store: Arc<dyn BlobStore>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// From the beginning of one time through all blobs to the next.
    pub every: Duration,
    /// Bytes a second at most.
    pub rate: u64,
    /// What it counts.
    pub counts: Counts,
}

/// How far it has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    begun: i64,
    after: Option<Digest>,
    over: bool,
    findings: u64,
}

impl Scrub {
    /// Goes on from where the last round ended, to the end of all blobs or until it is told to stop.
    /// Does nothing until it is time to begin anew.
    ///
    /// # Errors
    /// When catalog or storage does not answer; the next round goes on.
    pub async fn round(&self, stop: &CancellationToken) -> Result<(), UpkeepError> {
        let mut progress = self.progress().await?;
        if progress.over {
            if self.clock.now() < Timestamp(progress.begun) + self.every {
                return Ok(());
            }
            progress = Progress::default();
        }
        if progress.after.is_none() {
            progress.begun = self.clock.now().0;
        }
        let mut pace = Pace::new(Some(self.rate));
        while !stop.is_cancelled() {
            let page = self.catalog.blobs_after(progress.after.as_ref(), PAGE).await?;
            for blob in &page {
                let read = stop.run_until_cancelled(self.one(blob, &mut pace)).await;
                let Some(read) = read else { return self.save(&progress).await };
                progress.findings += u64::from(read?);
                progress.after = Some(blob.row.digest.clone());
            }
            progress.over = page.is_empty();
            self.save(&progress).await?;
            if progress.over {
                let found = progress.findings;
                info!(found, "Every blob has been read again; {found} are not as they were");
                break;
            }
        }
        Ok(())
    }

    async fn progress(&self) -> Result<Progress, UpkeepError> {
        let Some(state) = self.catalog.progress(TASK).await? else { return Ok(Progress::default()) };
        Ok(serde_json::from_str(&state).map_err(|error| CatalogError::Corrupt(error.into()))?)
    }

    async fn save(&self, progress: &Progress) -> Result<(), UpkeepError> {
        let state = serde_json::to_string(progress).map_err(|error| CatalogError::Corrupt(error.into()))?;
        Ok(self.catalog.set_progress(TASK, &state).await?)
    }

    /// Reads one blob; whether something is wrong with it.
    async fn one(&self, blob: &StoredBlob, pace: &mut Pace) -> Result<bool, UpkeepError> {
        let before = pace.taken();
        let state = verify(&*self.catalog, &*self.store, &*self.clock, blob, pace).await?;
        self.counts.blobs.inc();
        self.counts.bytes.inc_by(pace.taken() - before);
        let (digest, key) = (&blob.row.digest, &blob.row.key);
        match state {
            Some(State::Whole) if blob.quarantined_at.is_some() => {
                info!(%digest, "Blob {digest} is whole, and is served again");
                return Ok(false);
            }
            Some(State::Whole) | None => return Ok(false),
            Some(State::Damaged(actual)) => {
                error!(%digest, %key, "Blob {digest} is damaged and not served any more: its object {key} is {actual}");
            }
            Some(State::Resized) => {
                error!(%digest, %key, "Blob {digest} is damaged and not served any more: its object {key} has another size");
            }
            Some(State::Gone) => {
                error!(%digest, %key, "Blob {digest} is lost: its object {key} is not there")
            }
            Some(State::Unreadable(why)) => {
                error!(%digest, %key, "Blob {digest} cannot be read from its object {key}: {why}");
            }
        }
        self.counts.findings.inc();
        Ok(true)
    }
}
