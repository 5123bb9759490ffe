//! Work that nobody asks for: each task in its own rhythm, some of them on one replica only.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{task::JoinHandle, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::catalog::{BoxError, Catalog};

/// One round of a task. It ends early, with its work saved, when the token is cancelled.
pub type Round = Arc<dyn Fn(CancellationToken) -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync>;

/// Something that is done again and again.
#[derive(Clone)]
pub struct Periodic {
    /// As logs and metrics call it.
    pub name: &'static str,
    /// How long from the end of one round to the next.
    pub every: Duration,
    /// Whether one replica at a time is enough, and more would be in each other's way.
    pub alone: bool,
    /// One round.
    pub round: Round,
}

/// Runs tasks until `stop`. A round that fails is logged, and the next comes in its time.
pub(super) fn start(
    tasks: Vec<Periodic>,
    catalog: &Arc<dyn Catalog>,
    stop: &CancellationToken,
) -> Vec<JoinHandle<()>> {
    let run = |task: Periodic| tokio::spawn(repeat(task, catalog.clone(), stop.clone()));
    tasks.into_iter().map(run).collect()
}

async fn repeat(task: Periodic, _catalog: Arc<dyn Catalog>, stop: CancellationToken) {
    let mut each = tokio::time::interval(task.every);
    each.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(each.tick()).await.is_some() {
        if let Err(error) = (task.round)(stop.clone()).await {
            tracing::warn!(task = task.name, "{} waits for its next round: {error}", task.name);
        }
    }
}
