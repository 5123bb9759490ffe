//! A private Docker daemon.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Containerd, Daemon, DaemonSpec, Result, Scratch, Shared, Tool, find_tool};

const READY_LIMIT: Duration = Duration::from_secs(60);

/// dockerd with its own folders, socket and containerd, without networks. Registries on 127.0.0.0/8 may be plain HTTP,
/// which is Docker's default. Needs root.
#[derive(Debug)]
pub struct Dockerd {
    _daemon: Daemon,
    _containerd: Containerd,
    scratch: Scratch,
}

impl Dockerd {
    /// The programs it needs, for [`super::require`].
    pub const TOOLS: &[&str] = &["docker", "dockerd", "containerd", "ctr", "setpriv"];

    /// The one that this process's tests share: made when first asked for, gone when the last user drops it.
    pub fn shared() -> Result<Arc<Self>> {
        static SHARED: Shared<Dockerd> = Shared::new();
        SHARED.get(Self::start)
    }

    /// Starts one.
    pub fn start() -> Result<Self> {
        let containerd = Containerd::start()?;
        let scratch = Scratch::new("dockerd")?;
        scratch.subfolder("client")?;
        let flag = |name: &str, path: PathBuf| format!("--{name}={}", path.display());
        let argv = [
            find_tool("dockerd")?.to_string_lossy().into_owned(),
            flag("config-file", scratch.write("daemon.json", "{}")?),
            flag("data-root", scratch.join("data")),
            flag("exec-root", scratch.join("exec")),
            flag("pidfile", scratch.join("docker.pid")),
            format!("--host=unix://{}", scratch.join("docker.sock").display()),
            flag("containerd", containerd.socket()),
            "--iptables=false".to_owned(),
            "--ip6tables=false".to_owned(),
            "--ip-forward=false".to_owned(),
            "--bridge=none".to_owned(),
            "--storage-driver=vfs".to_owned(),
        ];
        let mut daemon = DaemonSpec::new("dockerd", scratch.join("dockerd.log"), argv).start()?;
        let socket = scratch.join("docker.sock");
        daemon.wait_ready(READY_LIMIT, || {
            socket.exists() && docker(&scratch).is_ok_and(|docker| docker.arg("version").run().is_ok())
        })?;
        Ok(Self { _daemon: daemon, _containerd: containerd, scratch })
    }

    /// The socket of its interface.
    pub fn socket(&self) -> PathBuf {
        self.scratch.join("docker.sock")
    }

    /// A `docker` that talks to it, with a configuration folder of its own.
    pub fn docker(&self) -> Result<Tool> {
        docker(&self.scratch)
    }
}

fn docker(scratch: &Scratch) -> Result<Tool> {
    let host = format!("unix://{}", scratch.join("docker.sock").display());
    Ok(Tool::new("docker")?.args(["--host", &host, "--config"]).arg(scratch.join("client")))
}
