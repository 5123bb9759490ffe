//! The network.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use clap::{ArgAction, Args};

use super::{Choices, Surroundings, switch};
use crate::{
    network::parse_mac,
    record::{
        Attach, Desired, Namespace, NetworkMode, Port, Protocol,
        parse::{self, Faults, Parsed},
    },
};

/// Flags of the network.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Network")]
pub(crate) struct NetworkFlags {
    /// bridge, none, host, pasta, container:NAME, ns:PATH, or a network's name
    #[arg(long, visible_alias = "net", value_name = "NETWORK")]
    pub(crate) network: Vec<String>,
    /// A further name of it on its networks
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) network_alias: Vec<String>,
    /// A fixed address
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) ip: Option<Ipv4Addr>,
    /// A fixed address of version 6
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) ip6: Option<Ipv6Addr>,
    /// A fixed hardware address
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) mac_address: Option<String>,
    /// Publish a port; to 127.0.0.1 unless an address is named
    #[arg(short, long, value_name = "[[ADDRESS:]PORT:]PORT[/PROTOCOL]", value_delimiter = ',')]
    pub(crate) publish: Vec<String>,
    /// Publish all exposed ports on free ones
    #[arg(short = 'P', long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch, value_name = "BOOL", action = ArgAction::Set, default_value = "false", hide_default_value = true, hide_possible_values = true)]
    pub(crate) publish_all: bool,
    /// A port that the program serves
    #[arg(long, value_name = "PORT[/PROTOCOL]", value_delimiter = ',')]
    pub(crate) expose: Vec<String>,
    /// A name server in place of the machine's
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub(crate) dns: Vec<IpAddr>,
    /// A search domain
    #[arg(long, value_name = "DOMAIN", value_delimiter = ',')]
    pub(crate) dns_search: Vec<String>,
    /// An option of resolv.conf
    #[arg(long, visible_alias = "dns-opt", value_name = "OPTION", value_delimiter = ',')]
    pub(crate) dns_option: Vec<String>,
    /// A line of /etc/hosts: NAME:ADDRESS, or NAME:host-gateway
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    pub(crate) add_host: Vec<String>,
    /// Leave /etc/hosts as the image has it
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch, value_name = "BOOL", action = ArgAction::Set, default_value = "false", hide_default_value = true, hide_possible_values = true)]
    pub(crate) no_hosts: bool,
}

pub(super) fn mac(text: &str) -> Parsed<String> {
    // As it is read where the link is made.
    let bytes = parse_mac(text).map_err(|_| {
        format!("{text:?} is no hardware address of one machine, as 92:d0:c6:0a:29:33 is one")
    })?;
    Ok(bytes.map(|byte| format!("{byte:02x}")).join(":"))
}

/// Options after a network's name: `ip=,mac=,alias=`.
pub(super) fn options(attach: &mut Attach, text: &str) -> Parsed<()> {
    for word in text.split(',').filter(|word| !word.is_empty()) {
        match word.split_once('=') {
            Some(("ip" | "ip6", value)) => {
                attach.ip = Some(value.parse().map_err(|_| format!("ip={value}: is no address"))?);
            }
            Some(("mac", value)) => attach.mac = Some(mac(value)?),
            Some(("alias", value)) => attach.aliases.push(value.to_owned()),
            Some(("interface_name", _)) => return Err("interface_name is not built".into()),
            Some(_) | None => return Err(format!("{word:?} is none of ip=, mac= and alias=")),
        }
    }
    Ok(())
}

pub(super) fn host(text: &str) -> Parsed<(String, Option<IpAddr>)> {
    let (name, address) =
        text.split_once([':', '=']).ok_or_else(|| format!("{text:?} is no NAME:ADDRESS"))?;
    let legal = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if name.is_empty() || !name.chars().all(legal) {
        return Err(format!("{name:?} is no host's name"));
    }
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    match bare {
        "host-gateway" => Ok((name.to_owned(), None)),
        other => Ok((name.to_owned(), Some(other.parse().map_err(|_| format!("{other:?} is no address"))?))),
    }
}

