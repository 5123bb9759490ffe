//! Rules that change while requests are answered.

use std::{fmt, sync::Arc};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::Mutex;

use super::{rule::Rule, rules::Rules};
use crate::catalog::{Catalog, CatalogError, KeptRule};

/// What is wrong with rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFaults(pub Vec<String>);

impl fmt::Display for RuleFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for RuleFaults {}

/// The rules in force, exchanged as a whole. Cheap to clone; clones see the same rules.
#[derive(Clone, Debug, Default)]
pub struct Live {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    rules: ArcSwap<Rules>,
    configured: Vec<Rule>,
    /// The catalog's version that `rules` has; held while it is replaced, so that none goes backwards.
    version: Mutex<Option<i64>>,
}

impl Live {
    /// The rules of the configuration alone, until [`Live::refresh`] brings those of the catalog.
    ///
    /// # Errors
    /// When a rule is wrong.
    pub fn new(configured: Vec<Rule>) -> Result<Self, RuleFaults> {
        let rules = Rules::new(&configured, &[]).map_err(RuleFaults)?;
        let inner = Inner { rules: ArcSwap::from_pointee(rules), configured, version: Mutex::default() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The rules as they are now.
    #[must_use]
    pub fn rules(&self) -> Guard<Arc<Rules>> {
        self.inner.rules.load()
    }

    /// The rules of the configuration.
    #[must_use]
    pub fn configured(&self) -> &[Rule] {
        &self.inner.configured
    }

    /// Takes over what the catalog's rules are now, if they have changed. `true` when they had.
    ///
    /// # Errors
    /// When the catalog fails, or keeps a rule that this version cannot read. The rules then stay as they are.
    pub async fn refresh(&self, catalog: &dyn Catalog) -> Result<bool, CatalogError> {
        let mut version = self.inner.version.lock().await;
        if *version == Some(catalog.rules_version().await?) {
            return Ok(false);
        }
        let kept = catalog.rules().await?;
        let read = |kept: &KeptRule| serde_json::from_str::<Rule>(&kept.rule);
        let rules: Vec<Rule> = kept
            .rules
            .iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map_err(|error| CatalogError::Corrupt(error.into()))?;
        let rules = Rules::new(&self.inner.configured, &rules)
            .map_err(|faults| CatalogError::Corrupt(RuleFaults(faults).into()))?;
        self.inner.rules.store(Arc::new(rules));
        *version = Some(kept.version);
        Ok(true)
    }
}
