//! Failed attempts, counted for each address and each name (R28). Those who came in well are not counted.

use std::{
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use quick_cache::sync::Cache;

use crate::clock::Timestamp;

/// Failed attempts that are free, and how long each one further takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    free: u32,
    each: Duration,
}

/// Many people may share an address, and one may mistype.
const PER_ADDRESS: Rate = Rate { free: 20, each: Duration::from_secs(3) };
/// Whoever tries one name from many addresses.
const PER_NAME: Rate = Rate { free: 20, each: Duration::from_secs(6) };
/// Nobody waits longer, however often they failed.
const LONGEST: Duration = Duration::from_mins(15);
/// Addresses and names that are remembered at most. Those that were not seen for longest are forgotten first.
const REMEMBERED: usize = 8192;

/// When each key would have no failure left, were no more to come (the generic cell rate algorithm).
#[derive(Debug)]
struct Counted<K> {
    rate: Rate,
    empty_at: Cache<K, Arc<Mutex<Timestamp>>>,
}

impl<K: Hash + Eq + Clone> Counted<K> {
    fn new(rate: Rate) -> Self {
        Self { rate, empty_at: Cache::new(REMEMBERED) }
    }

    /// How long the next attempt must wait.
    fn wait(&self, key: &K, now: Timestamp) -> Duration {
        let Some(empty_at) = self.empty_at.get(key) else { return Duration::ZERO };
        let mut empty_at = empty_at.lock().unwrap_or_else(PoisonError::into_inner);
        // Beyond that where the clock was set back, which must not shut anybody out for long.
        *empty_at = (*empty_at).min(self.free_until(now) + LONGEST);
        let wait = empty_at.0 - self.free_until(now).0;
        u64::try_from(wait).map_or(Duration::ZERO, Duration::from_micros)
    }

    fn free_until(&self, now: Timestamp) -> Timestamp {
        now + self.rate.each * (self.rate.free - 1)
    }

    fn failed(&self, key: &K, now: Timestamp) {
        let fresh = || Ok::<_, std::convert::Infallible>(Arc::new(Mutex::new(now)));
        let Ok(empty_at) = self.empty_at.get_or_insert_with(key, fresh);
        let mut empty_at = empty_at.lock().unwrap_or_else(PoisonError::into_inner);
        *empty_at = ((*empty_at).max(now) + self.rate.each).min(self.free_until(now) + LONGEST);
    }
}

/// Both counts.
#[derive(Debug)]
pub(super) struct Throttle {
    addresses: Counted<IpAddr>,
    names: Counted<String>,
    /// Who came in well from where: somebody else's attempts at a name do not shut its owner out.
    familiar: Cache<(String, IpAddr), ()>,
}

impl Throttle {
    pub(super) fn new() -> Self {
        Self {
            addresses: Counted::new(PER_ADDRESS),
            names: Counted::new(PER_NAME),
            familiar: Cache::new(REMEMBERED),
        }
    }

    /// Seconds that an attempt has to wait, where it has to.
    pub(super) fn wait(&self, name: &str, from: IpAddr, now: Timestamp) -> Option<u64> {
        let (name, from) = (key(name), network(from));
        let mut wait = self.addresses.wait(&from, now);
        if !self.familiar.contains_key(&(name.clone(), from)) {
            wait = wait.max(self.names.wait(&name, now));
        }
        let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        (whole > 0).then_some(whole)
    }

    /// Whether this name came in well from there.
    pub(super) fn is_familiar(&self, name: &str, from: IpAddr) -> bool {
        self.familiar.contains_key(&(key(name), network(from)))
    }

    pub(super) fn failed(&self, name: &str, from: IpAddr, now: Timestamp) {
        self.addresses.failed(&network(from), now);
        self.names.failed(&key(name), now);
    }

    pub(super) fn came_in(&self, name: &str, from: IpAddr) {
        self.familiar.insert((key(name), network(from)), ());
    }
}

/// Names of accounts are not longer; what is longer need not be remembered whole.
fn key(name: &str) -> String {
    name.chars().take(128).collect()
}

