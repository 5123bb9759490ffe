//! `[audit]`: the log of who did what.

use std::time::Duration;

use super::{
    faults::Faults,
    section::{Keys, Section},
};

/// The audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Whether there is one.
    pub enabled: bool,
    /// How long its entries are kept.
    pub keep: Duration,
}

impl Default for Audit {
    fn default() -> Self {
        Self { enabled: true, keep: Duration::from_hours(90 * 24) }
    }
}

impl Section for Audit {
    fn name(&self) -> &'static str {
        "audit"
    }

    fn about(&self) -> &'static str {
        "The log of who did what: pushes, deletes, moved tags, failed logins, refusals, changes by administrators.\n\
         `berth-registry audit` shows it."
    }

    fn keys(&mut self, keys: &mut dyn Keys) {
        keys.key("enabled", "Keep the log.", &mut self.enabled);
        keys.key("keep", "How long its entries are kept.", &mut self.keep);
    }

    fn check(&mut self, faults: &mut Faults) {
        if self.keep < Duration::from_hours(1) {
            faults.add("audit.keep", "must be at least 1h; to keep no log set audit.enabled = false");
        }
    }
}
