//! Options of every command, and what they open.

use std::path::PathBuf;

use clap::Args;

use crate::{
    error::Result,
    folders::Folders,
    pairing,
    record::{Records, files::private_folder},
    rootless,
    store::Store,
};

/// Options before the command.
#[derive(Args, Clone, Debug)]
pub(crate) struct Globals {
    /// Folder of images, containers and volumes
    #[arg(long, global = true, value_name = "FOLDER", env = "BERTH_RUNNER_ROOT")]
    pub(crate) root: Option<PathBuf>,

    /// Folder of what runs
    #[arg(long, global = true, value_name = "FOLDER", env = "BERTH_RUNNER_RUNROOT")]
    pub(crate) runroot: Option<PathBuf>,

    /// Trust policy that images have to satisfy [default: ~/.config/containers/policy.json, /etc/containers/policy.json]
    #[arg(long, alias = "policy-file", global = true, value_name = "PATH", hide_short_help = true)]
    pub(crate) signature_policy: Option<PathBuf>,
}

/// What most commands need.
pub(crate) struct Context {
    /// The folders.
    pub(crate) folders: Folders,
    /// Containers.
    pub(crate) records: Records,
    /// Images.
    pub(crate) store: Store,
    /// `--signature-policy`: every way in asks it, or the usual one.
    pub(crate) signature_policy: Option<PathBuf>,
}

impl Globals {
    /// The folders alone, as the user who typed has them.
    pub(crate) fn folders(&self) -> Result<Folders> {
        Folders::of(rootless::real_uid(), self.root.clone(), self.runroot.clone())
    }

    /// The folders, where nothing of the user's namespace is needed.
    pub(crate) fn paired(&self) -> Result<Folders> {
        let mut folders = self.folders()?;
        if self.runroot.is_none() {
            pairing::follow(&mut folders)?;
        }
        private_folder(&folders.store)?;
        pairing::keep(&folders)?;
        Ok(folders)
    }

    /// Enters the user's namespace where there has to be one.
    pub(crate) fn enter(&self) -> Result<Folders> {
        let mut folders = self.folders()?;
        if self.runroot.is_none() {
            pairing::follow(&mut folders)?;
        }
        rootless::enter(&folders)?;
        Ok(folders)
    }

    /// The same, and opens everything.
    pub(crate) fn open(&self) -> Result<Context> {
        let folders = self.enter()?;
        let store = Store::open(&folders)?;
        pairing::keep(&folders)?;
        Ok(Context {
            records: Records::new(&folders),
            store,
            folders,
            signature_policy: self.signature_policy.clone(),
        })
    }
}
