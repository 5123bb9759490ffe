//! The networks and published ports of a container.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use berth_runtime::ContainerId;
use serde::{Deserialize, Serialize};

/// The network that the container gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NetworkWants {
    /// Which.
    pub(crate) mode: NetworkMode,
    /// Published ports.
    pub(crate) ports: Vec<Port>,
    /// Name servers in place of the machine's.
    pub(crate) dns: Vec<IpAddr>,
    /// Search domains.
    pub(crate) dns_search: Vec<String>,
    /// Options of resolv.conf.
    pub(crate) dns_options: Vec<String>,
    /// Lines for /etc/hosts; `None` is the machine as the container sees it (`host-gateway`).
    pub(crate) hosts: Vec<(String, Option<IpAddr>)>,
    /// /etc/hosts is the image's.
    pub(crate) no_hosts: bool,
}

/// Kinds of network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum NetworkMode {
    /// Networks of ours, by name; the first is the one that published ports lead to.
    Bridge(Vec<Attach>),
    /// pasta, for users; with more arguments for it.
    Pasta(Vec<String>),
    /// The machine's.
    Host,
    /// Loopback alone.
    None,
    /// Another container's.
    Container(ContainerId),
    /// A namespace by its path.
    Path(PathBuf),
}

/// How a container hangs on a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attach {
    /// The network's name.
    pub(crate) network: String,
    /// Names besides the container's own.
    pub(crate) aliases: Vec<String>,
    /// A fixed address.
    pub(crate) ip: Option<IpAddr>,
    /// A fixed hardware address.
    pub(crate) mac: Option<String>,
}

/// A published port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Port {
    /// Address on the machine: 127.0.0.1 unless another is named.
    pub(crate) address: IpAddr,
    /// Port on the machine; 0 is a free one, chosen at the start.
    pub(crate) host: u16,
    /// Port in the container.
    pub(crate) container: u16,
    /// Protocol.
    pub(crate) protocol: Protocol,
}

impl Port {
    /// Where ports are published unless an address is named.
    pub(crate) const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
}

/// Protocols of published ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}
