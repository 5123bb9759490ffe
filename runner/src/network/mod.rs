//! Networks: bridges of our own, addresses, published ports, names; `pasta` for ordinary users.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{
    error::{Result, RunnerError},
    folders::Folders,
    record::{Desired, Port},
};

/// What a container got, kept in `running/network.json` until it is taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attachment {
    /// One per network.
    pub(crate) links: Vec<Link>,
    /// Published ports, with those that were chosen.
    pub(crate) ports: Vec<Port>,
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

/// Chooses addresses and writes `hosts` and `resolv.conf` into `folders.running(id)`: before the container is created,
/// since both are mounted into it. What it decides is kept in `network.json`.
///
/// # Errors
/// [`RunnerError::NotFound`] for a network that is not there; [`RunnerError::Conflict`] for an address in use.
pub(crate) fn prepare(folders: &Folders, desired: &Desired) -> Result<Attachment> {
    let _ = (folders, desired);
    Err(RunnerError::Unsupported("networks are not built yet".into()))
}

/// Connects the network namespace of process `pid`, made but not started, and publishes ports.
///
/// # Errors
/// [`RunnerError::Conflict`] for a port in use, with the port; [`RunnerError::Unsupported`] with what is missing.
pub(crate) fn attach(folders: &Folders, desired: &Desired, attachment: &Attachment, pid: i32) -> Result<()> {
    let _ = (folders, desired, attachment, pid);
    Err(RunnerError::Unsupported("networks are not built yet".into()))
}

/// Takes everything back: addresses, interfaces, rules, helpers. Safe to repeat, also after a kill -9 at any step.
///
/// # Errors
/// Where something stays.
pub(crate) fn detach(folders: &Folders, desired: &Desired) -> Result<()> {
    let _ = (folders, desired);
    Ok(())
}
