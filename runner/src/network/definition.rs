//! Networks as they were made: one file each.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::IpAddr,
    path::PathBuf,
};

use jiff::Timestamp;
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::{pool, subnet::Subnet};
use crate::{
    error::{Result, RunnerError, While},
    folders::Folders,
    record::files,
};

/// The network of containers that name none.
pub(crate) const DEFAULT: &str = "berth";

/// A network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Network {
    /// Its name.
    pub(crate) name: String,
    /// 64 hexadecimal digits.
    pub(crate) id: String,
    /// The bridge on the machine.
    pub(crate) interface: String,
    /// When it was made.
    pub(crate) created: Timestamp,
    /// Its addresses: at most one range of each version.
    pub(crate) ranges: Vec<Range>,
    /// Nothing leads out.
    pub(crate) internal: bool,
    /// Containers find each other by name.
    pub(crate) dns: bool,
    /// Labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// Options.
    pub(crate) options: Options,
}

/// A range of addresses of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Range {
    /// All its addresses.
    pub(crate) subnet: Subnet,
    /// The machine's address in it.
    pub(crate) gateway: IpAddr,
    /// Containers that ask for no address get one of these.
    pub(crate) leases: Option<Subnet>,
}

/// Options of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Options {
    /// Largest packet.
    pub(crate) mtu: Option<u32>,
    /// Nothing leads to or from other networks of ours.
    pub(crate) isolate: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { mtu: None, isolate: true }
    }
}

/// What `network create` was told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) subnets: Vec<Subnet>,
    pub(crate) gateways: Vec<IpAddr>,
    pub(crate) leases: Vec<Subnet>,
    pub(crate) ipv6: bool,
    pub(crate) internal: bool,
    pub(crate) no_dns: bool,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) options: Options,
    pub(crate) interface: Option<String>,
}

impl Network {
    /// The machine's addresses on it.
    pub(crate) fn gateways(&self) -> impl Iterator<Item = IpAddr> {
        self.ranges.iter().map(|range| range.gateway)
    }
}

/// All networks of one user.
#[derive(Clone, Debug)]
pub(crate) struct Networks {
    folder: PathBuf,
    run: PathBuf,
}

impl Networks {
    /// Those in the given folders.
    pub(crate) fn new(folders: &Folders) -> Self {
        Self { folder: folders.networks(), run: folders.run.clone() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }

    /// Every network, by name.
    pub(crate) fn all(&self) -> Result<Vec<Network>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).doing("reading", &self.folder),
        };
        let mut all = Vec::new();
        for entry in entries {
            let path = entry.doing("reading", &self.folder)?.path();
            if path.extension().is_some_and(|extension| extension == "json")
                && let Some(network) = files::read_json::<Network>(&path)?
            {
                all.push(network);
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// The network of this name, or of the id that begins so.
    ///
    /// # Errors
    /// [`RunnerError::NotFound`]; [`RunnerError::Conflict`] where the beginning fits several.
    pub(crate) fn find(&self, name: &str) -> Result<Network> {
        if files_name(name).is_ok()
            && let Some(network) = files::read_json(&self.path(name))?
        {
            return Ok(network);
        }
        let mut fitting: Vec<_> = self
            .all()?
            .into_iter()
            .filter(|network| !name.is_empty() && network.id.starts_with(name))
            .collect();
        match (fitting.pop(), fitting.is_empty()) {
            (Some(network), true) => Ok(network),
            (Some(_), false) => Err(RunnerError::Conflict(format!(
                "several networks have ids that begin with {name}: give more of it"
            ))),
            (None, _) => Err(RunnerError::NotFound(format!(
                "no network {name:?}: `berth-runner network ls` lists them, `berth-runner network create {name}` makes it"
            ))),
        }
    }

    /// The network of this name; the default one is made where it is not there. The caller holds the lock.
    pub(crate) fn find_or_default(&self, name: &str) -> Result<Network> {
        match self.find(name) {
            Err(RunnerError::NotFound(_)) if name == DEFAULT => {
                self.create(Wanted { name: DEFAULT.into(), no_dns: true, ..Wanted::default() })
            }
            answer => answer,
        }
    }

    /// Makes a network. The caller holds the lock.
    ///
    /// # Errors
    /// [`RunnerError::Conflict`] for a name, an interface or addresses that are taken; [`RunnerError::Usage`] for
    /// what contradicts itself.
    pub(crate) fn create(&self, wanted: Wanted) -> Result<Network> {
        files_name(&wanted.name)?;
        let others = self.all()?;
        if others.iter().any(|other| other.name == wanted.name) {
            return Err(RunnerError::Conflict(format!("there is a network {} already", wanted.name)));
        }
        let machine = pool::Machine::now()?;
        let ranges = pool::ranges(&wanted, &others, &machine, pool::offset(&self.run))?;
        let interface = match &wanted.interface {
            Some(name) => own_interface(name, &others, &machine)?,
            None => self.free_interface(&others, &machine),
        };
        let id: [u8; 32] = rand::rng().random();
        let network = Network {
            name: wanted.name,
            id: id.iter().map(|byte| format!("{byte:02x}")).collect(),
            interface,
            created: Timestamp::now(),
            ranges,
            internal: wanted.internal,
            dns: !wanted.no_dns,
            labels: wanted.labels,
            options: wanted.options,
        };
        files::private_folder(&self.folder)?;
        files::replace_json(&self.path(&network.name), &network, true)?;
        Ok(network)
    }

    /// Forgets a network.
    pub(crate) fn remove(&self, network: &Network) -> Result<()> {
        let path = self.path(&network.name);
        fs::remove_file(&path).doing("removing", &path)?;
        files::sync_folder(&self.folder)
    }

    fn free_interface(&self, others: &[Network], machine: &pool::Machine) -> String {
        let taken: BTreeSet<&str> = others
            .iter()
            .map(|other| other.interface.as_str())
            .chain(machine.interfaces.iter().map(String::as_str))
            .collect();
        let tag = pool::tag(&self.run);
        (0_u32..)
            .map(|n| format!("berth{tag}{n}"))
            .find(|name| !taken.contains(name.as_str()))
            .unwrap_or_default()
    }
}

fn own_interface(name: &str, others: &[Network], machine: &pool::Machine) -> Result<String> {
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty()
        || name.len() > 15
        || !name.chars().all(letters)
        || matches!(name, "." | ".." | "all" | "default")
    {
        return Err(RunnerError::Usage(format!(
            "--interface-name {name:?}: a name of an interface has 1 to 15 letters, digits, - _ or ."
        )));
    }
    if let Some(other) = others.iter().find(|other| other.interface == name) {
        return Err(RunnerError::Conflict(format!("interface {name} is that of network {}", other.name)));
    }
    if machine.interfaces.iter().any(|there| there == name) {
        return Err(RunnerError::Conflict(format!(
            "the machine has an interface {name} already: choose another name"
        )));
    }
    Ok(name.to_owned())
}

/// Whether a network may have this name.
pub(crate) fn files_name(name: &str) -> Result<()> {
    let rest = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let reserved = ["host", "none", "bridge", "container", "ns", "pasta", "slirp4netns", "private"];
    if name.len() <= 128
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(rest)
        && !reserved.contains(&name)
    {
        return Ok(());
    }
    Err(RunnerError::Usage(format!(
        "{name:?} is no name of a network: it begins with a letter or digit, goes on with letters, digits, _ . and - up \
         to 128, and is none of {}",
        reserved.join(", ")
    )))
}
