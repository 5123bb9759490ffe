//! Running the command, for the tests of the command line.

use std::{
    path::Path,
    process::{Command, Output},
};

/// What a run of the command left.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The text of the last log line, unquoted.
    pub(crate) fn fatal(&self) -> String {
        let line = self.stderr.lines().last().unwrap_or_default();
        let (_, quoted) =
            line.split_once(" level=fatal msg=").unwrap_or_else(|| panic!("no fatal line: {}", self.stderr));
        serde_json::from_str(quoted).unwrap_or_else(|_| quoted.to_owned())
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The command with nothing of this machine's configuration: its home is `home`.
pub(crate) fn command(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_berth-copier"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", home).env("XDG_RUNTIME_DIR", home).env("TZ", "UTC").current_dir(home);
    command
}

/// Runs it to its end.
pub(crate) fn run(home: &Path, words: &[&str]) -> Ran {
    command(home).args(words).output().unwrap().into()
}
