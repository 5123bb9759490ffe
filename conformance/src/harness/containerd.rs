//! A private containerd, for `ctr` and for a private dockerd.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Daemon, DaemonSpec, Result, Scratch, Shared, Tool, find_tool};

const READY_LIMIT: Duration = Duration::from_secs(30);

/// containerd with its own root, state and socket. Needs root.
#[derive(Debug)]
pub struct Containerd {
    _daemon: Daemon,
    scratch: Scratch,
}

impl Containerd {
    /// The programs it needs, for [`super::require`].
    pub const TOOLS: &[&str] = &["containerd", "ctr", "setpriv"];

    /// The one that this process's tests share: made when first asked for, gone when the last user drops it.
    pub fn shared() -> Result<Arc<Self>> {
        static SHARED: Shared<Containerd> = Shared::new();
        SHARED.get(Self::start)
    }

    /// Starts one that unpacks by plain copies, so that it needs nothing of the kernel.
    pub fn start() -> Result<Self> {
        let scratch = Scratch::new("containerd")?;
        let config = format!(
            "version = 2\nroot = {root:?}\nstate = {state:?}\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.snapshotter.v1.aufs\", \
             \"io.containerd.snapshotter.v1.btrfs\", \"io.containerd.snapshotter.v1.devmapper\", \
             \"io.containerd.snapshotter.v1.zfs\", \"io.containerd.internal.v1.opt\", \
             \"io.containerd.tracing.processor.v1.otlp\"]\n\
             [grpc]\naddress = {socket:?}\n[ttrpc]\naddress = {ttrpc:?}\n",
            root = scratch.join("root"),
            state = scratch.join("state"),
            socket = scratch.join("containerd.sock"),
            ttrpc = scratch.join("ttrpc.sock"),
        );
        let config = scratch.write("config.toml", config)?;
        let argv = [find_tool("containerd")?.into_os_string(), "--config".into(), config.into()];
        let mut daemon = DaemonSpec::new("containerd", scratch.join("containerd.log"), argv).start()?;
        let socket = scratch.join("containerd.sock");
        daemon.wait_ready(READY_LIMIT, || {
            let version = Tool::new("ctr").map(|ctr| ctr.arg("--address").arg(&socket).arg("version"));
            socket.exists() && version.is_ok_and(|version| version.run().is_ok())
        })?;
        Ok(Self { _daemon: daemon, scratch })
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.scratch.join("containerd.sock")
    }

    /// A `ctr` that talks to it, in a namespace of the tests.
    pub fn ctr(&self) -> Result<Tool> {
        Ok(Tool::new("ctr")?.arg("--address").arg(self.socket()).args(["--namespace", "berth"]))
    }
}
