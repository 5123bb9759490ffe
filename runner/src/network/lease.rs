//! Who has which address: one file per container in the folder that a restart of the machine empties. Whoever reads
//! or writes them holds the lock of that folder, except the name servers, which only read.

use std::{
    collections::BTreeSet,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use berth_runtime::ContainerId;
use serde::{Deserialize, Serialize};

use super::{
    Link,
    definition::{Network, Range},
    pool,
    process::Process,
};
use crate::{
    error::{Result, RunnerError, While},
    folders::Folders,
    record::{Attach, Port, files},
};

/// What a container has of the networks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease {
    /// Whose it is.
    pub(crate) id: ContainerId,
    /// The container's name.
    pub(crate) name: String,
    /// Who took it. Until there is a container the lease lives as long as this process.
    pub(crate) holder: Process,
    /// The container's first process. From then on the lease lives as long as this one, or its holder.
    pub(crate) init: Option<Process>,
    /// The ends of networks.
    pub(crate) links: Vec<Held>,
    /// Published ports.
    pub(crate) ports: Vec<Port>,
    /// Name servers that the container asked for: its network's name server asks them.
    pub(crate) dns: Vec<IpAddr>,
}

/// One end of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    /// What the container sees.
    pub(crate) link: Link,
    /// The interface on the machine.
    pub(crate) here: String,
    /// Names besides the container's own.
    pub(crate) aliases: Vec<String>,
}

impl Lease {
    /// Whether somebody needs it still.
    pub(crate) fn alive(&self) -> bool {
        self.init.as_ref().is_some_and(Process::alive) || self.holder.alive()
    }
}

/// The leases of one user. Holding this is holding the lock.
#[derive(Debug)]
pub(crate) struct Leases {
    folder: PathBuf,
    _lock: fs::File,
    all: Vec<Lease>,
    /// Leases were given back for containers that are gone.
    pub(crate) reclaimed: bool,
}

/// Where leases lie.
pub(crate) fn folder(folders: &Folders) -> PathBuf {
    folders.run.join("network").join("leases")
}

/// Reads all leases.
pub(crate) fn read(folder: &Path) -> Result<Vec<Lease>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).doing("reading", folder),
    };
    let mut all = Vec::new();
    for entry in entries {
        let path = entry.doing("reading", folder)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            all.extend(files::read_json::<Lease>(&path)?);
        }
    }
    Ok(all)
}

/// Removes what was being written when its writer was killed; nobody writes without the lock.
fn sweep(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).doing("reading", folder)? {
        let entry = entry.doing("reading", folder)?;
        if entry.file_name().as_encoded_bytes().starts_with(b".new-") {
            fs::remove_file(entry.path()).doing("removing", entry.path())?;
        }
    }
    Ok(())
}

impl Leases {
    /// Waits for the lock, reads all leases and gives back those of containers that are gone.
    pub(crate) fn open(folders: &Folders) -> Result<Self> {
        let lock = files::lock(&folders.run.join("network"))?;
        let folder = folder(folders);
        files::private_folder(&folder)?;
        sweep(&folder)?;
        let mut leases = Self { all: read(&folder)?, folder, _lock: lock, reclaimed: false };
        let gone: Vec<_> =
            leases.all.iter().filter(|lease| !lease.alive()).map(|lease| lease.id.clone()).collect();
        leases.reclaimed = !gone.is_empty();
        for id in gone {
            leases.remove(&id)?;
        }
        Ok(leases)
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Lease] {
        &self.all
    }

    /// That of one container.
    pub(crate) fn of(&self, id: &ContainerId) -> Option<&Lease> {
        self.all.iter().find(|lease| lease.id == *id)
    }

    fn path(&self, id: &ContainerId) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    /// Writes a lease down, in place of the container's former one.
    pub(crate) fn put(&mut self, lease: Lease) -> Result<()> {
        files::replace_json(&self.path(&lease.id), &lease, false)?;
        self.all.retain(|other| other.id != lease.id);
        self.all.push(lease);
        Ok(())
    }

