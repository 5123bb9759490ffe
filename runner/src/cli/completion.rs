//! `completion`: scripts for shells.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::output;
use crate::error::Result;

/// Write completions for a shell to standard output
///
///   berth-runner completion bash > /etc/bash_completion.d/berth-runner
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The shell
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::Cli::command(), "berth-runner", &mut script);
    output::raw(&script)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_know_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut super::super::Cli::command(), "berth-runner", &mut script);
            let script = String::from_utf8(script).unwrap();
            for command in super::super::Cli::command().get_subcommands() {
                let name = command.get_name();
                let known = script
                    .split(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c))
                    .any(|word| word == name);
                assert!(known, "{shell}: {name}");
            }
        }
    }
}
