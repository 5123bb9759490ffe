//! `exec`: a further program in a container, as a child of this command.

use std::{
    fs,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use berth_runtime::{Signals, Started, send_signal};
use clap::Args;
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    process::{WaitId, WaitIdOptions, waitid},
};

use super::{Globals, select::Selection};
use crate::{
    error::{Result, RunnerError, While},
    supervisor::{
        engine::{Ends, Engine},
        events,
        front::{Sink, may_be_handed},
        live::{Condition, snapshot},
        program, signal,
        terminal::{self, DetachKeys, Raw},
    },
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Do not wait for its end; prints its process id
    #[arg(long, short)]
    detach: bool,

    /// Keys that detach, with -it
    #[arg(long, default_value = DetachKeys::DEFAULT)]
    detach_keys: String,

    /// Set a variable, NAME=value or the caller's NAME
    #[arg(long, short, value_name = "NAME=VALUE")]
    env: Vec<String>,

    /// Variables from a file
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,

    /// Hand standard input on
    #[arg(long, short)]
    interactive: bool,

    /// The container that was created last; then there is only a command
    #[arg(long, short)]
    latest: bool,

    /// So many descriptors from 3 on
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    preserve_fds: u32,

    /// Everything that the machine's root may
    #[arg(long)]
    privileged: bool,

    /// A terminal
    #[arg(long, short)]
    tty: bool,

    /// user[:group], by name or number
    #[arg(long, short, value_name = "USER")]
    user: Option<String>,

    /// Working directory
    #[arg(long, short, value_name = "FOLDER")]
    workdir: Option<PathBuf>,

    /// The container, then the program and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "CONTAINER COMMAND"
    )]
    command: Vec<String>,
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    // What becomes a container's process must not lend it this program's file. Asked as who enters it: a user is root
    // in the own namespace.
    berth_runtime::protect_own_program()?;
    let mut args = arguments.command.clone();
    let containers = if arguments.latest { Vec::new() } else { vec![args.remove(0)] };
    if args.is_empty() {
        return Err(RunnerError::Usage("exec: name a program behind the container".into()));
    }
    let selection = Selection { containers, latest: arguments.latest, ..Default::default() };
    let desired = selection.one(&context)?;
    let is = snapshot(&context.records, &desired)?.condition;
    if !matches!(is, Condition::Running | Condition::Stopping) {
        return Err(RunnerError::Conflict(format!(
            "container {} is {}: programs run in running containers only",
            desired.name,
            is.name()
        )));
    }
    let wants = program::Wants {
        args,
        env: environment(arguments)?,
        cwd: arguments.workdir.clone(),
        user: arguments.user.clone(),
        tty: arguments.tty,
        privileged: arguments.privileged,
    };
    let process = program::process(&context.folders, &desired.id, &wants)?;
    let engine = Engine::of(&context.folders, &desired);
    events::note(&context.folders, &desired, "exec");
    let start = |ends: Ends<'_>| engine.exec(&desired.id, &process, ends, arguments.preserve_fds);
    if arguments.detach {
        let null =
            fs::File::options().read(true).write(true).open("/dev/null").doing("opening", "/dev/null")?;
        let started = if arguments.tty {
            start(Ends::Terminal)?
        } else {
            start(Ends::Files([null.as_fd(), null.as_fd(), null.as_fd()]))?
        };
        super::output::line(started.pid.to_string())?;
        return Ok(0);
    }
    if arguments.tty {
        let keys = DetachKeys::parse(if arguments.interactive { &arguments.detach_keys } else { "" })?;
        return with_terminal(start(Ends::Terminal)?, arguments.interactive, keys);
    }
    without_terminal(start, arguments.interactive)
}

fn environment(arguments: &Arguments) -> Result<Vec<String>> {
    let mut env = Vec::new();
    let mut add = |text: &str| match text.split_once('=') {
        Some(_) => env.push(text.to_owned()),
        None => env.extend(std::env::var(text).ok().map(|value| format!("{text}={value}"))),
    };
    for file in &arguments.env_file {
        let text = fs::read_to_string(file).doing("reading", file)?;
        text.lines()
            .map(str::trim_start)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .for_each(&mut add);
    }
    arguments.env.iter().for_each(|text| add(text));
    Ok(env)
}

