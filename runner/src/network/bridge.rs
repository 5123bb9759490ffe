//! One container on bridges: from the record to interfaces, rules and names, and back.

use std::{io, os::fd::AsFd, sync::Mutex};

use berth_runtime::ContainerId;
use serde::{Deserialize, Serialize};

use super::{
    Attachment,
    definition::{DEFAULT, Network, Networks, Wanted},
    etc, forwarding,
    lease::{Held, Lease, Leases},
    names,
    netlink::Socket,
    nft, pool, port,
    process::Process,
    rules, unused,
    wire::{self, Defaults},
};
use crate::{
    error::{Result, RunnerError, While},
    folders::Folders,
    record::{Attach, Desired, NetworkMode, Records, files},
    rootless,
};

fn table_name(folders: &Folders) -> String {
    format!("berth_runner{}", pool::tag(&folders.run).trim_end_matches('-'))
}

fn route() -> Result<Socket> {
    Socket::route().doing("opening", "a socket for interfaces")
}

fn only_root() -> Result<()> {
    if rootless::real_uid() == 0 {
        return Ok(());
    }
    Err(RunnerError::Unsupported(
        "networks made with `network create` are bridges, which only root makes: an ordinary user's containers have \
         --network pasta, none or host, or share one with --network container:NAME"
            .into(),
    ))
}

/// See [`super::prepare`].
pub(super) fn prepare(folders: &Folders, desired: &Desired, wanted: &[Attach]) -> Result<Attachment> {
    only_root()?;
    let usual = [Attach { network: DEFAULT.into(), ..Attach::default() }];
    let wanted = if wanted.is_empty() { &usual } else { wanted };
    let holder = Process::own()
        .ok_or_else(|| RunnerError::Unsupported("/proc does not show this process: mount it".into()))?;
    let mut leases = Leases::open(folders)?;
    leases.remove(&desired.id)?;
    let store = Networks::new(folders);
    let mut networks: Vec<Network> = Vec::new();
    let mut links = Vec::new();
    for (number, wants) in wanted.iter().enumerate() {
        let network = store.find_or_default(&wants.network)?;
        if networks.iter().any(|other| other.name == network.name) {
            return Err(RunnerError::Usage(format!("--network {} is named twice", network.name)));
        }
        links.push(leases.choose(&network, &desired.id, wants, format!("eth{number}"))?);
        networks.push(network);
    }
    let (ports, held) = port::hold(&desired.network.ports, leases.all())?;
    let lease = Lease {
        id: desired.id.clone(),
        name: desired.name.clone(),
        holder,
        init: None,
        links,
        ports,
        dns: desired.network.dns.clone(),
    };
    if let Some(port) = lease.ports.iter().find(|port| rules::target(&lease, port.address).is_none()) {
        return Err(RunnerError::Usage(format!(
            "--publish {}:{}: the container's networks have no addresses of that version: publish on another address, \
             or make the network with --ipv6",
            port.address, port.host
        )));
    }
    etc::write(folders, desired, &etc::Surroundings::of(&lease, &networks))?;
    let attachment = Attachment { held, ..seen(&lease) };
    leases.put(lease)?;
    Ok(attachment)
}

fn seen(lease: &Lease) -> Attachment {
    let links = lease.links.iter().map(|held| held.link.clone()).collect();
    Attachment { links, ports: lease.ports.clone(), ..Attachment::default() }
}

fn networks_of(folders: &Folders, lease: &Lease) -> Result<Vec<Network>> {
    let store = Networks::new(folders);
    lease.links.iter().map(|held| store.find(&held.link.network)).collect()
}

fn lost(desired: &Desired) -> RunnerError {
    RunnerError::Conflict(format!("container {} has no addresses: start it again", desired.name))
}

/// See [`super::attach`].
pub(super) fn attach(folders: &Folders, desired: &Desired, pid: i32) -> Result<()> {
    let mut leases = Leases::open(folders)?;
    let mut lease = leases.of(&desired.id).cloned().ok_or_else(|| lost(desired))?;
    let networks = networks_of(folders, &lease)?;
    let container = wire::namespace(pid)?;
    // From now on the lease lives as long as the container.
    lease.init = Process::of(pid);
    leases.put(lease.clone())?;
    wire::loopback(container.as_fd())?;
    let mut socket = route()?;
    for (held, network) in lease.links.iter().zip(&networks) {
        let bridge = wire::bridge(&mut socket, network)?;
        let (defaults, published) = (defaults(&lease, &networks, held), !lease.ports.is_empty());
        wire::connect(&mut socket, bridge, network, held, container.as_fd(), defaults, published)?;
    }
    settle(folders, &leases, &mut socket, false)
}

