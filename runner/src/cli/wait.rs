//! `wait`.

use std::{
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

use clap::Args;
use rustix::{event::PollFlags, fs::inotify, io::Errno};

use super::{Context, Globals, output, select};
use crate::{
    error::{Result, RunnerError, While},
    record::Desired,
    supervisor::{
        clients::Request,
        health,
        live::{Condition, snapshot},
        parcel, remote,
    },
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    selection: select::Selection,

    /// What to wait for: stopped, running, exited, created, paused, healthy, unhealthy, removing; any of several
    #[arg(long, value_delimiter = ',', default_value = "stopped")]
    condition: Vec<String>,

    /// Taken for podman's sake: nothing is asked again and again
    #[arg(long, short, value_name = "TIME", hide = true)]
    interval: Option<String>,

    /// What is not there is no failure
    #[arg(long)]
    ignore: bool,
}

const CONDITIONS: [&str; 11] = [
    "created",
    "configured",
    "running",
    "paused",
    "stopping",
    "stopped",
    "exited",
    "restarting",
    "removing",
    "healthy",
    "unhealthy",
];

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    if let Some(wrong) = arguments.condition.iter().find(|word| !CONDITIONS.contains(&word.as_str())) {
        return Err(RunnerError::Usage(format!(
            "--condition {wrong}: it is one of {}",
            CONDITIONS.join(", ")
        )));
    }
    let _known = &arguments.interval;
    let context = globals.open()?;
    let mut code = 0;
    for meant in arguments.selection.meant(&context)? {
        match meant.found.and_then(|desired| wait(&context, &desired, &arguments.condition)) {
            Ok(number) => output::line(number.to_string())?,
            Err(RunnerError::NotFound(_)) if arguments.ignore => output::line("-1")?,
            Err(error) => code = select::failed(&error, code),
        }
    }
    Ok(code)
}

/// Watches the folders in which everything about a container changes.
struct Changes(OwnedFd);

impl Changes {
    fn of(context: &Context, desired: &Desired) -> Result<Self> {
        let queue = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
            .doing("watching", "containers")?;
        let changes = Self(queue);
        changes.watch(context, desired)?;
        Ok(changes)
    }

    fn watch(&self, context: &Context, desired: &Desired) -> Result<()> {
        let flags = inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVED_TO
            | inotify::WatchFlags::CLOSE_WRITE
            | inotify::WatchFlags::DELETE
            | inotify::WatchFlags::DELETE_SELF
            | inotify::WatchFlags::MOVE_SELF;
        for path in [context.folders.container(&desired.id), context.folders.running(&desired.id)] {
            match inotify::add_watch(&self.0, &path, flags) {
                Ok(_) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error).doing("watching", &path),
            }
        }
        Ok(())
    }

    /// Waits for the next change; changes of its own making (the locks that are looked at) do not end it at once.
    fn next(&self, deadline: Option<Instant>) -> Result<()> {
        parcel::ready(self.0.as_fd(), PollFlags::IN, deadline).doing("watching", "containers")?;
        let mut space = [0; 4096];
        while let Ok(1..) = rustix::io::read(&self.0, &mut space) {}
        Ok(())
    }
}

/// Waits until one of the conditions holds: the number of the last end, 0 where there was none.
fn wait(context: &Context, desired: &Desired, conditions: &[String]) -> Result<i32> {
    let changes = Changes::of(context, desired)?;
    let only_end = conditions.iter().all(|word| matches!(word.as_str(), "stopped" | "exited"));
    loop {
        if !context.folders.container(&desired.id).exists() {
            // Removed: nobody knows any more how it ended.
            return if conditions.iter().any(|word| word == "removing") || only_end {
                Ok(-1)
            } else {
                Err(RunnerError::NotFound(format!("container {} was removed meanwhile", desired.name)))
            };
        }
        let seen = snapshot(&context.records, desired)?;
        let found = health::found(&context.folders, desired)?.map(|found| found.status);
        let holds = |word: &String| match word.as_str() {
            "stopped" | "exited" => {
                seen.condition == Condition::Exited && seen.supervisor.is_none() && !seen.orphaned
            }
            "configured" => seen.condition == Condition::Created,
            "healthy" | "unhealthy" => found.as_deref() == Some(word) && seen.condition.is_up(),
            word => seen.condition.name() == word,
        };
        if conditions.iter().any(holds) {
            return Ok(seen.exit.map_or(0, |exit| i32::from(exit.code)));
        }
        if only_end && let Some(session) = remote::reach(&context.records, desired)? {
            remote::ask(&session, &Request::Wait)?;
            if let Some(code) = remote::ended(&session, None)? {
                return Ok(i32::from(code));
            }
            continue;
        }
        changes.watch(context, desired)?;
        // The running folder may have come between the look and the watch, so a second at most.
        changes.next(Some(Instant::now() + Duration::from_secs(1)))?;
    }
}
