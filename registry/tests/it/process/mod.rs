//! The program as a process: starting, refusing to, stopping, and what it writes to its log.

mod descriptors;
mod logs;
mod refusals;
mod stopping;

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

const PATIENCE: Duration = Duration::from_secs(30);

/// The program, with nothing of the test's own environment that it would listen to.
fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_berth-registry"));
    clean(&mut command);
    command
}

fn clean(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BERTH_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
}

/// Runs to the end.
fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

/// A registry that listens on some port of loopback.
struct Registry {
    child: Child,
    addr: SocketAddr,
    log: Receiver<String>,
}

impl Registry {
    fn start(data: &Path, variables: &[(&str, &str)]) -> Self {
        let mut command = program();
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        command.envs(variables.iter().copied());
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).split(b'\n');
        let (to, log) = channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // The test may have heard enough.
                let _gone = to.send(String::from_utf8(line).unwrap());
            }
        });
        let mut early = Vec::new();
        let addr = loop {
            let line = log.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("never listened: {early:?}"));
            if let Some((_, url)) = line.split_once("Listening on http://") {
                let end =
                    url.find(|c: char| c != '.' && c != ':' && !c.is_ascii_digit()).unwrap_or(url.len());
                break url[..end].parse().unwrap();
            }
            early.push(line);
        };
        Self { child, addr, log }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn wait(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "the process does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Lines that were logged since the start, once one says `until`.
    fn log_until(&self, until: &str) -> Vec<String> {
        let mut lines = Vec::new();
        while !lines.last().is_some_and(|line: &String| line.contains(until)) {
            lines.push(
                self.log.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no {until:?} in {lines:?}")),
            );
        }
        lines
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended before; then there is nothing to end.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn text(mut from: impl Read) -> String {
    let mut text = String::new();
    from.read_to_string(&mut text).unwrap();
    text
}