/// Of several networks the first that leads out brings the default route, of each version.
fn defaults(lease: &Lease, networks: &[Network], held: &Held) -> Defaults {
    let first = |v6: bool| {
        let mut ends = lease.links.iter().zip(networks);
        let leads = |network: &Network| {
            !network.internal && network.gateways().any(|gateway| gateway.is_ipv6() == v6)
        };
        ends.find(|(_, network)| leads(network)).is_some_and(|(first, _)| first == held)
    };
    Defaults { v4: first(false), v6: first(true) }
}

/// The socket of the packet filter. It stays open until this process ends: closing one waits until the kernel has
/// taken replaced rules apart, which is longer than all else that is done here.
static FILTER: Mutex<Option<Socket>> = Mutex::new(None);

/// The table as it was last put in place.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct InPlace {
    handle: u64,
    fingerprint: u64,
}

/// Makes bridges, rules and name servers follow from the leases, whatever was before: those of networks that no
/// container is on any more go. `anew`: rules also where all is as it was left.
fn settle(folders: &Folders, leases: &Leases, socket: &mut Socket, anew: bool) -> Result<()> {
    let name = table_name(folders);
    let mut filter = FILTER.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let filter = match &mut *filter {
        Some(filter) => filter,
        none => none.insert(Socket::netfilter().doing("opening", "a socket for the packet filter")?),
    };
    let (used, unused): (Vec<Network>, Vec<Network>) =
        Networks::new(folders).all()?.into_iter().partition(|network| leases.uses(&network.name).is_some());
    let links = socket.links().doing("looking for", "bridges")?;
    for network in unused {
        if links.iter().any(|link| wire::is_bridge_of(&network, link)) {
            let bridge = &network.interface;
            socket.remove(bridge).doing("removing bridge", bridge)?;
        }
    }
    if used.is_empty() {
        nft::Table::remove(&name, filter).doing("removing the table of the packet filter", &name)?;
        return forwarding::close(folders);
    }
    let opened = forwarding::open(folders, &used, socket)?.opened;
    let table = rules::table(&name, &used, leases.all(), &opened);
    let note = folders.run.join("network").join("table.json");
    let fingerprint = table.fingerprint();
    let handle = nft::Table::handle(&name, filter).doing("reading the packet filter", &name)?;
    let there = handle.map(|handle| InPlace { handle, fingerprint });
    if anew || there.is_none() || there != files::read_json(&note)? {
        table.replace(filter).map_err(|error| refused(&name, error))?;
        if let Some(handle) = nft::Table::handle(&name, filter).doing("reading the packet filter", &name)? {
            files::replace_json(&note, &InPlace { handle, fingerprint }, false)?;
        }
    }
    let mut ports = leases.all().iter().flat_map(|lease| &lease.ports);
    let loopback = ports.any(|port| port.address.is_loopback() || port.address.is_unspecified());
    for network in &used {
        forwarding::bridge(network, loopback)?;
        if network.dns {
            names::ensure(folders, network)?;
        }
    }
    Ok(())
}

fn refused(table: &str, error: io::Error) -> RunnerError {
    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::Unsupported) {
        return RunnerError::Unsupported(format!(
            "the kernel's packet filter does not know what bridges need ({error}): it has to have nf_tables with nat, \
             masq, fib and ct; --network host and none do without"
        ));
    }
    RunnerError::Io { what: format!("replacing the table {table} of the packet filter"), source: error }
}

/// Makes everything follow from the leases, where nothing else is being done.
pub(super) fn settle_unused(folders: &Folders, leases: &Leases) -> Result<()> {
    settle(folders, leases, &mut route()?, false)
}

/// See [`super::detach`].
pub(super) fn detach(folders: &Folders, id: &ContainerId, later: bool) -> Result<()> {
    let mut leases = Leases::open(folders)?;
    let Some(lease) = leases.remove(id)? else {
        return if leases.reclaimed { settle(folders, &leases, &mut route()?, false) } else { Ok(()) };
    };
    // The interfaces go with the container's namespace; only where that lives on they are ours to remove.
    if lease.init.as_ref().is_some_and(Process::alive) {
        let mut socket = route()?;
        for held in &lease.links {
            socket.remove(&held.here).doing("removing interface", &held.here)?;
        }
    }
    // Published ports are free for other programs from now on: their rules do not wait.
    if later && lease.ports.is_empty() && !leases.reclaimed && unused::lives_on() {
        let in_use = lease.links.iter().all(|held| leases.uses(&held.link.network).is_some());
        if in_use || unused::take_away_later(folders).is_ok() {
            return Ok(());
        }
    }
    settle(folders, &leases, &mut route()?, false)
}

