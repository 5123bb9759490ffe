//! Networks: bridges of our own, addresses, published ports, names; `pasta` for ordinary users.
//!
//! | module | what it is |
//! |---|---|
//! | [`definition`], [`pool`], [`subnet`] | networks as they were made, and the addresses that they get |
//! | [`lease`], [`process`] | who has which address, and whether it still runs |
//! | [`netlink`], [`link`], [`wire`] | interfaces |
//! | [`nft`], [`rules`], [`forwarding`] | the packet filter, and which interfaces pass packets on |
//! | [`port`] | published ports, held |
//! | [`bridge`] | all that for one container: attach, detach, connect, reload |
//! | [`names`] | the name server of a network |
//! | [`etc`] | `hosts` and `resolv.conf` |
//! | [`pasta`] | networks of ordinary users |
//! | [`unused`] | bridges without containers, taken away behind one that ran in the foreground |
//! | [`alone`] | all of it without a container of ours: for a process that somebody else started |
//!
//! Everything that a crash can leave behind is either bound to the container's network namespace and goes with it, or
//! follows from the leases, which name the processes that they live with: the next operation sees that those are gone.

pub(crate) mod alone;
mod bridge;
mod definition;
mod etc;
mod forwarding;
pub(crate) mod fuzzing;
mod lease;
mod link;
pub(crate) mod names;
mod netlink;
mod nft;
pub(crate) mod pasta;
mod pool;
mod port;
mod process;
mod rules;
mod subnet;
pub(crate) mod unused;
mod wire;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub(crate) use bridge::{connect, create, disconnect, prune, reload, remove, users};
pub(crate) use definition::{DEFAULT, Network, Networks, Options, Wanted};
pub(crate) use lease::parse_mac;
pub(crate) use port::HeldPorts;
pub(crate) use subnet::Subnet;

use crate::{
    error::{Result, RunnerError},
    folders::Folders,
    record::{Desired, NetworkMode, Port, files},
};

/// What a container got, kept in `running/network.json` until it is taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attachment {
    /// One per network.
    pub(crate) links: Vec<Link>,
    /// Published ports, with those that were chosen.
    pub(crate) ports: Vec<Port>,
    /// Sockets that keep others from the ports. They are open as long as this value is: the supervisor keeps it until
    /// it detaches.
    #[serde(skip)]
    pub(crate) held: HeldPorts,
}

/// One end of one network in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    /// The network.
    pub(crate) network: String,
    /// Interface in the container, `eth0`.
    pub(crate) interface: String,
    /// Addresses with the length of their prefix.
    pub(crate) addresses: Vec<(IpAddr, u8)>,
    /// Gateways.
    pub(crate) gateways: Vec<IpAddr>,
    /// Hardware address.
    pub(crate) mac: String,
}

/// Chooses addresses, takes ports and writes `hosts` and `resolv.conf` into the container's own folder: before the container
/// is created, since both are mounted into it (`hosts` is not there with `--no-hosts`). What it decides is kept in
/// `network.json`.
///
/// To be called by the process that looks after the container: the ports are held by the answer, and addresses by the
/// life of this process until there is a container.
///
/// # Errors
/// [`RunnerError::NotFound`] for a network that is not there; [`RunnerError::Conflict`] for an address or a port in
/// use; [`RunnerError::Unsupported`] with what is missing.
pub(crate) fn prepare(folders: &Folders, desired: &Desired) -> Result<Attachment> {
    let wants = &desired.network;
    let attachment = match &wants.mode {
        NetworkMode::Bridge(wanted) => bridge::prepare(folders, desired, wanted)?,
        NetworkMode::Pasta(_) => pasta::prepare(folders, desired)?,
        // The machine's own ports are the container's; podman says nothing either.
        NetworkMode::Host => plain(folders, desired, Some(IpAddr::from([127, 0, 0, 1])))?,
        NetworkMode::None | NetworkMode::Container(_) | NetworkMode::Path(_) => {
            if let Some(port) = wants.ports.first() {
                return Err(RunnerError::Usage(format!(
                    "--publish {}: the container has no network of its own to publish from: leave --network out, or \
                     publish where the network is made",
                    port.host
                )));
            }
            plain(folders, desired, None)?
        }
    };
    let path = folders.running(&desired.id).join("network.json");
    files::replace_json(&path, &attachment, false)?;
    Ok(attachment)
}

fn plain(folders: &Folders, desired: &Desired, machine: Option<IpAddr>) -> Result<Attachment> {
    let surroundings = etc::Surroundings { machine, ..etc::Surroundings::default() };
    etc::write(folders, desired, &surroundings)?;
    Ok(Attachment::default())
}

/// Connects the network namespace of process `pid`, made but not started, and publishes ports.
///
/// # Errors
/// Where the kernel refuses; [`RunnerError::Unsupported`] with what is missing.
pub(crate) fn attach(folders: &Folders, desired: &Desired, attachment: &Attachment, pid: i32) -> Result<()> {
    match &desired.network.mode {
        NetworkMode::Bridge(_) => bridge::attach(folders, desired, pid),
        NetworkMode::Pasta(arguments) => pasta::attach(folders, desired, attachment, arguments, pid),
        NetworkMode::None => wire::loopback(std::os::fd::AsFd::as_fd(&wire::namespace(pid)?)),
        NetworkMode::Host | NetworkMode::Container(_) | NetworkMode::Path(_) => Ok(()),
    }
}

/// Holds the published ports of a container whose supervisor was killed, for the one that goes on with it.
///
/// # Errors
/// Where what was decided cannot be read.
pub(crate) fn hold_again(folders: &Folders, desired: &Desired) -> Result<HeldPorts> {
    if !matches!(desired.network.mode, NetworkMode::Bridge(_)) {
        // Of other networks the ports are another program's, which holds them.
        return Ok(HeldPorts::default());
    }
    let path = folders.running(&desired.id).join("network.json");
    let attachment: Option<Attachment> = files::read_json(&path)?;
    Ok(attachment.map_or_else(HeldPorts::default, |attachment| HeldPorts::again(&attachment.ports)))
}

/// Takes everything back: addresses, interfaces, rules, programs. Safe to repeat, also after a kill -9 at any step.
/// `later`: a bridge that no container is on any more may go when this process has ended.
///
/// # Errors
/// Where something stays.
pub(crate) fn detach(folders: &Folders, desired: &Desired, later: bool) -> Result<()> {
    match &desired.network.mode {
        NetworkMode::Bridge(_) => bridge::detach(folders, &desired.id, later),
        NetworkMode::Pasta(_) => pasta::detach(folders, &desired.id),
        NetworkMode::Host | NetworkMode::None | NetworkMode::Container(_) | NetworkMode::Path(_) => Ok(()),
    }
}
