//! Options of every command, and what they open.

use std::path::PathBuf;

use clap::Args;

use crate::{error::Result, folders::Folders, record::Records, rootless, store::Store};

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

    /// Enters the user's namespace where there has to be one, and opens everything.
    pub(crate) fn open(&self) -> Result<Context> {
        let folders = self.folders()?;
        rootless::enter(&folders)?;
        Ok(Context {
            records: Records::new(&folders),
            store: Store::open(&folders)?,
            folders,
            signature_policy: self.signature_policy.clone(),
        })
    }
}
