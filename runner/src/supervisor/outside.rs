//! Another runtime by its OCI command line: runc, crun, runsc, kata.
//!
//! Its containers' first processes are orphans of its `create`: the caller has to be a child subreaper to be their
//! parent.

use std::{
    env,
    ffi::OsString,
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use berth_runtime::{ContainerId, RuntimeError, Started, Stats};
use oci_spec::runtime::{LinuxResources, Process};
use rustix::{
    net::{
        AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen,
        socket_with,
    },
    process::{Pid, PidfdFlags, pidfd_open, set_child_subreaper},
};

use super::{engine::Ends, parcel};
use crate::{
    environment,
    error::{Result, RunnerError, While},
    folders::Folders,
    record::files,
};

/// Set to run containers with a runtime whose escapes are known.
pub(crate) const OVERRIDE: &str = "BERTH_RUNNER_UNSAFE_RUNTIME";

/// A runtime's program.
#[derive(Debug)]
pub(crate) struct Outside {
    program: PathBuf,
    root: PathBuf,
}

/// Versions of runc that a hostile image can leave (masked paths, /dev/console and procfs writes redirected).
fn is_unsafe_runc(version: (u32, u32, u32)) -> bool {
    match version {
        (0, _, _) | (1, 0 | 1, _) => true,
        (1, 2, patch) => patch < 8,
        (1, 3, patch) => patch < 3,
        _ => false,
    }
}

/// The version in `runc version 1.1.5+ds1`; a candidate for a release (`1.4.0-rc.1`) counts as the release before.
pub(crate) fn runc_version(text: &str) -> Option<(u32, u32, u32)> {
    let text = text.lines().next()?.strip_prefix("runc version ")?;
    let candidate = text.contains("-rc");
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    let version = (numbers.next()?, numbers.next()?, numbers.next()?);
    Some(match version {
        (major, minor, 0) if candidate && minor > 0 => (major, minor - 1, 0),
        other => other,
    })
}

/// A runtime that is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its program.
    pub(crate) program: PathBuf,
    /// The first line of what it says of its version.
    pub(crate) version: String,
    /// Containers can leave it, by faults that are known.
    pub(crate) escapes: bool,
}

impl Found {
    /// By what `--version` says.
    pub(crate) fn new(program: PathBuf, said: &str) -> Self {
        Self {
            program,
            version: said.lines().next().unwrap_or_default().trim().to_owned(),
            escapes: runc_version(said).is_some_and(is_unsafe_runc),
        }
    }
}

/// Other runtimes in PATH: those that `--runtime` is mostly given.
pub(crate) fn found() -> Vec<Found> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut all = Vec::new();
    for name in ["crun", "runc", "youki", "runsc", "kata-runtime"] {
        let places = env::split_paths(&path).map(|folder| folder.join(name));
        let Some(program) = places.into_iter().find(|program| program.is_file()) else { continue };
        // One that does not say its version is there nevertheless.
        let said = program_alone(&program).arg("--version").stdin(Stdio::null()).output();
        let said = said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned()).unwrap_or_default();
        all.push(Found::new(program, &said));
    }
    all
}

/// The program, with nothing of the caller's environment but what runtimes look for.
fn program_alone(program: &Path) -> Command {
    let mut command = Command::new(program);
    environment::of_another(&mut command);
    command
}

impl Outside {
    pub(crate) fn new(program: &Path, folders: &Folders) -> Self {
        let name =
            program.file_name().map_or_else(|| "runtime".into(), |name| name.to_string_lossy().into_owned());
        Self { program: program.to_owned(), root: folders.run.join(format!("runtime-{name}")) }
    }

    fn command(&self) -> Command {
        let mut command = program_alone(&self.program);
        command.arg("--root").arg(&self.root).stdin(Stdio::null());
        command
    }

    fn run(&self, command: &mut Command) -> Result<Output> {
        let output = command.output().doing("running", &self.program)?;
        if output.status.success() {
            return Ok(output);
        }
        Err(self.failed(&String::from_utf8_lossy(&output.stderr)))
    }

    /// The runtime's own words, as the error that they mean.
    fn failed(&self, said: &str) -> RunnerError {
        let said = said.trim();
        let program = || self.program.display().to_string();
        let kind = if said.contains("executable file not found") || said.contains("No such file or directory")
        {
            Some(io::ErrorKind::NotFound)
        } else if said.contains("permission denied") || said.contains("Permission denied") {
            Some(io::ErrorKind::PermissionDenied)
        } else {
            None
        };
        match kind {
            Some(kind) => RunnerError::Runtime(RuntimeError::Exec {
                program: program(),
                source: io::Error::new(kind, said.to_owned()),
            }),
            None => RunnerError::Unsupported(format!("{}: {said}", program())),
        }
    }

