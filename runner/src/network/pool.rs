//! Which addresses a new network gets: none that this machine has a way to.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

use rand::RngExt;

use super::{
    definition::{Network, Range, Wanted},
    netlink::Socket,
    subnet::Subnet,
};
use crate::error::{Result, RunnerError, While};

/// The folder of root's own runner: its interfaces and tables have the plain names.
const PLAIN: &str = "/run/berth-runner";

/// What the machine has already.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    /// Names of interfaces.
    pub(crate) interfaces: Vec<String>,
    /// Where its routes lead, and its own networks.
    pub(crate) reached: Vec<Subnet>,
}

impl Machine {
    /// As it is now.
    pub(crate) fn now() -> Result<Self> {
        let ask = || {
            let mut socket = Socket::route()?;
            let interfaces = socket.links()?.into_iter().map(|link| link.name).collect();
            let mut reached = socket.destinations()?;
            reached.extend(socket.addresses()?.into_iter().map(|(_, address)| address));
            // What leads everywhere keeps nobody from anything; multicast and link-local ranges are on every machine.
            reached.retain(|subnet| subnet.prefix > 0);
            Ok(Self { interfaces, reached })
        };
        ask().map_err(|error: std::io::Error| error).doing("reading", "interfaces and routes")
    }
}

/// Distinguishes the interfaces and tables of several runners (`--runroot`) on one machine: empty for the usual one.
pub(crate) fn tag(run: &Path) -> String {
    if run == Path::new(PLAIN) {
        String::new()
    } else {
        format!("{:06x}-", hash(run.as_os_str().as_encoded_bytes()) & 0xff_ffff)
    }
}

/// Where the search for free addresses begins: elsewhere for each runner, so that two that search at one moment find
/// different ones.
pub(crate) fn offset(run: &Path) -> u32 {
    if run == Path::new(PLAIN) {
        return 0;
    }
    u32::try_from(hash(run.as_os_str().as_encoded_bytes()) % u64::from(POOL)).unwrap_or_default()
}

/// FNV-1a: the same on every machine and in every version, which the standard library's hasher does not promise.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let mixed = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    // The upper bits of short texts differ little.
    mixed ^ (mixed >> 29) ^ (mixed >> 47)
}

/// 10.90.0.0/24 to 10.127.255.0/24.
const POOL: u32 = 38 * 256;

fn pool(n: u32) -> Subnet {
    let n = n % POOL;
    let address = Ipv4Addr::from_bits(0x0a5a_0000 + (n << 8));
    Subnet { address: address.into(), prefix: 24 }
}

/// The ranges of a new network.
///
/// # Errors
/// [`RunnerError::Usage`] where what is wanted contradicts itself; [`RunnerError::Conflict`] where it is taken.
pub(crate) fn ranges(
    wanted: &Wanted,
    others: &[Network],
    machine: &Machine,
    offset: u32,
) -> Result<Vec<Range>> {
    let mut subnets: Vec<Subnet> = Vec::new();
    for subnet in &wanted.subnets {
        let subnet = subnet.network();
        if subnets.iter().any(|other| other.address.is_ipv4() == subnet.address.is_ipv4()) {
            return Err(RunnerError::Usage(
                "--subnet: a network has one range of IPv4 and one of IPv6 at most".into(),
            ));
        }
        if subnet.size() < 4 {
            return Err(RunnerError::Usage(format!(
                "--subnet {subnet}: too small: /30 is the smallest, /126 for IPv6"
            )));
        }
        check_free(subnet, others, machine)?;
        subnets.push(subnet);
    }
    let free = |subnet: &Subnet| check_free(*subnet, others, machine).is_ok();
    if !subnets.iter().any(|subnet| subnet.address.is_ipv4()) && wanted.subnets.is_empty() {
        let found = (0..POOL).map(|n| pool(n + offset)).find(free).ok_or_else(|| {
            RunnerError::Conflict(
                "no free range between 10.90.0.0 and 10.127.255.255: name one with --subnet".into(),
            )
        })?;
        subnets.insert(0, found);
    }
    if wanted.ipv6 && !subnets.iter().any(|subnet| subnet.address.is_ipv6()) {
        // RFC 4193: 40 random bits make a clash with another site's range unlikely.
        let random: u64 = rand::rng().random();
        let bits = (0xfd_u128 << 120) | (u128::from(random & 0xff_ffff_ffff) << 80);
        subnets.push(Subnet { address: Ipv6Addr::from_bits(bits).into(), prefix: 64 });
    }
    for address in &wanted.gateways {
        inside(
            &subnets,
            "--gateway",
            Subnet { address: *address, prefix: if address.is_ipv4() { 32 } else { 128 } },
        )?;
    }
    for range in &wanted.leases {
        inside(&subnets, "--ip-range", *range)?;
    }
    subnets.into_iter().map(|subnet| range(subnet, wanted)).collect()
}

