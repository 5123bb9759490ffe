//! Hooks: programs that the configuration runs at fixed points of a container's life.

use std::{
    io::{self, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use oci_spec::runtime::{Hook, Hooks, State};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};

use crate::{During, RuntimeError};

/// The six kinds, by the specification's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Prestart,
    CreateRuntime,
    CreateContainer,
    StartContainer,
    Poststart,
    Poststop,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] = [
        Self::Prestart,
        Self::CreateRuntime,
        Self::CreateContainer,
        Self::StartContainer,
        Self::Poststart,
        Self::Poststop,
    ];

    /// As the specification writes it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Prestart => "prestart",
            Self::CreateRuntime => "createRuntime",
            Self::CreateContainer => "createContainer",
            Self::StartContainer => "startContainer",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }

    /// The name with the lifetime that errors want.
    pub(super) fn named(name: &str) -> &'static str {
        Self::ALL.iter().map(|kind| kind.name()).find(|known| *known == name).unwrap_or("unknown")
    }

    /// The hooks of this kind, in their order.
    pub(crate) fn of(self, hooks: Option<&Hooks>) -> &[Hook] {
        let Some(hooks) = hooks else { return &[] };
        match self {
            Self::Prestart => hooks.prestart(),
            Self::CreateRuntime => hooks.create_runtime(),
            Self::CreateContainer => hooks.create_container(),
            Self::StartContainer => hooks.start_container(),
            Self::Poststart => hooks.poststart(),
            Self::Poststop => hooks.poststop(),
        }
        .as_deref()
        .unwrap_or_default()
    }

    /// Runs all hooks of this kind one after another in `folder`; the first that fails ends it.
    pub(crate) fn run(self, hooks: Option<&Hooks>, state: &State, folder: &Path) -> Result<(), RuntimeError> {
        self.of(hooks).iter().try_for_each(|hook| self.run_one(hook, state, folder))
    }

    /// Runs one hook: the state on its standard input, its own environment and nothing of the caller's.
    pub(crate) fn run_one(self, hook: &Hook, state: &State, folder: &Path) -> Result<(), RuntimeError> {
        let failed = |outcome: String| RuntimeError::Hook {
            kind: self.name(),
            path: hook.path().display().to_string(),
            outcome,
        };
        let state = serde_json::to_vec(state)
            .map_err(io::Error::other)
            .during(|| format!("writing the state for the {} hooks", self.name()))?;
        let args = hook.args().as_deref().unwrap_or_default();
        let env = hook.env().as_deref().unwrap_or_default();
        let mut command = Command::new(hook.path());
        command
            .args(args.iter().skip(1))
            .env_clear()
            .envs(env.iter().filter_map(|variable| variable.split_once('=')))
            .current_dir(folder)
            .stdin(Stdio::piped());
        if let Some(name) = args.first() {
            command.arg0(name);
        }
        let mut child = command.spawn().map_err(|error| failed(format!("could not be started: {error}")))?;
        let outcome = Self::wait(hook, &mut child, &state);
        if outcome.is_err() {
            // It may have ended meanwhile; either way it is reaped.
            let _ended_already = child.kill();
        }
        let status = child.wait().map_err(|error| failed(format!("could not be waited for: {error}")))?;
        outcome.map_err(failed)?;
        match (status.code(), status.signal()) {
            (Some(0), _) => Ok(()),
            (Some(code), _) => Err(failed(format!("ended with {code}"))),
            (None, signal) => Err(failed(format!("was ended by signal {}", signal.unwrap_or_default()))),
        }
    }

    /// Feeds the state and waits for the end, or for the hook's time to be over.
    fn wait(hook: &Hook, child: &mut Child, state: &[u8]) -> Result<(), String> {
        if let Some(mut input) = child.stdin.take() {
            match input.write_all(state) {
                // A hook need not read its state.
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    return Err(format!("could not be given the state: {error}"));
                }
                Ok(()) | Err(_) => {}
            }
        }
        let Some(seconds) = hook.timeout().and_then(|seconds| u64::try_from(seconds).ok()) else {
            return Ok(());
        };
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or("has no process id")?;
        let pidfd =
            pidfd_open(pid, PidfdFlags::empty()).map_err(|error| format!("cannot be watched: {error}"))?;
        let end = Instant::now() + Duration::from_secs(seconds);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left)
                .map_err(|error| format!("has a timeout that is too long: {error}"))?;
            match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&left)) {
                Ok(0) => return Err(format!("took longer than its {seconds} seconds and was ended")),
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(format!("cannot be watched: {error}")),
            }
        }
    }
}
