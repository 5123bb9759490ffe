//! How many requests a user or an address may make in a time.
//!
//! Each has a bucket of as many tokens as its burst, filled at its rate (the generic cell rate
//! algorithm: one number says it all, the moment at which the bucket will be full again). A bucket
//! that is full is forgotten. Where more clients come than there is room for, those that were not
//! there before share one bucket: memory is bounded, and whoever was there is served on.

use std::{
    collections::{HashMap, hash_map::RandomState},
    fmt,
    hash::{BuildHasher, Hash},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    auth::Subject,
    clock::{Clock, Timestamp},
};

/// Parts that buckets are kept in, each with a lock of its own.
const PARTS: usize = 16;
/// Buckets in a part at most.
const MOST: usize = 4096;

/// So many requests a second, and so many at once after a rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// A second; at least one.
    pub per_second: u32,
    /// At once; at least one.
    pub burst: u32,
}

/// What a request counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    /// A GET of a manifest.
    Pull,
    /// The start of an upload, a PUT of a manifest, a DELETE.
    Push,
}

/// The limits; `None` is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateSettings {
    /// Pulls of one user.
    pub user_pulls: Option<Rate>,
    /// Pushes of one user.
    pub user_pushes: Option<Rate>,
    /// Pulls from one address.
    pub address_pulls: Option<Rate>,
    /// Pushes from one address.
    pub address_pushes: Option<Rate>,
}

/// Too many requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimited {
    /// How long until the next is let through, in whole seconds: not too short.
    pub retry_after: u64,
    /// The limit that it met.
    pub rate: Rate,
}

/// All limits in force.
#[derive(Debug)]
pub struct Rates {
    clock: Arc<dyn Clock>,
    users: [Option<Buckets<Subject>>; 2],
    addresses: [Option<Buckets<IpAddr>>; 2],
}

impl Rates {
    /// Limits by the settings; `None` where nothing is limited.
    #[must_use]
    pub fn new(settings: &RateSettings, clock: Arc<dyn Clock>) -> Option<Self> {
        (*settings != RateSettings::default()).then(|| Self {
            clock,
            users: [settings.user_pulls, settings.user_pushes].map(|rate| rate.map(Buckets::new)),
            addresses: [settings.address_pulls, settings.address_pushes].map(|rate| rate.map(Buckets::new)),
        })
    }

    /// Counts a request of somebody. Nobody in particular is not counted: their address is.
    ///
    /// # Errors
    /// When it is one too many; it is then not counted.
    pub fn user(&self, work: Work, who: &Subject) -> Result<(), RateLimited> {
        match &self.users[work as usize] {
            Some(buckets) if *who != Subject::Anonymous => buckets.take(who, self.clock.now()),
            Some(_) | None => Ok(()),
        }
    }

    /// Counts a request from an address (a /64 of IPv6).
    ///
    /// # Errors
    /// When it is one too many; it is then not counted.
    pub fn address(&self, work: Work, address: IpAddr) -> Result<(), RateLimited> {
        let Some(buckets) = &self.addresses[work as usize] else { return Ok(()) };
        let network = match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        };
        buckets.take(&network, self.clock.now())
    }
}

/// The moments at which buckets will be full, in nanoseconds.
struct Buckets<K> {
    rate: Rate,
    hasher: RandomState,
    parts: Vec<Mutex<Part<K>>>,
}

struct Part<K> {
    full_at: HashMap<K, i128>,
    /// Of those that there is no room for.
    others: i128,
}

impl<K> fmt::Debug for Buckets<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buckets").field("rate", &self.rate).finish_non_exhaustive()
    }
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    fn new(rate: Rate) -> Self {
        let part = || Mutex::new(Part { full_at: HashMap::new(), others: 0 });
        Self { rate, hasher: RandomState::new(), parts: (0..PARTS).map(|_| part()).collect() }
    }

    fn take(&self, key: &K, now: Timestamp) -> Result<(), RateLimited> {
        let now = i128::from(now.0) * 1000;
        let each = i128::from(1_000_000_000_u32) / i128::from(self.rate.per_second.max(1));
        let part = usize::try_from(self.hasher.hash_one(key) % PARTS as u64).unwrap_or(0);
        let mut part = self.parts[part].lock().unwrap_or_else(PoisonError::into_inner);
        let Part { full_at, others } = &mut *part;
        if !full_at.contains_key(key) && full_at.len() >= MOST {
            full_at.retain(|_, full_at| *full_at > now);
        }
        let room = full_at.len() < MOST;
        let full_at = match full_at.get_mut(key) {
            Some(full_at) => full_at,
            None if room => full_at.entry(key.clone()).or_insert(now),
            None => others,
        };
        // A clock that was set back must not keep anybody out for longer than an empty bucket takes to fill.
        let depth = each * i128::from(self.rate.burst.max(1));
        *full_at = (*full_at).clamp(now, now + depth);
        let next = *full_at + each;
        let early = next - depth - now;
        if early > 0 {
            let wait = Duration::from_nanos(u64::try_from(early).unwrap_or(u64::MAX));
            let retry_after = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            return Err(RateLimited { retry_after, rate: self.rate });
        }
        *full_at = next;
        Ok(())
    }
}

#[cfg(test)]
#[path = "rate/tests.rs"]
mod tests;
