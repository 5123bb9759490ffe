//! The registry under test.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::process::{running, send};
use super::stack::quoted;
use super::{
    Daemon, DaemonSpec, HarnessError, ProcessStats, Result, Scratch, Signal, Stack, berth_program, free_port,
    get_status, until,
};

const READY_LIMIT: Duration = Duration::from_secs(60);
const KILL_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// What to start, and how.
#[derive(Debug, Clone)]
pub struct BerthBuilder {
    stack: Stack,
    data: Option<PathBuf>,
    binary: Option<PathBuf>,
    settings: BTreeMap<String, String>,
    wrapper: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    ready_limit: Duration,
}

impl BerthBuilder {
    /// Uses this stack instead of the embedded one.
    #[must_use]
    pub fn stack(mut self, stack: Stack) -> Self {
        self.stack = stack;
        self
    }

    /// Uses an existing data folder, which then outlives the handle.
    #[must_use]
    pub fn data(mut self, folder: impl Into<PathBuf>) -> Self {
        self.data = Some(folder.into());
        self
    }

    /// Runs this binary instead of the one [`Berth::binary`] finds.
    #[must_use]
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = Some(path.into());
        self
    }

    /// Sets one key of the configuration. `value` is TOML: `"true"`, `"7"`, `"\"text\""`.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.settings.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Puts a command before the server's own, such as `strace -f -e …` or `prlimit --nofile=64`. Programs are found
    /// on `PATH`. Several wrappers nest, the last one innermost.
    #[must_use]
    pub fn wrapper(mut self, words: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.wrapper.extend(words.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable of the server.
    #[must_use]
    pub fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// Waits this long for readiness (a minute unless told).
    #[must_use]
    pub fn ready_limit(mut self, limit: Duration) -> Self {
        self.ready_limit = limit;
        self
    }

    /// Starts it and waits for `/readyz`.
    pub fn start(self) -> Result<Berth> {
        let mut berth = self.prepare()?;
        berth.start()?;
        Ok(berth)
    }

    /// Everything but the start: for tests that expect it to fail.
    pub fn prepare(self) -> Result<Berth> {
        let scratch = Scratch::new("berth")?;
        let binary = self.binary.map_or_else(Berth::binary, Ok)?;
        let data = match self.data {
            Some(data) => data,
            None => scratch.subfolder("data")?,
        };
        let port = free_port()?;
        let mut settings = BTreeMap::new();
        settings.insert("server.listen".to_owned(), format!("[\"127.0.0.1:{port}\"]"));
        settings.insert("data.dir".to_owned(), quoted(&data.to_string_lossy()));
        self.stack.settings(&mut settings);
        settings.extend(self.settings);
        let text = settings.iter().fold(String::new(), |mut text, (key, value)| {
            // Writing to a string cannot fail.
            let _ok = writeln!(text, "{key} = {value}");
            text
        });
        let config = scratch.write("registry.toml", text)?;
        let mut argv = self.wrapper;
        if !argv.is_empty() {
            // A killed wrapper must not leave the server behind.
            argv.extend(["setpriv", "--pdeathsig", "KILL", "--"].map(OsString::from));
        }
        argv.push(binary.clone().into());
        argv.extend(["serve", "--config"].map(OsString::from));
        argv.push(config.clone().into());
        let mut spec = DaemonSpec::new("berth-registry", scratch.join("berth.log"), argv);
        spec.env = self.env;
        Ok(Berth {
            daemon: None,
            spec,
            binary,
            config,
            data,
            port,
            ready_limit: self.ready_limit,
            stack: self.stack,
            scratch,
        })
    }
}

/// A registry on a free loopback port.
#[derive(Debug)]
pub struct Berth {
    // First, so that the server is gone before the servers it uses and the folder it writes to.
    daemon: Option<Daemon>,
    spec: DaemonSpec,
    binary: PathBuf,
    config: PathBuf,
    data: PathBuf,
    port: u16,
    ready_limit: Duration,
    stack: Stack,
    scratch: Scratch,
}

impl Berth {
    /// Embedded stack, fresh folder, default configuration.
    pub fn builder() -> BerthBuilder {
        BerthBuilder {
            stack: Stack::Embedded,
            data: None,
            binary: None,
            settings: BTreeMap::new(),
            wrapper: Vec::new(),
            env: Vec::new(),
            ready_limit: READY_LIMIT,
        }
    }

    /// The server's binary: `$BERTH_REGISTRY_BIN`, else the one that cargo built beside the running program.
    pub fn binary() -> Result<PathBuf> {
        berth_program("BERTH_REGISTRY_BIN", "berth-registry")
    }

    /// Starts (again) with the same configuration, data and port. Returns how long it took to become ready.
    pub fn start(&mut self) -> Result<Duration> {
        let begun = Instant::now();
        self.launch()?;
        self.wait_ready()?;
        Ok(begun.elapsed())
    }

    /// Waits for `/readyz` of a server that was launched.
    pub fn wait_ready(&mut self) -> Result<()> {
        let (port, limit) = (self.port, self.ready_limit);
        let ready = || get_status(port, "/readyz").is_ok_and(|status| status == 200);
        match &mut self.daemon {
            Some(daemon) => daemon.wait_ready(limit, ready),
            None => Err(HarnessError::Unexpected("berth-registry was never started".to_owned())),
        }
    }

    /// Starts it without waiting for anything.
    pub fn launch(&mut self) -> Result<&mut Daemon> {
        self.stop();
        Ok(self.daemon.insert(self.spec.start()?))
    }

    /// Sends a signal to the server itself, not to a wrapper. Returns at once.
    pub fn signal(&mut self, signal: Signal) {
        if let Some(pid) = self.pid() {
            send(pid, signal);
        }
    }

    /// Kills the server (`kill -9`) and waits until it and its wrapper are gone.
    pub fn kill(&mut self) -> Result<()> {
        self.signal(Signal::KILL);
        if let Some(mut daemon) = self.daemon.take() {
            daemon.wait(KILL_LIMIT)?;
        }
        Ok(())
    }

    /// Waits for the server's end.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        match &mut self.daemon {
            Some(daemon) => daemon.wait(limit),
            None => Err(HarnessError::Unexpected("berth-registry was never started".to_owned())),
        }
    }

    /// Asks the server to stop (`TERM`, then `KILL` after ten seconds) and waits.
    pub fn stop(&mut self) {
        if self.daemon.as_mut().is_some_and(|daemon| daemon.ended().is_none()) {
            self.signal(Signal::TERM);
            until(STOP_LIMIT, || self.daemon.as_mut().and_then(Daemon::ended));
        }
        self.daemon = None;
    }

    /// Process id of the server itself, while it runs.
    pub fn pid(&mut self) -> Option<u32> {
        let daemon = self.daemon.as_mut()?;
        if daemon.ended().is_some() {
            return None;
        }
        running(daemon.pid(), &self.binary)
    }

    /// Processor time and memory of the server.
    pub fn stats(&mut self) -> Option<ProcessStats> {
        self.pid().map(ProcessStats::of)
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.host())
    }

    /// `127.0.0.1:PORT`, as in the name of an image.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The configuration file, to edit between two starts.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// A folder that vanishes with the handle.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// The stack it was started on.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// Everything the server (and its wrapper) printed, over all its starts.
    pub fn logs(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.spec.log).unwrap_or_default()).into_owned()
    }
}

impl Drop for Berth {
    fn drop(&mut self) {
        self.stop();
    }
}
