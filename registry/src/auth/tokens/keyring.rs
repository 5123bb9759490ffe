//! Our keys in memory. The catalog has them for all replicas; a request asks it only when it brings a key's name
//! that is not known, and then not every time.

use std::{collections::HashMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use tokio::sync::Mutex;

use super::{
    TokenError,
    key::{SigningAlgorithm, SigningKey, generate},
};
use crate::{
    catalog::{Catalog, SigningKeyRow},
    clock::{Clock, Timestamp},
};

/// Names that are not known make the keys be read again this often at most.
const AGAIN: Duration = Duration::from_secs(2);
/// From the making of a key to its first use: every replica has read it by then.
pub(super) const SPREAD: Duration = Duration::from_secs(90);

/// What keys are made like, and when they go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) algorithm: SigningAlgorithm,
    /// A key is followed by another after so long; zero for never.
    pub(super) rotation: Duration,
    /// How long a token that was signed just now can be shown.
    pub(super) shown_for: Duration,
}

/// Keys by name, and in the order of who signs.
#[derive(Debug, Default)]
struct Keys {
    by_kid: HashMap<String, Arc<SigningKey>>,
    youngest_first: Vec<Arc<SigningKey>>,
}

/// All keys that verify, of which one signs.
#[derive(Debug)]
pub(super) struct Keyring {
    catalog: Arc<dyn Catalog>,
    clock: Arc<dyn Clock>,
    rules: Rules,
    keys: ArcSwap<Keys>,
    read_at: Mutex<Option<Timestamp>>,
}

impl Keyring {
    /// Reads the keys, and makes one where there is none that signs as configured.
    pub(super) async fn open(
        catalog: Arc<dyn Catalog>,
        clock: Arc<dyn Clock>,
        rules: Rules,
    ) -> Result<Self, TokenError> {
        let ring = Self::empty(catalog, clock, rules);
        ring.read().await?;
        let youngest = ring.youngest();
        match youngest {
            None => {
                ring.add(None).await?;
            }
            Some(key)
                if key.published.common.key_algorithm.map(|name| name.to_string()).as_deref()
                    != Some(rules.algorithm.name()) =>
            {
                ring.add(Some(&key)).await?;
            }
            Some(_) => {}
        }
        Ok(ring)
    }

    /// One without keys, where no tokens are issued.
    pub(super) fn empty(catalog: Arc<dyn Catalog>, clock: Arc<dyn Clock>, rules: Rules) -> Self {
        Self { catalog, clock, rules, keys: ArcSwap::default(), read_at: Mutex::default() }
    }

    fn youngest(&self) -> Option<Arc<SigningKey>> {
        self.keys.load().youngest_first.first().cloned()
    }

    /// Reads what the catalog has.
    pub(super) async fn read(&self) -> Result<(), TokenError> {
        let mut keys = Keys::default();
        for row in self.catalog.signing_keys().await? {
            let key = Arc::new(SigningKey::read(row).map_err(TokenError::Key)?);
            keys.by_kid.insert(key.kid.clone(), key.clone());
            keys.youngest_first.push(key);
        }
        self.keys.store(Arc::new(keys));
        *self.read_at.lock().await = Some(self.clock.now());
        Ok(())
    }

    /// Adds a key after `youngest`. Whether it was this one: another replica may have been quicker.
    async fn add(&self, youngest: Option<&SigningKey>) -> Result<Option<SigningKeyRow>, TokenError> {
        let now = self.clock.now();
        let from = if youngest.is_none() { now } else { now + SPREAD };
        let row = generate(self.rules.algorithm, now, from).map_err(TokenError::Key)?;
        let retire = from + self.rules.shown_for;
        let added = self.catalog.add_signing_key(&row, youngest.map(|key| key.kid.as_str()), retire).await?;
        self.read().await?;
        if added {
            tracing::info!(kid = %row.kid, algorithm = %row.algorithm, "A new key will sign tokens");
        }
        Ok(added.then_some(row))
    }

    /// Adds a key now, whose name this is; `None` when another was added at the same time.
    pub(super) async fn rotate(&self) -> Result<Option<String>, TokenError> {
        self.read().await?;
        let youngest = self.youngest();
        Ok(self.add(youngest.as_deref()).await?.map(|row| row.kid))
    }

    /// Reads the keys; forgets those that have retired, and adds one where it is time.
    pub(super) async fn tend(&self) -> Result<(), TokenError> {
        let now = self.clock.now();
        self.catalog.forget_retired_keys(now).await?;
        self.read().await?;
        let due = !self.rules.rotation.is_zero();
        if let Some(youngest) = self.youngest()
            && due
            && youngest.created_at + self.rules.rotation <= now
        {
            self.add(Some(&youngest)).await?;
        }
        Ok(())
    }

    /// The key that signs: the youngest whose time has come. Between two first keys the order of names decides,
    /// which is the same everywhere.
    pub(super) fn signing(&self) -> Option<Arc<SigningKey>> {
        let now = self.clock.now();
        let keys = self.keys.load();
        let begun = keys.youngest_first.iter().find(|key| key.signs_from <= now);
        // A clock that was set back must not leave us without one.
        begun.or(keys.youngest_first.last()).cloned()
    }

    /// The key of this name, if tokens of it are still taken.
    pub(super) fn known(&self, kid: &str) -> Option<Arc<SigningKey>> {
        let key = self.keys.load().by_kid.get(kid).cloned();
        key.filter(|key| key.is_active(self.clock.now()))
    }

    /// As [`Keyring::known`]; a name that is not known may be a key that another replica has just made.
    pub(super) async fn find(&self, kid: &str) -> Result<Option<Arc<SigningKey>>, TokenError> {
        if let Some(key) = self.known(kid) {
            return Ok(Some(key));
        }
        let now = self.clock.now();
        let recent = self.read_at.lock().await.is_some_and(|at| at <= now && now < at + AGAIN);
        if recent {
            return Ok(None);
        }
        self.read().await?;
        Ok(self.known(kid))
    }

    /// All of them, as the catalog has them.
    pub(super) async fn rows(&self) -> Result<Vec<SigningKeyRow>, TokenError> {
        Ok(self.catalog.signing_keys().await?)
    }

    /// The public halves, those to come among them.
    pub(super) fn published(&self) -> JwkSet {
        let now = self.clock.now();
        let keys = self.keys.load();
        let active = keys.youngest_first.iter().filter(|key| key.is_active(now));
        let keys: Vec<Jwk> = active.map(|key| key.published.clone()).collect();
        JwkSet { keys }
    }
}
