//! The bridge of a network, and the ends that containers have of it.

use std::{fs::File, io, os::fd::BorrowedFd, path::Path};

use rustix::io::Errno;

use super::{
    definition::Network,
    forwarding,
    lease::{Held, parse_mac},
    link::{Pair, socket_in},
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
    let there =
        socket.links().doing("looking for interface", name)?.into_iter().find(|link| link.name == *name);
    if let Some(link) = there.filter(|link| link.up) {
        return Ok(link.index);
    }
    let [a, b, c, d, e, ..] = pool::hash(network.id.as_bytes()).to_be_bytes();
    let index =
        socket.bridge(name, [0x02, a, b, c, d, e], network.options.mtu).doing("making bridge", name)?;
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
