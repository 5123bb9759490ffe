//! Where every program of this comparison runs: a mount namespace of their own, held by a sleeping process.
//!
//! crun, and podman with it, refuse a machine that offers control groups of both versions. There the tree of version 2
//! is taken out of sight, for all alike. What a program leaves mounted goes with the namespace.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::harness::{Daemon, DaemonSpec, Result, Scratch, Tool, find_tool};

const LIMIT: Duration = Duration::from_secs(30);
const SET: &str = "set";
/// Where the scratch folder is seen inside: podman takes no folder for its state whose path is longer than 50 bytes.
pub(super) const SHORT: &str = "/mnt";
const SECOND_TREE: &str = "/sys/fs/cgroup/unified";

/// The namespace.
#[derive(Debug)]
pub(super) struct Stage {
    enter: PathBuf,
    holder: Daemon,
    /// Whether a tree of control groups was taken out of sight.
    pub(super) hybrid: bool,
}

impl Stage {
    pub(super) fn set(scratch: &Scratch) -> Result<Self> {
        let hybrid = Path::new(SECOND_TREE).join("cgroup.controllers").exists();
        let hide = if hybrid { format!("umount {SECOND_TREE} && ") } else { String::new() };
        let script = format!("{hide}mount --bind \"$1\" {SHORT} && echo {SET} && exec sleep infinity");
        let folder = scratch.path().to_string_lossy();
        let words = ["--mount", "--propagation", "private", "--", "sh", "-c", &script, "sh", &folder];
        let mut argv = vec![find_tool("unshare")?.into_os_string()];
        argv.extend(words.map(OsString::from));
        let log = scratch.join("stage.log");
        let mut holder = DaemonSpec::new("stage", &log, argv).start()?;
        holder.wait_ready(LIMIT, || fs::read_to_string(&log).is_ok_and(|text| text.contains(SET)))?;
        Ok(Self { enter: find_tool("nsenter")?, holder, hybrid })
    }

    /// A program that starts inside.
    pub(super) fn tool(&self, program: &Path) -> Tool {
        let space = format!("--mount=/proc/{}/ns/mnt", self.holder.pid());
        Tool::at(&self.enter).args([OsString::from(space), "--".into(), program.into()])
    }
}