impl NetworkFlags {
    fn mode(&self, surroundings: &Surroundings<'_>) -> Parsed<NetworkMode> {
        let mut attached: Vec<Attach> = Vec::new();
        let alone = |what: &str| {
            if self.network.len() > 1 { Err(format!("{what} goes with no other network")) } else { Ok(()) }
        };
        for text in &self.network {
            let (name, rest) = text.split_once(':').unwrap_or((text, ""));
            match name {
                "none" | "host" | "pasta" | "container" | "ns" | "private" | "" => alone(text)?,
                _ => {}
            }
            match name {
                "none" => return Ok(NetworkMode::None),
                "host" => return Ok(NetworkMode::Host),
                "pasta" => {
                    return Ok(NetworkMode::Pasta(
                        rest.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect(),
                    ));
                }
                "container" => {
                    return Ok(NetworkMode::Container(
                        surroundings.records.find(rest).map_err(|error| error.to_string())?.id,
                    ));
                }
                "ns" => return Ok(NetworkMode::Path(super::isolation::path(rest)?)),
                "slirp4netns" => return Err("slirp4netns is not built: pasta does the same".into()),
                "private" | "" => return Ok(surroundings.own_network()),
                "bridge" | "default" => {
                    let mut attach = Attach { network: crate::network::DEFAULT.into(), ..Attach::default() };
                    options(&mut attach, rest)?;
                    attached.push(attach);
                }
                name => {
                    crate::record::check_name(name).map_err(|error| error.to_string())?;
                    let mut attach = Attach { network: name.into(), ..Attach::default() };
                    options(&mut attach, rest)?;
                    attached.push(attach);
                }
            }
        }
        let repeated =
            attached.iter().map(|attach| &attach.network).collect::<BTreeSet<_>>().len() < attached.len();
        if repeated {
            return Err("one network is named twice".into());
        }
        Ok(if attached.is_empty() { surroundings.own_network() } else { NetworkMode::Bridge(attached) })
    }

    /// What is said of one network where there is only one.
    fn one_network(&self, mode: &mut NetworkMode, faults: &mut Faults) {
        let fixed = [("--ip", self.ip.map(IpAddr::from)), ("--ip6", self.ip6.map(IpAddr::from))];
        let mac = self.mac_address.as_deref().and_then(|text| faults.take("--mac-address", mac(text)));
        let asked =
            fixed.iter().any(|(_, ip)| ip.is_some()) || mac.is_some() || !self.network_alias.is_empty();
        if !asked {
            return;
        }
        let NetworkMode::Bridge(attached) = mode else {
            return faults.add("--ip, --ip6, --mac-address, --network-alias", "need a bridge network");
        };
        if attached.is_empty() {
            attached.push(Attach { network: crate::network::DEFAULT.into(), ..Attach::default() });
        }
        for attach in attached.iter_mut() {
            attach.aliases.extend(self.network_alias.iter().cloned());
        }
        match attached.as_mut_slice() {
            [one] => {
                if self.ip.is_some() && self.ip6.is_some() {
                    faults.add("--ip6", "beside --ip is not built: name one of them");
                }
                for ip in fixed.iter().filter_map(|(_, ip)| *ip) {
                    one.ip = Some(ip);
                }
                if mac.is_some() {
                    one.mac = mac;
                }
            }
            _ if fixed.iter().any(|(_, ip)| ip.is_some()) || mac.is_some() => {
                faults.add(
                    "--ip, --mac-address",
                    "say to which network: --network NAME:ip=ADDRESS,mac=ADDRESS",
                );
            }
            _ => {}
        }
    }

