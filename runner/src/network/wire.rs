//! The bridge of a network, and the ends that containers have of it.

use std::{fs::File, io, os::fd::BorrowedFd, path::Path};

use rustix::io::Errno;

use super::{
    definition::{Network, Range},
    forwarding,
    lease::{Held, parse_mac},
    link::{Found, Pair, socket_in},
    netlink::Socket,
    pool,
};
use crate::error::{Result, RunnerError, While};

/// The network namespace of a process.
pub(crate) fn namespace(pid: i32) -> Result<File> {
    let path = format!("/proc/{pid}/ns/net");
    File::open(&path).doing("opening", &path)
}

/// Makes the bridge of a network where it is not there, with the machine's addresses; answers with its number.
pub(crate) fn bridge(socket: &mut Socket, network: &Network) -> Result<u32> {
    let name = &network.interface;
    let links = socket.links().doing("looking for interface", name)?;
    match links.iter().find(|link| link.name == *name) {
        Some(link) if !is_bridge_of(network, link) => {
            return Err(RunnerError::Conflict(format!(
                "interface {name} of network {0} is somebody else's by now: remove that one, or make the network anew \
                 (`berth-runner network rm {0}`)",
                network.name
            )));
        }
        Some(link) if link.up => return Ok(link.index),
        Some(_) | None => check_addresses(socket, network, &links)?,
    }
    let index = socket.bridge(name, mac(network), network.options.mtu).doing("making bridge", name)?;
    for range in &network.ranges {
        if range.gateway.is_ipv6() {
            let conf = Path::new("/proc/sys/net/ipv6/conf").join(name);
            // A machine may have IPv6 switched off for new interfaces; a network that was asked for has it.
            forwarding::set(&conf.join("disable_ipv6"), "0")?;
            // Packets pass at once, not when the bridge has asked for a second whether others have its address.
            forwarding::set(&conf.join("accept_dad"), "0")?;
        }
        socket
            .address(index, range.gateway, range.subnet.prefix)
            .doing("giving addresses to bridge", name)?;
    }
    // Last: a bridge that is up is one that is whole, whatever died meanwhile.
    socket.up(index).doing("switching on bridge", name)?;
    Ok(index)
}

/// The hardware address of a network's bridge: it follows from the network's id, which no other has, so that a bridge
/// is known by it.
fn mac(network: &Network) -> [u8; 6] {
    let [a, b, c, d, e, ..] = pool::hash(network.id.as_bytes()).to_be_bytes();
    [0x02, a, b, c, d, e]
}

/// Whether a link is this network's bridge, and not another's of the same name: another runner's on this machine, or
/// one that a person made.
pub(super) fn is_bridge_of(network: &Network, link: &Found) -> bool {
    link.name == network.interface && link.mac == Some(mac(network))
}

/// Addresses that were free when the network was made may be another's by now: the kernel would take both, and lose
/// packets of one.
fn check_addresses(socket: &mut Socket, network: &Network, links: &[Found]) -> Result<()> {
    let name = &network.interface;
    let taken = socket.addresses().doing("reading addresses beside", name)?;
    for (index, address) in taken {
        let overlaps = |range: &&Range| {
            // What leads to a larger range leaves these addresses to who says them more exactly.
            range.subnet.overlaps(address) && address.prefix >= range.subnet.prefix
        };
        let other = links.iter().find(|link| link.index == index && link.name != *name);
        if let (Some(range), Some(other)) = (network.ranges.iter().find(overlaps), other) {
            return Err(RunnerError::Conflict(format!(
                "addresses of network {0} ({1}) are those of interface {2} ({address}) by now: take that one away, or \
                 make the network anew (`berth-runner network rm {0}`)",
                network.name, range.subnet, other.name
            )));
        }
    }
    Ok(())
}

/// Switches on the loopback of a namespace.
pub(crate) fn loopback(namespace: BorrowedFd<'_>) -> Result<()> {
    // A user's process could not come back out of it; and the core has switched it on where it made the namespace.
    if crate::rootless::is_inside() {
        return Ok(());
    }
    let up = || {
        let mut socket = socket_in(namespace, Socket::route)?;
        let links = socket.links()?;
        links.iter().filter(|link| link.loopback).try_for_each(|link| socket.up(link.index))
    };
    up().map_err(|error: io::Error| error).doing("switching on", "the container's loopback")
}

/// Connects a container with a network. `published`: ports of it are.
pub(crate) fn connect(
    socket: &mut Socket,
    bridge: u32,
    network: &Network,
    held: &Held,
    container: BorrowedFd<'_>,
    defaults: Defaults,
    published: bool,
) -> Result<()> {
    let mac = parse_mac(&held.link.mac)?;
    let pair = Pair { here: &held.here, bridge, there: &held.link.interface, mac, mtu: network.options.mtu };
    let made = match socket.pair(pair, container) {
        // Left by a container that had this address; its namespace is going, or lives on without a lease.
        Err(error) if error.raw_os_error() == Some(Errno::EXIST.raw_os_error()) => {
            socket.remove(&held.here).and_then(|()| socket.pair(pair, container))
        }
        answer => answer,
    };
    let made = made.and_then(|()| {
        if !published {
            return Ok(());
        }
        let index = socket.index(&held.here)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        socket.hairpin(index)
    });
    made.map_err(|error| RunnerError::Io {
        what: format!("connecting the container with network {}", network.name),
        source: error,
    })?;
    inside(held, container, defaults).map_err(|error| RunnerError::Io {
        what: format!("setting up {} of the container on network {}", held.link.interface, network.name),
        source: error,
    })
}

/// Which versions' default routes an end brings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Defaults {
    pub(crate) v4: bool,
    pub(crate) v6: bool,
}

fn inside(held: &Held, container: BorrowedFd<'_>, defaults: Defaults) -> io::Result<()> {
    let interface = &held.link.interface;
    let six = held.link.addresses.iter().any(|(address, _)| address.is_ipv6());
    let mut socket = socket_in(container, || {
        let conf = Path::new("/proc/sys/net/ipv6/conf").join(interface);
        if conf.exists() {
            // Another container on the bridge must not say where this one's way out is.
            std::fs::write(conf.join("accept_ra"), "0")?;
            std::fs::write(conf.join("accept_dad"), "0")?;
            std::fs::write(conf.join("disable_ipv6"), if six { "0" } else { "1" })?;
        }
        Socket::route()
    })?;
    let index = socket.index(interface)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    for (address, prefix) in &held.link.addresses {
        socket.address(index, *address, *prefix)?;
    }
    socket.up(index)?;
    routes(&mut socket, index, held, defaults)
}

/// Gives a connected end the default routes that it brings; those that are there stay.
pub(crate) fn lead_out(held: &Held, container: BorrowedFd<'_>, defaults: Defaults) -> Result<()> {
    let set = || {
        let mut socket = socket_in(container, Socket::route)?;
        let index =
            socket.index(&held.link.interface)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        routes(&mut socket, index, held, defaults)
    };
    set().map_err(|error: io::Error| error).doing("setting routes of", &held.link.interface)
}

fn routes(socket: &mut Socket, index: u32, held: &Held, defaults: Defaults) -> io::Result<()> {
    for gateway in &held.link.gateways {
        if if gateway.is_ipv4() { defaults.v4 } else { defaults.v6 } {
            socket.default_route(index, *gateway)?;
        }
    }
    Ok(())
}
