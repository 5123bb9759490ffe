//! Which names a container sees: those of the containers that share a network with it.

use std::{collections::BTreeMap, net::IpAddr};

use super::message::{A, AAAA, PTR, Query, Record, reversed};
use crate::network::{definition::Network, lease::Lease};

/// What is known of all networks.
#[derive(Clone, Debug, Default)]
pub(super) struct Zone {
    /// The network served.
    own: String,
    networks: BTreeMap<String, Network>,
    leases: Vec<Lease>,
}

/// What becomes of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Known here.
    Records(Vec<Record>),
    /// Known here not to be.
    Unknown,
    /// To be asked elsewhere: of these servers, or of the machine's where there are none.
    Elsewhere(Vec<IpAddr>),
}

impl Zone {
    pub(super) fn new(own: &str, networks: Vec<Network>, leases: Vec<Lease>) -> Self {
        let networks = networks.into_iter().map(|network| (network.name.clone(), network)).collect();
        Self { own: own.to_owned(), networks, leases }
    }

    /// Whether a container is on the network.
    pub(super) fn occupied(&self) -> bool {
        self.leases
            .iter()
            .any(|lease| lease.links.iter().any(|held| held.link.network == self.own) && lease.alive())
    }

    /// The lease of who asks.
    fn asker(&self, client: IpAddr) -> Option<&Lease> {
        let on = |held: &crate::network::lease::Held| {
            held.link.network == self.own && held.link.addresses.iter().any(|(address, _)| *address == client)
        };
        self.leases.iter().find(|lease| lease.links.iter().any(on))
    }

    /// Networks whose names `client` sees: all those that it is on, whichever of their servers it asks.
    fn seen(&self, client: IpAddr) -> Vec<&Network> {
        let names: Vec<&str> = match self.asker(client) {
            Some(lease) => lease.links.iter().map(|held| held.link.network.as_str()).collect(),
            None => vec![self.own.as_str()],
        };
        names.into_iter().filter_map(|name| self.networks.get(name)).collect()
    }

    /// Answers a question.
    pub(super) fn answer(&self, client: IpAddr, query: &Query) -> Answer {
        let seen = self.seen(client);
        let Some(name) = query.name.as_deref().filter(|_| query.internet) else {
            return self.elsewhere(client, &seen);
        };
        if let Some(address) = reversed(name) {
            if !seen.iter().any(|network| network.ranges.iter().any(|range| range.subnet.contains(address))) {
                return self.elsewhere(client, &seen);
            }
            return match self.named(address, &seen) {
                Some(name) if query.kind == PTR => Answer::Records(vec![Record::Name(name)]),
                Some(_) => Answer::Records(Vec::new()),
                None => Answer::Unknown,
            };
        }
        let mut found = self.addresses(name, &seen);
        if found.is_empty() {
            return self.elsewhere(client, &seen);
        }
        found.retain(|address| query.kind == if address.is_ipv4() { A } else { AAAA });
        // Several containers with one alias share the work: who comes first changes with the number of the question.
        if !found.is_empty() {
            let first = usize::from(query.id) % found.len();
            found.rotate_left(first);
        }
        Answer::Records(found.into_iter().map(Record::Address).collect())
    }

    fn elsewhere(&self, client: IpAddr, seen: &[&Network]) -> Answer {
        if seen.iter().all(|network| network.internal) {
            return Answer::Unknown;
        }
        Answer::Elsewhere(self.asker(client).map_or_else(Vec::new, |lease| lease.dns.clone()))
    }

    fn addresses(&self, name: &str, seen: &[&Network]) -> Vec<IpAddr> {
        let mut found = Vec::new();
        for lease in &self.leases {
            let id = lease.id.as_str();
            let whole = lease.name.eq_ignore_ascii_case(name) || id.get(..12) == Some(name) || id == name;
            for held in &lease.links {
                let known = whole || held.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name));
                let shared = seen.iter().any(|network| network.dns && network.name == held.link.network);
                if known && shared {
                    found.extend(held.link.addresses.iter().map(|(address, _)| *address));
                }
            }
        }
        found
    }

    fn named(&self, address: IpAddr, seen: &[&Network]) -> Option<String> {
        let on = |lease: &&Lease| {
            lease.links.iter().any(|held| {
                seen.iter().any(|network| network.name == held.link.network)
                    && held.link.addresses.iter().any(|(own, _)| *own == address)
            })
        };
        self.leases.iter().find(on).map(|lease| lease.name.clone())
    }
}
