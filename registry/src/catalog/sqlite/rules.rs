//! Rules of the policy.

use async_trait::async_trait;

use super::{
    SqliteCatalog,
    operations::{again, repeatable},
};
use crate::catalog::{KeptRule, KeptRules, Result, Rules, ops};

#[async_trait]
impl Rules for SqliteCatalog {
    async fn rules_version(&self) -> Result<i64> {
        ops::rules::version(&mut *self.reader().await?).await
    }

    async fn rules(&self) -> Result<KeptRules> {
        ops::rules::all(&mut *self.reader().await?).await
    }

    async fn add_rule(&self, rule: &KeptRule) -> Result<bool> {
        let rule = rule.clone();
        self.write(again!(|db| with rule => ops::rules::add(db, &rule))).await
    }

    async fn remove_rule(&self, name: &str) -> Result<bool> {
        let name = name.to_owned();
        self.write(again!(|db| with name => ops::rules::remove(db, &name))).await
    }
}
