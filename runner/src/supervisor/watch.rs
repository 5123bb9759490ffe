//! The loop beside a container: output, clients, signals, health, its end, and what comes after.

use std::{
    collections::VecDeque,
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use berth_runtime::{Signals, exit_status_of, wait_at_rest};
use jiff::Timestamp;
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    process::{Pid, PidfdFlags, WaitOptions, WaitStatus, pidfd_open, wait},
};

use super::{
    claim::Turn,
    clients::{Clients, Request, say},
    engine::Engine,
    events::{self, Event},
    front::Front,
    health::{Checks, OnFailure, Outcome},
    live::{self, Live, remember_stop},
    log::{Log, Stream},
    parcel, pass,
    restart::{Backoff, Ended},
    signal,
    streams::Streams,
};
use crate::{
    error::{Result, While},
    network::HeldPorts,
    record::{Desired, Exit, Records, RestartPolicy},
};

/// After so long without anything to do, memory is given back.
const REST: Duration = Duration::from_secs(1);
/// Read at once.
const PIECE: usize = 64 << 10;

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

/// A stop that is under way.
#[derive(Debug)]
struct Stopping {
    /// When it is killed; `None` once it was.
    kill_at: Option<Instant>,
}

/// What comes after a run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing: its number.
    Over(u8),
    /// It starts again.
    Again,
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

