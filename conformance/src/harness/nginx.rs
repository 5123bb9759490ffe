//! nginx, as the measure of how fast a file can be served.

use std::path::PathBuf;
use std::time::Duration;

use super::{Daemon, DaemonSpec, ProcessStats, Result, Scratch, find_tool, free_port, get_status};

const READY_LIMIT: Duration = Duration::from_secs(60);

/// One worker that serves a folder with sendfile.
#[derive(Debug)]
pub struct Nginx {
    daemon: Daemon,
    port: u16,
    scratch: Scratch,
}

impl Nginx {
    /// The programs it needs, for [`super::require`].
    pub const TOOLS: &[&str] = &["nginx", "setpriv"];

    /// Starts it on an empty folder. One process, so that its processor time is one figure.
    pub fn start() -> Result<Self> {
        let scratch = Scratch::new("nginx")?;
        let (files, port) = (scratch.subfolder("files")?, free_port()?);
        let place = scratch.path().display();
        let config = format!(
            "daemon off; master_process off; pid {place}/pid; error_log {place}/error.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;\n\
             client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fcgi;\n\
             uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;\n\
             server {{ listen 127.0.0.1:{port}; root {}; }} }}\n",
            files.display()
        );
        let config = scratch.write("nginx.conf", config)?;
        let argv = [find_tool("nginx")?.into_os_string(), "-c".into(), config.into()];
        let mut daemon = DaemonSpec::new("nginx", scratch.join("nginx.log"), argv).start()?;
        daemon.wait_ready(READY_LIMIT, || get_status(port, "/").is_ok())?;
        Ok(Self { daemon, port, scratch })
    }

    /// The folder it serves.
    pub fn files(&self) -> PathBuf {
        self.scratch.join("files")
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Processor time and memory of the server.
    pub fn stats(&self) -> ProcessStats {
        ProcessStats::of(self.daemon.pid())
    }
}
