//! `man`: the manual pages.

use std::{
    io::{IsTerminal, stdout},
    path::PathBuf,
};

use clap::{Args, CommandFactory};

use super::output;
use crate::error::{Result, RunnerError, While};

/// Write the manual pages into a folder, one for each command; or this program's own page to standard output
///
///   berth-runner man --folder /usr/local/share/man/man1
///   berth-runner man | man -l -
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The folder; it is made if it is not there
    #[arg(long, short, visible_alias = "output", value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8> {
    let command = super::Cli::command();
    match &arguments.folder {
        Some(folder) => {
            std::fs::create_dir_all(folder).doing("making", folder)?;
            clap_mangen::generate_to(command, folder).doing("writing manual pages into", folder)?;
        }
        None if stdout().is_terminal() => {
            return Err(RunnerError::Usage(
                "a manual page's source is nothing for a terminal: say --folder FOLDER, or `berth-runner man | man \
                 -l -`"
                    .into(),
            ));
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page).doing("writing", "the manual page")?;
            output::raw(&page)?;
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_its_page() {
        let folder = tempfile::tempdir().unwrap();
        run(&Arguments { folder: Some(folder.path().join("man1")) }).unwrap();
        for command in super::super::Cli::command().get_subcommands().filter(|one| !one.is_hide_set()) {
            let page = folder.path().join(format!("man1/berth-runner-{}.1", command.get_name()));
            let text = std::fs::read_to_string(&page).unwrap_or_else(|error| panic!("{page:?}: {error}"));
            assert!(text.contains(".SH SYNOPSIS"), "{page:?}");
        }
        assert!(folder.path().join("man1/berth-runner.1").is_file());
        assert!(folder.path().join("man1/berth-runner-system-df.1").is_file(), "commands below a noun, too");
    }
}