fn range(subnet: Subnet, wanted: &Wanted) -> Result<Range> {
    let named = wanted.gateways.iter().find(|gateway| subnet.contains(**gateway));
    let gateway: IpAddr = named.copied().or_else(|| subnet.nth(1)).unwrap_or(subnet.address);
    if !subnet.usable(gateway) {
        return Err(RunnerError::Usage(format!(
            "--gateway {gateway}: the first and the last address of {subnet} are no host's"
        )));
    }
    let leases =
        wanted.leases.iter().find(|range| subnet.contains(range.address)).map(|range| range.network());
    Ok(Range { subnet, gateway, leases })
}

fn inside(subnets: &[Subnet], flag: &str, wanted: Subnet) -> Result<()> {
    if subnets.iter().any(|subnet| subnet.contains(wanted.address) && subnet.prefix <= wanted.prefix) {
        return Ok(());
    }
    Err(RunnerError::Usage(format!(
        "{flag} {wanted}: lies in none of the network's ranges: name its range with --subnet"
    )))
}

fn check_free(subnet: Subnet, others: &[Network], machine: &Machine) -> Result<()> {
    for other in others {
        if let Some(range) = other.ranges.iter().find(|range| range.subnet.overlaps(subnet)) {
            return Err(RunnerError::Conflict(format!(
                "{subnet} shares addresses with network {} ({}): choose others with --subnet",
                other.name, range.subnet
            )));
        }
    }
    if let Some(route) = machine.reached.iter().find(|route| route.overlaps(subnet)) {
        return Err(RunnerError::Conflict(format!(
            "{subnet} shares addresses with {}, which this machine has a way to: choose others with --subnet",
            route.network()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(subnets: &[&str]) -> Wanted {
        Wanted { subnets: subnets.iter().map(|text| text.parse().unwrap()).collect(), ..Wanted::default() }
    }

    #[test]
    fn the_first_range_is_taken_that_no_route_leads_to() {
        let machine = Machine { interfaces: Vec::new(), reached: vec!["10.90.0.0/23".parse().unwrap()] };
        let found = ranges(&wanted(&[]), &[], &machine, 0).unwrap();
        assert_eq!(found[0].subnet.to_string(), "10.90.2.0/24");
        assert_eq!(found[0].gateway.to_string(), "10.90.2.1");
        assert_eq!(pool(POOL - 1).to_string(), "10.127.255.0/24");
        assert_eq!(pool(POOL), pool(0));
    }

    #[test]
    fn a_range_that_is_taken_is_refused_with_who_has_it() {
        let machine = Machine { interfaces: Vec::new(), reached: vec!["192.168.0.0/16".parse().unwrap()] };
        let error = ranges(&wanted(&["192.168.7.0/24"]), &[], &machine, 0).unwrap_err();
        assert!(matches!(&error, RunnerError::Conflict(text) if text.contains("192.168.0.0/16")), "{error}");
        let all = Machine { interfaces: Vec::new(), reached: vec!["10.0.0.0/8".parse().unwrap()] };
        assert!(matches!(ranges(&wanted(&[]), &[], &all, 5), Err(RunnerError::Conflict(_))));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let none = Machine::default();
        let usage = |wanted: &Wanted| matches!(ranges(wanted, &[], &none, 0), Err(RunnerError::Usage(_)));
        assert!(usage(&wanted(&["10.1.0.0/24", "10.2.0.0/24"])));
        assert!(usage(&wanted(&["10.1.0.0/31"])));
        let mut strange = wanted(&["10.1.0.0/24"]);
        strange.gateways = vec!["10.2.0.1".parse().unwrap()];
        assert!(usage(&strange));
        strange.gateways = vec!["10.1.0.255".parse().unwrap()];
        assert!(usage(&strange));
        strange.gateways.clear();
        strange.leases = vec!["10.1.0.0/16".parse().unwrap()];
        assert!(usage(&strange));
    }

    #[test]
    fn ipv6_brings_a_range_of_its_own() {
        let mut both = wanted(&[]);
        both.ipv6 = true;
        let found = ranges(&both, &[], &Machine::default(), 0).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].subnet.prefix, 64);
        assert!(found[1].subnet.to_string().starts_with("fd"));
    }
}
