//! One named expectation, and how a run of many is made.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use serde::Serialize;

use crate::{
    http::{Cx, Target},
    report::{CaseResult, Outcome, Report},
};

/// How binding an expectation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// A MUST of the specification, or of the RFC that it refers to.
    Must,
    /// A SHOULD.
    Should,
    /// A MAY: judged only where the registry does it at all.
    May,
    /// The specification is silent, this is what Berth does. Another registry may differ.
    Choice,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::May => "MAY",
            Self::Choice => "choice",
        })
    }
}

/// Why a case ended before its last line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The registry did something else than it had to.
    Fail(String),
    /// The registry said that it does not do this at all.
    Skip(String),
}

/// What a case returns: nothing to say, or why it stopped.
pub type Verdict = Result<(), Stop>;

/// Fails a case with a sentence.
pub fn fail<T>(why: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Fail(why.into()))
}

/// Fails a case unless `holds`.
pub fn ensure(holds: bool, why: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { fail(why()) }
}

type Running = Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// A named expectation. Runs in a repository of its own and leaves no state for others.
pub struct Case {
    /// Unique, dotted, stable: `blob.get.sha512`, or the row of the abuse table, `r6.gap`.
    pub id: String,
    /// A sentence that is true of a registry that passes.
    pub name: String,
    /// How binding it is.
    pub level: Level,
    run: Box<dyn Fn(Arc<Cx>) -> Running + Send + Sync>,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case").field("id", &self.id).field("level", &self.level).finish_non_exhaustive()
    }
}

/// The list that a catalogue fills, one line a case.
#[derive(Debug, Default)]
pub struct Cases(pub(crate) Vec<Case>);

impl Cases {
    /// Adds a case.
    pub fn add<F, Fut>(&mut self, level: Level, id: impl Into<String>, name: impl Into<String>, run: F)
    where
        F: Fn(Arc<Cx>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Verdict> + Send + 'static,
    {
        let run = Box::new(move |cx| -> Running { Box::pin(run(cx)) });
        self.0.push(Case { id: id.into(), name: name.into(), level, run });
    }
}

/// What a run is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Only cases whose id or name contains this text.
    pub filter: Option<String>,
    /// First component of every repository that is made.
    pub repo_prefix: String,
    /// Cases under way at once.
    pub concurrency: usize,
    /// For how long one case may run.
    pub timeout: Duration,
    /// The registry is configured to accept indexes that lack children and images that lack layers.
    pub sparse: bool,
    /// A difference in a choice counts as a failure: for Berth itself.
    pub strict: bool,
    /// How many entries the rows on long lists make (the table says a million; a run, far fewer).
    pub scale: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            filter: None,
            repo_prefix: "conformance".to_owned(),
            concurrency: 8,
            timeout: Duration::from_secs(120),
            sparse: false,
            strict: false,
            scale: 60,
        }
    }
}

impl Options {
    /// Whether the filter lets `case` through.
    #[must_use]
    pub fn selects(&self, case: &Case) -> bool {
        let text = self.filter.as_deref().unwrap_or_default();
        case.id.contains(text) || case.name.contains(text)
    }
}

/// Runs `cases`, several at once, each in its own repository; results keep the catalogue's order.
pub async fn run(suite: &str, cases: Vec<Case>, target: &Target, options: &Options) -> Report {
    let started = std::time::Instant::now();
    let options = Arc::new(options.clone());
    let run_id = uuid::Uuid::new_v4().simple().to_string()[..8].to_owned();
    let selected = cases.into_iter().filter(|case| options.selects(case)).enumerate();
    let results = stream::iter(selected)
        .map(|(number, case)| {
            let repo = format!("{}/{run_id}/t{number}", options.repo_prefix);
            run_one(case, target.clone(), repo, Arc::clone(&options))
        })
        .buffered(options.concurrency.max(1))
        .collect()
        .await;
    Report { suite: suite.to_owned(), target: target.base().to_string(), elapsed: started.elapsed(), results }
}

async fn run_one(case: Case, target: Target, repo: String, options: Arc<Options>) -> CaseResult {
    let started = std::time::Instant::now();
    let limit = options.timeout;
    let strict = options.strict;
    let (outcome, trace) = match Cx::new(target, repo, options).await {
        Err(stop) => (Err(stop), String::new()),
        Ok(cx) => {
            let cx = Arc::new(cx);
            // A task of its own: a panic in a case is that case's failure, not the run's.
            let ended = tokio::time::timeout(limit, tokio::spawn((case.run)(Arc::clone(&cx)))).await;
            let verdict = match ended {
                Ok(Ok(verdict)) => verdict,
                Ok(Err(panic)) => fail(format!("the case itself broke: {panic}")),
                Err(_) => fail(format!("no end after {} s", limit.as_secs())),
            };
            (verdict, cx.trace())
        }
    };
    let outcome = match outcome {
        Ok(()) => Outcome::Pass,
        Err(Stop::Skip(reason)) => Outcome::Skip { reason },
        Err(Stop::Fail(reason)) if case.level == Level::Choice && !strict => {
            Outcome::Differs { reason, exchange: trace }
        }
        Err(Stop::Fail(reason)) => Outcome::Fail { reason, exchange: trace },
    };
    CaseResult { id: case.id, name: case.name, level: case.level, elapsed: started.elapsed(), outcome }
}