    pub(super) fn apply(
        &self,
        surroundings: &Surroundings<'_>,
        desired: &mut Desired,
        choices: &mut Choices,
        faults: &mut Faults,
    ) {
        let mut mode = faults.take("--network", self.mode(surroundings)).unwrap_or(NetworkMode::None);
        self.one_network(&mut mode, faults);
        let wants = &mut desired.network;
        for text in &self.publish {
            wants.ports.extend(faults.take("--publish", parse::ports(text)).unwrap_or_default());
        }
        for text in &self.expose {
            choices.exposed.extend(faults.take("--expose", parse::exposed(text)).unwrap_or_default());
        }
        choices.publish_all = self.publish_all;
        wants.dns.clone_from(&self.dns);
        wants.dns_search.clone_from(&self.dns_search);
        wants.dns_options.clone_from(&self.dns_option);
        wants.hosts = self.add_host.iter().filter_map(|text| faults.take("--add-host", host(text))).collect();
        wants.no_hosts = self.no_hosts;
        if self.no_hosts && !self.add_host.is_empty() {
            faults.add("--no-hosts", "and --add-host contradict each other");
        }
        let shared = match &mode {
            NetworkMode::None => Some("none"),
            NetworkMode::Host => Some("host"),
            NetworkMode::Container(_) => Some("container"),
            NetworkMode::Path(_) => Some("ns"),
            NetworkMode::Bridge(_) | NetworkMode::Pasta(_) => None,
        };
        if let Some(kind) = shared {
            if !self.publish.is_empty() || self.publish_all {
                faults.add("--publish", format!("with --network {kind} there is nothing to publish"));
            }
            if matches!(kind, "none" | "container")
                && !(self.dns.is_empty() && self.dns_search.is_empty() && self.dns_option.is_empty())
            {
                faults.add("--dns, --dns-search, --dns-option", format!("go with no --network {kind}"));
            }
        }
        if matches!(mode, NetworkMode::Host)
            && desired.isolation.uts == Namespace::Private
            && desired.process.hostname.is_none()
        {
            // Whoever is on the machine's network has the machine's name there.
            desired.process.hostname =
                Some(rustix::system::uname().nodename().to_string_lossy().into_owned());
        }
        desired.network.mode = mode;
    }
}

/// Ports that `--publish-all` publishes: those of the image and of `--expose`.
pub(super) fn publish_exposed(ports: &mut Vec<Port>, exposed: &[(u16, Protocol)]) {
    let exposed: BTreeSet<(u16, u8)> =
        exposed.iter().map(|(port, protocol)| (*port, *protocol as u8)).collect();
    for (container, protocol) in exposed {
        let protocol = match protocol {
            0 => Protocol::Tcp,
            1 => Protocol::Udp,
            _ => Protocol::Sctp,
        };
        if ports.iter().all(|port| (port.container, port.protocol) != (container, protocol)) {
            ports.push(Port { address: Port::ADDRESS, host: 0, container, protocol });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses_are_of_one_machine() {
        assert_eq!(mac("92:D0:c6-0a:29:33").as_deref(), Ok("92:d0:c6:0a:29:33"));
        for bad in [
            "",
            "92:d0:c6:0a:29",
            "93:d0:c6:0a:29:33",
            "zz:d0:c6:0a:29:33",
            "9:2:d0:c6:0a:29",
            "+2:d0:c6:0a:29:33",
            "00:00:00:00:00:00",
        ] {
            assert!(mac(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts_have_an_address_or_the_machines() {
        assert_eq!(host("db:10.0.0.7"), Ok(("db".into(), Some("10.0.0.7".parse().unwrap()))));
        assert_eq!(host("db:[::1]"), Ok(("db".into(), Some("::1".parse().unwrap()))));
        assert_eq!(host("me:host-gateway"), Ok(("me".into(), None)));
        for bad in ["db", "db:", ":1.2.3.4", "d b:1.2.3.4", "db:nope"] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn exposed_ports_are_published_once() {
        let mut ports = parse::ports("8080:80").unwrap();
        publish_exposed(&mut ports, &[(80, Protocol::Tcp), (53, Protocol::Udp), (53, Protocol::Udp)]);
        assert_eq!(ports.len(), 2);
        assert_eq!((ports[1].container, ports[1].host, ports[1].protocol), (53, 0, Protocol::Udp));
    }
}