/// Containers on a network, by name.
pub(crate) fn users(folders: &Folders, network: &str) -> Result<Vec<(ContainerId, String, super::Link)>> {
    let mut users = Vec::new();
    for lease in super::lease::read(&super::lease::folder(folders))?.into_iter().filter(Lease::alive) {
        for held in lease.links.into_iter().filter(|held| held.link.network == network) {
            users.push((lease.id.clone(), lease.name.clone(), held.link));
        }
    }
    users.sort_by(|a, b| a.1.cmp(&b.1));
    Ok(users)
}

/// Connects a container with one more network: at once where it runs, and at each start.
///
/// # Errors
/// [`RunnerError::Conflict`] where it is connected, or has no networks of ours.
pub(crate) fn connect(folders: &Folders, name: &str, wants: Attach) -> Result<()> {
    only_root()?;
    let records = Records::new(folders);
    let mut desired = records.find(name)?;
    let mut leases = Leases::open(folders)?;
    let network = Networks::new(folders).find_or_default(&wants.network)?;
    let wants = Attach { network: network.name.clone(), ..wants };
    let list = bridges(&mut desired)?;
    if list.iter().any(|other| other.network == wants.network) {
        return Err(RunnerError::Conflict(format!(
            "container {name} is on network {} already",
            wants.network
        )));
    }
    list.push(wants.clone());
    if let Some((mut lease, init)) = running(&leases, &desired.id) {
        let free = (0_u32..).map(|n| format!("eth{n}"));
        let taken = |interface: &String| lease.links.iter().any(|held| held.link.interface == *interface);
        let interface = free.into_iter().find(|interface| !taken(interface)).unwrap_or_default();
        let held = leases.choose(&network, &desired.id, &wants, interface)?;
        lease.links.push(held.clone());
        leases.put(lease.clone())?;
        let networks = networks_of(folders, &lease)?;
        let mut socket = route()?;
        let bridge = wire::bridge(&mut socket, &network)?;
        let container = wire::namespace(init.pid)?;
        let defaults = defaults(&lease, &networks, &held);
        let published = !lease.ports.is_empty();
        let wired =
            wire::connect(&mut socket, bridge, &network, &held, container.as_fd(), defaults, published);
        if let Err(error) = wired {
            lease.links.pop();
            leases.put(lease)?;
            return Err(error);
        }
        settle(folders, &leases, &mut socket, false)?;
        tell(folders, &desired, &lease, &networks, init.pid)?;
    }
    // Records have a lock of their own; whoever holds it may wait for this one.
    drop(leases);
    records.replace(&desired)
}

/// Takes a container off a network: at once where it runs, and at each start.
///
/// # Errors
/// [`RunnerError::Conflict`] where it is not connected.
pub(crate) fn disconnect(folders: &Folders, network: &str, name: &str) -> Result<()> {
    only_root()?;
    let records = Records::new(folders);
    let mut desired = records.find(name)?;
    let mut leases = Leases::open(folders)?;
    let network = Networks::new(folders).find(network)?.name;
    let list = bridges(&mut desired)?;
    let before = list.len();
    list.retain(|other| other.network != network);
    if list.len() == before {
        return Err(RunnerError::Conflict(format!("container {name} is not on network {network}")));
    }
    if list.is_empty() {
        // An empty list is the default network at the next start.
        desired.network.mode = NetworkMode::None;
        desired.network.ports.clear();
    }
    if let Some((mut lease, init)) = running(&leases, &desired.id) {
        let mut socket = route()?;
        for held in lease.links.iter().filter(|held| held.link.network == network) {
            socket.remove(&held.here).doing("removing interface", &held.here)?;
        }
        lease.links.retain(|held| held.link.network != network);
        leases.put(lease.clone())?;
        settle(folders, &leases, &mut socket, false)?;
        let networks = networks_of(folders, &lease)?;
        let container = wire::namespace(init.pid)?;
        for held in &lease.links {
            wire::lead_out(held, container.as_fd(), defaults(&lease, &networks, held))?;
        }
        tell(folders, &desired, &lease, &networks, init.pid)?;
    }
    drop(leases);
    records.replace(&desired)
}

fn tell(folders: &Folders, desired: &Desired, lease: &Lease, networks: &[Network], init: i32) -> Result<()> {
    etc::rewrite(folders, desired, &etc::Surroundings::of(lease, networks), init)?;
    files::replace_json(&folders.running(&desired.id).join("network.json"), &seen(lease), false)
}

fn running(leases: &Leases, id: &ContainerId) -> Option<(Lease, Process)> {
    let lease = leases.of(id)?;
    let init = lease.init.clone().filter(Process::alive)?;
    Some((lease.clone(), init))
}

