//! The end of a run: how it is seen, noted and cleaned up.

use std::{
    io::{self, Write},
    os::fd::AsFd,
    time::{Duration, Instant},
};

use berth_runtime::exit_status_of;
use jiff::Timestamp;
use rustix::{
    event::PollFlags,
    io::Errno,
    process::{WaitOptions, wait},
};

use super::{First, Watch};
use crate::{
    error::{Result, While},
    network::HeldPorts,
    record::{Desired, Exit},
    supervisor::{claim::Turn, events::Event, log::Stream, parcel, pass, streams::Streams},
};

impl Watch {
    /// Waits for children that ended: the first process, checks, and orphans that are nobody else's.
    pub(super) fn reap(&mut self, first: &First) -> Result<()> {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    let pid = pid.as_raw_nonzero().get();
                    if first.ours && pid == first.pid {
                        self.status = Some(status);
                    } else if let Some(outcome) =
                        self.checks.as_mut().and_then(|checks| checks.ended(pid, status))
                    {
                        self.checked(outcome, first);
                    }
                }
                Ok(None) | Err(Errno::CHILD) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error).doing("waiting for", "children"),
            }
        }
    }

    /// Whether the first process, another supervisor's child, ended.
    pub(super) fn lost(&self, first: &First) -> Result<bool> {
        if first.ours {
            return Ok(false);
        }
        parcel::ready(first.pidfd.as_fd(), PollFlags::IN, Some(Instant::now()))
            .doing("asking", "the container's process")
    }

    /// The number of a run that ended, with what the kernel knows.
    pub(super) fn ended(&self, first: &First) -> Result<(u8, Option<String>)> {
        let code = |exited: Option<i32>, signal: Option<i32>| match (exited, signal) {
            (Some(code), _) => u8::try_from(code & 0xff).unwrap_or(255),
            (None, Some(signal)) => u8::try_from(128 + signal).unwrap_or(255),
            (None, None) => 255,
        };
        if let Some(status) = self.status {
            return Ok((code(status.exit_status(), status.terminating_signal()), None));
        }
        // Its new parent waits for it at once; only then the kernel says how it ended.
        let soon = Some(Instant::now() + Duration::from_secs(1));
        parcel::ready(first.pidfd.as_fd(), PollFlags::empty(), soon)
            .doing("asking", "the container's process")?;
        Ok(match exit_status_of(first.pidfd.as_fd()).doing("asking", "the container's process")? {
            Some(status) if status & 0x7f == 0 => (code(Some(status >> 8), None), None),
            Some(status) => (code(None, Some(status & 0x7f)), None),
            None => (255, Some("how it ended is not known: its first supervisor was killed".into())),
        })
    }

    pub(super) fn finish(&mut self, first: &First) -> Result<u8> {
        let _turn = Turn::take(self.records.folders(), &self.desired.id);
        let (code, error) = self.ended(first)?;
        // What `update` and `rename` changed meanwhile decides what comes now. One that is removed is told of as it was.
        if let Ok(desired) = self.records.find(self.desired.id.as_str()) {
            self.desired = desired;
        }
        for (stream, terminal) in [(Stream::Out, true), (Stream::Out, false), (Stream::Err, false)] {
            while self.read_output(stream, terminal) {
                if let Some(front) = &mut self.front {
                    front.out.flush();
                    front.err.flush();
                }
            }
        }
        self.buffer = Vec::new();
        let oom_killed = self.engine.stats(&self.desired.id).is_ok_and(|stats| stats.oom_kills > 0);
        let exit = Exit {
            started: self.live.started,
            finished: Timestamp::now(),
            code,
            oom_killed,
            restarts: self.live.restarts,
            error,
        };
        // The notice of the end stands before anything is taken away, and what stays is taken by the next command.
        let ended = pass::end(&self.records, &self.desired, &exit, self.front.is_some());
        self.held = HeldPorts::default();
        if exit.oom_killed && code == 137 && self.front.is_some() {
            let _told = writeln!(io::stderr(), "berth-runner: {}", out_of_memory(&self.desired));
        }
        let mut event = Event::of(&self.desired, "died");
        event.container_exit_code = Some(code);
        let _not_its_fault = event.note(self.records.folders());
        if let Some(checks) = &mut self.checks {
            checks.stop();
        }
        self.streams = Streams::default();
        self.stopping = None;
        ended.map(|()| code)
    }
}

/// A program that the kernel killed says nothing of it itself.
fn out_of_memory(desired: &Desired) -> String {
    let name = &desired.name;
    match desired.limits.memory {
        Some(limit) => format!(
            "container {name} was killed because it ran out of memory: it has {limit} bytes, and --memory gives it more"
        ),
        None => format!("container {name} was killed because the machine ran out of memory"),
    }
}
