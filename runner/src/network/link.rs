//! Links, addresses and routes (rtnetlink).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

use rustix::io::Errno;

use super::{
    netlink::{CREATE, EXCLUSIVE, Message, Socket, attributes},
    subnet::Subnet,
};

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const SET_LINK: u16 = 19;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;

const UP: u32 = 1;
const LOOPBACK: u32 = 8;

const AF_UNSPEC: u8 = 0;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// A link of this namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its number.
    pub(crate) index: u32,
    /// Its name.
    pub(crate) name: String,
    /// It is the loopback.
    pub(crate) loopback: bool,
    /// It is switched on.
    pub(crate) up: bool,
    /// The number of the bridge that it hangs on.
    pub(crate) bridge: Option<u32>,
    /// Its hardware address, where it has one.
    pub(crate) mac: Option<[u8; 6]>,
}

/// A pair of interfaces to be made: one end here on a bridge, the other in a container.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair<'a> {
    /// Name of the end here.
    pub(crate) here: &'a str,
    /// Number of the bridge.
    pub(crate) bridge: u32,
    /// Name of the end in the container.
    pub(crate) there: &'a str,
    /// Hardware address in the container.
    pub(crate) mac: [u8; 6],
    /// Largest packet.
    pub(crate) mtu: Option<u32>,
}

fn link_header(index: u32, flags: u32, change: u32) -> Vec<u8> {
    let mut header = vec![AF_UNSPEC, 0, 0, 0];
    header.extend(index.to_ne_bytes());
    header.extend(flags.to_ne_bytes());
    header.extend(change.to_ne_bytes());
    header
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { AF_INET } else { AF_INET6 }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(bytes).into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|bytes| Ipv6Addr::from(bytes).into())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk::<4>()).map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

impl Socket {
    /// All links of this namespace.
    pub(crate) fn links(&mut self) -> io::Result<Vec<Found>> {
        let answers = self.dump(Message::new(GET_LINK, 0, &link_header(0, 0, 0)))?;
        Ok(answers
            .iter()
            .filter(|answer| answer.kind == NEW_LINK)
            .map(|answer| found(&answer.body))
            .collect())
    }

    /// The number of a link, where there is one of that name.
    pub(crate) fn index(&mut self, name: &str) -> io::Result<Option<u32>> {
        // By name the kernel answers with one link and no end of a dump; a dump is short and always the same.
        Ok(self.links()?.into_iter().find(|link| link.name == name).map(|link| link.index))
    }

    /// Makes a bridge, not switched on yet, and answers with its number; one of that name is taken as it is, so whose it
    /// is has to be known.
    pub(crate) fn bridge(&mut self, name: &str, mac: [u8; 6], mtu: Option<u32>) -> io::Result<u32> {
        let mut message = Message::new(NEW_LINK, CREATE | EXCLUSIVE, &link_header(0, 0, 0));
        message.text(3, name).put(1, &mac);
        if let Some(mtu) = mtu {
            message.number(4, mtu);
        }
        message.nest(18, |kind| {
            kind.text(1, "bridge");
        });
        match self.ask(message) {
            Err(error) if error.raw_os_error() == Some(Errno::EXIST.raw_os_error()) => {}
            answer => answer?,
        }
        self.index(name)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    /// Makes a pair with one end in the namespace of `container`.
    pub(crate) fn pair(&mut self, pair: Pair<'_>, container: BorrowedFd<'_>) -> io::Result<()> {
        let namespace = u32::try_from(container.as_raw_fd()).unwrap_or(u32::MAX);
        let mut message = Message::new(NEW_LINK, CREATE | EXCLUSIVE, &link_header(0, UP, UP));
        message.text(3, pair.here).number(10, pair.bridge);
        if let Some(mtu) = pair.mtu {
            message.number(4, mtu);
        }
        message.nest(18, |kind| {
            kind.text(1, "veth").nest(2, |data| {
                data.nest(1, |peer| {
                    peer.raw(&link_header(0, 0, 0))
                        .text(3, pair.there)
                        .put(1, &pair.mac)
                        .number(28, namespace);
                    if let Some(mtu) = pair.mtu {
                        peer.number(4, mtu);
                    }
                });
            });
        });
        self.ask(message)
    }

    /// Switches a link on.
    pub(crate) fn up(&mut self, index: u32) -> io::Result<()> {
        self.ask(Message::new(NEW_LINK, 0, &link_header(index, UP, UP)))
    }

    /// Hangs a link on a bridge.
    pub(crate) fn hang(&mut self, index: u32, bridge: u32) -> io::Result<()> {
        let mut message = Message::new(NEW_LINK, 0, &link_header(index, UP, UP));
        message.number(10, bridge);
        self.ask(message)
    }

    /// Lets a bridge send packets back by the end that they came from: where the machine's filters see bridged packets,
    /// a container that speaks to its own published port needs it.
    pub(crate) fn hairpin(&mut self, index: u32) -> io::Result<()> {
        const AF_BRIDGE: u8 = 7;
        let mut header = link_header(index, 0, 0);
        header[0] = AF_BRIDGE;
        let mut message = Message::new(SET_LINK, 0, &header);
        message.nest(12, |port| {
            port.put(4, &[1]);
        });
        self.ask(message)
    }

    /// Removes a link by name; one that is not there is gone.
    pub(crate) fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut message = Message::new(DELETE_LINK, 0, &link_header(0, 0, 0));
        message.text(3, name);
        match self.ask(message) {
            Err(error) if error.raw_os_error() == Some(Errno::NODEV.raw_os_error()) => Ok(()),
            answer => answer,
        }
    }

