//! The programs `docker-credential-NAME`: one word as argument, one text on standard input, JSON or a message on
//! standard output (docker-credential-helpers, "Protocol").

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
};

use super::Credential;
use crate::{Error, Result, Secret};

/// The most that a program may answer, in bytes.
const ANSWER: usize = 1 << 20;
/// The most of a program's message that is told, in characters.
const MESSAGE: usize = 1024;
/// The messages that mean that there is nothing.
const ABSENT: [&str; 1] = ["credentials not found in native keychain"];

/// One program.
#[derive(Debug)]
pub(super) struct Helper {
    program: String,
    search_path: Option<OsString>,
    limit: Duration,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Stored<'a> {
    #[serde(rename = "ServerURL")]
    server: &'a str,
    username: &'a str,
    secret: &'a str,
}

impl Helper {
    /// The program whose name ends in `name`; it is looked for in `search_path`.
    pub(super) fn new(name: &str, search_path: Option<OsString>, limit: Duration) -> Result<Self> {
        // A name, never a path: a file of credentials must not choose any program of the machine.
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > 128 || !name.chars().all(fits) {
            return Err(Error::Usage(format!(
                "{name:?} is no credential helper: a name is letters, digits, \"-\", \"_\" and \".\", as in docker-credential-pass"
            )));
        }
        Ok(Self { program: format!("docker-credential-{name}"), search_path, limit })
    }

    /// What it has for a server; `None` if it has nothing.
    pub(super) async fn get(&self, server: &str) -> Result<Option<Credential>> {
        let Some(output) = self.run("get", server.as_bytes()).await? else { return Ok(None) };
        let answer: Answer = self.parse("get", &output)?;
        let secret = Secret::new(answer.secret);
        Ok(match answer.username.as_str() {
            "<token>" => Some(Credential::IdentityToken { user: String::new(), token: secret }),
            "" if secret.expose().is_empty() => None,
            _ => Some(Credential::Basic { user: answer.username, password: secret }),
        })
    }

    /// Has it keep a password.
    pub(super) async fn store(&self, server: &str, user: &str, password: &Secret) -> Result<()> {
        let stored = Stored { server, username: user, secret: password.expose() };
        let input = serde_json::to_vec(&stored).map_err(|error| self.fault("store", error.into()))?;
        match self.run("store", &input).await? {
            Some(_) => Ok(()),
            None => Err(self.fault("store", "it says that there are no credentials".into())),
        }
    }

    /// Has it forget a server. Says whether it knew it.
    pub(super) async fn erase(&self, server: &str) -> Result<bool> {
        Ok(self.run("erase", server.as_bytes()).await?.is_some())
    }

    /// All servers that it knows, with their users.
    pub(super) async fn list(&self) -> Result<BTreeMap<String, String>> {
        let Some(output) = self.run("list", b"unused").await? else { return Ok(BTreeMap::new()) };
        self.parse("list", &output)
    }

    /// Whether the program is installed.
    pub(super) fn is_installed(&self) -> bool {
        self.locate().is_some()
    }

    fn parse<T: for<'de> Deserialize<'de>>(&self, action: &str, output: &[u8]) -> Result<T> {
        // The answer is not quoted, for it holds secrets.
        serde_json::from_slice(output).map_err(|error| {
            let place = format!("line {} column {}", error.line(), error.column());
            self.fault(action, format!("its answer is not the JSON of the protocol ({place})").into())
        })
    }

    /// Runs it once: its output, or `None` if it says that there is nothing.
    async fn run(&self, action: &str, input: &[u8]) -> Result<Option<Vec<u8>>> {
        let program = self.locate().ok_or_else(|| {
            self.fault(
                action,
                "the program is not in PATH; install it, or take its name out of the configuration".into(),
            )
        })?;
        let talk = talk(&program, action, input);
        let (status, output) = match tokio::time::timeout(self.limit, talk).await {
            Ok(done) => done.map_err(|error| self.fault(action, error.into()))?,
            Err(_) => {
                return Err(self.fault(action, format!("no answer within {} s", self.limit.as_secs()).into()));
            }
        };
        if output.len() > ANSWER {
            return Err(self.fault(action, format!("it answers more than {ANSWER} bytes").into()));
        }
        if status.success() {
            return Ok(Some(output));
        }
        let message = String::from_utf8_lossy(&output);
        let message = message.trim();
        if ABSENT.contains(&message) {
            return Ok(None);
        }
        // What looks like an answer may hold a secret.
        let told: String = if message.contains('{') {
            String::new()
        } else {
            message.chars().take(MESSAGE).flat_map(char::escape_debug).collect()
        };
        Err(self.fault(action, format!("{status}: {told}").into()))
    }

    fn locate(&self) -> Option<PathBuf> {
        let executable =
            |path: &PathBuf| path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok();
        // An empty or relative folder of PATH would run whatever the current folder holds.
        env::split_paths(self.search_path.as_ref()?)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(&self.program))
            .find(executable)
    }

    fn fault(&self, action: &str, source: crate::error::Source) -> Error {
        Error::Other { what: format!("credential helper {} {action}", self.program), source }
    }
}

/// Writes the input and reads the output at once, so that neither side waits for the other. What the program says on
/// standard error is for the user: some ask for a login in a browser there.
async fn talk(program: &Path, action: &str, input: &[u8]) -> io::Result<(ExitStatus, Vec<u8>)> {
    let mut command = Command::new(program);
    command.arg(action).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let write = async {
        let Some(mut stdin) = stdin else { return Ok(()) };
        match stdin.write_all(input).await {
            // It need not read what it does not want.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    };
    let read = async {
        let mut output = Vec::new();
        if let Some(stdout) = stdout {
            stdout.take(ANSWER as u64 + 1).read_to_end(&mut output).await?;
        }
        Ok(output)
    };
    let ((), output) = tokio::try_join!(write, read)?;
    // Full: it is killed when it is dropped, instead of being waited for while it writes on.
    if output.len() > ANSWER {
        child.start_kill()?;
    }
    Ok((child.wait().await?, output))
}
