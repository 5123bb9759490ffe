//! An S3 server that checks signatures.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Daemon, DaemonSpec, Result, Scratch, Shared, find_tool, free_port, get_status};

const READY_LIMIT: Duration = Duration::from_secs(60);

/// `s3s-fs`: buckets are the folders of its root.
#[derive(Debug)]
pub struct S3 {
    // Before the folder it writes to.
    daemon: Mutex<Daemon>,
    spec: DaemonSpec,
    port: u16,
    buckets: AtomicU32,
    scratch: Scratch,
}

impl S3 {
    /// The programs it needs, for [`super::require`].
    pub const TOOLS: &[&str] = &["s3s-fs", "setpriv"];
    /// Access key of the only account.
    pub const ACCESS_KEY: &str = "BERTHTESTACCESSKEY00";
    /// Secret key of the only account.
    pub const SECRET_KEY: &str = "berth-test-secret-access-key-0000000000";

    /// The server that this process's tests share: made when first asked for, gone when the last user drops it.
    pub fn shared() -> Result<Arc<Self>> {
        static SHARED: Shared<S3> = Shared::new();
        SHARED.get(Self::start)
    }

    /// Starts a server with no bucket.
    pub fn start() -> Result<Self> {
        let scratch = Scratch::new("s3")?;
        let root = scratch.subfolder("root")?;
        let port = free_port()?;
        let (program, port_word) = (find_tool("s3s-fs")?, port.to_string());
        let words = ["--host", "127.0.0.1", "--port", &port_word];
        let keys = ["--access-key", Self::ACCESS_KEY, "--secret-key", Self::SECRET_KEY];
        let mut argv = vec![program.into_os_string()];
        argv.extend(words.iter().chain(&keys).map(Into::into));
        argv.push(root.into());
        let mut spec = DaemonSpec::new("s3s-fs", scratch.join("s3.log"), argv);
        spec.env.push(("RUST_LOG".into(), "warn".into()));
        let daemon = Mutex::new(start(&spec, port)?);
        Ok(Self { daemon, spec, port, buckets: AtomicU32::new(0), scratch })
    }

    /// Stops and starts the server; what it holds stays.
    pub fn restart(&self) -> Result<()> {
        let mut daemon = self.daemon.lock().unwrap_or_else(PoisonError::into_inner);
        daemon.stop();
        *daemon = start(&self.spec, self.port)?;
        Ok(())
    }

    /// Creates an empty bucket and returns its name.
    pub fn new_bucket(&self) -> Result<String> {
        let name = format!("berth-{}", self.buckets.fetch_add(1, Ordering::Relaxed));
        self.scratch.subfolder(&format!("root/{name}"))?;
        Ok(name)
    }

    /// The folder in which a bucket's objects lie.
    pub fn bucket_folder(&self, bucket: &str) -> PathBuf {
        self.scratch.join("root").join(bucket)
    }

    /// Its endpoint.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its port, for a proxy in between.
    pub fn port(&self) -> u16 {
        self.port
    }
}

fn start(spec: &DaemonSpec, port: u16) -> Result<Daemon> {
    let mut daemon = spec.start()?;
    // Any answer will do: without a signature it is a refusal.
    daemon.wait_ready(READY_LIMIT, || get_status(port, "/").is_ok())?;
    Ok(daemon)
}
