//! The supervisor's `main`, in each of its roles.

use std::{
    env,
    os::fd::{AsFd, OwnedFd},
    process::ExitCode,
};

use berth_runtime::{Signals, close_inherited, own_mounts, unblock_signals};
use jiff::Timestamp;
use rustix::{
    net::SendFlags,
    process::{chdir, getpid, set_child_subreaper, setsid},
    stdio::dup2_stdin,
};

use super::{
    claim::{self, Turn},
    clients::Clients,
    front::{Front, Sink, may_be_handed},
    health,
    live::{Condition, Live, snapshot},
    notify,
    order::{Answer, Attach, Bag, Carry, Failure, Mode, Order},
    parcel, pass,
    pass::Begin,
    restart::Backoff,
    signal,
    streams::Streams,
    terminal::{self, Raw},
    watch::{First, Next, Parts, Watch, forget_stop},
};
use crate::{
    error::{OWN_FAILURE, Result, RunnerError, While},
    network::{self, HeldPorts},
    record::{Desired, Exit, Records, files},
    stop::ENDING,
};

/// The supervisor's `main`.
pub(crate) fn main() -> ExitCode {
    let mut arguments = env::args().skip(2);
    let mode = arguments.next().and_then(|mode| Mode::of(&mode));
    let preserve_fds: u32 = arguments.next().and_then(|number| number.parse().ok()).unwrap_or(0);
    let Some(mode) = mode else {
        return told(&RunnerError::Usage("a supervisor is started by other commands".into()), OWN_FAILURE);
    };
    match serve(mode, preserve_fds) {
        Ok(code) => code,
        Err(error) => told(&error, error.run_exit_code()),
    }
}

fn told(error: &RunnerError, code: u8) -> ExitCode {
    use std::io::Write;
    let _nobody_reads = writeln!(std::io::stderr(), "berth-runner: {error}");
    ExitCode::from(code)
}

/// Descriptors that a service manager handed down for this process (`LISTEN_FDS`, from 3 on).
pub(crate) fn handed_down() -> u32 {
    let own = env::var("LISTEN_PID").is_ok_and(|pid| pid.parse() == Ok(getpid().as_raw_nonzero().get()));
    if !own {
        return 0;
    }
    env::var("LISTEN_FDS")
        .ok()
        .and_then(|number| number.parse().ok())
        .filter(|number| *number <= 64)
        .unwrap_or(0)
}

fn serve(mode: Mode, preserve_fds: u32) -> Result<ExitCode> {
    // What becomes a container's process must not lend it this program's file. The order still waits afterwards.
    berth_runtime::protect_own_program()?;
    // In place of the descriptor's number that it was executed by.
    rustix::thread::set_name(c"berth-runner").doing("naming", "this process")?;
    if matches!(mode, Mode::Start | Mode::Adopt) {
        close_inherited(3 + preserve_fds).doing("closing", "inherited descriptors")?;
    }
    // Those that came before are read: whoever started this held them back.
    let begins = matches!(mode, Mode::Start | Mode::Front | Mode::Adopt);
    let signals = if begins { Some(collected(mode == Mode::Front)?) } else { None };
    unblock_signals().doing("unblocking", "signals")?;
    let (order, mut bag) = Order::receive()?;
    let nothing = || RunnerError::Usage("a supervisor is started by other commands".into());
    match mode {
        Mode::Check => return Ok(health::main(&order)),
        Mode::Exec => return Err(nothing()),
        Mode::Resume => {
            replace_stdin(None)?;
            return resume(&order, &mut bag).map(ExitCode::from);
        }
        Mode::Front => {
            replace_stdin(bag.take("stdin"))?;
            set_child_subreaper(Some(getpid())).doing("becoming the parent of", "orphans")?;
            return begin(&order, Mode::Front, None, signals.ok_or_else(nothing)?).map(ExitCode::from);
        }
        Mode::Start | Mode::Adopt => {}
    }
    let reply = rustix::stdio::stdin().try_clone_to_owned().doing("keeping", "the connection")?;
    replace_stdin(None)?;
    // A process that is its group's first is in a session already that is not the caller's.
    let _is_leader = setsid();
    set_child_subreaper(Some(getpid())).doing("becoming the parent of", "orphans")?;
    chdir("/").doing("changing to", "/")?;
    match begin(&order, mode, Some(&reply), signals.ok_or_else(nothing)?) {
        Ok(code) => Ok(ExitCode::from(code)),
        Err(error) => {
            answer(Some(&reply), &Answer::Failed(Failure::from(&error)));
            Ok(ExitCode::from(error.run_exit_code()))
        }
    }
}