    /// Gives a link an address, usable at once: nobody else on a network of ours can have it, so the kernel need not
    /// ask around first.
    pub(crate) fn address(&mut self, index: u32, address: IpAddr, prefix: u8) -> io::Result<()> {
        const NO_DUPLICATES_CHECK: u8 = 2;
        let flags = if address.is_ipv6() { NO_DUPLICATES_CHECK } else { 0 };
        let mut header = vec![family(address), prefix, flags, 0];
        header.extend(index.to_ne_bytes());
        let mut message = Message::new(NEW_ADDRESS, CREATE | EXCLUSIVE, &header);
        message.put(2, &octets(address)).put(1, &octets(address));
        if let Subnet { address: IpAddr::V4(_), .. } = (Subnet { address, prefix })
            && prefix < 31
            && let Some(broadcast) = (Subnet { address, prefix }).last()
        {
            message.put(4, &octets(broadcast));
        }
        match self.ask(message) {
            Err(error) if error.raw_os_error() == Some(Errno::EXIST.raw_os_error()) => Ok(()),
            answer => answer,
        }
    }

    /// Everything that no other route leads to goes by `gateway`.
    pub(crate) fn default_route(&mut self, index: u32, gateway: IpAddr) -> io::Result<()> {
        const MAIN: u8 = 254;
        const BOOT: u8 = 3;
        const UNICAST: u8 = 1;
        let mut header = vec![family(gateway), 0, 0, 0, MAIN, BOOT, 0, UNICAST];
        header.extend(0_u32.to_ne_bytes());
        let mut message = Message::new(NEW_ROUTE, CREATE | EXCLUSIVE, &header);
        message.put(5, &octets(gateway)).number(4, index);
        match self.ask(message) {
            Err(error) if error.raw_os_error() == Some(Errno::EXIST.raw_os_error()) => Ok(()),
            answer => answer,
        }
    }

    /// Addresses of this namespace, with the number of their link.
    pub(crate) fn addresses(&mut self) -> io::Result<Vec<(u32, Subnet)>> {
        let answers = self.dump(Message::new(GET_ADDRESS, 0, &[AF_UNSPEC, 0, 0, 0, 0, 0, 0, 0]))?;
        let mut all = Vec::new();
        for answer in answers.iter().filter(|answer| answer.kind == NEW_ADDRESS && answer.body.len() >= 8) {
            let found = attributes(&answer.body[8..]);
            // 2 is the own address where the link has two ends, 1 the address otherwise.
            let value = [2, 1].iter().find_map(|kind| found.iter().find(|(found, _)| found == kind));
            if let Some(address) = value.and_then(|(_, value)| address_of(value)) {
                all.push((u32_at(&answer.body, 4), Subnet { address, prefix: answer.body[1] }));
            }
        }
        Ok(all)
    }

    /// Where routes of this namespace lead, default routes left out.
    pub(crate) fn destinations(&mut self) -> io::Result<Vec<Subnet>> {
        let mut all = Vec::new();
        for own in [AF_INET, AF_INET6] {
            let header = [own, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            let answers = self.dump(Message::new(GET_ROUTE, 0, &header))?;
            for answer in answers.iter().filter(|answer| answer.kind == NEW_ROUTE && answer.body.len() >= 12)
            {
                let value = attributes(&answer.body[12..]).into_iter().find(|(kind, _)| *kind == 1);
                if let Some(address) = value.and_then(|(_, value)| address_of(value)) {
                    all.push(Subnet { address, prefix: answer.body[1] });
                }
            }
        }
        Ok(all)
    }
}

fn found(body: &[u8]) -> Found {
    let mut link = Found {
        index: u32_at(body, 4),
        name: String::new(),
        loopback: u32_at(body, 8) & LOOPBACK != 0,
        up: u32_at(body, 8) & UP != 0,
        bridge: None,
        mac: None,
    };
    for (kind, value) in attributes(body.get(16..).unwrap_or_default()) {
        match kind {
            1 => link.mac = value.try_into().ok(),
            3 => link.name = String::from_utf8_lossy(value).trim_end_matches('\0').to_owned(),
            10 => link.bridge = Some(u32_at(value, 0)),
            _ => {}
        }
    }
    link
}

/// A socket in the network namespace of `namespace`. The process is back in its own when this returns.
pub(crate) fn socket_in<T>(
    namespace: BorrowedFd<'_>,
    inside: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
    let own = std::fs::File::open("/proc/thread-self/ns/net")?;
    move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))?;
    let result = inside();
    // Where the way back is barred this process would do the next thing in the wrong place: it must not go on.
    if let Err(error) = move_into_link_name_space(own.as_fd(), Some(LinkNameSpaceType::Network)) {
        return Err(io::Error::other(format!(
            "the way back into the own network namespace is barred: {error}"
        )));
    }
    result
}