fn null() -> Result<OwnedFd> {
    Ok(fs::File::open("/dev/null").doing("opening", "/dev/null")?.into())
}

fn own(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    fd.try_clone_to_owned().doing("keeping", "a descriptor")
}

fn same_file(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    let which = |fd| rustix::fs::fstat(fd).map(|stat| (stat.st_dev, stat.st_ino));
    which(one).is_ok_and(|one| which(other) == Ok(one))
}

/// Pipes stand between the container and a terminal or a file of the caller; a pipe is handed over as it is.
fn without_terminal(start: impl FnOnce(Ends<'_>) -> Result<Started>, interactive: bool) -> Result<u8> {
    let signals = Signals::collect(&signal::PROXIED).doing("collecting", "signals")?;
    let (caller_in, caller_out, caller_err) =
        (rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr());
    let pipe = || {
        std::io::pipe()
            .doing("making", "a pipe")
            .map(|(read, write)| (OwnedFd::from(read), OwnedFd::from(write)))
    };
    let mut relay = Relay::default();
    let input = if !interactive {
        null()?
    } else if !may_be_handed(caller_in) {
        let (read, write) = pipe()?;
        rustix::io::ioctl_fionbio(&write, true).doing("preparing", "a pipe")?;
        relay.typed = Some(own(caller_in)?);
        relay.input = Some(write);
        read
    } else {
        own(caller_in)?
    };
    let mut output = |caller: BorrowedFd<'_>| -> Result<OwnedFd> {
        if may_be_handed(caller) {
            return own(caller);
        }
        let (read, write) = pipe()?;
        relay.outputs.push((read, Sink::new(Some(own(caller)?))));
        Ok(write)
    };
    let out = output(caller_out)?;
    // What is one file for the caller is one pipe, so that what is written stays in its order.
    let err = if !may_be_handed(caller_err) && same_file(caller_out, caller_err) {
        own(out.as_fd())?
    } else {
        output(caller_err)?
    };
    let started = start(Ends::Files([input.as_fd(), out.as_fd(), err.as_fd()]))?;
    drop((input, out, err));
    relay.run(&started, &signals, &mut DetachKeys::parse("")?)
}

fn with_terminal(mut started: Started, interactive: bool, mut keys: DetachKeys) -> Result<u8> {
    let mut collected = vec![signal::WINCH];
    collected.extend(signal::PROXIED);
    let signals = Signals::collect(&collected).doing("collecting", "signals")?;
    let master = started
        .terminal
        .take()
        .ok_or_else(|| RunnerError::Unsupported("the runtime made no terminal for exec".into()))?;
    let _raw = if interactive {
        Raw::make(rustix::stdio::stdin()).doing("preparing", "the terminal")?
    } else {
        None
    };
    rustix::io::ioctl_fionbio(&master, true).doing("preparing", "the terminal")?;
    let out = Sink::new(Some(own(rustix::stdio::stdout())?));
    let relay = Relay {
        typed: if interactive { Some(own(rustix::stdio::stdin())?) } else { None },
        input: Some(own(master.as_fd())?),
        outputs: vec![(own(master.as_fd())?, out)],
        terminal: Some(master),
        pending: Vec::new(),
    };
    relay.resize();
    relay.run(&started, &signals, &mut keys)
}

/// What goes between the caller and a program.
#[derive(Default)]
struct Relay {
    /// What the caller types.
    typed: Option<OwnedFd>,
    /// Where it goes.
    input: Option<OwnedFd>,
    /// What the program writes, and where that goes.
    outputs: Vec<(OwnedFd, Sink)>,
    /// The master of its terminal.
    terminal: Option<OwnedFd>,
    /// Typed, and not taken yet.
    pending: Vec<u8>,
}

