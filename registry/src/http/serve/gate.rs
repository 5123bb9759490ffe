//! How many connections are let in, and which go when there are too many.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{sync::Notify, time::timeout};

use super::{Limits, origin::Origin, state::State};

/// Descriptors that are not connections: listeners, the runtime's, the catalog's, standard streams.
const RESERVE: u64 = 32;

/// Raises the soft limit on open files to the hard one and returns what is in force.
pub fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum.unwrap_or(u64::MAX),
        Err(error) => {
            tracing::warn!("The limit on open files stays at {:?}: {error}", limit.current);
            limit.current.unwrap_or(u64::MAX)
        }
    }
}

/// Connections that fit: each may have a blob open too.
fn capacity(limits: &Limits, descriptors: u64) -> usize {
    let fit = usize::try_from(descriptors.saturating_sub(RESERVE) / 2).unwrap_or(usize::MAX);
    limits.connections.min(fit).max(1)
}

#[derive(Debug)]
pub(super) struct Gate {
    capacity: usize,
    per_address: usize,
    limits: Limits,
    origin: Arc<Origin>,
    open: Mutex<Open>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    states: HashMap<u64, Arc<State>>,
    addresses: HashMap<IpAddr, usize>,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    gate: Arc<Gate>,
    id: u64,
    address: Option<IpAddr>,
    pub(super) state: Arc<State>,
}

impl Gate {
    pub(super) fn new(limits: &Limits, origin: Arc<Origin>) -> Self {
        let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Self {
            capacity: capacity(limits, descriptors),
            per_address: limits.connections_per_address,
            limits: limits.clone(),
            origin,
            open: Mutex::default(),
            ended: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until one more connection fits. Those without a request make room, the oldest first, so
    /// that a flood of connections that ask for nothing keeps nobody out.
    pub(super) async fn room(&self) {
        while self.lock().states.len() >= self.capacity {
            self.make_room().await;
        }
    }

    /// Closes the longest idle connections, a sixteenth of all at once, and waits for one to end.
    async fn make_room(&self) {
        let ended = self.ended.notified();
        {
            let open = self.lock();
            let mut idle: Vec<_> =
                open.states.values().filter_map(|state| Some((state.idle_since()?, state))).collect();
            idle.sort_unstable_by_key(|(since, _)| *since);
            for (_, state) in idle.iter().take((self.capacity / 16).max(1)) {
                state.shed();
            }
        }
        // That a connection became idle is not told; looking again each second finds it.
        if timeout(Duration::from_secs(1), ended).await.is_err() {
            tracing::debug!("No connection ended while {} were open", self.capacity);
        }
    }

    /// What to do about an error of accept(2): one connection's is nobody's business, one of the
    /// process or machine passes when a connection ends.
    pub(super) async fn after(&self, error: &io::Error) {
        match error.kind() {
            io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted => {}
            _ => {
                tracing::warn!("New connections wait for others to end: {error}");
                self.make_room().await;
            }
        }
    }

    /// Lets a connection in; `None` when its address has its share already.
    pub(super) fn enter(self: &Arc<Self>, peer: SocketAddr) -> Option<Ticket> {
        let address = self.counted(peer.ip());
        let mut open = self.lock();
        if let Some(address) = address {
            let count = open.addresses.entry(address).or_default();
            if *count >= self.per_address {
                return None;
            }
            *count += 1;
        }
        let id = open.next;
        open.next += 1;
        let state = Arc::new(State::new(&self.limits));
        open.states.insert(id, state.clone());
        Some(Ticket { gate: self.clone(), id, address, state })
    }

    /// The address that a connection counts for. Loopback and trusted proxies speak for many clients.
    fn counted(&self, address: IpAddr) -> Option<IpAddr> {
        let address = address.to_canonical();
        if address.is_loopback() || self.origin.trusts(address) {
            return None;
        }
        Some(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut open = self.gate.lock();
        open.states.remove(&self.id);
        if let Some(address) = self.address
            && let Some(count) = open.addresses.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                open.addresses.remove(&address);
            }
        }
        drop(open);
        self.gate.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(per_address: usize, trusted: &[&str]) -> Arc<Gate> {
        let limits = Limits { connections_per_address: per_address, ..Limits::default() };
        let trusted_proxies = trusted.iter().map(|cidr| cidr.parse().unwrap()).collect();
        Arc::new(Gate::new(&limits, Arc::new(Origin { trusted_proxies, external_url: None })))
    }

    #[test]
    fn f22_half_of_the_descriptors_but_a_reserve_are_for_connections() {
        assert_eq!(capacity(&Limits::default(), 64), 16);
        assert_eq!(capacity(&Limits::default(), 1024), 496);
        assert_eq!(capacity(&Limits::default(), u64::MAX), 10_000);
        assert_eq!(capacity(&Limits::default(), 0), 1);
    }

    #[test]
    fn r30_an_address_has_its_share_and_gets_it_back() {
        let gate = gate(2, &[]);
        let peer = |address: &str| address.parse().unwrap();
        let first = gate.enter(peer("192.0.2.1:1")).unwrap();
        let _second = gate.enter(peer("192.0.2.1:2")).unwrap();
        assert!(gate.enter(peer("192.0.2.1:3")).is_none());
        let _other = gate.enter(peer("192.0.2.2:1")).unwrap();
        drop(first);
        let _third = gate.enter(peer("192.0.2.1:3")).unwrap();
    }

    #[test]
    fn r30_a_network_of_ipv6_counts_as_one_address() {
        let gate = gate(1, &[]);
        let _first = gate.enter("[2001:db8::1]:1".parse().unwrap()).unwrap();
        assert!(gate.enter("[2001:db8::2]:1".parse().unwrap()).is_none());
        let _other = gate.enter("[2001:db8:0:1::1]:1".parse().unwrap()).unwrap();
    }

    #[test]
    fn r30_loopback_and_trusted_proxies_are_not_counted() {
        let gate = gate(1, &["192.0.2.0/24"]);
        let held: Vec<_> =
            ["127.0.0.1:1", "127.0.0.1:2", "192.0.2.1:1", "192.0.2.1:2", "[::ffff:127.0.0.1]:3"]
                .iter()
                .map(|peer| gate.enter(peer.parse().unwrap()))
                .collect();
        assert!(held.iter().all(Option::is_some));
    }
}