    /// Refuses a runc that containers can leave.
    fn check(&self) -> Result<()> {
        if env::var_os(OVERRIDE).is_some() {
            return Ok(());
        }
        let output =
            program_alone(&self.program).arg("--version").output().doing("running", &self.program)?;
        let Some((major, minor, patch)) = runc_version(&String::from_utf8_lossy(&output.stdout)) else {
            return Ok(());
        };
        if is_unsafe_runc((major, minor, patch)) {
            return Err(RunnerError::Unsupported(format!(
                "{} is runc {major}.{minor}.{patch}, which containers can leave (CVE-2025-31133, CVE-2025-52565, \
                 CVE-2025-52881): install 1.2.8, 1.3.3, 1.4.0 or later, leave --runtime away, or set {OVERRIDE}=1",
                self.program.display()
            )));
        }
        Ok(())
    }

    pub(crate) fn create(
        &self,
        id: &ContainerId,
        bundle: &Path,
        ends: Ends<'_>,
        preserve_fds: u32,
    ) -> Result<Started> {
        self.check()?;
        let mut arguments = vec![OsString::from("create"), "--bundle".into(), bundle.into()];
        if preserve_fds > 0 {
            arguments.extend(["--preserve-fds".into(), preserve_fds.to_string().into()]);
        }
        self.launch(&arguments, id, ends)
    }

    /// Runs `create` or `exec --detach`: the process that it leaves becomes ours.
    fn launch(&self, arguments: &[OsString], id: &ContainerId, ends: Ends<'_>) -> Result<Started> {
        set_child_subreaper(Some(rustix::process::getpid()))
            .doing("becoming the parent for", &self.program)?;
        files::private_folder(&self.root)?;
        let folder = tempfile::Builder::new()
            .prefix(".launch-")
            .tempdir_in(&self.root)
            .doing("writing into", &self.root)?;
        let pid_file = folder.path().join("pid");
        let errors = folder.path().join("errors");
        let mut command = self.command();
        // What goes wrong is said there: standard error is the container's.
        command.arg("--log").arg(&errors).args(arguments).arg("--pid-file").arg(&pid_file);
        let console = match ends {
            Ends::Terminal => {
                let path = folder.path().join("console");
                let socket = console_socket(&path)?;
                command.arg("--console-socket").arg(&path).stdout(Stdio::null()).stderr(Stdio::null());
                Some(socket)
            }
            Ends::Files(files) => {
                let [input, output, error] = files.map(|file| file.try_clone_to_owned());
                command.stdin(input.doing("handing on", "standard input")?);
                command.stdout(output.doing("handing on", "standard output")?);
                command.stderr(error.doing("handing on", "standard error")?);
                None
            }
        };
        command.arg(id.as_str());
        let status = command.status().doing("running", &self.program)?;
        if !status.success() {
            let said = fs::read_to_string(&errors).ok().filter(|said| !said.trim().is_empty());
            let said = said.unwrap_or_else(|| format!("ended with {status}"));
            return Err(self.failed(&said));
        }
        let terminal =
            console.map(|socket| receive_console(&socket)).transpose().doing("running", &self.program)?;
        let text = fs::read_to_string(&pid_file).doing("reading", &pid_file)?;
        let pid = text.trim().parse().ok().and_then(Pid::from_raw).ok_or_else(|| {
            RunnerError::Unsupported(format!("{} wrote no process id: {text:?}", self.program.display()))
        })?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).doing("opening the process of", &self.program)?;
        Ok(Started { pid: pid.as_raw_nonzero().get(), pidfd, terminal })
    }

    pub(crate) fn start(&self, id: &ContainerId) -> Result<()> {
        self.run(self.command().arg("start").arg(id.as_str())).map(drop)
    }

    pub(crate) fn kill(&self, id: &ContainerId, signal: i32, all: bool) -> Result<()> {
        let mut command = self.command();
        command.arg("kill");
        if all {
            command.arg("--all");
        }
        self.run(command.arg(id.as_str()).arg(signal.to_string())).map(drop)
    }

    pub(crate) fn delete(&self, id: &ContainerId) -> Result<()> {
        if !self.root.join(id.as_str()).exists() {
            return Ok(());
        }
        self.run(self.command().arg("delete").arg("--force").arg(id.as_str())).map(drop)
    }

    pub(crate) fn is_paused(&self, id: &ContainerId) -> bool {
        let state = self.run(self.command().arg("state").arg(id.as_str()));
        let state = state.ok().and_then(|out| serde_json::from_slice::<serde_json::Value>(&out.stdout).ok());
        state.is_some_and(|state| state["status"] == "paused")
    }

    pub(crate) fn freeze(&self, id: &ContainerId, frozen: bool) -> Result<()> {
        let verb = if frozen { "pause" } else { "resume" };
        self.run(self.command().arg(verb).arg(id.as_str())).map(drop)
    }

    pub(crate) fn update(&self, id: &ContainerId, resources: &LinuxResources) -> Result<()> {
        files::private_folder(&self.root)?;
        let folder = tempfile::tempdir_in(&self.root).doing("writing into", &self.root)?;
        let path = folder.path().join("resources.json");
        files::replace_json(&path, resources, false)?;
        self.run(self.command().arg("update").arg("--resources").arg(path).arg(id.as_str())).map(drop)
    }

    pub(crate) fn stats(&self, id: &ContainerId) -> Result<Stats> {
        let output = self.run(self.command().arg("events").arg("--stats").arg(id.as_str()))?;
        let said: serde_json::Value = serde_json::from_slice(&output.stdout)
            .map_err(|error| RunnerError::Content(format!("{} events: {error}", self.program.display())))?;
        let number = |path: &str| said.pointer(path).and_then(serde_json::Value::as_u64).unwrap_or_default();
        let limit = |path: &str| Some(number(path)).filter(|limit| (1..1 << 62).contains(limit));
        Ok(Stats {
            cpu_usec: number("/data/cpu/usage/total") / 1000,
            cpu_user_usec: number("/data/cpu/usage/user") / 1000,
            cpu_system_usec: number("/data/cpu/usage/kernel") / 1000,
            cpu_throttled_periods: number("/data/cpu/throttling/throttledPeriods"),
            memory_bytes: number("/data/memory/usage/usage"),
            memory_limit_bytes: limit("/data/memory/usage/limit"),
            memory_peak_bytes: limit("/data/memory/usage/max"),
            pids: number("/data/pids/current"),
            pids_limit: limit("/data/pids/limit"),
            ..Stats::default()
        })
    }

    pub(crate) fn processes(&self, id: &ContainerId) -> Result<Vec<i32>> {
        let output = self.run(self.command().args(["ps", "--format", "json"]).arg(id.as_str()))?;
        serde_json::from_slice(&output.stdout)
            .map_err(|error| RunnerError::Content(format!("{} ps: {error}", self.program.display())))
    }

    pub(crate) fn exec(
        &self,
        id: &ContainerId,
        process: &Process,
        ends: Ends<'_>,
        preserve_fds: u32,
    ) -> Result<Started> {
        files::private_folder(&self.root)?;
        let folder = tempfile::tempdir_in(&self.root).doing("writing into", &self.root)?;
        let path = folder.path().join("process.json");
        files::replace_json(&path, process, false)?;
        let mut arguments = vec![OsString::from("exec"), "--detach".into(), "--process".into(), path.into()];
        if preserve_fds > 0 {
            arguments.extend(["--preserve-fds".into(), preserve_fds.to_string().into()]);
        }
        self.launch(&arguments, id, ends)
    }
}