/// Standard input is the order's; afterwards it is `to`, or empty.
fn replace_stdin(to: Option<OwnedFd>) -> Result<()> {
    let to = match to {
        Some(to) => to,
        None => std::fs::File::open("/dev/null").doing("opening", "/dev/null")?.into(),
    };
    dup2_stdin(&to).doing("replacing", "standard input")
}

fn answer(reply: Option<&OwnedFd>, answer: &Answer) {
    if let (Some(reply), Ok(text)) = (reply, serde_json::to_vec(answer)) {
        // Whoever asked may be gone: the container runs all the same.
        let _gone = parcel::send(reply, &text, &[], SendFlags::DONTWAIT);
    }
}

fn collected(front: bool) -> Result<Signals> {
    let mut signals = vec![signal::CHLD, signal::WINCH, signal::TERM, signal::INT, signal::HUP, signal::QUIT];
    if front {
        signals.extend(
            signal::PROXIED.iter().filter(|signal| **signal > signal::QUIT && **signal != signal::TERM),
        );
    }
    Signals::interrupting(&signals, &ENDING).doing("collecting", "signals")
}

/// From nothing, or from what a dead supervisor left, to the end. Failures before the container runs are errors.
fn begin(order: &Order, mode: Mode, reply: Option<&OwnedFd>, signals: Signals) -> Result<u8> {
    let folders = order.folders();
    let records = Records::new(&folders);
    let turn = Turn::take(&folders, &order.id)?;
    let desired = records.find(order.id.as_str())?;
    let before = snapshot(&records, &desired)?;
    if before.supervisor.is_some() {
        if mode == Mode::Front {
            return Err(RunnerError::Conflict(format!("container {} runs already", desired.name)));
        }
        answer(reply, &Answer::Already);
        return Ok(0);
    }
    let lives = Live::read(&folders, &order.id)?.filter(|_| before.condition.is_up());
    if lives.is_none() {
        pass::settle(&records, &desired)?;
        if mode == Mode::Adopt {
            if desired.auto_remove && before.condition == Condition::Exited {
                pass::remove(&records, &desired)?;
            }
            answer(reply, &Answer::Nothing);
            return Ok(0);
        }
    }
    files::private_folder(&folders.running(&order.id))?;
    if !claim::supervise(&folders, &order.id)? {
        answer(reply, &Answer::Already);
        return Ok(0);
    }
    let clients = Clients::listen(&folders.running(&order.id).join("sock"))?;
    if let Some(live) = lives {
        signals.let_finish().doing("preparing", "signals")?;
        let streams = Streams::adopt(&folders.running(&order.id))?;
        let first = First::open(live.pid, false)?;
        let held = network::hold_again(&folders, &desired)?;
        let parts = Parts {
            records,
            desired,
            live,
            streams,
            held,
            clients,
            front: None,
            signals,
            backoff: Backoff::default(),
        };
        let mut watch = Watch::new(parts)?;
        drop(turn);
        answer(reply, &Answer::Already);
        return live_on(&mut watch, first, 0);
    }
    forget_stop(&records, &desired)?;
    own_mounts().doing("making", "a mount namespace")?;
    let inherit = mode == Mode::Front && inherits(&desired);
    let begun = Begin {
        folders: &folders,
        desired: &desired,
        restarts: 0,
        preserve_fds: order.preserve_fds,
        foreground: mode == Mode::Front,
        size: terminal::size(rustix::stdio::stdin()),
        inherit,
        stop: Some(&signals),
    }
    .run();
    let begun = match begun {
        Ok(begun) => begun,
        Err(error) => {
            not_begun(&records, &desired, &error, mode)?;
            return Err(error);
        }
    };
    notify::started(&desired);
    let front = if mode == Mode::Front { Some(front(&desired, inherit)?) } else { None };
    let live = Live::read(&folders, &order.id)?.unwrap_or_default();
    let parts = Parts {
        records,
        desired,
        live,
        streams: begun.streams,
        held: begun.held,
        clients,
        front,
        signals,
        backoff: Backoff::default(),
    };
    let mut watch = Watch::new(parts)?;
    if let (Some(reply), Some(attach)) = (reply, order.attach) {
        let connection = reply.try_clone().doing("keeping", "the connection")?;
        rustix::io::ioctl_fionbio(&connection, true).doing("preparing", "the connection")?;
        watch.clients.add(connection, Some(attach));
    }
    drop(turn);
    answer(reply, &Answer::Started);
    let first = First::open(begun.pid, true)?;
    if mode == Mode::Start {
        anew(&watch, order.preserve_fds);
    }
    live_on(&mut watch, first, order.preserve_fds)
}

