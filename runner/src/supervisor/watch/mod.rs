//! The loop beside a container: output, clients, signals, health, its end, and what comes after.
//!
//! | module | what it is |
//! |---|---|
//! | [`ready`] | what is waited for, and who serves it |
//! | [`asked`] | what signals, clients, health and the clock ask |
//! | [`flow`] | output and input |
//! | [`ending`] | the end of a run |
//! | [`again`] | the next one |

mod again;
mod asked;
mod ending;
mod flow;
mod ready;

use std::{
    collections::VecDeque,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use berth_runtime::Signals;
use jiff::Timestamp;
use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, WaitStatus, pidfd_open},
};

pub(crate) use self::again::{Next, forget_stop};
use self::asked::Stopping;
use super::{
    clients::Clients, engine::Engine, front::Front, health::Checks, live::Live, log::Log, restart::Backoff,
    streams::Streams,
};
use crate::{
    error::{Result, While},
    network::HeldPorts,
    record::{Desired, Records},
};

/// After so long without anything to do, memory is given back.
const REST: Duration = Duration::from_secs(1);

/// The first process.
#[derive(Debug)]
pub(crate) struct First {
    pid: i32,
    pidfd: OwnedFd,
    /// Ours to wait for; else it was another supervisor's.
    ours: bool,
}

impl First {
    /// A process that lives.
    ///
    /// # Errors
    /// Where it is gone.
    pub(crate) fn open(pid: i32, ours: bool) -> Result<Self> {
        let raw = Pid::from_raw(pid).ok_or(Errno::SRCH).doing("opening", "the container's process")?;
        let pidfd = pidfd_open(raw, PidfdFlags::empty()).doing("opening", "the container's process")?;
        Ok(Self { pid, pidfd, ours })
    }
}

/// The loop's state.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) records: Records,
    pub(crate) desired: Desired,
    pub(crate) engine: Engine,
    pub(crate) live: Live,
    pub(crate) streams: Streams,
    /// Keeps other programs from its published ports while it runs.
    pub(crate) held: HeldPorts,
    pub(crate) log: Log,
    pub(crate) clients: Clients,
    pub(crate) front: Option<Front>,
    pub(crate) signals: Signals,
    pub(crate) backoff: Backoff,
    pub(crate) checks: Option<Checks>,
    /// Somebody wants it to stay ended.
    asked: bool,
    /// Health wants it to start again, whatever the policy says.
    restart_anyway: bool,
    stopping: Option<Stopping>,
    /// When it is killed, however well it does (`--timeout`).
    over_at: Option<Instant>,
    input: VecDeque<u8>,
    input_ends: bool,
    buffer: Vec<u8>,
    status: Option<WaitStatus>,
}

/// What [`Watch`] is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) records: Records,
    pub(crate) desired: Desired,
    pub(crate) live: Live,
    pub(crate) streams: Streams,
    pub(crate) held: HeldPorts,
    pub(crate) clients: Clients,
    pub(crate) front: Option<Front>,
    pub(crate) signals: Signals,
    pub(crate) backoff: Backoff,
}

impl Watch {
    /// Begins to watch a run.
    ///
    /// # Errors
    /// Where its log cannot be opened.
    pub(crate) fn new(parts: Parts) -> Result<Self> {
        let folders = parts.records.folders();
        let log = Log::open(&super::log::folder(folders, &parts.desired.id), &parts.desired.log)?;
        Ok(Self {
            engine: Engine::of(folders, &parts.desired),
            checks: Checks::of(&parts.desired),
            records: parts.records,
            desired: parts.desired,
            live: parts.live,
            streams: parts.streams,
            held: parts.held,
            log,
            clients: parts.clients,
            front: parts.front,
            signals: parts.signals,
            backoff: parts.backoff,
            asked: false,
            restart_anyway: false,
            stopping: None,
            over_at: None,
            input: VecDeque::new(),
            input_ends: false,
            buffer: Vec::new(),
            status: None,
        })
    }

    /// Watches a run to its end, notes it, and takes away what it had.
    ///
    /// # Errors
    /// Where the kernel refuses to wait, or the end cannot be noted.
    pub(crate) fn run(&mut self, first: &First) -> Result<u8> {
        self.reap(first)?;
        self.over_at = self.desired.timeout.map(|seconds| {
            let ran = self.live.started.map(|started| Timestamp::now().duration_since(started));
            let ran = ran.and_then(|ran| Duration::try_from(ran).ok()).unwrap_or_default();
            Instant::now() + Duration::from_secs(u64::from(seconds)).saturating_sub(ran)
        });
        let mut rested = false;
        while self.status.is_none() && !self.lost(first)? {
            let now = Instant::now();
            let due = [
                self.clients.sweep(now),
                self.stopping.as_ref().and_then(|stopping| stopping.kill_at),
                self.checks.as_ref().and_then(Checks::due),
                self.over_at,
                (!rested && self.front.is_none()).then_some(now + REST),
            ];
            let due = due.into_iter().flatten().min();
            let ready = self.wait(Some(first), due, rested)?;
            if ready.is_empty() && !rested {
                self.rest();
                rested = true;
            } else if !ready.is_empty() {
                rested = false;
            }
            for one in ready {
                self.serve(one, first)?;
            }
            self.on_time(first);
        }
        let code = self.finish(first)?;
        Ok(code)
    }
}