impl Relay {
    fn resize(&self) {
        if let (Some(master), Some((ws_row, ws_col))) =
            (&self.terminal, terminal::size(rustix::stdio::stdin()))
        {
            let size = rustix::termios::Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 };
            let _ended_meanwhile = rustix::termios::tcsetwinsize(master, size);
        }
    }

    /// Until the program ends: its number.
    fn run(mut self, started: &Started, signals: &Signals, keys: &mut DetachKeys) -> Result<u8> {
        loop {
            let mut fds = vec![
                PollFd::from_borrowed_fd(started.pidfd.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
            ];
            let (mut typed, mut taken) = (None, None);
            if let Some(fd) = self.typed.as_ref().filter(|_| self.pending.is_empty()) {
                typed = Some(fds.len());
                fds.push(PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN));
            }
            if let Some(fd) = self.input.as_ref().filter(|_| !self.pending.is_empty()) {
                taken = Some(fds.len());
                fds.push(PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::OUT));
            }
            let outputs = fds.len();
            fds.extend(
                self.outputs.iter().map(|(fd, _)| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)),
            );
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error).doing("waiting for", "the program"),
            }
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            drop(fds);
            if ready[1] {
                while let Some(arrived) = signals.next().doing("reading", "signals")? {
                    if arrived.signal == signal::WINCH {
                        self.resize();
                    } else {
                        let _ended_meanwhile = send_signal(started.pidfd.as_fd(), arrived.signal);
                    }
                }
            }
            if typed.is_some_and(|at| ready[at]) && self.read_typed(keys) {
                return Ok(0);
            }
            if taken.is_some_and(|at| ready[at]) {
                self.write_typed();
            }
            for at in (0..self.outputs.len()).rev() {
                if ready[outputs + at] && !self.copy(at) {
                    self.outputs.swap_remove(at);
                }
            }
            if ready[0] {
                return self.end(started);
            }
        }
    }

    /// Copies one piece; `false` at its end.
    fn copy(&mut self, at: usize) -> bool {
        let (fd, sink) = &mut self.outputs[at];
        let mut piece = [0; 16 << 10];
        match rustix::io::read(&*fd, &mut piece) {
            Ok(length @ 1..) => {
                sink.push(&piece[..length]);
                sink.flush();
                !sink.is_lost()
            }
            Err(Errno::AGAIN | Errno::INTR) => true,
            Ok(0) | Err(_) => false,
        }
    }

    fn read_typed(&mut self, keys: &mut DetachKeys) -> bool {
        let mut piece = [0; 4096];
        let length = self.typed.as_ref().map_or(0, |fd| rustix::io::read(fd, &mut piece).unwrap_or(0));
        if length == 0 {
            self.typed = None;
            if self.terminal.is_none() {
                self.input = None;
            }
            return false;
        }
        let (through, detach) = keys.filter(&piece[..length]);
        self.pending.extend(through);
        self.write_typed();
        detach
    }

    fn write_typed(&mut self) {
        let Some(fd) = &self.input else { return self.pending.clear() };
        match rustix::io::write(fd, &self.pending) {
            Ok(written) => drop(self.pending.drain(..written)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_nobody_reads) => {
                self.pending.clear();
                self.input = None;
            }
        }
    }

    /// What was written before the end is still handed on.
    fn end(mut self, started: &Started) -> Result<u8> {
        let now = || Some(std::time::Instant::now());
        while let Some((fd, _)) = self.outputs.first() {
            let more = crate::supervisor::parcel::ready(fd.as_fd(), PollFlags::IN, now()).unwrap_or(false);
            if !more || !self.copy(0) {
                self.outputs.swap_remove(0);
            }
        }
        let status = waitid(WaitId::PidFd(started.pidfd.as_fd()), WaitIdOptions::EXITED)
            .doing("waiting for", "the program")?;
        let code = status.and_then(|status| {
            status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal))
        });
        Ok(code.and_then(|code| u8::try_from(code & 0xff).ok()).unwrap_or(255))
    }
}