/// Notes that a container did not begin. The caller has the turn.
fn not_begun(records: &Records, desired: &Desired, error: &RunnerError, mode: Mode) -> Result<()> {
    if mode == Mode::Front && matches!(error, RunnerError::Interrupted(_)) {
        // `run` was ended before there was anything to end: it leaves nothing.
        pass::leave(records.folders(), &desired.id)?;
        return pass::remove(records, desired);
    }
    let exit = Exit {
        started: None,
        finished: Timestamp::now(),
        code: error.run_exit_code(),
        oom_killed: false,
        restarts: 0,
        error: Some(error.to_string()),
    };
    records.ended(&desired.id, &exit)?;
    pass::leave(records.folders(), &desired.id)?;
    if desired.auto_remove { pass::remove(records, desired) } else { Ok(()) }
}

/// Whether the container may have the caller's own streams, none of which is kept.
fn inherits(desired: &Desired) -> bool {
    let process = &desired.process;
    desired.log.none
        && !process.tty
        && (!process.interactive || may_be_handed(rustix::stdio::stdin()))
        && may_be_handed(rustix::stdio::stdout())
        && may_be_handed(rustix::stdio::stderr())
}

fn front(desired: &Desired, inherit: bool) -> Result<Front> {
    let own = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned().doing("keeping", "a descriptor");
    let attach = &desired.attach;
    let input = if desired.process.interactive && attach.stdin && !inherit {
        Some(own(rustix::stdio::stdin())?)
    } else {
        None
    };
    let raw = if desired.process.tty {
        Raw::make(rustix::stdio::stdin()).doing("preparing", "the terminal")?
    } else {
        None
    };
    Ok(Front {
        input,
        out: Sink::new(if attach.stdout { Some(own(rustix::stdio::stdout())?) } else { None }),
        err: Sink::new(if attach.stderr { Some(own(rustix::stdio::stderr())?) } else { None }),
        sig_proxy: attach.sig_proxy,
        raw,
    })
}

/// Becomes a fresh process by exec, with everything that this one has to keep. Returns where that is not possible:
/// then this one goes on as it is.
fn anew(watch: &Watch, preserve_fds: u32) {
    let Some(started) = watch.live.started else { return };
    let order = Order {
        preserve_fds,
        carry: Some(Carry {
            pid: watch.live.pid,
            started,
            failures: watch.backoff.failures,
            restarts: watch.live.restarts,
        }),
        ..Order::plain(watch.records.folders(), &watch.desired.id)
    };
    let streams = &watch.streams;
    let mut fds = vec![("listener", watch.clients.listener().as_fd())];
    let named = [
        ("input", &streams.input),
        ("out", &streams.out),
        ("err", &streams.err),
        ("terminal", &streams.terminal),
    ];
    fds.extend(named.iter().filter_map(|(name, fd)| fd.as_ref().map(|fd| (*name, fd.as_fd()))));
    for (fd, attach) in watch.clients.attached().take(16) {
        let name = match (attach.input, attach.output) {
            (false, false) => "waits",
            (true, false) => "writes",
            (false, true) => "reads",
            (true, true) => "both",
        };
        fds.push((name, fd.as_fd()));
    }
    fds.extend(watch.held.each().map(|fd| ("port", fd)));
    let Ok((ours, theirs)) = parcel::pair() else { return };
    if order.send(&ours, &fds).is_err() {
        return;
    }
    drop(ours);
    let _goes_on = super::Again::new(Mode::Resume, preserve_fds, &watch.desired.id, theirs).exec();
}

