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
    catalog::{BoxError, Catalog, Lead, Leadership},
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
        let (leads, stop): (Arc<dyn Leadership>, _) = (catalog.clone(), stop.clone());
        tokio::spawn(async move {
            let mut runner = runner;
            match runner.task.alone {
                true => runner.compete(leads, stop).await,
                false => runner.rounds(&stop).await,
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
    async fn compete(&mut self, leads: Arc<dyn Leadership>, stop: CancellationToken) {
        let name = self.task.name;
        self.tally.leads.get_or_create(&self.label()).set(0);
        while let Some(answer) = stop.run_until_cancelled(leads.lead(name)).await {
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

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::{
            Mutex,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use async_trait::async_trait;

    use super::*;
    use crate::catalog::{Leading, Result};

    /// Gives a lead to whoever asks while nobody has it.
    #[derive(Default)]
    struct Leads(Mutex<Option<Leading>>);

    #[async_trait]
    impl Leadership for Leads {
        async fn lead(&self, _task: &'static str) -> Result<Option<Lead>> {
            let mut held = self.0.lock().unwrap();
            if held.as_ref().is_some_and(|held| !held.given_up.is_cancelled()) {
                return Ok(None);
            }
            let (lead, end) = Lead::new();
            *held = Some(end);
            Ok(Some(lead))
        }
    }

    fn runner(round: Round) -> Runner {
        let task = Periodic { name: "sweep", every: Duration::from_millis(20), alone: true, round };
        Runner { task, tally: Tally::new(&Metrics::default()), failed: 0 }
    }

    async fn comes_true(what: impl Fn() -> bool) {
        while !what() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn a_round_that_fails_or_panics_is_counted_and_the_next_comes_in_its_time() {
        let rounds = Arc::new(AtomicUsize::new(0));
        let counted = rounds.clone();
        let mut runner = runner(Arc::new(move |_| {
            let number = counted.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                match number {
                    0 => panic!("a bug"),
                    1 => Err("a fault".into()),
                    _ => Ok(()),
                }
            })
        }));
        let (stop, label, tally) = (CancellationToken::new(), runner.label(), runner.tally.clone());
        let begun = std::time::Instant::now();
        tokio::join!(runner.rounds(&stop), async {
            comes_true(|| rounds.load(Ordering::SeqCst) == 3).await;
            stop.cancel();
        });
        assert!(begun.elapsed() >= runner.task.every * 2, "{:?}", begun.elapsed());
        assert_eq!(tally.rounds.get_or_create(&label).get(), 3);
        assert_eq!(tally.failures.get_or_create(&label).get(), 2);
        assert_eq!(runner.failed, 0);
    }

    #[tokio::test]
    async fn a_round_ends_when_its_lead_is_lost_whether_it_listens_or_not() {
        for listens in [true, false] {
            let (leads, begun, running) =
                (Arc::new(Leads::default()), Arc::new(AtomicUsize::new(0)), Arc::new(()));
            let (counted, held) = (begun.clone(), running.clone());
            let mut runner = runner(Arc::new(move |token: CancellationToken| {
                counted.fetch_add(1, Ordering::SeqCst);
                let held = held.clone();
                Box::pin(async move {
                    let _held = held;
                    match listens {
                        true => token.cancelled().await,
                        false => pending().await,
                    }
                    Ok(())
                })
            }));
            let (stop, label, tally) = (CancellationToken::new(), runner.label(), runner.tally.clone());
            let leading = || tally.leads.get_or_create(&label).get();
            let idle = Arc::strong_count(&running);
            tokio::join!(runner.compete(leads.clone(), stop.clone()), async {
                comes_true(|| begun.load(Ordering::SeqCst) > 0).await;
                assert_eq!(leading(), 1);
                leads.0.lock().unwrap().as_ref().unwrap().lost.cancel();
                let lost = std::time::Instant::now();
                comes_true(|| leading() == 0).await;
                assert!(lost.elapsed() < Lead::STOP * 30, "{:?}", lost.elapsed());
                assert_eq!(Arc::strong_count(&running), idle, "a round goes on without its lead");
                // And it is this replica's turn again when nobody else has it.
                comes_true(|| leading() == 1).await;
                stop.cancel();
                leads.0.lock().unwrap().as_ref().unwrap().lost.cancel();
            });
        }
    }
}
