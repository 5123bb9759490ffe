//! Images: what comes in, what is refused, what goes out.

mod archives;
mod containers;
mod hostile;
mod hostile_registry;
mod kills;
mod layout;
mod registry;
mod server;
mod shared;
mod stops;
mod user;
mod verbs;

use std::{path::Path, process::Output};

use crate::program::Runner;

/// Ends what a failed test left running.
struct Machine(Runner);

impl Drop for Machine {
    fn drop(&mut self) {
        let _gone = self.0.run(&["rm", "--all", "--force", "--time", "0"]);
    }
}

/// What a command printed on standard error.
fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a command printed on standard output, without the line's end.
fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// Runs a command that has to succeed; its standard output.
fn done(runner: &Runner, arguments: &[&str]) -> String {
    let output = runner.run(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    stdout(&output)
}

/// Runs a command that has to end with a number; its standard error.
fn refused(runner: &Runner, code: i32, arguments: &[&str]) -> String {
    let output = runner.run(arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    stderr(&output)
}

/// Nothing of an image is in the store: no image, no layer, no object, nothing half made; and `check` agrees.
fn assert_empty(runner: &Runner) {
    assert_eq!(done(runner, &["images", "--quiet"]), "");
    let store = runner.store();
    for folder in ["layers", "objects"] {
        let left = files(&store.join(folder));
        assert!(left.is_empty(), "{folder} has {left:?}");
    }
    let check = runner.run(&["check"]);
    assert!(check.status.success(), "{check:?}");
}

/// Files under a folder, which need not be there.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}