fn resume(order: &Order, bag: &mut Bag) -> Result<u8> {
    let folders = order.folders();
    let records = Records::new(&folders);
    let missing = || RunnerError::Usage("a supervisor is started by other commands".into());
    let carry = order.carry.as_ref().ok_or_else(missing)?;
    let signals = collected(false)?;
    signals.let_finish().doing("preparing", "signals")?;
    let desired = records.find(order.id.as_str())?;
    let mut clients = Clients::on(bag.take("listener").ok_or_else(missing)?);
    for (name, input, output) in
        [("waits", false, false), ("writes", true, false), ("reads", false, true), ("both", true, true)]
    {
        while let Some(fd) = bag.take(name) {
            clients.add(fd, Some(Attach { input, output }));
        }
    }
    let live = Live::read(&folders, &order.id)?.unwrap_or(Live {
        pid: carry.pid,
        started: Some(carry.started),
        restarts: carry.restarts,
        ..Live::default()
    });
    let streams = Streams {
        input: bag.take("input"),
        out: bag.take("out"),
        err: bag.take("err"),
        terminal: bag.take("terminal"),
    };
    let held = HeldPorts::handed(std::iter::from_fn(|| bag.take("port")).collect());
    let backoff = Backoff { failures: carry.failures };
    let mut watch =
        Watch::new(Parts { records, desired, live, streams, held, clients, front: None, signals, backoff })?;
    // Ours, and not waited for yet: the number still means it, also when it has ended.
    let first = First::open(carry.pid, true)?;
    live_on(&mut watch, first, order.preserve_fds)
}

/// From a container that runs to its last end: the number of it.
fn live_on(watch: &mut Watch, mut first: First, preserve_fds: u32) -> Result<u8> {
    loop {
        let code = watch.run(&first)?;
        match watch.after(code)? {
            Next::Over(code) => {
                over(watch, code)?;
                return Ok(code);
            }
            Next::Again => {}
        }
        let (begun, again) = begin_again(watch, preserve_fds)?;
        let Some(again) = again else {
            over(watch, begun)?;
            return Ok(begun);
        };
        first = again;
        if watch.front.is_none() {
            anew(watch, preserve_fds);
        }
    }
}

/// The next run, tried until one begins; without one the number of the last try.
fn begin_again(watch: &mut Watch, preserve_fds: u32) -> Result<(u8, Option<First>)> {
    loop {
        let folders = watch.records.folders().clone();
        let turn = Turn::take(&folders, &watch.desired.id)?;
        // What `update` and `rename` changed holds from here on.
        watch.desired = watch.records.find(watch.desired.id.as_str())?;
        own_mounts().doing("making", "a mount namespace")?;
        let begun = Begin {
            folders: &folders,
            desired: &watch.desired,
            restarts: watch.live.restarts,
            preserve_fds,
            foreground: watch.front.is_some(),
            size: watch.front.as_ref().and_then(|_| terminal::size(rustix::stdio::stdin())),
            inherit: watch.front.is_some() && inherits(&watch.desired),
            stop: None,
        }
        .run();
        match begun {
            Ok(begun) => {
                let first = First::open(begun.pid, true)?;
                watch.begin_again(begun)?;
                return Ok((0, Some(first)));
            }
            Err(error) => {
                let code = error.run_exit_code();
                let exit = Exit {
                    started: None,
                    finished: Timestamp::now(),
                    code,
                    oom_killed: false,
                    restarts: watch.live.restarts,
                    error: Some(error.to_string()),
                };
                watch.records.ended(&watch.desired.id, &exit)?;
                drop(turn);
                watch.live.started = None;
                if let Next::Over(code) = watch.after(code)? {
                    return Ok((code, None));
                }
            }
        }
    }
}

/// After the last run: nothing of it stays but its record, with `--rm` not even that; then those who waited are told.
fn over(watch: &mut Watch, code: u8) -> Result<()> {
    let folders = watch.records.folders().clone();
    if let Some(front) = &mut watch.front {
        front.out.flush();
        front.err.flush();
        front.raw = None;
    }
    let cleaned = Turn::take(&folders, &watch.desired.id).and_then(|_turn| {
        pass::leave(&folders, &watch.desired.id)?;
        if watch.desired.auto_remove { pass::remove(&watch.records, &watch.desired) } else { Ok(()) }
    });
    watch.clients.ended(code);
    watch.clients.flush_all();
    cleaned
}
