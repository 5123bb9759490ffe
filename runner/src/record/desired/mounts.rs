//! What a container has of the machine: mounts and devices.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Something mounted into the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mount {
    /// Where, absolute.
    pub(crate) destination: PathBuf,
    /// What.
    pub(crate) kind: MountKind,
    /// Not writable.
    pub(crate) read_only: bool,
    /// Other options of the mount, in the runtime specification's words.
    pub(crate) options: Vec<String>,
    /// `:U`: its files are given to the container's user at each start.
    #[serde(default)]
    pub(crate) chown: bool,
    /// `:z` and `:Z`: its files get an SELinux label, where SELinux is on.
    #[serde(default)]
    pub(crate) relabel: Option<Relabel>,
}

/// SELinux labels of mounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Relabel {
    /// `:z`: for all containers.
    Shared,
    /// `:Z`: for this one.
    Private,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MountKind {
    /// A path of the machine.
    Bind {
        /// The path, absolute.
        source: PathBuf,
    },
    /// A named volume; `anonymous` ones go with the container.
    Volume {
        /// Its name.
        name: String,
        /// Made for this container.
        anonymous: bool,
        /// What the image has at the destination is not copied into an empty volume.
        #[serde(default)]
        no_copy: bool,
        /// A folder of it, relative, in place of all of it.
        #[serde(default)]
        subpath: Option<PathBuf>,
    },
    /// Memory.
    Tmpfs {
        /// Its limit, bytes.
        size: Option<u64>,
        /// Mode of its root.
        mode: Option<u32>,
    },
    /// A secret, as a file.
    Secret {
        /// Its name.
        name: String,
        /// Owner in the container.
        uid: u32,
        /// Group in the container.
        gid: u32,
        /// Mode.
        mode: u32,
    },
}

/// A device of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Device {
    /// Its path on the machine.
    pub(crate) source: PathBuf,
    /// Its path in the container.
    pub(crate) destination: PathBuf,
    /// Some of `rwm`.
    pub(crate) access: String,
}
