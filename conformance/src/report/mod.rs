//! What a run found, and how it is written.

mod junit;
mod terminal;

use std::time::Duration;

use serde::Serialize;

use crate::case::Level;

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    /// As it has to be.
    Pass,
    /// Not as it has to be.
    Fail {
        /// What is wrong.
        reason: String,
        /// The last requests and answers.
        exchange: String,
    },
    /// Not as Berth does it, where the specification leaves the choice.
    Differs {
        /// What is different.
        reason: String,
        /// The last requests and answers.
        exchange: String,
    },
    /// The registry says that it does not do this.
    Skip {
        /// How it said so.
        reason: String,
    },
}

/// One case's result.
#[derive(Clone, Debug, Serialize)]
pub struct CaseResult {
    /// [`crate::Case::id`].
    pub id: String,
    /// [`crate::Case::name`].
    pub name: String,
    /// [`crate::Case::level`].
    pub level: Level,
    /// How long it took.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub elapsed: Duration,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// All results of a run, in the catalogue's order.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Which suite.
    pub suite: String,
    /// The registry's URL.
    pub target: String,
    /// How long it took.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub elapsed: Duration,
    /// The results.
    pub results: Vec<CaseResult>,
}

fn seconds<S: serde::Serializer>(elapsed: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(elapsed.as_secs_f64())
}

impl CaseResult {
    /// The first part of the id: what the result is listed under.
    #[must_use]
    pub fn group(&self) -> &str {
        self.id.split('.').next().unwrap_or(&self.id)
    }
}

impl Report {
    fn count(&self, is: impl Fn(&Outcome) -> bool) -> usize {
        self.results.iter().filter(|result| is(&result.outcome)).count()
    }

    /// Results that are as they have to be.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Pass))
    }

    /// Results that are not.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Fail { .. }))
    }

    /// What the registry says that it does not do.
    #[must_use]
    pub fn skipped(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Skip { .. }))
    }

    /// Choices that are not Berth's.
    #[must_use]
    pub fn differing(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Differs { .. }))
    }

    /// 0 where nothing failed, 1 elsewhere; 2 where the filter let nothing through.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match (self.results.is_empty(), self.failed()) {
            (true, _) => 2,
            (false, 0) => 0,
            (false, _) => 1,
        }
    }

    /// Fails the calling test with the whole report unless everything passed and nothing was
    /// skipped.
    ///
    /// # Panics
    /// If a result is not a pass.
    pub fn assert_all_passed(&self) {
        assert!(!self.results.is_empty(), "no case was run");
        assert!(self.passed() == self.results.len(), "\n{}", self.to_text());
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample() -> Report {
        let result = |id: &str, level, outcome| CaseResult {
            id: id.to_owned(),
            name: format!("{id} does as <told>"),
            level,
            elapsed: Duration::from_millis(12),
            outcome,
        };
        let reason = || "status 500 & nothing else".to_owned();
        let exchange = || "> GET /v2/\n< 500\u{1b}".to_owned();
        Report {
            suite: "specification".to_owned(),
            target: "http://127.0.0.1:5000/".to_owned(),
            elapsed: Duration::from_secs(1),
            results: vec![
                result("blob.get", Level::Must, Outcome::Pass),
                result("blob.head", Level::Must, Outcome::Fail { reason: reason(), exchange: exchange() }),
                result("tags.n", Level::Choice, Outcome::Differs { reason: reason(), exchange: exchange() }),
                result("delete.tag", Level::May, Outcome::Skip { reason: "405".to_owned() }),
            ],
        }
    }

    #[test]
    fn one_failure_makes_the_exit_code_1() {
        let mut report = sample();
        assert_eq!((report.passed(), report.failed(), report.skipped(), report.differing()), (1, 1, 1, 1));
        assert_eq!(report.exit_code(), 1);
        report.results.remove(1);
        assert_eq!(report.exit_code(), 0);
        report.results.clear();
        assert_eq!(report.exit_code(), 2);
    }

    #[test]
    fn json_says_id_level_and_outcome() {
        let json = serde_json::to_value(sample()).unwrap();
        assert_eq!(json["results"][1]["id"], "blob.head");
        assert_eq!(json["results"][1]["level"], "MUST");
        assert_eq!(json["results"][1]["outcome"], "fail");
        assert_eq!(json["results"][3]["reason"], "405");
    }
}
