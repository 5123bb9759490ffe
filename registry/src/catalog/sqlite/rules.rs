//! Rules of the policy.

use async_trait::async_trait;

use super::{SqliteCatalog, operations::repeatable};
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
        let add = repeatable(move |db| {
            let rule = rule.clone();
            Box::pin(async move { ops::rules::add(db, &rule).await })
        });
        self.write(add).await
    }

    async fn remove_rule(&self, name: &str) -> Result<bool> {
        let name = name.to_owned();
        let remove = repeatable(move |db| {
            let name = name.clone();
            Box::pin(async move { ops::rules::remove(db, &name).await })
        });
        self.write(remove).await
    }
}
