//! The command line's end: supervisors are started, found, asked, and watched.

use std::{
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

use berth_runtime::{ContainerId, Signals};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with,
    },
    process::{Pid, Signal, kill_process},
};

use super::{
    clients::{self, Request, say},
    front::Sink,
    live::snapshot,
    order::{Answer, Attach, Mode, Order},
    parcel, serve, signal, spawn_self,
    terminal::{self, DetachKeys, Raw},
};
use crate::{
    error::{Result, RunnerError, While},
    folders::Folders,
    record::{AttachOptions, Desired, Records},
    stop::Stop,
};

/// How long a supervisor that lives may take to answer what it can answer at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// Starts a supervisor and the container in it; the connection goes on as an attached client where that is asked for.
/// `false`: it ran already.
///
/// # Errors
/// What kept it from starting.
pub(crate) fn start(folders: &Folders, id: &ContainerId, attach: Option<Attach>) -> Result<(OwnedFd, bool)> {
    started(launch(folders, id, Mode::Start, attach, None)?)
}

/// [`start`], until a signal ends it: then nothing runs.
///
/// # Errors
/// As there, and [`RunnerError::Interrupted`].
pub(crate) fn start_unless_stopped(
    folders: &Folders,
    id: &ContainerId,
    attach: Attach,
    stop: &Stop,
) -> Result<(OwnedFd, bool)> {
    started(launch(folders, id, Mode::Start, Some(attach), Some(stop))?)
}

fn started(answer: (OwnedFd, Answer)) -> Result<(OwnedFd, bool)> {
    match answer {
        (session, Answer::Started) => Ok((session, true)),
        (session, Answer::Already | Answer::Nothing) => Ok((session, false)),
        (_, Answer::Failed(failure)) => Err(failure.into()),
    }
}

fn launch(
    folders: &Folders,
    id: &ContainerId,
    mode: Mode,
    attach: Option<Attach>,
    stop: Option<&Stop>,
) -> Result<(OwnedFd, Answer)> {
    let preserve_fds = serve::handed_down();
    let order = Order { attach, preserve_fds, ..Order::plain(folders, id) };
    let (ours, theirs) = parcel::pair().doing("starting", "a supervisor")?;
    order.send(&ours, &[])?;
    let mut child = spawn_self(mode, preserve_fds, id, theirs)?;
    if let Some(stop) = stop
        && let Err(stopped) = stop.ready(ours.as_fd(), "the supervisor")
    {
        // It takes away what it made, and stops what it started.
        kill_process(Pid::from_child(&child), Signal::TERM).doing("ending", "the supervisor")?;
        child.wait().doing("waiting for", "the supervisor")?;
        return Err(stopped);
    }
    let parcel = parcel::receive(&ours, RecvFlags::empty()).doing("waiting for", "the supervisor")?;
    if parcel.bytes.is_empty() {
        let status = child.wait().doing("waiting for", "the supervisor")?;
        return Err(RunnerError::Unsupported(format!(
            "the supervisor of {id} ended before it answered: {status}"
        )));
    }
    let answer = serde_json::from_slice(&parcel.bytes)
        .map_err(|error| RunnerError::Content(format!("the supervisor of {id} answered {error}")))?;
    Ok((ours, answer))
}

/// A connection to the supervisor of a container that runs; a dead one is replaced. `None`: nothing runs.
///
/// # Errors
/// Where a supervisor lives and does not answer.
pub(crate) fn reach(records: &Records, desired: &Desired) -> Result<Option<OwnedFd>> {
    let folders = records.folders();
    let path = folders.running(&desired.id).join("sock");
    // A supervisor may end, or begin, between the look and the connection; after each there is another state to see.
    for _ in 0..8 {
        let seen = snapshot(records, desired)?;
        match (seen.supervisor, seen.orphaned) {
            (None, false) => return Ok(None),
            (None, true) => match launch(folders, &desired.id, Mode::Adopt, None, None)? {
                (_, Answer::Nothing) => return Ok(None),
                (_, Answer::Failed(failure)) => return Err(failure.into()),
                (_, Answer::Started | Answer::Already) => {}
            },
            (Some(_), _) => match connected(&path) {
                Ok(socket) => return Ok(Some(socket)),
                Err(error)
                    if matches!(
                        error.kind(),
                        std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused
                    ) =>
                {
                    // It begins or ends: it has the turn until that is done.
                    match super::claim::Turn::take(folders, &desired.id) {
                        Err(RunnerError::NotFound(_)) => return Ok(None),
                        turn => drop(turn?),
                    }
                }
                Err(error) => return Err(error).doing("connecting to", &path),
            },
        }
    }
    Err(RunnerError::Conflict(format!("container {} begins and ends all the time: try again", desired.name)))
}