/// A socket at which a runtime hands over the master of a terminal.
fn console_socket(path: &Path) -> Result<OwnedFd> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .doing("making a socket at", path)?;
    let address = SocketAddrUnix::new(path).doing("making a socket at", path)?;
    bind(&socket, &address).doing("making a socket at", path)?;
    listen(&socket, 1).doing("making a socket at", path)?;
    Ok(socket)
}

fn receive_console(socket: &OwnedFd) -> io::Result<OwnedFd> {
    let connection = accept_with(socket.as_fd(), SocketFlags::CLOEXEC)?;
    let mut name = [0; 4096];
    let (_, fds) = parcel::receive_into(&connection, &mut name, RecvFlags::empty())?;
    fds.into_iter().next().ok_or_else(|| io::Error::other("no terminal came over the console socket"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn u18_versions_of_runc_with_known_escapes_are_told() {
        for (text, bad) in [
            ("runc version 1.1.5+ds1\ncommit: x", true),
            ("runc version 1.2.7", true),
            ("runc version 1.2.8", false),
            ("runc version 1.3.2", true),
            ("runc version 1.3.3", false),
            ("runc version 1.4.0-rc.2", true),
            ("runc version 1.4.0", false),
            ("runc version 1.0.0-rc93", true),
        ] {
            assert_eq!(is_unsafe_runc(runc_version(text).unwrap()), bad, "{text}");
        }
        assert_eq!(runc_version("crun version 1.8.1"), None);
    }

    #[test]
    fn what_a_runtime_says_is_the_error_that_it_means() {
        let outside = Outside { program: "/usr/bin/runc".into(), root: "/nowhere".into() };
        let absent = outside.failed("exec: \"nope\": executable file not found in $PATH\n");
        assert_eq!(absent.run_exit_code(), 127);
        assert_eq!(outside.failed("exec: \"/etc\": permission denied").run_exit_code(), 126);
        assert_eq!(outside.failed("cgroups: no").run_exit_code(), 125);
    }
}
