//! Another registry, to compare with.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Daemon, DaemonSpec, ProcessStats, Result, Scratch, Signal, find_tool, free_port, get_status};

const READY_LIMIT: Duration = Duration::from_secs(120);
const KILL_LIMIT: Duration = Duration::from_secs(60);

/// Distribution, as Debian packages it (`docker-registry`), on a folder.
#[derive(Debug)]
pub struct DockerRegistry {
    daemon: Option<Daemon>,
    spec: DaemonSpec,
    port: u16,
    scratch: Scratch,
}

impl DockerRegistry {
    /// The programs it needs, for [`super::require`].
    pub const TOOLS: &[&str] = &["docker-registry", "setpriv"];

    /// Starts one with deletes allowed and an empty folder.
    pub fn start() -> Result<Self> {
        let scratch = Scratch::new("docker-registry")?;
        let (data, port) = (scratch.subfolder("data")?, free_port()?);
        // Its in-memory descriptor cache is on in the configuration it ships with, so it is on here.
        let config = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\n  \
             cache: {{blobdescriptor: inmemory}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n",
            data.display()
        );
        let config = scratch.write("config.yml", config)?;
        let argv = [find_tool("docker-registry")?.into_os_string(), "serve".into(), config.into()];
        let mut spec = DaemonSpec::new("docker-registry", scratch.join("registry.log"), argv);
        spec.env.push(("OTEL_TRACES_EXPORTER".into(), "none".into()));
        let mut registry = Self { daemon: None, spec, port, scratch };
        registry.restart()?;
        Ok(registry)
    }

    /// Stops it if it runs, starts it, and says how long it took to answer.
    pub fn restart(&mut self) -> Result<Duration> {
        self.daemon = None;
        let (begun, port) = (Instant::now(), self.port);
        let mut daemon = self.spec.start()?;
        daemon.wait_ready(READY_LIMIT, || get_status(port, "/v2/").is_ok_and(|status| status == 200))?;
        self.daemon = Some(daemon);
        Ok(begun.elapsed())
    }

    /// Kills it (`kill -9`) and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        match self.daemon.take() {
            Some(mut daemon) => {
                daemon.signal(Signal::KILL);
                daemon.wait(KILL_LIMIT).map(drop)
            }
            None => Ok(()),
        }
    }

    /// Processor time and memory of the server.
    pub fn stats(&self) -> Option<ProcessStats> {
        self.daemon.as_ref().map(|daemon| ProcessStats::of(daemon.pid()))
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// `127.0.0.1:PORT`, as in the name of an image.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where its storage tree lies.
    pub fn data(&self) -> PathBuf {
        self.scratch.join("data")
    }

    /// Its log file.
    pub fn log(&self) -> &Path {
        &self.spec.log
    }
}
