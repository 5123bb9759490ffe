//! The program under test, with folders of its own.

use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// Folders of one test, and the program in them.
pub(crate) struct Runner {
    folder: TempDir,
}

impl Runner {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::Builder::new().prefix("berth-runner-it-").tempdir().unwrap() }
    }

    /// The program with arguments, not started yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_berth-runner"));
        command.env("BERTH_RUNNER_ROOT", self.folder.path().join("store"));
        command.env("BERTH_RUNNER_RUNROOT", self.folder.path().join("run"));
        command.args(arguments);
        command
    }

    /// The folder of images and layers.
    pub(crate) fn store(&self) -> std::path::PathBuf {
        self.folder.path().join("store")
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        leave_nothing(|arguments| self.command(arguments));
    }
}

/// Ends and removes all containers of a test, and the bridges, rules and name servers of their networks. Called while
/// the test's folders are there, from which their names follow: another test program beside this one has others.
pub(crate) fn leave_nothing(command: impl Fn(&[&str]) -> Command) {
    for arguments in [&["rm", "--all", "--force", "--time", "0"][..], &["network", "reload"]] {
        // A test of an ordinary user has no networks to reload, and one that fails tells of that first.
        let _told_by_the_test = command(arguments).stdin(Stdio::null()).output();
    }
}

#[test]
fn doctor_tells_the_kernel() {
    let output = Runner::new().run(&["doctor"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("kernel "), "{output:?}");
}