/// One client can have a whole /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_750_000_000_000_000);

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Fails as often as it may at one moment.
    fn failures(
        throttle: &Throttle,
        name: impl Fn(u32) -> String,
        from: impl Fn(u32) -> IpAddr,
        now: Timestamp,
    ) -> u32 {
        let mut failed = 0;
        while failed < 1000 && throttle.wait(&name(failed), from(failed), now).is_none() {
            throttle.failed(&name(failed), from(failed), now);
            failed += 1;
        }
        failed
    }

    #[test]
    fn r28_one_address_fails_so_often_and_then_waits() {
        let throttle = Throttle::new();
        let (name, from) = (|n| format!("user{n}"), |_| address("192.0.2.1"));
        assert_eq!(failures(&throttle, name, from, NOW), PER_ADDRESS.free);
        assert_eq!(throttle.wait("x", address("192.0.2.1"), NOW), Some(3));
        assert_eq!(throttle.wait("x", address("192.0.2.2"), NOW), None, "others are let in");
        let later = NOW + PER_ADDRESS.each * 5;
        assert_eq!(failures(&throttle, name, from, later), 5);
        assert_eq!(failures(&throttle, name, from, later + Duration::from_hours(1)), PER_ADDRESS.free);
    }

    #[test]
    fn r28_one_name_is_tried_so_often_from_everywhere() {
        let throttle = Throttle::new();
        let from = |n: u32| IpAddr::from(n.to_be_bytes());
        assert_eq!(failures(&throttle, |_| "alice".to_owned(), from, NOW), PER_NAME.free);
        assert_eq!(throttle.wait("alice", address("192.0.2.1"), NOW), Some(6));
        assert_eq!(throttle.wait("bob", address("192.0.2.1"), NOW), None);
    }

    #[test]
    fn r28_nobody_shuts_out_whoever_came_in_from_where_they_are() {
        let throttle = Throttle::new();
        throttle.came_in("alice", address("192.0.2.1"));
        failures(&throttle, |_| "alice".to_owned(), |n| IpAddr::from(n.to_be_bytes()), NOW);
        assert_eq!(throttle.wait("alice", address("192.0.2.1"), NOW), None);
        assert!(throttle.wait("alice", address("192.0.2.2"), NOW).is_some());
    }

    #[test]
    fn r28_a_network_of_ipv6_is_one_client_and_so_is_ipv4_in_ipv6() {
        let throttle = Throttle::new();
        let from =
            |n: u32| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::try_from(n).unwrap()));
        assert_eq!(failures(&throttle, |n| n.to_string(), from, NOW), PER_ADDRESS.free);
        let from = |n: u32| address(if n.is_multiple_of(2) { "192.0.2.9" } else { "::ffff:192.0.2.9" });
        assert_eq!(failures(&throttle, |n| format!("v4 {n}"), from, NOW), PER_ADDRESS.free);
    }

    #[test]
    fn r28_what_is_remembered_is_bounded_and_nobody_waits_for_ever() {
        let throttle = Throttle::new();
        for n in 0..100_000_u32 {
            throttle.failed(&n.to_string(), IpAddr::from(n.to_be_bytes()), NOW);
            throttle.came_in(&n.to_string(), IpAddr::from(n.to_be_bytes()));
        }
        assert!(throttle.addresses.empty_at.len() <= REMEMBERED);
        assert!(throttle.names.empty_at.len() <= REMEMBERED);
        assert!(throttle.familiar.len() <= REMEMBERED);
        for _ in 0..10_000 {
            throttle.failed("alice", address("192.0.2.1"), NOW);
        }
        let longest = LONGEST.as_secs();
        assert_eq!(throttle.wait("alice", address("192.0.2.1"), NOW), Some(longest));
        let back = NOW - Duration::from_hours(1000);
        assert_eq!(throttle.wait("alice", address("192.0.2.1"), back), Some(longest));
        assert_eq!(throttle.wait("alice", address("192.0.2.1"), back + LONGEST), None);
    }
}