/// Who is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ready {
    Signals,
    First,
    Output(Stream, bool),
    Input,
    Listener,
    Client(u64),
    FrontIn,
    FrontOut,
    FrontErr,
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

    /// Waits for anything until `due`; `at_rest` with as little memory as can be.
    fn wait(&self, first: Option<&First>, due: Option<Instant>, at_rest: bool) -> Result<Vec<Ready>> {
        let mut poller = Poller::default();
        poller.add(Ready::Signals, self.signals.as_fd(), PollFlags::IN);
        if let Some(first) = first {
            poller.add(Ready::First, first.pidfd.as_fd(), PollFlags::IN);
        }
        if !self.front.as_ref().is_some_and(Front::waits) {
            for (stream, terminal, fd) in self.outputs() {
                poller.add(Ready::Output(stream, terminal), fd, PollFlags::IN);
            }
        }
        let input_waits = !self.input.is_empty();
        if let Some(sink) = self.streams.sink().filter(|_| input_waits) {
            poller.add(Ready::Input, sink.as_fd(), PollFlags::OUT);
        }
        poller.add(Ready::Listener, self.clients.listener().as_fd(), PollFlags::IN);
        for client in self.clients.iter() {
            poller.add(Ready::Client(client.number), client.as_fd(), client.wanted(input_waits));
        }
        if let Some(front) = &self.front {
            if let Some(fd) = front.input.as_ref().filter(|_| !input_waits) {
                poller.add(Ready::FrontIn, fd.as_fd(), PollFlags::IN);
            }
            if let Some(fd) = front.out.poll() {
                poller.add(Ready::FrontOut, fd, PollFlags::OUT);
            }
            if let Some(fd) = front.err.poll() {
                poller.add(Ready::FrontErr, fd, PollFlags::OUT);
            }
        }
        poller.wait(due, at_rest)
    }

    fn outputs(&self) -> impl Iterator<Item = (Stream, bool, BorrowedFd<'_>)> {
        let streams = &self.streams;
        [
            (Stream::Out, false, &streams.out),
            (Stream::Err, false, &streams.err),
            (Stream::Out, true, &streams.terminal),
        ]
        .into_iter()
        .filter_map(|(stream, terminal, fd)| Some((stream, terminal, fd.as_ref()?.as_fd())))
    }

    fn serve(&mut self, ready: Ready, first: &First) -> Result<()> {
        match ready {
            Ready::Signals => {
                while let Some(arrived) = self.signals.next().doing("reading", "signals")? {
                    self.signalled(arrived.signal, first)?;
                }
            }
            // Noted by `reap` or `lost`.
            Ready::First => self.reap(first)?,
            Ready::Output(stream, terminal) => {
                self.read_output(stream, terminal);
            }
            Ready::Input => self.write_input(),
            Ready::Listener => self.clients.accept(),
            Ready::Client(number) => {
                self.clients.flush(number);
                while let Some(request) = self.clients.read(number) {
                    let input = matches!(request, Request::Input(_));
                    self.answer(number, request, first);
                    if input {
                        break;
                    }
                }
            }
            Ready::FrontIn => self.read_front(),
            Ready::FrontOut => {
                if let Some(front) = &mut self.front {
                    front.out.write_piece();
                }
                self.drop_unread();
            }
            Ready::FrontErr => {
                if let Some(front) = &mut self.front {
                    front.err.write_piece();
                }
                self.drop_unread();
            }
        }
        Ok(())
    }

    /// Waits for children that ended: the first process, checks, and orphans that are nobody else's.
    fn reap(&mut self, first: &First) -> Result<()> {
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
    fn lost(&self, first: &First) -> Result<bool> {
        if first.ours {
            return Ok(false);
        }
        parcel::ready(first.pidfd.as_fd(), PollFlags::IN, Some(Instant::now()))
            .doing("asking", "the container's process")
    }

    fn signalled(&mut self, signal: i32, first: &First) -> Result<()> {
        match signal {
            signal::CHLD => self.reap(first)?,
            signal::WINCH => {
                if let Some((rows, columns)) =
                    self.front.as_ref().and_then(|_| super::terminal::size(rustix::stdio::stdin()))
                {
                    let _without_terminal = self.streams.resize(rows, columns);
                }
            }
            _ if self.front.as_ref().is_some_and(|front| front.sig_proxy) => {
                let _ended_meanwhile = self.engine.kill(&self.desired.id, signal, false);
                // A service is told to end by a signal: it is not to start again.
                self.asked |= matches!(signal, signal::TERM | signal::INT | signal::QUIT | signal::HUP);
            }
            signal::TERM | signal::INT if self.front.is_some() => {
                self.asked = true;
                self.stop(self.desired.stop_timeout, first);
            }
            // The machine goes down: the container ends in order, and what is wanted stays as it is.
            signal::TERM => {
                self.asked = true;
                self.stop(self.desired.stop_timeout, first);
            }
            _ => {}
        }
        Ok(())
    }

    fn answer(&mut self, number: u64, request: Request, first: &First) {
        match request {
            Request::Attach(_) | Request::Wait => {}
            Request::Stop { seconds, person } => {
                self.asked = true;
                if person {
                    // Told with the end; where it cannot be kept, the stop itself still holds.
                    let _kept = remember_stop(self.records.folders(), &self.desired.id, true);
                }
                self.stop(seconds, first);
            }
            Request::Kill { signal, person } => {
                let ends = matches!(signal, signal::KILL | signal::TERM | signal::INT | signal::QUIT)
                    || signal == self.desired.stop_signal;
                let done = self.engine.kill(&self.desired.id, signal, false);
                if done.is_ok() && person && ends {
                    self.asked = true;
                    let _kept = remember_stop(self.records.folders(), &self.desired.id, true);
                }
                if let Some(client) = self.clients.get(number) {
                    match done {
                        Ok(()) => client.say(say::DONE, &[]),
                        Err(error) => client.say(say::FAILED, error.to_string().as_bytes()),
                    }
                }
            }
            Request::Input(data) => {
                self.input.extend(data);
                self.write_input();
            }
            Request::InputEnds => {
                self.input_ends = true;
                self.write_input();
            }
            Request::Resize(rows, columns) => {
                let _without_terminal = self.streams.resize(rows, columns);
            }
            Request::Check => {
                let started = match &mut self.checks {
                    Some(checks) => checks.start(&self.records, &self.desired, Some(number)),
                    None => false,
                };
                if !started && let Some(client) = self.clients.get(number) {
                    client.say(say::FAILED, b"no check of health could be started");
                }
            }
        }
    }

    /// Asks it to end, and kills it when the time is over.
    fn stop(&mut self, seconds: u32, first: &First) {
        let now = Instant::now();
        let kill_at = now + Duration::from_secs(u64::from(seconds));
        match &mut self.stopping {
            // A second stop may only be more urgent.
            Some(stopping) => {
                stopping.kill_at = stopping.kill_at.map(|before| before.min(kill_at));
                if seconds == 0 {
                    self.kill_now(first);
                }
            }
            None => {
                self.stopping = Some(Stopping { kill_at: Some(kill_at) });
                self.live.stopping = true;
                let _shown_only = self.live.write(self.records.folders(), &self.desired.id);
                if self.engine.is_paused(&self.desired.id) {
                    let _killed_later = self.engine.freeze(&self.desired.id, false);
                }
                if seconds == 0 {
                    self.kill_now(first);
                } else {
                    let _killed_later = self.engine.kill(&self.desired.id, self.desired.stop_signal, false);
                }
            }
        }
    }

    fn kill_now(&mut self, first: &First) {
        if let Some(stopping) = &mut self.stopping {
            stopping.kill_at = None;
        }
        let _first_at_least = self.engine.kill(&self.desired.id, signal::KILL, true);
        // An ordinary user's container may have no control group, which then holds nobody to be killed: its first
        // process takes its namespace along.
        let _gone = rustix::process::pidfd_send_signal(&first.pidfd, rustix::process::Signal::KILL);
    }

    fn on_time(&mut self, first: &First) {
        let now = Instant::now();
        if self.stopping.as_ref().and_then(|stopping| stopping.kill_at).is_some_and(|at| now >= at) {
            self.kill_now(first);
        }
        if self.over_at.is_some_and(|at| now >= at) {
            self.over_at = None;
            self.kill_now(first);
        }
        if self.checks.as_ref().and_then(Checks::due).is_some_and(|due| now >= due)
            && let Some(checks) = &mut self.checks
        {
            checks.on_time(&self.records, &self.desired, now);
        }
    }

    fn checked(&mut self, outcome: Outcome, first: &First) {
        for number in &outcome.asked_by {
            if let Some(client) = self.clients.get(*number) {
                client.say(say::DONE, &[outcome.code]);
            }
        }
        let mut event = Event::of(&self.desired, "health_status");
        event.health_status = Some(outcome.state.to_owned());
        let _not_its_fault = event.note(self.records.folders());
        match outcome.action {
            OnFailure::None => {}
            OnFailure::Kill => self.kill_now(first),
            OnFailure::Stop => {
                self.asked = true;
                self.stop(self.desired.stop_timeout, first);
            }
            OnFailure::Restart => {
                self.restart_anyway = true;
                self.stop(self.desired.stop_timeout, first);
            }
        }
    }

    /// Reads one piece; `false` where nothing is there now, or never will be.
    fn read_output(&mut self, stream: Stream, terminal: bool) -> bool {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(PIECE, 0);
        let slot = match (stream, terminal) {
            (_, true) => &mut self.streams.terminal,
            (Stream::Out, false) => &mut self.streams.out,
            (Stream::Err, false) => &mut self.streams.err,
        };
        let read = slot.as_ref().map_or(Ok(0), |fd| rustix::io::read(fd, &mut buffer));
        let more = match read {
            Ok(length @ 1..) => {
                let text = &buffer[..length];
                self.log.write(stream, text);
                let (kind, sink) = match stream {
                    Stream::Out => (say::OUT, self.front.as_mut().map(|front| &mut front.out)),
                    Stream::Err => (say::ERR, self.front.as_mut().map(|front| &mut front.err)),
                };
                if let Some(sink) = sink {
                    sink.push(text);
                }
                self.clients.output(kind, text);
                true
            }
            Err(Errno::AGAIN | Errno::INTR) => false,
            // Closed by the container; a terminal without anybody answers EIO.
            Ok(0) | Err(_) => {
                *slot = None;
                false
            }
        };
        self.buffer = buffer;
        more
    }

    /// A reader that went away is told to the container, as it would be told without us between.
    fn drop_unread(&mut self) {
        let Some(front) = &self.front else { return };
        if self.clients.anybody_listens() {
            return;
        }
        if front.out.is_lost() {
            self.streams.out = None;
        }
        if front.err.is_lost() {
            self.streams.err = None;
        }
    }

    fn write_input(&mut self) {
        let (front, _) = self.input.as_slices();
        if let Some(sink) = self.streams.sink() {
            match rustix::io::write(sink, front) {
                Ok(written) => drop(self.input.drain(..written)),
                Err(Errno::AGAIN | Errno::INTR) => {}
                // Nobody reads: what is sent from now on is for nobody.
                Err(_) => {
                    self.input = VecDeque::new();
                    self.streams.input = None;
                }
            }
        } else {
            self.input = VecDeque::new();
        }
        if self.input.is_empty() && self.input_ends {
            self.input_ends = false;
            self.streams.input = None;
        }
    }

    fn read_front(&mut self) {
        let Some(front) = &mut self.front else { return };
        let mut typed = [0; 4096];
        match front.input.as_ref().map(|fd| rustix::io::read(fd, &mut typed)) {
            Some(Ok(length @ 1..)) => self.input.extend(&typed[..length]),
            Some(Err(Errno::AGAIN | Errno::INTR)) => {}
            Some(Ok(0) | Err(_)) | None => {
                front.input = None;
                self.input_ends = true;
            }
        }
        self.write_input();
    }

    fn rest(&mut self) {
        self.buffer = Vec::new();
        self.log.rest();
        self.input.shrink_to_fit();
    }

    /// The number of a run that ended, with what the kernel knows.
    fn ended(&self, first: &First) -> Result<(u8, Option<String>)> {
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

    fn finish(&mut self, first: &First) -> Result<u8> {
        let _turn = Turn::take(self.records.folders(), &self.desired.id);
        let (code, error) = self.ended(first)?;
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

    /// What comes after a run, by its policy: waits for the next one meanwhile answering clients.
    ///
    /// # Errors
    /// Where the kernel refuses to wait.
    pub(crate) fn after(&mut self, code: u8) -> Result<Next> {
        let ran = self.live.started.map_or(Duration::ZERO, |started| {
            Duration::try_from(Timestamp::now().duration_since(started)).unwrap_or_default()
        });
        let policy = if self.restart_anyway { RestartPolicy::Always } else { self.desired.restart };
        self.restart_anyway = false;
        let Some(wait) = self.backoff.after(policy, Ended { code, ran, asked: self.asked }) else {
            return Ok(Next::Over(code));
        };
        self.clients.ended(code);
        self.clients.flush_all();
        let folders = self.records.folders();
        self.live = Live { restarts: self.live.restarts + 1, started: self.live.started, ..Live::default() };
        self.live.write(folders, &self.desired.id)?;
        events::note(folders, &self.desired, "restart");
        let until = Instant::now() + wait;
        while Instant::now() < until {
            for ready in self.wait(None, Some(until), false)? {
                if self.while_waiting(ready)? {
                    return Ok(Next::Over(code));
                }
            }
            self.clients.sweep(Instant::now());
        }
        self.status = None;
        Ok(Next::Again)
    }

    /// Whether it is to stay ended.
    fn while_waiting(&mut self, ready: Ready) -> Result<bool> {
        let mut over = false;
        match ready {
            Ready::Signals => {
                while let Some(arrived) = self.signals.next().doing("reading", "signals")? {
                    over |= matches!(arrived.signal, signal::TERM | signal::INT | signal::QUIT);
                }
            }
            Ready::Listener => self.clients.accept(),
            Ready::Client(number) => {
                self.clients.flush(number);
                while let Some(request) = self.clients.read(number) {
                    match request {
                        Request::Stop { person, .. } | Request::Kill { person, .. } => {
                            if person {
                                remember_stop(self.records.folders(), &self.desired.id, true)?;
                            }
                            if let (Request::Kill { .. }, Some(client)) = (&request, self.clients.get(number))
                            {
                                client.say(say::DONE, &[]);
                            }
                            over = true;
                        }
                        _ => {}
                    }
                }
            }
            Ready::First | Ready::Output(..) | Ready::Input | Ready::FrontOut | Ready::FrontErr => {}
            Ready::FrontIn => self.read_front(),
        }
        Ok(over)
    }

    /// Goes on with the next run.
    ///
    /// # Errors
    /// Where what it noted cannot be read.
    pub(crate) fn begin_again(&mut self, begun: pass::Begun) -> Result<()> {
        self.streams = begun.streams;
        self.held = begun.held;
        self.live = Live::read(self.records.folders(), &self.desired.id)?.unwrap_or_default();
        self.checks = Checks::of(&self.desired);
        Ok(())
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

/// `poll` over descriptors with what they are.
#[derive(Debug, Default)]
struct Poller<'a> {
    who: Vec<Ready>,
    fds: Vec<PollFd<'a>>,
}

impl<'a> Poller<'a> {
    fn add(&mut self, one: Ready, fd: BorrowedFd<'a>, wanted: PollFlags) {
        self.who.push(one);
        self.fds.push(PollFd::from_borrowed_fd(fd, wanted));
    }

    fn wait(mut self, due: Option<Instant>, at_rest: bool) -> Result<Vec<Ready>> {
        let left = due.map(|due| parcel::timespec(due.saturating_duration_since(Instant::now())));
        let (fds, left) = (&mut self.fds, left.as_ref());
        match if at_rest { wait_at_rest(fds, left) } else { poll(fds, left) } {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).doing("waiting for", "the container"),
        }
        let ready = self.who.iter().zip(&self.fds).filter(|(_, fd)| !fd.revents().is_empty());
        Ok(ready.map(|(who, _)| *who).collect())
    }
}

/// Whether a person's stop is remembered (used by the first lines of a start).
pub(crate) fn forget_stop(records: &Records, desired: &Desired) -> Result<()> {
    if live::was_stopped_by_person(records.folders(), &desired.id) {
        remember_stop(records.folders(), &desired.id, false)?;
    }
    Ok(())
}
