//! A file system that breaks on purpose, seen by the server alone.
//!
//! It is mounted in a mount namespace of its own, which a sleeping process holds. When that process and the servers
//! in it are gone, the kernel unmounts it and lets go of its loop device, however the test ended.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::Result;
use crate::harness::{Daemon, DaemonSpec, HarnessError, Scratch, Tool, require, require_root};

const LIMIT: Duration = Duration::from_secs(30);
/// Between two looks at a busy device.
const PAUSE: Duration = Duration::from_millis(5);
const MOUNTED: &str = "mounted";
/// ext4 that writes nothing by itself for as long as a test runs, and does not repair what a program forgot.
const EXT4: &str = "loop,commit=600,noauto_da_alloc";

/// The namespace and what is mounted in it.
#[derive(Debug)]
pub struct Cell {
    // Before the folder that it is mounted on.
    holder: Daemon,
    at: PathBuf,
    image: Option<PathBuf>,
    _scratch: Scratch,
}

impl Cell {
    /// The programs it needs.
    pub const TOOLS: &[&str] = &["unshare", "nsenter", "mount", "losetup", "mkfs.ext4", "setpriv"];

    /// Whether this machine can have one; says so where it cannot, as [`require`] does.
    #[must_use]
    pub fn possible() -> bool {
        require_root() && require(Self::TOOLS)
    }

    /// A file system in memory that holds this many bytes.
    pub fn tmpfs(bytes: u64) -> Result<Self> {
        Self::hold(&["mount", "-t", "tmpfs", "-o", &format!("size={bytes},mode=755"), "none"], None)
    }

    /// The ext4 file system in this file.
    pub fn ext4(image: &Path) -> Result<Self> {
        let words = ["mount", "-t", "ext4", "-o", EXT4, &image.to_string_lossy()];
        Self::hold(&words, Some(image.to_owned()))
    }

    fn hold(mount: &[&str], image: Option<PathBuf>) -> Result<Self> {
        let scratch = Scratch::new("cell")?;
        let at = scratch.subfolder("mnt")?;
        let script = format!("\"$@\" && echo {MOUNTED} && exec sleep infinity");
        let mut argv: Vec<OsString> =
            ["unshare", "--mount", "--", "sh", "-c", &script, "sh"].map(Into::into).into();
        argv.extend(mount.iter().map(Into::into));
        argv.push(at.clone().into());
        let mut holder = DaemonSpec::new("mount", scratch.join("cell.log"), argv).start()?;
        let log = scratch.join("cell.log");
        holder.wait_ready(LIMIT, || fs::read_to_string(&log).is_ok_and(|text| text.contains(MOUNTED)))?;
        Ok(Self { holder, at, image, _scratch: scratch })
    }

    /// Where it is mounted, for processes inside.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.at
    }

    /// The words before a command that runs it inside.
    #[must_use]
    pub fn enter(&self) -> Vec<OsString> {
        let space = format!("--mount=/proc/{}/ns/mnt", self.holder.pid());
        vec!["nsenter".into(), space.into(), "--".into()]
    }

    /// Where a file inside is seen from outside.
    #[must_use]
    pub fn outside(&self, inside: &Path) -> PathBuf {
        let path = inside.strip_prefix("/").unwrap_or(inside);
        Path::new("/proc").join(self.holder.pid().to_string()).join("root").join(path)
    }

    /// Makes all of it durable: what a test does before the story begins.
    pub fn sync(&self) -> Result<()> {
        let [program, space, end] = &self.enter()[..] else { return Ok(()) };
        let tool = Tool::new(&program.to_string_lossy())?.args([space, end]);
        tool.args(["sync", "--file-system"]).arg(&self.at).run()?;
        Ok(())
    }

    /// Copies the device as it is at one moment: what a power failure now would leave. Those who write must have been
    /// stopped: the copy is made again until nothing was written while it was made.
    pub fn snapshot(&self, to: &Path) -> Result<()> {
        let image = self.image.as_ref().ok_or_else(|| HarnessError::Unexpected("no image".to_owned()))?;
        let writes = self.device()?;
        let begun = Instant::now();
        while begun.elapsed() < LIMIT {
            let before = fs::read_to_string(&writes)?;
            if in_flight(&before) != Some(0) {
                // A disk that others use as well may take its time.
                std::thread::sleep(PAUSE);
                continue;
            }
            Tool::new("cp")?.args(["--sparse=always", "--reflink=auto"]).args([image, to]).run()?;
            if before == fs::read_to_string(&writes)? {
                return Ok(());
            }
        }
        let last = fs::read_to_string(&writes)?;
        Err(HarnessError::Unexpected(format!("the device was never at rest: {last}")).into())
    }

    /// The file in which the kernel counts what the loop device did.
    fn device(&self) -> Result<PathBuf> {
        let image = self.image.as_ref().ok_or_else(|| HarnessError::Unexpected("no image".to_owned()))?;
        let said = Tool::new("losetup")?.args(["--noheadings", "--output", "NAME", "-j"]).arg(image).run()?;
        let name = said.trim().strip_prefix("/dev/").map(str::to_owned);
        let name = name.ok_or_else(|| HarnessError::Unexpected(format!("losetup: {said:?}")))?;
        Ok(Path::new("/sys/block").join(name).join("stat"))
    }
}

/// The ninth figure of a block device's `stat`: requests under way.
fn in_flight(stat: &str) -> Option<u64> {
    stat.split_whitespace().nth(8)?.parse().ok()
}

/// Makes an empty ext4 file system in a new, sparse file.
pub(super) fn make_ext4(image: &Path, bytes: u64) -> Result<()> {
    let file = fs::File::create(image)?;
    file.set_len(bytes)?;
    let now = "lazy_itable_init=0,lazy_journal_init=0,nodiscard";
    Tool::new("mkfs.ext4")?.args(["-q", "-F", "-m", "0", "-N", "16384", "-E", now]).arg(image).run()?;
    Ok(())
}

/// Waits until every thread of a process has stopped, and no call of it is under way in the kernel.
pub(super) fn wait_stopped(pid: u32) -> Result<()> {
    let stopped = || -> io::Result<bool> {
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let stat = fs::read_to_string(task?.path().join("stat"))?;
            if stat.rsplit_once(") ").is_none_or(|(_, rest)| !rest.starts_with(['T', 't'])) {
                return Ok(false);
            }
        }
        Ok(true)
    };
    let ended = crate::harness::until(LIMIT, || match stopped() {
        Ok(true) => Some(Ok(())),
        Ok(false) => None,
        Err(error) => Some(Err(error)),
    });
    let late = || HarnessError::Deadline { what: "the stop".to_owned(), after: LIMIT, log: String::new() };
    Ok(ended.ok_or_else(late)??)
}
