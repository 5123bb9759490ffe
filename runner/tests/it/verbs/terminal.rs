//! `run -it`, `attach` and `exec -it` at a terminal.

use std::{
    fs::File,
    io::Write,
    os::fd::OwnedFd,
    process::{Child, Command, ExitStatus},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};

use crate::supervisor::{Machine, machine, until};

const CTRL_C: &str = "\x03";
const DETACH: &str = "\x10\x11";

/// A terminal with a command at it, whose controlling terminal it is.
struct Terminal {
    master: OwnedFd,
    slave: OwnedFd,
    child: Child,
    said: String,
}

impl Terminal {
    fn start(machine: &Machine, arguments: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(name.as_c_str(), flags, Mode::empty()).unwrap();
        let runner = machine.command(arguments);
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(runner.get_program()).args(runner.get_args());
        for (name, value) in runner.get_envs() {
            command.env(name, value.unwrap());
        }
        let end = || File::from(slave.try_clone().unwrap());
        command.stdin(end()).stdout(end()).stderr(end());
        let this = |child| Self { master, slave: slave.try_clone().unwrap(), child, said: String::new() };
        let mut terminal = this(command.spawn().unwrap());
        terminal.resize(24, 80);
        terminal
    }

    fn resize(&mut self, ws_row: u16, ws_col: u16) {
        tcsetwinsize(&self.master, Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    }

    fn types(&mut self, text: &str) {
        let mut master = File::from(self.master.try_clone().unwrap());
        master.write_all(text.as_bytes()).unwrap();
    }

    /// Whether lines are edited by the terminal itself, as before anybody made it raw.
    fn is_as_before(&self) -> bool {
        tcgetattr(&self.slave).unwrap().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// Waits until what is typed goes on as it is: the command is attached by then.
    fn is_raw(&self) {
        until("the terminal is raw", || !self.is_as_before());
    }

    fn read(&mut self, patience: Duration) {
        let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
        let patience = Timespec::try_from(patience).unwrap();
        if poll(&mut fds, Some(&patience)).unwrap() > 0 {
            let mut piece = [0; 4096];
            let length = rustix::io::read(&self.master, &mut piece).unwrap_or(0);
            self.said.push_str(&String::from_utf8_lossy(&piece[..length]));
        }
    }

    /// Reads until it says so, half a minute at most.
    fn says(&mut self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.said.contains(text) {
            assert!(Instant::now() < deadline, "{text:?} never came: {:?}", self.said);
            self.read(Duration::from_millis(200));
        }
    }

    /// Waits for the command's end.
    fn ends(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.read(Duration::ZERO);
                return status;
            }
            assert!(Instant::now() < deadline, "it goes on: {:?}", self.said);
            self.read(Duration::from_millis(20));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn run_it(machine: &Machine, flags: &[&str], program: &[&str]) -> Terminal {
    let flags = [&["-it"][..], flags].concat();
    Terminal::start(machine, &machine.arguments("run", &flags, program, &machine.root()))
}

#[test]
fn a_terminal_s_size_and_its_changes_arrive_and_the_number_comes_back() {
    let Some(machine) = machine() else { return };
    let script = "while [ \"$(stty size)\" != '24 80' ]; do busybox usleep 10000; done; echo first; \
         while [ \"$(stty size)\" != '50 132' ]; do busybox usleep 10000; done; tty; read line; echo got $line; exit 7";
    let mut terminal = run_it(&machine, &["--rm"], &["sh", "-c", script]);
    terminal.says("first");
    terminal.resize(50, 132);
    terminal.says("/dev/pts/0");
    assert!(!terminal.is_as_before(), "what is typed goes on as it is");
    terminal.types("words\r");
    assert_eq!(terminal.ends().code(), Some(7), "{}", terminal.said);
    assert!(terminal.said.contains("got words\r\n"), "{}", terminal.said);
    assert!(terminal.is_as_before(), "the terminal is as it was");
    machine.is_empty();
}

#[test]
fn what_was_typed_too_early_is_not_lost() {
    let Some(machine) = machine() else { return };
    let mut terminal = run_it(&machine, &["--rm"], &["sh", "-c", "read line; echo \"<$line>\"; exit 4"]);
    terminal.types("early\r");
    assert_eq!(terminal.ends().code(), Some(4), "{}", terminal.said);
    assert!(terminal.said.contains("<early>"), "{}", terminal.said);
    machine.is_empty();
}

#[test]
fn ctrl_c_goes_to_the_program_and_not_to_the_runner() {
    let Some(machine) = machine() else { return };
    let script = "trap 'echo caught; exit 9' INT; echo ready; while true; do sleep 1; done";
    let mut terminal = run_it(&machine, &["--rm"], &["sh", "-c", script]);
    terminal.says("ready");
    terminal.types(CTRL_C);
    assert_eq!(terminal.ends().code(), Some(9), "{}", terminal.said);
    assert!(terminal.said.contains("caught"), "{}", terminal.said);
    machine.is_empty();
}

#[test]
fn keys_detach_and_attach_goes_on_at_another_terminal() {
    let Some(machine) = machine() else { return };
    let script = "echo ready; while read line; do echo \"<$line>\"; done; exit 5";
    let mut first = run_it(&machine, &["--name", "web"], &["sh", "-c", script]);
    first.says("ready");
    first.types("one\r");
    first.says("<one>");
    first.types(DETACH);
    assert_eq!(first.ends().code(), Some(0), "{}", first.said);
    assert!(first.is_as_before());
    assert_eq!(machine.inspect("web", ".State.Status"), "running");

    let mut second = Terminal::start(&machine, &["attach", "--detach-keys", "ctrl-a,x", "web"]);
    second.is_raw();
    second.types("two\r");
    second.says("<two>");
    // Others' keys are text here, and half of the own ones as well.
    second.types("\x10\x11\x01y\r");
    second.says("y>");
    second.types("\x01x");
    assert_eq!(second.ends().code(), Some(0), "{}", second.said);

    let mut third = Terminal::start(&machine, &["attach", "web"]);
    third.is_raw();
    third.types("three\r");
    third.says("<three>");
    assert!(!third.said.contains("<one>"), "only what comes from now on: {}", third.said);
    third.types("\x04");
    assert_eq!(third.ends().code(), Some(5), "{}", third.said);
    machine.ok(&["rm", "web"]);
    machine.is_empty();
}

#[test]
fn a_program_of_exec_has_a_terminal_and_lives_on_when_keys_detach() {
    let Some(machine) = machine() else { return };
    machine.background("web", &[], &["sleep", "1000"]);
    let script = "stty size; echo ready; read line; touch /tmp/typed; exit 6";
    let mut terminal = Terminal::start(&machine, &["exec", "-it", "web", "sh", "-c", script]);
    terminal.says("ready");
    terminal.types("x\r");
    assert_eq!(terminal.ends().code(), Some(6), "{}", terminal.said);
    assert!(terminal.said.contains("24 80"), "{}", terminal.said);
    assert!(terminal.is_as_before());

    let script = "trap '' HUP; echo $$ > /tmp/pid; echo ready; while true; do sleep 1; done";
    let arguments = ["exec", "-it", "--detach-keys", "ctrl-x,q", "web", "sh", "-c", script];
    let mut terminal = Terminal::start(&machine, &arguments);
    terminal.says("ready");
    terminal.types("\x18q");
    assert_eq!(terminal.ends().code(), Some(0), "{}", terminal.said);
    assert!(terminal.is_as_before());
    machine.ok(&["exec", "web", "sh", "-c", "kill -0 $(cat /tmp/pid)"]);
    machine.ok(&["rm", "--force", "-t", "0", "web"]);
    until("nothing of it is left", || machine.processes().is_empty());
    machine.is_empty();
}
