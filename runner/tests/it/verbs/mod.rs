//! Verbs, one file for those that belong together.

mod attach;
mod copying;
mod expected;
mod limits;
mod list;
mod logs;
mod service;
mod starting;
mod terminal;
mod watching;

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Stdio},
};

use crate::supervisor::Machine;

/// A command that goes on, whose lines are read one by one. Dropped, it is ended.
pub(crate) struct Going {
    pub(crate) child: Child,
    lines: BufReader<ChildStdout>,
}

impl Going {
    pub(crate) fn start(machine: &Machine, arguments: &[&str]) -> Self {
        let mut command = machine.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        Self { lines: BufReader::new(child.stdout.take().unwrap()), child }
    }

    /// The next line; empty at the end.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end_matches('\n').to_owned()
    }

    /// Lines up to the first that holds a text.
    pub(crate) fn up_to(&mut self, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        loop {
            let line = self.line();
            assert!(!line.is_empty(), "{text} never came, but {found:?}");
            found.push(line);
            if found.last().is_some_and(|line| line.contains(text)) {
                return found;
            }
        }
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Its number, once it has ended.
    pub(crate) fn code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Without a network, which needs nothing of the machine.
pub(crate) const NONE: [&str; 2] = ["--network", "none"];

/// A runner with the image `test:latest`: busybox, and folders to put the machine's programs into.
pub(crate) struct Image(pub(crate) crate::program::Runner);

impl Image {
    /// `None`, told in one line, where this is not root.
    pub(crate) fn new() -> Option<Self> {
        if !berth_conformance::harness::require_root() {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir(&root).unwrap();
        crate::bundle::image_root(&root);
        std::fs::create_dir(root.join("usr")).unwrap();
        for name in ["lib", "lib64"] {
            std::os::unix::fs::symlink(format!("usr/{name}"), root.join(name)).unwrap();
        }
        let tar = folder.path().join("image.tar");
        let mut command = std::process::Command::new("tar");
        assert!(command.arg("-C").arg(&root).arg("-cf").arg(&tar).arg(".").status().unwrap().success());
        let image = Self(crate::program::Runner::new());
        image.ok(&["import", "-q", tar.to_str().unwrap(), "test:latest"]);
        Some(image)
    }

    /// What it printed; it has to end well.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.0.command(arguments).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }
}
