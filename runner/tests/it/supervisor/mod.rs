//! Containers and their supervisors: the verbs, and what kills do.

mod kills;
mod pairing;
mod verbs;

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// Folders of one test with a root of busybox; dropped, everything in them is ended and removed.
pub(crate) struct Machine {
    folder: TempDir,
}

/// `None`, told in one line, where the test cannot run; in CI that is a failure.
pub(crate) fn machine() -> Option<Machine> {
    let busybox = Path::new("/bin/busybox");
    let why = if !rustix::process::geteuid().is_root() {
        "it needs root"
    } else if !busybox.exists() {
        "it needs /bin/busybox (busybox-static)"
    } else {
        let folder = tempfile::Builder::new().prefix("berth-runner-super-").tempdir().unwrap();
        let root = folder.path().join("rootfs");
        for name in ["bin", "proc", "sys", "dev", "tmp", "etc", "run", "root"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        fs::copy(busybox, root.join("bin/busybox")).unwrap();
        for name in [
            "sh", "true", "sleep", "echo", "cat", "seq", "id", "stty", "tty", "yes", "head", "kill", "touch",
            "stat", "truncate", "ls", "readlink", "dd", "mkdir", "ln", "rm",
        ] {
            symlink("busybox", root.join("bin").join(name)).unwrap();
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000::/:/bin/sh\n")
            .unwrap();
        return Some(Machine { folder });
    };
    assert!(std::env::var_os("CI").is_none(), "skipped in CI: {why}");
    eprintln!("skipped: {why}");
    None
}

impl Machine {
    /// The program with arguments, not started yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_berth-runner"));
        command.env("BERTH_RUNNER_ROOT", self.folder.path().join("store"));
        command.env("BERTH_RUNNER_RUNROOT", self.run_folder());
        command.args(arguments).stdin(Stdio::null());
        command
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn run_folder(&self) -> PathBuf {
        self.path("run")
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs it to its good end: its output.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// `run` with what every container here has, as arguments.
    pub(crate) fn arguments<'a>(
        &'a self,
        verb: &'a str,
        flags: &[&'a str],
        program: &[&'a str],
        root: &'a str,
    ) -> Vec<&'a str> {
        let rest = ["--network", "none", "--userns", "host", "--rootfs", root];
        [&[verb][..], flags, &rest, program].concat()
    }

    pub(crate) fn root(&self) -> String {
        self.folder.path().join("rootfs").display().to_string()
    }

    /// Runs a container in the foreground.
    pub(crate) fn foreground(&self, flags: &[&str], program: &[&str]) -> Output {
        self.run(&self.arguments("run", flags, program, &self.root()))
    }

    /// Starts one in the background: its id.
    pub(crate) fn background(&self, name: &str, flags: &[&str], program: &[&str]) -> String {
        let flags = [&["-d", "--name", name][..], flags].concat();
        self.ok(&self.arguments("run", &flags, program, &self.root()))
    }

    /// One field of `inspect`.
    pub(crate) fn inspect(&self, name: &str, field: &str) -> String {
        self.ok(&["inspect", "--format", &format!("{{{{{field}}}}}"), name])
    }

    /// Waits until `inspect` says so.
    pub(crate) fn until(&self, name: &str, field: &str, wanted: &str) {
        until(&format!("{field} of {name} is {wanted}"), || self.inspect(name, field) == wanted);
    }

    /// Nothing of any container is left: no process, mount, group or file.
    pub(crate) fn is_empty(&self) {
        assert_eq!(self.ok(&["ps", "--all", "--quiet"]), "");
        let here = self.folder.path().display().to_string();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&here), "{mounts}");
        for folder in ["containers", "runtime"] {
            let left: Vec<_> = fs::read_dir(self.run_folder().join(folder))
                .map(|entries| entries.map(|entry| entry.unwrap().file_name()).collect())
                .unwrap_or_default();
            let left: Vec<_> = left.iter().filter(|name| name.len() >= 64).collect();
            assert!(left.is_empty(), "{folder}: {left:?}");
        }
        assert_eq!(self.processes(), Vec::<String>::new());
    }

    /// Command lines of all processes that belong to these folders.
    pub(crate) fn processes(&self) -> Vec<String> {
        let here = self.folder.path().display().to_string();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            if !entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()) {
                continue;
            }
            // What it sees mounted: a container's root lies here.
            let mounts = fs::read_to_string(entry.path().join("mountinfo")).unwrap_or_default();
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            let environment = String::from_utf8_lossy(&environment).into_owned();
            let ours =
                environment.contains(&format!("BERTH_RUNNER_RUNROOT={here}")) || mounts.contains(&here);
            if ours {
                let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                if !line.is_empty() {
                    found.push(String::from_utf8_lossy(&line).replace('\0', " "));
                }
            }
        }
        found
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        crate::program::leave_nothing(|arguments| self.command(arguments));
    }
}

/// Waits for a condition, for half a minute at most.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "it never came to this: {what}");
        std::thread::yield_now();
    }
}

/// Kills a process by its number.
pub(crate) fn kill(pid: &str) {
    let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