fn bridges(desired: &mut Desired) -> Result<&mut Vec<Attach>> {
    let name = desired.name.clone();
    match &mut desired.network.mode {
        NetworkMode::Bridge(list) => {
            if list.is_empty() {
                list.push(Attach { network: DEFAULT.into(), ..Attach::default() });
            }
            Ok(list)
        }
        _ => Err(RunnerError::Conflict(format!(
            "container {name} has no networks to connect or disconnect: it was created with --network host, none, \
             container:, ns: or pasta"
        ))),
    }
}

/// Makes a network and answers with its name; one that is there is none or an error, as `ignore` says.
///
/// # Errors
/// [`RunnerError::Conflict`] for what is taken; [`RunnerError::Usage`] for what contradicts itself.
pub(crate) fn create(folders: &Folders, mut wanted: Wanted, ignore: bool) -> Result<String> {
    only_root()?;
    // Making networks and giving out addresses exclude each other.
    let _leases = Leases::open(folders)?;
    let store = Networks::new(folders);
    let others = store.all()?;
    if wanted.name.is_empty() {
        let free = |name: &String| !others.iter().any(|other| other.name == *name);
        wanted.name = (1_u32..).map(|n| format!("network{n}")).find(free).unwrap_or_default();
    }
    if ignore && others.iter().any(|other| other.name == wanted.name) {
        return Ok(wanted.name);
    }
    store.create(wanted).map(|network| network.name)
}

/// Forgets a network; with `force` containers on it are taken off first.
///
/// # Errors
/// [`RunnerError::Conflict`] where containers are on it.
pub(crate) fn remove(folders: &Folders, name: &str, force: bool) -> Result<String> {
    let network = Networks::new(folders).find(name)?;
    let on = |desired: &Desired| match &desired.network.mode {
        NetworkMode::Bridge(list) => {
            list.iter().any(|attach| attach.network == network.name)
                || list.is_empty() && network.name == DEFAULT
        }
        _ => false,
    };
    let (records, _) = Records::new(folders).all()?;
    let users: Vec<_> = records.into_iter().filter(on).collect();
    if let (Some(user), false) = (users.first(), force) {
        return Err(RunnerError::Conflict(format!(
            "network {} is container {}'s: remove that one, `berth-runner network disconnect {} {}`, or --force",
            network.name, user.name, network.name, user.name
        )));
    }
    for user in users {
        disconnect(folders, &network.name, &user.name)?;
    }
    let leases = Leases::open(folders)?;
    if let Some(lease) = leases.uses(&network.name) {
        return Err(RunnerError::Conflict(format!(
            "network {} is in use by container {}",
            network.name, lease.name
        )));
    }
    let mut socket = route()?;
    if socket.links().doing("looking for", "bridges")?.iter().any(|link| wire::is_bridge_of(&network, link)) {
        socket.remove(&network.interface).doing("removing bridge", &network.interface)?;
    }
    Networks::new(folders).remove(&network)?;
    settle(folders, &leases, &mut socket, false)?;
    Ok(network.name)
}

/// Forgets all networks that no container is to be on, the default one excepted, and answers with their names.
///
/// # Errors
/// Where one stays.
pub(crate) fn prune(folders: &Folders) -> Result<Vec<String>> {
    let mut gone = Vec::new();
    for network in Networks::new(folders).all()?.into_iter().filter(|network| network.name != DEFAULT) {
        match remove(folders, &network.name, false) {
            Ok(name) => gone.push(name),
            Err(RunnerError::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(gone)
}

/// Makes everything anew that somebody else may have taken away (a firewall that was loaded again), and takes away
/// what nobody needs: bridges without containers, leases, rules and name servers of those that are gone.
///
/// # Errors
/// Where the kernel refuses.
pub(crate) fn reload(folders: &Folders) -> Result<()> {
    only_root()?;
    let leases = Leases::open(folders)?;
    let mut socket = route()?;
    for lease in leases.all() {
        let Some(init) = lease.init.as_ref().filter(|init| init.alive()) else { continue };
        let networks = networks_of(folders, lease)?;
        let container = wire::namespace(init.pid)?;
        for (held, network) in lease.links.iter().zip(&networks) {
            let bridge = wire::bridge(&mut socket, network)?;
            match socket.index(&held.here).doing("looking for interface", &held.here)? {
                Some(index) => socket.hang(index, bridge).doing("connecting interface", &held.here)?,
                None => {
                    let (defaults, published) = (defaults(lease, &networks, held), !lease.ports.is_empty());
                    wire::connect(
                        &mut socket,
                        bridge,
                        network,
                        held,
                        container.as_fd(),
                        defaults,
                        published,
                    )?;
                }
            }
        }
    }
    settle(folders, &leases, &mut socket, true)
}
