//! `[data]`: the folder that everything is in which is not elsewhere.

use std::{env, path::PathBuf};

use super::section::{Keys, Section};

/// The data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// Its path.
    pub dir: PathBuf,
}

impl Default for Data {
    /// `/var/lib/berth` for root, the user's data folder for others, and `./berth` without either.
    fn default() -> Self {
        let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let dir = if rustix::process::geteuid().is_root() {
            PathBuf::from("/var/lib/berth")
        } else if let Some(data) = absolute("XDG_DATA_HOME") {
            data.join("berth")
        } else if let Some(home) = absolute("HOME") {
            home.join(".local/share/berth")
        } else {
            PathBuf::from("berth")
        };
        Self { dir }
    }
}

impl Section for Data {
    fn name(&self) -> &'static str {
        "data"
    }

    fn about(&self) -> &'static str {
        "What is kept on this machine: the embedded catalog, and blobs unless they are in a bucket."
    }

    fn keys(&mut self, keys: &mut dyn Keys) {
        keys.key("dir", "The folder. One process uses it at a time.", &mut self.dir);
    }
}
