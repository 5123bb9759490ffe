//! What is looked at: the machine, as the user who asks has it.

use std::path::{Path, PathBuf};

use berth_runtime::{Features, OverlayFeatures, probe_overlay};
use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink, socket_with};

use crate::{
    error::{Result, While},
    folders::Folders,
    network::pasta,
    rootless,
    supervisor::outside,
};

/// What was found. Everything that is judged is in it, so that judging needs no machine.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    /// What the kernel offers.
    pub(super) features: Features,
    /// Asked by root.
    pub(super) root: bool,
    /// Where the store is, or would be.
    pub(super) store: PathBuf,
    /// Mounts there can have the ids of a user namespace.
    pub(super) id_mapped: bool,
    /// What overlay can do there, or why it can do nothing.
    pub(super) overlay: Result<OverlayFeatures, String>,
    /// How many user and group ids the user's own namespace has, or why there is none. Of root: those of the machine.
    pub(super) ids: Result<(u32, u32), String>,
    /// What keeps containers from having a network, if something does.
    pub(super) no_network: Option<String>,
    /// Programs that run containers, found in PATH.
    pub(super) runtimes: Vec<outside::Found>,
}

/// The store itself where it is, or what will hold it.
fn nearest(store: &Path) -> &Path {
    store.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"))
}

/// Bridges need packet filters in the kernel; the program `nft` is not needed.
fn no_bridges() -> Option<String> {
    let filter = netlink::NETFILTER;
    socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(filter))
        .err()
        .map(|error| format!("the kernel has no packet filters (nf_tables): {error}"))
}

impl Machine {
    /// Looks. An ordinary user's namespace is entered, and stays so.
    pub(super) fn look(folders: &Folders) -> Result<Self> {
        let features = Features::probe(Path::new("/")).doing("reading", "/proc")?;
        let root = rustix::process::geteuid().is_root();
        let place = nearest(&folders.store).to_owned();
        let runtimes = outside::found();
        let no_network = if root { no_bridges() } else { pasta::missing() };
        let id_mapped = Features::id_mapped_mounts(&place).unwrap_or(false);
        // What an ordinary user can do is what can be done in the namespace: it is tried.
        let ids = rootless::enter(folders).map(|()| rootless::counts()).map_err(|error| error.to_string());
        let overlay = match &ids {
            Ok(_) => probe_overlay(&place).map_err(|error| error.to_string()),
            Err(_) => Err("cannot be tried without a user namespace".into()),
        };
        Ok(Self {
            features,
            root,
            store: folders.store.clone(),
            id_mapped,
            overlay,
            ids,
            no_network,
            runtimes,
        })
    }
}