fn connected(path: &std::path::Path) -> std::io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let (_folder, short) = clients::short(path)?;
    connect(&socket, &SocketAddrUnix::new(short)?)?;
    Ok(socket)
}

/// Sends a request.
///
/// # Errors
/// Where the supervisor is gone.
pub(crate) fn ask(session: &OwnedFd, request: &Request) -> Result<()> {
    parcel::send(session, &request.message(), &[], SendFlags::empty()).doing("asking", "the supervisor")
}

/// Asks, and waits for "done" or the reason why not, with what comes with it.
///
/// # Errors
/// The reason.
pub(crate) fn done(session: &OwnedFd, request: &Request) -> Result<Vec<u8>> {
    done_within(session, request, Duration::ZERO)
}

/// [`done`], where the answer itself takes so long.
///
/// # Errors
/// As there.
pub(crate) fn done_within(session: &OwnedFd, request: &Request, needs: Duration) -> Result<Vec<u8>> {
    ask(session, request)?;
    let deadline = Instant::now() + needs + PATIENCE;
    loop {
        if !parcel::ready(session.as_fd(), PollFlags::IN, Some(deadline)).doing("asking", "the supervisor")? {
            return Err(RunnerError::Unsupported(format!(
                "the supervisor did not answer within {} seconds: `rm --force` ends it",
                (needs + PATIENCE).as_secs()
            )));
        }
        let parcel = parcel::receive(session, RecvFlags::empty()).doing("asking", "the supervisor")?;
        match parcel.bytes.split_first() {
            Some((&say::DONE, data)) => return Ok(data.to_vec()),
            Some((&say::FAILED, text)) => {
                return Err(RunnerError::Conflict(String::from_utf8_lossy(text).into_owned()));
            }
            Some(_) => {}
            None => return Err(RunnerError::Conflict("the container ended meanwhile".into())),
        }
    }
}

/// Waits for the end of the run: its number. `None`: the deadline passed, or the supervisor died.
///
/// # Errors
/// The kernel's.
pub(crate) fn ended(session: &OwnedFd, deadline: Option<Instant>) -> Result<Option<u8>> {
    loop {
        if !parcel::ready(session.as_fd(), PollFlags::IN, deadline).doing("waiting for", "the container")? {
            return Ok(None);
        }
        match parcel::receive(session, RecvFlags::empty()) {
            Ok(parcel) => match parcel.bytes.as_slice() {
                [say::ENDED, code] => return Ok(Some(*code)),
                [] => return Ok(None),
                _ => {}
            },
            Err(Errno::CONNRESET) => return Ok(None),
            Err(error) => return Err(error).doing("waiting for", "the container"),
        }
    }
}

/// Asks for the end of a container and waits for it, a grace of ten seconds over its time. `false`: nothing ran.
///
/// # Errors
/// Where it did not end.
pub(crate) fn stop(records: &Records, desired: &Desired, seconds: u32, person: bool) -> Result<bool> {
    for _ in 0..4 {
        let Some(session) = reach(records, desired)? else { return Ok(false) };
        if ask(&session, &Request::Stop { seconds, person }).is_err() {
            continue;
        }
        let deadline = Instant::now() + Duration::from_secs(u64::from(seconds)) + PATIENCE;
        match ended(&session, Some(deadline))? {
            Some(_) => return Ok(true),
            None if Instant::now() >= deadline => {
                return Err(RunnerError::Unsupported(format!(
                    "container {} did not end within {seconds} seconds, nor when it was killed: `rm --force` ends its \
                     supervisor too",
                    desired.name
                )));
            }
            // Its supervisor was killed meanwhile: another one is asked.
            None => {}
        }
    }
    Err(RunnerError::Conflict(format!(
        "the supervisors of container {} are killed all the time",
        desired.name
    )))
}

/// What the loop of an attached client is to do with a signal.
fn hand_on(session: &OwnedFd, signals: &Signals, proxy: bool) -> Result<()> {
    while let Some(arrived) = signals.next().doing("reading", "signals")? {
        if arrived.signal == signal::WINCH {
            if let Some((rows, columns)) = terminal::size(rustix::stdio::stdin()) {
                let _ended = ask(session, &Request::Resize(rows, columns));
            }
        } else if proxy {
            let _ended = ask(session, &Request::Kill { signal: arrived.signal, person: false });
        }
    }
    Ok(())
}

