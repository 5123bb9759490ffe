//! `[scrub]`: whether what is stored is read again.

use std::time::Duration;

use super::{
    faults::Faults,
    human::Size,
    section::{Keys, Section},
};

/// Reading blobs again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scrub {
    /// How often all of them are read; never when `None`.
    pub every: Option<Duration>,
    /// Bytes a second at most.
    pub rate: Size,
}

impl Default for Scrub {
    fn default() -> Self {
        Self { every: None, rate: Size(20 << 20) }
    }
}

impl Section for Scrub {
    fn name(&self) -> &'static str {
        "scrub"
    }

    fn about(&self) -> &'static str {
        "Reading all blobs again in the background; one that has changed at rest is not served any more."
    }

    fn keys(&mut self, keys: &mut dyn Keys) {
        keys.key("every", "How often all blobs are read, as \"30d\". Never unless set.", &mut self.every);
        keys.key("rate", "Bytes a second that are read at most, on one replica.", &mut self.rate);
    }

    fn check(&mut self, faults: &mut Faults) {
        if self.every.is_some_and(|every| every < Duration::from_secs(1)) {
            faults.add("scrub.every", "must be at least 1s");
        }
        if self.rate.0 == 0 {
            faults.add("scrub.rate", "0 would read nothing; leave scrub.every out instead");
        }
    }
}
