//! Who asked, and under which address: the truth about a connection, and what proxies say of it.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, header, request::Parts, uri::Authority};

use crate::config::Cidr;

/// In every request's extensions: the other end of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address; of the proxy, if there is one.
    pub addr: SocketAddr,
    /// Whether the connection is TLS.
    pub tls: bool,
}

/// Which address the server has for others, and which proxies are believed.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// `scheme://host[:port]` without a path; above all else.
    pub external_url: Option<String>,
    /// Addresses whose `Forwarded` and `X-Forwarded-*` are believed.
    pub trusted_proxies: Vec<Cidr>,
}

impl Origin {
    /// Whether this address is a trusted proxy's.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|cidr| cidr.contains(address))
    }
}

/// `scheme://host[:port]` to begin a `Location` with, where somebody who is believed said what it
/// is: the configuration, else a trusted proxy. Empty otherwise: a client resolves a relative
/// `Location` (RFC 9110, 10.2.2) against the address it used, which is right behind every proxy
/// that we were not told of, and where a guess from the Host header may turn https into http.
#[must_use]
pub fn external_base(peer: &Peer, headers: &HeaderMap, origin: &Origin) -> String {
    if let Some(url) = &origin.external_url {
        return url.clone();
    }
    if !origin.trusts(peer.addr.ip()) {
        return String::new();
    }
    let scheme = forwarded(headers, "x-forwarded-proto", "proto");
    let host = forwarded(headers, "x-forwarded-host", "host");
    if scheme.is_none() && host.is_none() {
        return String::new();
    }
    let scheme = match scheme.as_deref() {
        Some("https") => "https",
        Some("http") => "http",
        Some(_) | None if peer.tls => "https",
        Some(_) | None => "http",
    };
    let host = host
        .or_else(|| Some(headers.get(header::HOST)?.to_str().ok()?.to_owned()))
        .filter(|host| is_host(host));
    match host {
        Some(host) => format!("{scheme}://{host}"),
        None => String::new(),
    }
}

/// `scheme://host[:port]` under which the client of a request reaches the server: what [`external_base`] says, else
/// what the request itself says. For where a client needs a whole address, as in a challenge's realm. `None` where the
/// request names no host, or none that could be one.
#[must_use]
pub fn public_base(peer: &Peer, request: &Parts, origin: &Origin) -> Option<String> {
    let base = external_base(peer, &request.headers, origin);
    if !base.is_empty() {
        return Some(base);
    }
    // HTTP/2 has the host in the address, HTTP/1.1 in a header.
    let host = match request.uri.authority() {
        Some(authority) => authority.as_str(),
        None => request.headers.get(header::HOST)?.to_str().ok()?,
    };
    let scheme = if peer.tls { "https" } else { "http" };
    is_host(host).then(|| format!("{scheme}://{host}"))
}

/// The client's address: the connection's, or, through trusted proxies, the last one that is not
/// itself a trusted proxy.
#[must_use]
pub fn client_address(peer: &Peer, headers: &HeaderMap, origin: &Origin) -> IpAddr {
    let mut address = peer.addr.ip();
    let mut hops = hops(headers);
    while origin.trusts(address) {
        match hops.pop() {
            Some(Some(hop)) => address = hop,
            // Nobody before, or somebody who hides: the proxy is the last address that is known.
            Some(None) | None => break,
        }
    }
    address
}

/// The value that the nearest proxy gave. `Forwarded` (RFC 7239) goes before `X-Forwarded-*`.
fn forwarded(headers: &HeaderMap, name: &str, parameter: &str) -> Option<String> {
    let standard = elements(headers, "forwarded").pop().map(|element| {
        parameters(&element)
            .find_map(|(key, value)| key.eq_ignore_ascii_case(parameter).then(|| unquote(value).to_owned()))
    });
    match standard {
        Some(value) => value,
        None => elements(headers, name).pop(),
    }
}

fn hops(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let standard = elements(headers, "forwarded");
    if standard.is_empty() {
        return elements(headers, "x-forwarded-for").iter().map(|hop| address(hop)).collect();
    }
    let node = |element: &String| {
        parameters(element)
            .find_map(|(key, value)| key.eq_ignore_ascii_case("for").then(|| address(unquote(value))))
            .flatten()
    };
    standard.iter().map(node).collect()
}

/// `1.2.3.4`, `1.2.3.4:5`, `[::1]`, `[::1]:5`, `::1`.
fn address(node: &str) -> Option<IpAddr> {
    let bare = node.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(address, _)| address);
    node.parse()
        .ok()
        .or_else(|| node.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
        .or_else(|| bare?.parse().ok())
}

/// Elements of a list header, over all its lines, without the empty ones. Commas in quotes are kept; where a quote is not
/// closed, none is one: a client that opens it must not take in what a proxy wrote behind it.
fn elements(headers: &HeaderMap, name: &str) -> Vec<String> {
    let mut elements = Vec::new();
    for line in headers.get_all(name).iter().filter_map(|value| value.to_str().ok()) {
        let closed = line.bytes().filter(|byte| *byte == b'"').count().is_multiple_of(2);
        let mut quoted = false;
        let parts = line.split(|character| {
            quoted ^= closed && character == '"';
            character == ',' && !quoted
        });
        elements.extend(parts.map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned));
    }
    elements
}

fn parameters(element: &str) -> impl Iterator<Item = (&str, &str)> {
    element.split(';').filter_map(|pair| pair.split_once('=')).map(|(key, value)| (key.trim(), value.trim()))
}

fn unquote(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

/// Host and port and nothing else: no user, no path, nothing that a client could make a link of.
fn is_host(host: &str) -> bool {
    !host.contains('@')
        && host.parse::<Authority>().is_ok_and(|authority| !authority.host().is_empty())
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
}

#[cfg(test)]
#[path = "origin/tests.rs"]
mod tests;
