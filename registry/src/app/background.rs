//! Work that nobody asks for: each task in its own rhythm, some of them on one replica only.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    catalog::{BoxError, Catalog, Lead},
    telemetry::Metrics,
};

/// How often a replica asks whether a task has become free.
const TURN: Duration = Duration::from_secs(1);

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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Task {
    task: &'static str,
}

/// What is counted of background work.
#[derive(Clone, Debug, Default)]
struct Tally {
    rounds: Family<Task, Counter>,
    failures: Family<Task, Counter>,
    leads: Family<Task, Gauge>,
}

impl Tally {
    fn new(metrics: &Metrics) -> Self {
        let tally = Self::default();
        metrics.register("background_rounds", "Rounds of background tasks that ended", tally.rounds.clone());
        metrics.register(
            "background_failures",
            "Rounds of background tasks that failed",
            tally.failures.clone(),
        );
        metrics.register(
            "background_leader",
            "1 where this replica is the one that does the task",
            tally.leads.clone(),
        );
        tally
    }
}

/// Runs tasks until `stop`. A round that fails is logged, and the next comes in its time.
pub(super) fn start(
    tasks: Vec<Periodic>,
    catalog: &Arc<dyn Catalog>,
    metrics: &Metrics,
    stop: &CancellationToken,
) -> Vec<JoinHandle<()>> {
    let tally = Tally::new(metrics);
    let run = |task: Periodic| {
        let runner = Runner { task, tally: tally.clone(), failed: 0 };
        let (catalog, stop) = (catalog.clone(), stop.clone());
        tokio::spawn(async move {
            if runner.task.alone {
                runner.compete(catalog, stop).await;
            } else {
                let mut runner = runner;
                runner.rounds(&stop).await;
            }
        })
    };
    tasks.into_iter().map(run).collect()
}

struct Runner {
    task: Periodic,
    tally: Tally,
    /// Rounds that failed since the last that did not.
    failed: u64,
}

impl Runner {
    fn label(&self) -> Task {
        Task { task: self.task.name }
    }

    /// Does the task whenever it is this replica's to do.
    async fn compete(mut self, catalog: Arc<dyn Catalog>, stop: CancellationToken) {
        let name = self.task.name;
        self.tally.leads.get_or_create(&self.label()).set(0);
        while let Some(answer) = stop.run_until_cancelled(catalog.lead(name)).await {
            match answer {
                Ok(Some(lead)) => {
                    tracing::debug!(task = name, "This replica does the {name} now");
                    self.tally.leads.get_or_create(&self.label()).set(1);
                    self.lead(&lead, &stop).await;
                    self.tally.leads.get_or_create(&self.label()).set(0);
                }
                Ok(None) => {}
                // Whether the catalog answers is told elsewhere.
                Err(error) => tracing::debug!(task = name, "Who does the {name} cannot be asked: {error}"),
            }
            if stop.run_until_cancelled(tokio::time::sleep(TURN)).await.is_none() {
                return;
            }
        }
    }

    /// Rounds until the lead is lost or the server stops.
    async fn lead(&mut self, lead: &Lead, stop: &CancellationToken) {
        let until = stop.child_token();
        let rounds = self.rounds(&until);
        tokio::pin!(rounds);
        tokio::select! {
            () = &mut rounds => {}
            () = lead.lost().cancelled() => {
                until.cancel();
                // It saves its work and ends. If it does not, it is dropped where it waits: another
                // replica begins soon.
                let _ended = tokio::time::timeout(Lead::STOP, rounds).await;
            }
        }
    }

    /// Rounds until `stop`.
    async fn rounds(&mut self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            // A task of its own, so that a round that panics is no more than a round that failed.
            let round = AbortOnDropHandle::new(tokio::spawn((self.task.round)(stop.clone())));
            let outcome = match round.await {
                Ok(outcome) => outcome,
                Err(ended) => Err(ended.into()),
            };
            self.count(outcome);
            let _stopped = stop.run_until_cancelled(tokio::time::sleep(self.task.every)).await;
        }
    }

    fn count(&mut self, outcome: Result<(), BoxError>) {
        let (name, label) = (self.task.name, self.label());
        self.tally.rounds.get_or_create(&label).inc();
        match outcome {
            Ok(()) if self.failed > 0 => {
                tracing::info!(task = name, "The {name} is well again after {} failures", self.failed);
                self.failed = 0;
            }
            Ok(()) => {}
            Err(error) => {
                self.tally.failures.get_or_create(&label).inc();
                self.failed += 1;
                // Once, however often it is tried: the count is in the metrics.
                if self.failed == 1 {
                    tracing::warn!(task = name, "The {name} waits for its next round: {error}");
                } else {
                    tracing::debug!(task = name, "The {name} failed {} times: {error}", self.failed);
                }
            }
        }
    }
}
