//! Child processes that cannot outlive the test.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use rustix::process::{Pid, kill_process};

use super::{HarnessError, Result, until};

pub use rustix::process::Signal;

const LOG_TAIL: usize = 4_000;
const STOP_LIMIT: Duration = Duration::from_secs(10);

type Job = (Command, Sender<io::Result<Child>>);

/// Spawns on a thread that lives as long as the process.
///
/// The kernel delivers the parent-death signal when the *thread* that made the child ends. A test's own thread ends
/// with the test and a pool's thread when it idles, so neither may be the parent of something that is shared.
pub(super) fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Sender<Job>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, queue) = channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, answer) in queue {
                if let Err(unclaimed) = answer.send(command.spawn())
                    && let Ok(mut child) = unclaimed.0
                {
                    drop(child.kill());
                    drop(child.wait());
                }
            }
        });
        jobs
    });
    let gone = || io::Error::other("the spawning thread is gone");
    let (answer, child) = channel();
    spawner.send((command, answer)).map_err(|_| gone())?;
    child.recv().map_err(|_| gone())?
}

/// How to start a daemon.
#[derive(Debug)]
pub struct DaemonSpec {
    /// Name for messages.
    pub name: String,
    /// Program and arguments, already resolved.
    pub argv: Vec<OsString>,
    /// Added to the environment.
    pub env: Vec<(OsString, OsString)>,
    /// Receives standard output and standard error, appended.
    pub log: PathBuf,
    /// Runs as this user and its group, where the test runs as root.
    pub user: Option<String>,
    /// Asks the daemon to stop, on drop.
    pub stop: Signal,
    /// Delivered by the kernel if this process dies: `KILL`, or `QUIT` for daemons with something to put away.
    pub orphan: &'static str,
}

impl DaemonSpec {
    /// A daemon that is stopped by `TERM` and killed if orphaned.
    pub fn new(
        name: &str,
        log: impl Into<PathBuf>,
        argv: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            argv: argv.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            log: log.into(),
            user: None,
            stop: Signal::TERM,
            orphan: "KILL",
        }
    }

    /// Starts it. What it prints goes to the log; nothing is waited for.
    pub fn start(&self) -> Result<Daemon> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.map_err(HarnessError::file(&self.log))?;
        let errors = log.try_clone().map_err(HarnessError::file(&self.log))?;
        let mut command = Command::new("setpriv");
        if let Some(user) = &self.user {
            command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
        }
        command.args(["--pdeathsig", self.orphan, "--"]).args(&self.argv);
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        command.stdin(Stdio::null()).stdout(log).stderr(errors).current_dir("/");
        let child =
            spawn(command).map_err(|source| HarnessError::Spawn { name: self.name.clone(), source })?;
        Ok(Daemon { name: self.name.clone(), child, log: self.log.clone(), stop: self.stop, ended: None })
    }
}

/// A running child. Dropping it stops it and waits until it is gone.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
    stop: Signal,
    ended: Option<ExitStatus>,
}

impl Daemon {
    /// Process id of the child that was started (a wrapper, if there is one).
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            // An error here means somebody else reaped the child, and nothing in this process does.
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    /// Sends a signal; nothing happens if the process has ended.
    pub fn signal(&mut self, signal: Signal) {
        if self.ended().is_none() {
            send(self.child.id(), signal);
        }
    }

    /// Waits for the end, at most `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        until(limit, || self.ended()).ok_or_else(|| HarnessError::Deadline {
            what: format!("the end of {}", self.name),
            after: limit,
            log: self.log_tail(),
        })
    }

    /// Waits until `ready` answers true. A daemon that ends first is an error at once.
    pub fn wait_ready(&mut self, limit: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let answer = until(limit, || match self.ended() {
            Some(status) => Some(Some(status)),
            None => ready().then_some(None),
        });
        match answer {
            Some(None) => Ok(()),
            Some(Some(status)) => Err(HarnessError::Ended {
                name: self.name.clone(),
                status: status.to_string(),
                log: self.log_tail(),
            }),
            None => Err(HarnessError::Deadline {
                what: format!("readiness of {}", self.name),
                after: limit,
                log: self.log_tail(),
            }),
        }
    }

    /// Asks it to stop, waits, and kills it if it does not listen.
    pub fn stop(&mut self) {
        self.signal(self.stop);
        if until(STOP_LIMIT, || self.ended()).is_none() {
            self.signal(Signal::KILL);
            // Only a process in an uninterruptible sleep outlives KILL; then the kernel has the word.
            drop(self.child.wait());
        }
    }

    /// Everything it has printed so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let from = log.len().saturating_sub(LOG_TAIL);
        let from = (from..=log.len()).find(|&at| log.is_char_boundary(at)).unwrap_or(0);
        log[from..].to_owned()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Sends a signal to a process known by its id. A process that is already gone is no error.
pub(super) fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // The one failure of a process of our own is that it ended meanwhile.
        let _gone = kill_process(pid, signal);
    }
}

/// Finds the process that runs `program` among `pid` and its descendants: `setpriv` and `prlimit` become the program,
/// `strace` stays its parent.
pub(super) fn running(pid: u32, program: &Path) -> Option<u32> {
    let program = program.canonicalize().ok()?;
    let mut queue = vec![pid];
    while let Some(pid) = queue.pop() {
        if fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program) {
            return Some(pid);
        }
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        queue.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
    }
    None
}
