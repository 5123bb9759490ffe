//! `completion`: scripts for shells.

use berth_copier::Result;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Process;
use crate::cli::Cli;

/// Write shell completions to standard output
///
///     berth-copier completion bash > /etc/bash_completion.d/berth-copier
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Completion {
    /// The shell
    shell: Shell,
}

impl Completion {
    pub(crate) fn run(self, process: &Process) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "berth-copier", &mut script);
        process.output.raw(&script)
    }
}