    /// Forgets a container's lease.
    pub(crate) fn remove(&mut self, id: &ContainerId) -> Result<Option<Lease>> {
        let path = self.path(id);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).doing("removing", &path);
            }
            Ok(()) | Err(_) => {}
        }
        let lease = self.of(id).cloned();
        self.all.retain(|other| other.id != *id);
        Ok(lease)
    }

    /// Whether a container is on a network.
    pub(crate) fn uses(&self, network: &str) -> Option<&Lease> {
        self.all.iter().find(|lease| lease.links.iter().any(|held| held.link.network == network))
    }

    fn taken(&self, network: &Network) -> BTreeSet<IpAddr> {
        let ends =
            self.all.iter().flat_map(|lease| &lease.links).filter(|held| held.link.network == network.name);
        ends.flat_map(|held| held.link.addresses.iter().map(|(address, _)| *address))
            .chain(network.gateways())
            .collect()
    }

    /// Chooses addresses on a network for a container; nothing is written yet.
    ///
    /// The search begins at a place that the container's id gives: a container that starts again gets the address
    /// that it had, and the address of one that ended is not the next one's.
    ///
    /// # Errors
    /// [`RunnerError::Conflict`] where a wanted address is taken, or all are; [`RunnerError::Usage`] for one that
    /// is not on the network.
    pub(crate) fn choose(
        &self,
        network: &Network,
        id: &ContainerId,
        wants: &Attach,
        interface: String,
    ) -> Result<Held> {
        let taken = self.taken(network);
        let mut addresses = Vec::new();
        for range in &network.ranges {
            let fixed = wants.ip.filter(|ip| range.subnet.contains(*ip));
            let address = match fixed {
                Some(ip) => self.fixed(network, range, ip, &taken)?,
                None => free(network, range, id, &taken)?,
            };
            addresses.push((address, range.subnet.prefix));
        }
        if let Some(ip) = wants.ip.filter(|ip| !addresses.iter().any(|(address, _)| address == ip)) {
            let ranges: Vec<_> = network.ranges.iter().map(|range| range.subnet.to_string()).collect();
            return Err(RunnerError::Usage(format!(
                "--ip {ip} is not on network {}: its addresses are {}",
                network.name,
                ranges.join(" and ")
            )));
        }
        let mac = match &wants.mac {
            Some(text) => parse_mac(text)?,
            None => own_mac(&addresses, id),
        };
        let key = format!("{}{addresses:?}", network.id);
        Ok(Held {
            here: format!("bv{:012x}", pool::hash(key.as_bytes()) & 0xffff_ffff_ffff),
            link: Link {
                network: network.name.clone(),
                interface,
                gateways: network.gateways().collect(),
                mac: mac.map(|byte| format!("{byte:02x}")).join(":"),
                addresses,
            },
            aliases: wants.aliases.clone(),
        })
    }

    fn fixed(
        &self,
        network: &Network,
        range: &Range,
        ip: IpAddr,
        taken: &BTreeSet<IpAddr>,
    ) -> Result<IpAddr> {
        if !range.subnet.usable(ip) {
            return Err(RunnerError::Usage(format!(
                "--ip {ip}: the first and the last address of {} are no container's",
                range.subnet
            )));
        }
        if ip == range.gateway {
            return Err(RunnerError::Conflict(format!(
                "{ip} is the machine's own address on network {}",
                network.name
            )));
        }
        if !taken.contains(&ip) {
            return Ok(ip);
        }
        let has = |lease: &&Lease| {
            let on = |held: &Held| {
                held.link.network == network.name && held.link.addresses.iter().any(|(a, _)| *a == ip)
            };
            lease.links.iter().any(on)
        };
        let who = self.all.iter().find(has).map_or("another", |lease| lease.name.as_str());
        Err(RunnerError::Conflict(format!("{ip} on network {} is that of container {who}", network.name)))
    }
}

fn free(network: &Network, range: &Range, id: &ContainerId, taken: &BTreeSet<IpAddr>) -> Result<IpAddr> {
    let from = range.leases.unwrap_or(range.subnet);
    let start = u128::from(pool::hash(id.as_str().as_bytes())) % from.size();
    // Of so many in a row one is free, where any is: those taken, and the ends of the range.
    let tries = from.size().min(taken.len() as u128 + 3);
    let usable = |address: &IpAddr| {
        range.subnet.usable(*address) && !taken.contains(address) && *address != range.gateway
    };
    (0..tries).filter_map(|n| from.nth((start + n) % from.size())).find(usable).ok_or_else(|| {
        RunnerError::Conflict(format!(
            "network {} has no free address in {from}: `berth-runner network create --subnet` makes a larger one",
            network.name
        ))
    })
}

/// The hardware address follows from the address: what neighbours remember of an address is true also of its next
/// owner.
fn own_mac(addresses: &[(IpAddr, u8)], id: &ContainerId) -> [u8; 6] {
    match addresses.iter().find_map(|(address, _)| match address {
        IpAddr::V4(address) => Some(address.octets()),
        IpAddr::V6(_) => None,
    }) {
        Some([a, b, c, d]) => [0x02, 0xbe, a, b, c, d],
        None => {
            let [a, b, c, d, ..] = pool::hash(id.as_str().as_bytes()).to_be_bytes();
            [0x06, 0xbe, a, b, c, d]
        }
    }
}

/// A hardware address as it is written.
pub(crate) fn parse_mac(text: &str) -> Result<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split([':', '-']);
    let digits = |part: &&str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
    let read = mac.iter_mut().all(|byte| {
        let part = parts.next().filter(digits).and_then(|part| u8::from_str_radix(part, 16).ok());
        part.is_some_and(|value| {
            *byte = value;
            true
        })
    });
    if !read || parts.next().is_some() || mac[0] & 1 != 0 || mac == [0; 6] {
        return Err(RunnerError::Usage(format!(
            "--mac-address {text:?} is no address of one interface: one is written like 02:be:0a:5a:00:07, and its \
             second digit is even"
        )));
    }
    Ok(mac)
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
