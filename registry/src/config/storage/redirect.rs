//! Who is sent to the bucket.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Storage, StorageKind};
use crate::config::{Cidr, Faults, human::Size, value::choice};

choice! {
    /// Whether clients are sent to the bucket for blobs.
    Redirect {
        /// Blobs are streamed.
        #[default]
        Never = "never",
        /// Everybody is sent, for every blob.
        Always = "always",
        /// Those whom a rule names.
        Rules = "rules",
    }
}

/// Addresses are good for this long at most: stores sign for no longer.
const LONGEST: Duration = Duration::from_hours(7 * 24);

/// Clients and blobs that a redirect is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedirectRule {
    /// Where clients are, as networks; everywhere when empty.
    pub networks: Vec<String>,
    /// The size of the smallest blob.
    pub min_size: Option<String>,
}

impl RedirectRule {
    /// The networks and the size, or what is wrong with them.
    ///
    /// # Errors
    /// A sentence about what cannot be read.
    pub fn parsed(&self) -> Result<(Vec<Cidr>, Size), String> {
        let networks = self.networks.iter().map(|network| network.parse()).collect::<Result<_, _>>()?;
        let size = self.min_size.as_deref().map_or(Ok(Size(0)), str::parse)?;
        Ok((networks, size))
    }
}

impl Storage {
    pub(super) fn check_redirects(&self, faults: &mut Faults) {
        for (at, rule) in self.redirects.0.iter().enumerate() {
            if let Err(sentence) = rule.parsed() {
                faults.add("storage.redirects", format!("entry {}: {sentence}", at + 1));
            }
        }
        match self.redirect {
            Redirect::Never | Redirect::Always if !self.redirects.0.is_empty() => {
                faults.add("storage.redirects", "mean nothing unless storage.redirect = \"rules\"");
            }
            Redirect::Rules if self.redirects.0.is_empty() => {
                faults.add("storage.redirects", "required when storage.redirect = \"rules\"");
            }
            Redirect::Never | Redirect::Always | Redirect::Rules => {}
        }
        if self.kind == StorageKind::Filesystem && self.redirect != Redirect::Never {
            faults.add(
                "storage.redirect",
                "means nothing for \"filesystem\": there is no bucket to be sent to",
            );
        }
        if !(Duration::from_secs(1)..=LONGEST).contains(&self.redirect_life) {
            faults.add("storage.redirect_life", "must be from 1s to 7d");
        }
    }
}
