//! Rules of the policy that are kept in the catalog.

use async_trait::async_trait;

use super::Result;
use crate::clock::Timestamp;

/// A rule as it is kept: opaque here, [`crate::policy`] reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptRule {
    /// What it is called.
    pub name: String,
    /// The rule as JSON.
    pub rule: String,
    /// When it was added.
    pub created_at: Timestamp,
    /// Who added it; empty for anonymous.
    pub created_by: String,
}

/// All rules at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptRules {
    /// Grows with each change.
    pub version: i64,
    /// In order of their names.
    pub rules: Vec<KeptRule>,
}

/// Rules of the policy. Replicas ask for the version every few seconds, and for the rules when it has changed.
#[async_trait]
pub trait Rules: Send + Sync {
    /// How often the rules have changed.
    async fn rules_version(&self) -> Result<i64>;

    /// All rules with their version.
    async fn rules(&self) -> Result<KeptRules>;

    /// Adds a rule. `false`, and nothing has changed, when there is one of that name.
    async fn add_rule(&self, rule: &KeptRule) -> Result<bool>;

    /// Removes a rule. `false` when there is none of that name.
    async fn remove_rule(&self, name: &str) -> Result<bool>;
}
