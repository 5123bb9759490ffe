//! What a container shares: namespaces and ids.

use std::path::PathBuf;

use berth_runtime::ContainerId;
use serde::{Deserialize, Serialize};

/// What the container shares with others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Isolation {
    /// Processes.
    pub(crate) pid: Namespace,
    /// System V and POSIX queues, shared memory.
    pub(crate) ipc: Namespace,
    /// Host name.
    pub(crate) uts: Namespace,
    /// Control groups as seen.
    pub(crate) cgroup: Namespace,
    /// User and group ids.
    pub(crate) user: UserNamespace,
}

/// A namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Namespace {
    /// Its own.
    #[default]
    Private,
    /// The machine's.
    Host,
    /// Another container's.
    Container(ContainerId),
    /// That of a path.
    Path(PathBuf),
}

/// User namespaces, decided when the container is created: the ranges stay its own for its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum UserNamespace {
    /// The runner's own: the machine's for root, the user's for a user.
    Host,
    /// Its own, with these ids. Files on disk keep the image's ids; mounts are id-mapped.
    Private {
        /// User ids.
        uids: Vec<IdMap>,
        /// Group ids.
        gids: Vec<IdMap>,
    },
    /// Another container's.
    Container(ContainerId),
    /// That of a path.
    Path(PathBuf),
}

/// A range of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IdMap {
    /// First id in the container.
    pub(crate) container: u32,
    /// First id outside.
    pub(crate) host: u32,
    /// How many.
    pub(crate) size: u32,
}
