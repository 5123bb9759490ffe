//! `[gc]` and `[retention]`: what goes by itself, and when.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    faults::Faults,
    human::parse_time,
    section::{Keys, Section},
    value::Tables,
};
use crate::gc::retention;

/// Collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gc {
    /// How often; zero for never.
    pub every: Duration,
    /// How long manifests without a tag stay; forever unless set.
    pub untagged: Option<Duration>,
    /// How long whoever pushed or asked for a blob may count on it.
    pub lease: Duration,
    /// How old objects are that no row names before they go.
    pub grace: Duration,
    /// By how much clocks may differ.
    pub clock_skew: Duration,
    /// How long what was deleted can be brought back.
    pub undelete: Duration,
}

impl Default for Gc {
    fn default() -> Self {
        Self {
            every: Duration::from_hours(24),
            untagged: None,
            lease: Duration::from_hours(24),
            grace: Duration::from_hours(24),
            clock_skew: Duration::from_hours(1),
            undelete: Duration::from_hours(7 * 24),
        }
    }
}

impl Section for Gc {
    fn name(&self) -> &'static str {
        "gc"
    }

    fn about(&self) -> &'static str {
        "Collection of what nothing refers to. It runs beside pushes and pulls; `berth-registry gc` starts a run."
    }

    fn keys(&mut self, keys: &mut dyn Keys) {
        keys.key("every", "How often it runs by itself, on one replica; \"0s\" for never.", &mut self.every);
        keys.key(
            "untagged",
            "How long a manifest stays that has no tag and that nothing refers to, as \"14d\". Unless set it stays for\n\
             ever: deployments may name it by its digest.",
            &mut self.untagged,
        );
        keys.key(
            "lease",
            "How long a blob is left alone that somebody pushed, mounted or asked for. A push must come to its\n\
             manifest in half of this.",
            &mut self.lease,
        );
        keys.key(
            "grace",
            "How old an object in storage is that belongs to no blob, left by a crash, before it goes. What is pushed or\n\
             imported is never without a session or a blob, so that \"0s\" is safe too.",
            &mut self.grace,
        );
        keys.key(
            "clock_skew",
            "By so much clocks of replicas and storage may differ: everything waits for so much longer.",
            &mut self.clock_skew,
        );
        keys.key(
            "undelete",
            "How long tags and manifests that were deleted, or that retention let go, can be brought back by\n\
             `berth-registry undelete`; their blobs take up space until then. \"0s\" for not at all.",
            &mut self.undelete,
        );
    }

    fn check(&mut self, faults: &mut Faults) {
        if !self.every.is_zero() && self.every < Duration::from_secs(1) {
            faults.add("gc.every", "must be \"0s\" for never, or at least 1s");
        }
        if self.lease < Duration::from_secs(1) {
            faults.add("gc.lease", "must be at least 1s: blobs of pushes under way would go");
        }
    }
}

/// A rule as it stands in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionRule {
    /// Patterns of repositories.
    pub repositories: Vec<String>,
    /// The last so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_last: Option<u32>,
    /// Those pushed within this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_younger: Option<String>,
    /// Those that a pattern matches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keep_tags: Vec<String>,
}

/// Retention.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// The rules, the first that covers a repository counts.
    pub rules: Tables<RetentionRule>,
}

impl RetentionRule {
    fn read(&self) -> Result<retention::Rule, String> {
        let keep_younger = self.keep_younger.as_deref().map(parse_time).transpose()?;
        if self.repositories.is_empty() {
            return Err("names no repositories".to_owned());
        }
        if self.keep_last.is_none() && keep_younger.is_none() && self.keep_tags.is_empty() {
            return Err("keeps nothing: set keep_last, keep_younger or keep_tags".to_owned());
        }
        Ok(retention::Rule {
            repositories: self.repositories.clone(),
            keep_last: self.keep_last.map(|last| usize::try_from(last).unwrap_or(usize::MAX)),
            keep_younger,
            keep_tags: self.keep_tags.clone(),
        })
    }
}

impl Retention {
    /// The rules, those that cannot be read left out: [`Section::check`] has said so.
    #[must_use]
    pub fn rules(&self) -> Vec<retention::Rule> {
        self.rules.0.iter().filter_map(|rule| rule.read().ok()).collect()
    }
}

impl Section for Retention {
    fn name(&self) -> &'static str {
        "retention"
    }

    fn about(&self) -> &'static str {
        "Which tags are kept. Whatever no rule covers is; see `berth-registry retention preview`."
    }

    fn keys(&mut self, keys: &mut dyn Keys) {
        keys.key(
            "rules",
            "As a list of [[retention.rules]]; the first that covers a repository counts, and a tag stays if it says so\n\
             in any way. Immutable tags always stay.\n\
             [[retention.rules]]\n\
             repositories = [\"team/*\"]   # * stands for any characters, / among them\n\
             keep_last = 10               # by when they were pushed\n\
             keep_younger = \"30d\"\n\
             keep_tags = [\"v*\", \"latest\"]",
            &mut self.rules,
        );
    }

    fn check(&mut self, faults: &mut Faults) {
        for (at, rule) in self.rules.0.iter().enumerate() {
            if let Err(sentence) = rule.read() {
                faults.add("retention.rules", format!("entry {}: {sentence}", at + 1));
            }
        }
    }
}
