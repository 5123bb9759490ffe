//! Commands that run to their end.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use super::process::{Signal, send, spawn};
use super::{HarnessError, Result, Scratch, find_tool, until};

const LIMIT: Duration = Duration::from_secs(600);

/// A command of a program found by name. It dies with this process, and after its time limit (ten minutes unless told).
#[derive(Debug, Clone)]
pub struct Tool {
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    user: Option<String>,
    limit: Duration,
    stdin: Option<PathBuf>,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Finished {
    /// Exit status.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Tool {
    /// Looks the program up as [`find_tool`] does.
    pub fn new(name: &str) -> Result<Self> {
        Ok(Self::at(find_tool(name)?))
    }

    /// A program at a known path.
    pub fn at(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            user: None,
            limit: LIMIT,
            stdin: None,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// Runs as another user, where the test runs as root.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        self.user = Some(user.to_owned());
        self
    }

    /// Kills the command after this time.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Reads standard input from a file instead of from nothing.
    #[must_use]
    pub fn stdin(mut self, path: impl Into<PathBuf>) -> Self {
        self.stdin = Some(path.into());
        self
    }

    /// Runs it; a status other than zero is an error that carries what it printed. Returns standard output.
    pub fn run(self) -> Result<String> {
        let command = self.line();
        let finished = self.finish()?;
        if finished.status.success() {
            return Ok(finished.stdout);
        }
        let Finished { status, stdout, stderr } = finished;
        Err(HarnessError::Failed { command, status: status.to_string(), stderr, stdout })
    }

    /// Runs it and reports how it ended, whatever its status.
    pub fn finish(self) -> Result<Finished> {
        let scratch = Scratch::new("command")?;
        let (out, err) = (scratch.join("out"), scratch.join("err"));
        let create = |path: &PathBuf| std::fs::File::create(path).map_err(HarnessError::file(path));
        let mut command = Command::new("setpriv");
        if let Some(user) = &self.user {
            command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
        }
        command.args(["--pdeathsig", "KILL", "--"]).arg(&self.program).args(&self.args);
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        command.stdout(create(&out)?).stderr(create(&err)?).current_dir(scratch.path());
        match &self.stdin {
            Some(path) => {
                command.stdin(std::fs::File::open(path).map_err(HarnessError::file(path))?);
            }
            None => {
                command.stdin(Stdio::null());
            }
        }
        let name = self.program.display().to_string();
        let mut child =
            spawn(command).map_err(|source| HarnessError::Spawn { name: name.clone(), source })?;
        let read = |path| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
        match until(self.limit, || child.try_wait().transpose()) {
            Some(Ok(status)) => Ok(Finished { status, stdout: read(&out), stderr: read(&err) }),
            Some(Err(source)) => Err(HarnessError::Spawn { name, source }),
            None => {
                send(child.id(), Signal::KILL);
                drop(child.wait());
                let log = read(&err) + &read(&out);
                Err(HarnessError::Deadline { what: self.line(), after: self.limit, log })
            }
        }
    }

    fn line(&self) -> String {
        let words =
            std::iter::once(self.program.as_os_str()).chain(self.args.iter().map(OsString::as_os_str));
        words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
    }
}
