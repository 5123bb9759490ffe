//! `man`: the manual pages.

use std::path::PathBuf;

use berth_copier::{Error, Result};
use clap::{Args, CommandFactory};

use super::Process;
use crate::cli::Cli;

/// Write the manual pages into a folder, one for each command
///
///     berth-copier man --output /usr/local/share/man/man1
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Man {
    /// The folder; it is made if it is not there
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
}

impl Man {
    pub(crate) fn run(self, _process: &Process) -> Result<()> {
        std::fs::create_dir_all(&self.output).map_err(Error::file(&self.output))?;
        clap_mangen::generate_to(Cli::command(), &self.output).map_err(Error::file(&self.output))
    }
}
