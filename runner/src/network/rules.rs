//! The packet filter of all running containers: one table, made anew from all leases whenever one changes.
//!
//! Nothing foreign is touched. Our chains accept what is ours and drop what must not be; a firewall of the machine
//! may still drop what we accept.

use std::net::{IpAddr, Ipv4Addr};

use super::{
    definition::Network,
    lease::Lease,
    nft::{At, Hook, Rule, Table},
    subnet::Subnet,
};
use crate::record::{Port, Protocol};

const CHAINS: [(&str, Option<Hook>); 8] = [
    ("guard", Some(Hook { kind: "filter", at: At::Prerouting, priority: -300 })),
    ("publish", Some(Hook { kind: "nat", at: At::Prerouting, priority: -100 })),
    ("publish-here", Some(Hook { kind: "nat", at: At::Output, priority: -100 })),
    ("masquerade", Some(Hook { kind: "nat", at: At::Postrouting, priority: 100 })),
    ("forward", Some(Hook { kind: "filter", at: At::Forward, priority: 0 })),
    ("outbound", None),
    ("outbound-open", None),
    ("between", None),
];

const LOOPBACK: Subnet = Subnet { address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), prefix: 8 };

/// The table of these networks and leases. `opened` are interfaces that pass packets on because we said so.
pub(crate) fn table(name: &str, networks: &[Network], leases: &[Lease], opened: &[String]) -> Table {
    let mut table = Table::new(name, &CHAINS);
    for network in networks {
        // The bridge may have a way to 127.0.0.1, for answers of published ports: no container uses it.
        table.add("guard", Rule::new().from(&network.interface).destination(LOOPBACK).drop());
        for range in &network.ranges {
            masquerade(&mut table, network, range.subnet);
        }
        table
            .add("masquerade", Rule::new().to(&network.interface).published().of_this_machine().masquerade());
    }
    for lease in leases {
        publish(&mut table, lease);
    }
    forward(&mut table, networks, opened);
    table
}

fn masquerade(table: &mut Table, network: &Network, subnet: Subnet) {
    let inside = || Rule::new().source(subnet);
    // A container that speaks to a published port of its own network: the answer has to come by this machine.
    table.add("masquerade", inside().to(&network.interface).published().masquerade());
    if !network.internal {
        table.add("masquerade", inside().not_to(&network.interface).masquerade());
    }
}

fn forward(table: &mut Table, networks: &[Network], opened: &[String]) {
    for network in networks {
        let bridge = &network.interface;
        table.add("forward", Rule::new().from(bridge).to(bridge).accept());
        if network.internal {
            table.add("forward", Rule::new().from(bridge).drop());
            table.add("forward", Rule::new().to(bridge).drop());
        }
    }
    for network in networks.iter().filter(|network| !network.internal) {
        let chain = if network.options.isolate { "outbound" } else { "outbound-open" };
        table.add("forward", Rule::new().from(&network.interface).jump(chain));
    }
    for chain in ["outbound", "outbound-open"] {
        table.add(chain, Rule::new().established().accept());
        table.add(chain, Rule::new().published().accept());
        for network in networks {
            if network.options.isolate || chain == "outbound" {
                table.add(chain, Rule::new().to(&network.interface).drop());
            }
        }
        table.add(chain, Rule::new().accept());
    }
    for network in networks {
        let bridge = &network.interface;
        table.add("forward", Rule::new().to(bridge).established().accept());
        table.add("forward", Rule::new().to(bridge).published().accept());
        table.add("forward", Rule::new().to(bridge).drop());
    }
    // We let these interfaces pass packets on for containers; that makes no router between them of this machine.
    for interface in opened {
        table.add("forward", Rule::new().from(interface).jump("between"));
        table.add("between", Rule::new().to(interface).drop());
    }
}

fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Sctp => 132,
    }
}

fn publish(table: &mut Table, lease: &Lease) {
    for (port, last) in runs(&lease.ports) {
        let Some(to) = target(lease, port.address) else { continue };
        let same = (port.host == port.container).then_some(()).map_or(Some(port.container), |()| None);
        let from_here = |rule: Rule| rule.ports(number(port.protocol), port.host, last).redirect(to, same);
        let address = Subnet { address: port.address, prefix: if to.is_ipv4() { 32 } else { 128 } };
        let condition = if port.address.is_unspecified() {
            Rule::new().for_this_machine(to)
        } else {
            Rule::new().destination(address)
        };
        if !port.address.is_loopback() {
            table.add("publish", from_here(condition.clone()));
        }
        table.add("publish-here", from_here(condition));
    }
}

/// The container's address that a port published on `address` leads to.
pub(crate) fn target(lease: &Lease, address: IpAddr) -> Option<IpAddr> {
    let mut all = lease.links.iter().flat_map(|held| &held.link.addresses).map(|(address, _)| *address);
    all.find(|own| own.is_ipv4() == address.is_ipv4())
}

/// Ports in a row that lead to ports of the same number are one rule: the first, and the last number.
fn runs(ports: &[Port]) -> Vec<(Port, u16)> {
    let mut sorted = ports.to_vec();
    sorted.sort_by_key(|port| (port.address, number(port.protocol), port.host));
    let mut runs: Vec<(Port, u16)> = Vec::new();
    for port in sorted {
        if let Some((first, last)) = runs.last_mut()
            && (first.address, first.protocol) == (port.address, port.protocol)
            && first.host == first.container
            && port.host == port.container
            && last.checked_add(1) == Some(port.host)
        {
            *last = port.host;
        } else {
            let last = port.host;
            runs.push((port, last));
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(host: u16, container: u16) -> Port {
        Port { address: Port::ADDRESS, host, container, protocol: Protocol::Tcp }
    }

    #[test]
    fn ports_in_a_row_are_one_rule_where_their_numbers_stay() {
        let ports: Vec<_> =
            (8000..9000).map(|n| port(n, n)).chain([port(9000, 80), port(65535, 65535)]).collect();
        let runs: Vec<_> = runs(&ports).into_iter().map(|(port, last)| (port.host, last)).collect();
        assert_eq!(runs, [(8000, 8999), (9000, 9000), (65535, 65535)]);
    }
}
