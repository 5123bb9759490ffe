//! Published and exposed ports.

use std::net::IpAddr;

use super::{Parsed, number};
use crate::record::{Port, Protocol};

fn protocol(text: &str) -> Parsed<Protocol> {
    match text {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        "sctp" => Ok(Protocol::Sctp),
        other => Err(format!("{other:?} is no protocol: tcp, udp or sctp")),
    }
}

/// First and last of `80` or `8000-8010`.
fn range(text: &str) -> Parsed<(u16, u16)> {
    let port = |text: &str| {
        let port = number::<u16>(text).filter(|port| *port != 0);
        port.ok_or_else(|| format!("{text:?} is no port: 1 to 65535"))
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    if first > last { Err(format!("{text:?} ends before it begins")) } else { Ok((first, last)) }
}

fn split_protocol(text: &str) -> Parsed<(&str, Vec<Protocol>)> {
    let (text, names) = text.rsplit_once('/').unwrap_or((text, "tcp"));
    let mut protocols = Vec::new();
    for name in names.split(',') {
        let protocol = protocol(name)?;
        if protocols.contains(&protocol) {
            return Err(format!("{name} stands twice in {names:?}"));
        }
        protocols.push(protocol);
    }
    Ok((text, protocols))
}

/// `[[ADDRESS:][HOST]:]CONTAINER[/PROTOCOL]`, with ranges on both sides of the same length. No host port, or an empty
/// one, is a free one; no address is 127.0.0.1.
pub(crate) fn ports(text: &str) -> Parsed<Vec<Port>> {
    let (places, protocols) = split_protocol(text)?;
    let (before, container) = places.rsplit_once(':').unwrap_or(("", places));
    let (address, host) = if let Some(rest) = before.strip_prefix('[') {
        let (address, host) = rest
            .split_once(']')
            .ok_or_else(|| format!("{text:?}: the bracket of the address is not closed"))?;
        (address, host.strip_prefix(':').unwrap_or(host))
    } else {
        before.rsplit_once(':').unwrap_or(("", before))
    };
    let address = match address {
        "" => Port::ADDRESS,
        other => other.parse::<IpAddr>().map_err(|_| {
            format!("{other:?} is no address; one of IPv6 stands in brackets, as in [::1]:80:80")
        })?,
    };
    let (first, last) = range(container)?;
    let host = match host {
        "" | "0" => None,
        other => Some(range(other)?),
    };
    let length = last - first;
    if let Some((begin, end)) = host.filter(|(begin, end)| end - begin != length) {
        return Err(format!("{text:?}: {} ports cannot lead to {}", end - begin + 1, length + 1));
    }
    let mut found = Vec::new();
    for protocol in protocols {
        for step in 0..=length {
            let host = host.map_or(0, |(begin, _)| begin + step);
            found.push(Port { address, host, container: first + step, protocol });
        }
    }
    Ok(found)
}

/// `80`, `80/udp`, `8000-8010/tcp`: ports of the container, with no place on the machine.
pub(crate) fn exposed(text: &str) -> Parsed<Vec<(u16, Protocol)>> {
    let (places, protocols) = split_protocol(text)?;
    let (first, last) = range(places)?;
    let ports = protocols.into_iter().flat_map(|protocol| (first..=last).map(move |port| (port, protocol)));
    Ok(ports.collect())
}
