//! Which interfaces pass packets on. The machine-wide switch stays as it is: it would make a router of a machine that
//! is none. Interfaces that have to pass packets on for containers are noted down, and put back when the last
//! container has left.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{definition::Network, netlink::Socket};
use crate::{
    error::{Result, RunnerError, While},
    folders::Folders,
    record::files,
};

/// Switches that we changed, with the value before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Changed {
    switches: Vec<(PathBuf, String)>,
    /// Interfaces that are not ours and pass packets on because of us.
    pub(crate) opened: Vec<String>,
}

fn note(folders: &Folders) -> PathBuf {
    folders.run.join("network").join("forwarding.json")
}

fn switch(version: &str, interface: &str, name: &str) -> PathBuf {
    // A name of an interface may hold a dot, and is one folder here.
    Path::new("/proc/sys/net").join(version).join("conf").join(interface).join(name)
}

fn value(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// Sets a switch of this network namespace; one that stands so already is not written (it may be read-only).
pub(crate) fn set(path: &Path, wanted: &str) -> Result<()> {
    if value(path).as_deref() == Some(wanted) {
        return Ok(());
    }
    let write = || fs::File::options().write(true).open(path)?.write_all(wanted.as_bytes());
    write().map_err(|error: std::io::Error| {
        if error.kind() == std::io::ErrorKind::ReadOnlyFilesystem {
            return RunnerError::Unsupported(format!(
                "{} has to be {wanted} for a bridge and cannot be written here: mount /proc/sys writable, set it \
                 beforehand, or use --network host or none",
                path.display()
            ));
        }
        RunnerError::Io { what: format!("writing {wanted} to {}", path.display()), source: error }
    })
}

/// Lets the machine's other interfaces pass packets of these networks, which containers are on.
pub(crate) fn open(folders: &Folders, networks: &[Network], socket: &mut Socket) -> Result<Changed> {
    let before: Changed = files::read_json(&note(folders))?.unwrap_or_default();
    let mut changed = before.clone();
    let versions = |v6: bool| {
        networks
            .iter()
            .any(|n| !n.internal && n.ranges.iter().any(|range| range.subnet.address.is_ipv6() == v6))
    };
    let (ask, what) = ("reading", "addresses of interfaces");
    let links = socket.links().doing(ask, what)?;
    let addresses = socket.addresses().doing(ask, what)?;
    let ours: BTreeSet<&str> = networks.iter().map(|network| network.interface.as_str()).collect();
    let mut wanted = Vec::new();
    for (v6, version) in [(false, "ipv4"), (true, "ipv6")] {
        if !versions(v6) {
            continue;
        }
        for link in links.iter().filter(|link| !link.loopback && !ours.contains(link.name.as_str())) {
            let global = |address: std::net::IpAddr| match address {
                std::net::IpAddr::V4(_) => !v6,
                std::net::IpAddr::V6(address) => v6 && !address.is_unicast_link_local(),
            };
            if addresses.iter().any(|(index, subnet)| *index == link.index && global(subnet.address)) {
                wanted.push((version, link.name.clone()));
            }
        }
    }
    for (version, interface) in wanted {
        if let Some(path) = closed(version, &interface) {
            if !path.ends_with("all/forwarding") && !changed.opened.contains(&interface) {
                changed.opened.push(interface.clone());
            }
            changed.switches.push((path.clone(), "0".into()));
            if path.ends_with("all/forwarding") {
                keep_advertisements(&links, &mut changed);
            }
        }
    }
    if changed != before {
        // Noted first: a crash between leaves a note about nothing, never a change that nobody knows of.
        files::replace_json(&note(folders), &changed, false)?;
        for (path, _) in &changed.switches[before.switches.len()..] {
            set(path, if path.ends_with("accept_ra") { "2" } else { "1" })?;
        }
    }
    Ok(still_needed(changed))
}

/// The switch that keeps an interface from passing packets on, where one does.
fn closed(version: &str, interface: &str) -> Option<PathBuf> {
    if version == "ipv4" {
        return Some(switch(version, interface, "forwarding"))
            .filter(|path| value(path).as_deref() == Some("0"));
    }
    let all = switch(version, "all", "forwarding");
    if value(&all).as_deref() != Some("0") {
        return None;
    }
    // Since Linux 6.17 an interface can be opened alone.
    let alone = switch(version, interface, "force_forwarding");
    match value(&alone).as_deref() {
        Some("0") => Some(alone),
        Some(_) => None,
        None => Some(all),
    }
}

/// A machine that passes packets on ignores the advertisements by which it may have its own way out.
fn keep_advertisements(links: &[super::link::Found], changed: &mut Changed) {
    for link in links {
        let path = switch("ipv6", &link.name, "accept_ra");
        if value(&path).as_deref() == Some("1") {
            changed.switches.push((path, "1".into()));
        }
    }
}

/// Where the machine is a router by now, by somebody else's word, what passes is not ours to say.
fn still_needed(mut changed: Changed) -> Changed {
    if value(&switch("ipv4", "all", "forwarding")).as_deref() == Some("1") {
        changed.opened.clear();
    }
    changed
}

/// Lets a bridge of ours pass packets. `loopback`: a port is published on 127.0.0.1, whose answers come by the bridge;
/// the packet filter has to keep all else from there already.
pub(crate) fn bridge(network: &Network, loopback: bool) -> Result<()> {
    let bridge = &network.interface;
    for range in &network.ranges {
        if range.subnet.address.is_ipv4() {
            if !network.internal {
                set(&switch("ipv4", bridge, "forwarding"), "1")?;
            }
            if loopback {
                set(&switch("ipv4", bridge, "route_localnet"), "1")?;
            }
        } else {
            set(&switch("ipv6", bridge, "accept_ra"), "0")?;
            let alone = switch("ipv6", bridge, "force_forwarding");
            if !network.internal && value(&alone).is_some() {
                set(&alone, "1")?;
            }
        }
    }
    Ok(())
}

/// Puts back what was changed: no container is left.
pub(crate) fn close(folders: &Folders) -> Result<()> {
    let Some(changed) = files::read_json::<Changed>(&note(folders))? else { return Ok(()) };
    let router = value(&switch("ipv4", "all", "forwarding")).as_deref() == Some("1");
    for (path, before) in changed.switches.iter().rev() {
        let others = router && path.starts_with("/proc/sys/net/ipv4");
        // An interface that is gone has nothing to be put back.
        if !others && path.exists() {
            set(path, before)?;
        }
    }
    let path = note(folders);
    fs::remove_file(&path).doing("removing", &path)
}
