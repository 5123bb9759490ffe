//! Rules of the policy.

use async_trait::async_trait;

use super::{
    PostgresCatalog,
    retry::{read, transact},
};
use crate::catalog::{KeptRule, KeptRules, Result, Rules, ops};

#[async_trait]
impl Rules for PostgresCatalog {
    async fn rules_version(&self) -> Result<i64> {
        read!(self, |db| ops::rules::version(db))
    }

    async fn rules(&self) -> Result<KeptRules> {
        read!(self, |db| ops::rules::all(db))
    }

    async fn add_rule(&self, rule: &KeptRule) -> Result<bool> {
        transact!(self, |db| ops::rules::add(db, rule))
    }

    async fn remove_rule(&self, name: &str) -> Result<bool> {
        transact!(self, |db| ops::rules::remove(db, name))
    }
}
