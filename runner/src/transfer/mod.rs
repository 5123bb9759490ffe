//! Files into containers and out of them (`cp`, `export`).
//!
//! What is done inside a root is done by a process of its own ([`inside`]) that speaks tar over a pipe: it enters the
//! container's user namespace where that has one, so that owners are the container's, and not its processes: nothing in the
//! container sees it. Paths are resolved by the kernel (openat2) in the root and what is mounted there ([`view`]), whatever
//! links the container has made; what is written is reached without following any link.

mod attributes;
pub(crate) mod inside;
mod pack;
mod place;
mod unpack;
mod view;

use std::{
    io::Read,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

pub(crate) use pack::{Packed, pack};
pub(crate) use place::Place;
pub(crate) use unpack::{Owners, Target, unpack};

use crate::{
    environment,
    error::{Result, RunnerError, While},
    folders::Folders,
    record::Desired,
    stop::Stop,
};

/// The argument by which the program is the process inside; never typed by a person.
pub(crate) const ARGUMENT: &str = "__files";

/// What the process inside is asked for.
#[derive(Clone, Debug)]
pub(crate) enum Wants {
    /// Files as a tar on standard output.
    Pack {
        /// Which, in the container.
        path: String,
        /// A link is what it leads to.
        follow: bool,
        /// Names in the tar are relative to it, and it is not in it itself (`export`).
        bare: bool,
    },
    /// A tar on standard input into files.
    Unpack {
        /// Where to, in the container.
        path: String,
        /// What becomes of the tar's names.
        target: Target,
        /// Whose they are.
        owners: Owners,
    },
}

/// The process inside, on its way.
pub(crate) struct Helper {
    child: Child,
    container: String,
}

impl Helper {
    /// Starts it, with its standard input or output as given; the one that it does not need is nothing.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub(crate) fn start(
        folders: &Folders,
        container: &Desired,
        wants: &Wants,
        stdin: Stdio,
        stdout: Stdio,
    ) -> Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        environment::of_ours(&mut command);
        command.arg(ARGUMENT).arg(&folders.store).arg(&folders.run).arg(container.id.as_str());
        match wants {
            Wants::Pack { path, follow, bare } => {
                command.args([
                    "pack",
                    path,
                    if *follow { "follow" } else { "link" },
                    if *bare { "bare" } else { "named" },
                ]);
            }
            Wants::Unpack { path, target, owners } => {
                command.args(["unpack", path, target.word(), owners.word()]);
            }
        }
        let child = command.stdin(stdin).stdout(stdout).stderr(Stdio::piped()).spawn();
        let child = child.doing("starting", "/proc/self/exe")?;
        Ok(Self { child, container: container.name.clone() })
    }

    /// Its standard output.
    pub(crate) fn output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Its standard input.
    pub(crate) fn input(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Waits for its end; a signal ends it before.
    ///
    /// # Errors
    /// What it failed of; [`RunnerError::Interrupted`], when it has cleaned up.
    pub(crate) fn finish(mut self, stop: &Stop) -> Result<()> {
        const WHAT: &str = "the process inside";
        drop(self.child.stdin.take());
        let status = match stop.wait(&mut self.child, WHAT) {
            Err(stopped) => {
                kill_process(Pid::from_child(&self.child), Signal::TERM).doing("ending", WHAT)?;
                self.child.wait().doing("waiting for", WHAT)?;
                return Err(stopped);
            }
            status => status?,
        };
        let mut said = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut said).doing("reading from", WHAT)?;
        }
        let said = format!("{}: {}", self.container, said.trim_end());
        match status.code() {
            Some(0) => Ok(()),
            Some(2) => Err(RunnerError::Usage(said)),
            Some(4) => Err(RunnerError::Content(said)),
            Some(_) | None => Err(RunnerError::Conflict(said)),
        }
    }
}

/// For the fuzz targets: see [`crate::fuzzing::files`].
pub(crate) fn fuzzed(bytes: &[u8], into: &std::path::Path) {
    let place = Place::open(into).expect("a folder");
    for (text, target) in [("/", Target::Into), ("/new", Target::Copy)] {
        if let Err(error) = unpack(&place, text, target, Owners::Caller, bytes) {
            let _text = error.to_string();
        }
    }
}
