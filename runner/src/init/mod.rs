//! The small init of `--init`: process 1 of a container, which hands signals on and reaps what nobody else does.
//!
//! It is this program, bound read-only into the container ([`program`]).

mod program;

use std::{
    io::{self, Write},
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

pub(crate) use program::Program;

use berth_runtime::Signals;
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait},
};

/// The argument by which the program is the small init; never typed by a person.
pub(crate) const ARGUMENT: &str = "__init";

/// All but those that tell of an own fault, cannot be caught, or are about a terminal's job control.
const HANDED_ON: [i32; 15] = [1, 2, 3, 6, 10, 12, 13, 14, 15, 18, 23, 24, 25, 28, 30];

/// Where job control would stop it.
const IGNORED: [i32; 2] = [21, 22];

/// The child's end.
const CHILD: i32 = 17;

/// The init's `main`: `__init -- PROGRAM ARGUMENTS`.
pub(crate) fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(2).skip_while(|word| word == "--");
    let Some(program) = words.next() else {
        return tell("no program to start", 125);
    };
    match run(Command::new(&program).args(words)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let number = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
            tell(&format!("{}: {error}", program.display()), number)
        }
    }
}

fn tell(what: &str, code: u8) -> ExitCode {
    let _told = writeln!(io::stderr(), "berth-runner init: {what}");
    ExitCode::from(code)
}

/// Starts a program and goes when it goes; everybody else's children are reaped on the way.
fn run(command: &mut Command) -> io::Result<u8> {
    let collected: Vec<i32> =
        HANDED_ON.iter().chain(&IGNORED).copied().chain([CHILD]).chain(34..=64).collect();
    let signals = Signals::collect(&collected)?;
    // A group of its own would lose the terminal; the terminal's signals reach both, and the program decides.
    let child = command.process_group(0).spawn()?;
    let own = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| io::Error::other("no process id"))?;
    // Where there is a terminal, the program's group has it, as a shell would have done.
    let terminal = rustix::termios::isatty(io::stdin());
    if terminal {
        let _not_ours = rustix::termios::tcsetpgrp(io::stdin(), own);
    }
    loop {
        while let Some((pid, status)) = reap()? {
            if pid == own {
                return Ok(number(status));
            }
        }
        while let Some(arrived) = signals.next()? {
            if arrived.signal == CHILD || IGNORED.contains(&arrived.signal) {
                continue;
            }
            if let Some(signal) = Signal::from_named_raw(arrived.signal) {
                // It may have ended this very moment, which the next round sees.
                let _gone = kill_process(own, signal);
            }
        }
        let mut ready = [PollFd::new(&signals, PollFlags::IN)];
        match poll(&mut ready, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn reap() -> io::Result<Option<(Pid, WaitStatus)>> {
    match wait(WaitOptions::NOHANG) {
        Ok(ended) => Ok(ended),
        Err(Errno::CHILD) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The program's number, or 128 and its signal.
fn number(status: WaitStatus) -> u8 {
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(125)
}