/// Hands input, output and signals between the caller and a supervisor whose client `session` is. The number is the
/// container's; 0 after the keys that detach.
///
/// # Errors
/// Where the caller's terminal or the connection fails.
pub(crate) fn attached(
    session: &OwnedFd,
    attach: Attach,
    desired: &Desired,
    options: &AttachOptions,
) -> Result<u8> {
    let own = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned().doing("keeping", "a descriptor");
    let mut proxied = vec![signal::WINCH];
    if options.sig_proxy {
        proxied.extend(signal::PROXIED);
    }
    let signals = Signals::collect(&proxied).doing("collecting", "signals")?;
    let tty = desired.process.tty;
    let raw = if tty && attach.input {
        Raw::make(rustix::stdio::stdin()).doing("preparing", "the terminal")?
    } else {
        None
    };
    let mut keys = DetachKeys::parse(if raw.is_some() { &options.detach_keys } else { "" })?;
    if tty && let Some((rows, columns)) = terminal::size(rustix::stdio::stdin()) {
        let _ended = ask(session, &Request::Resize(rows, columns));
    }
    let mut input = if attach.input { Some(own(rustix::stdio::stdin())?) } else { None };
    let wanted = |fd, wanted: bool| if wanted { own(fd).map(Some) } else { Ok(None) };
    let mut out = Sink::new(wanted(rustix::stdio::stdout(), options.stdout)?);
    let mut err = Sink::new(wanted(rustix::stdio::stderr(), options.stderr)?);
    loop {
        let mut fds = vec![
            PollFd::from_borrowed_fd(session.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
        ];
        if let Some(input) = &input {
            fds.push(PollFd::from_borrowed_fd(input.as_fd(), PollFlags::IN));
        }
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).doing("waiting for", "the container"),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        if ready[1] {
            hand_on(session, &signals, options.sig_proxy)?;
        }
        if ready.get(2) == Some(&true) && detaches(session, &mut input, &mut keys)? {
            return Ok(0);
        }
        if !ready[0] {
            continue;
        }
        let parcel = match parcel::receive(session, RecvFlags::empty()) {
            Ok(parcel) => parcel,
            Err(Errno::CONNRESET) => parcel::Parcel::default(),
            Err(error) => return Err(error).doing("reading from", "the supervisor"),
        };
        let sink = match parcel.bytes.split_first() {
            Some((&say::OUT, text)) => {
                out.push(text);
                &mut out
            }
            Some((&say::ERR, text)) => {
                err.push(text);
                &mut err
            }
            Some((&say::ENDED, code)) => return Ok(code.first().copied().unwrap_or(255)),
            Some((&say::BEHIND, _)) => {
                return Err(RunnerError::Conflict(format!(
                    "output was taken too slowly and goes on without us: `berth-runner logs {}` has it",
                    desired.name
                )));
            }
            Some(_) => continue,
            None => {
                return Err(RunnerError::Conflict(format!(
                    "the supervisor of {} was killed; the container lives on: `berth-runner attach {}` goes on",
                    desired.name, desired.name
                )));
            }
        };
        sink.flush();
        if sink.is_lost() {
            return Ok(0);
        }
    }
}

/// Takes what was typed; whether it was the keys that detach.
fn detaches(session: &OwnedFd, input: &mut Option<OwnedFd>, keys: &mut DetachKeys) -> Result<bool> {
    let mut typed = [0; 16 << 10];
    let length = match input.as_ref().map(|fd| rustix::io::read(fd, &mut typed)) {
        Some(Err(Errno::INTR | Errno::AGAIN)) => return Ok(false),
        Some(Ok(length)) => length,
        Some(Err(_)) | None => 0,
    };
    if length == 0 {
        *input = None;
        let _ended = ask(session, &Request::InputEnds);
        return Ok(false);
    }
    let (through, detach) = keys.filter(&typed[..length]);
    if !through.is_empty() {
        let _ended = ask(session, &Request::Input(through));
    }
    Ok(detach)
}

/// Waits until a process is gone.
///
/// # Errors
/// Where it is not by the deadline.
pub(crate) fn gone(pidfd: &OwnedFd, deadline: Option<Instant>) -> Result<()> {
    if parcel::ready(pidfd.as_fd(), PollFlags::IN, deadline).doing("waiting for", "a process")? {
        return Ok(());
    }
    Err(RunnerError::Unsupported("a process was killed and does not end: it hangs in the kernel".into()))
}
