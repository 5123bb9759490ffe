//! A PostgreSQL cluster of the test's own.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::process::send;
use super::{Daemon, DaemonSpec, HarnessError, Result, Scratch, Shared, Signal, Tool, find_tool, free_port};

const READY_LIMIT: Duration = Duration::from_secs(60);
const READY_LINE: &str = "database system is ready to accept connections";
/// Name of the superuser, who needs no password on loopback.
const USER: &str = "berth";

/// PostgreSQL refuses root, so there it runs as the user that Debian makes for it.
fn user() -> Option<&'static str> {
    rustix::process::geteuid().is_root().then_some("postgres")
}

/// Whether commits wait for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// As PostgreSQL ships.
    Full,
    /// `fsync=off`: only for a test that shows the difference.
    Off,
}

/// A private cluster. PostgreSQL refuses root, so there it runs as Debian's `postgres`.
#[derive(Debug)]
pub struct Postgres {
    daemon: Mutex<Option<Daemon>>,
    spec: DaemonSpec,
    port: u16,
    databases: AtomicU32,
    _scratch: Scratch,
}

impl Postgres {
    /// The programs it needs, for [`super::require`].
    pub const TOOLS: &[&str] = &["initdb", "postgres", "psql", "setpriv"];

    /// The cluster that this process's tests share: made when first asked for, gone when the last user drops it.
    pub fn shared() -> Result<Arc<Self>> {
        static SHARED: Shared<Postgres> = Shared::new();
        SHARED.get(|| Self::start(Durability::Full))
    }

    /// Makes and starts a cluster.
    pub fn start(durability: Durability) -> Result<Self> {
        let scratch = Scratch::new("postgres")?;
        let data = scratch.subfolder("data")?;
        if let Some(user) = user() {
            Tool::new("chown")?.args([user, &data.to_string_lossy()]).run()?;
        }
        Self::start_in(scratch, durability, &data, &[], true)
    }

    /// Starts the cluster in `data`, an empty folder of the server's user where it is `fresh`. The words of `enter`
    /// stand before each command that sees the folder, such as `nsenter`.
    pub fn start_at(durability: Durability, data: &Path, enter: &[OsString], fresh: bool) -> Result<Self> {
        Self::start_in(Scratch::new("postgres")?, durability, data, enter, fresh)
    }

    fn start_in(
        scratch: Scratch,
        durability: Durability,
        data: &Path,
        enter: &[OsString],
        fresh: bool,
    ) -> Result<Self> {
        let mut before = enter.to_owned();
        if let Some(user) = user() {
            let words = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups"];
            before.extend(words.map(OsString::from));
            // Also here, since a change of user disarms it.
            before.extend(["--pdeathsig", "QUIT", "--"].map(OsString::from));
        }
        before.insert(0, "env".into());
        if fresh {
            // The new cluster may be lost with the machine; what commits to it later is synchronised as ever.
            let initdb = Tool::new("env")?.args(&before[1..]).arg(find_tool("initdb")?).args([
                "--no-sync",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--username",
                USER,
                "-D",
            ]);
            initdb.arg(data).env("HOME", data).run()?;
        }
        let port = free_port()?;
        let fsync = match durability {
            Durability::Full => "on",
            Durability::Off => "off",
        };
        let mut argv = before;
        argv.extend([find_tool("postgres")?.into_os_string(), "-D".into(), data.into()]);
        let sockets = format!("unix_socket_directories={}", data.display());
        for setting in [
            "listen_addresses=127.0.0.1",
            &format!("port={port}"),
            &sockets,
            "max_connections=200",
            "shared_buffers=32MB",
            &format!("fsync={fsync}"),
        ] {
            argv.extend(["-c".into(), setting.into()]);
        }
        let log = scratch.join("postgres.log");
        // QUIT is PostgreSQL's immediate shutdown: it removes its shared memory, which KILL would leave behind.
        let spec =
            DaemonSpec { stop: Signal::QUIT, orphan: "QUIT", ..DaemonSpec::new("postgres", log, argv) };
        let postgres =
            Self { daemon: Mutex::new(None), spec, port, databases: AtomicU32::new(0), _scratch: scratch };
        postgres.restart()?;
        Ok(postgres)
    }

    /// Starts the cluster, again if it was stopped, and waits until it takes connections.
    pub fn restart(&self) -> Result<()> {
        let mut slot = self.slot();
        *slot = None;
        let seen = log_length(&self.spec);
        let mut daemon = self.spec.start()?;
        daemon.wait_ready(READY_LIMIT, || {
            fs::read(&self.spec.log).is_ok_and(|log| {
                String::from_utf8_lossy(log.get(seen..).unwrap_or_default()).contains(READY_LINE)
            })
        })?;
        *slot = Some(daemon);
        Ok(())
    }

    /// Immediate shutdown, as if the machine had lost power but for the disk: `pg_ctl stop -m immediate`.
    pub fn stop(&self) {
        *self.slot() = None;
    }

    /// Sends a signal to the postmaster.
    pub fn signal(&self, signal: Signal) {
        if let Some(daemon) = self.slot().as_mut() {
            daemon.signal(signal);
        }
    }

    /// Stops every process of the cluster where it stands (`SIGSTOP`): connections stay open and nothing answers.
    pub fn freeze(&self) -> Result<()> {
        self.signal_all(Signal::STOP)
    }

    /// Lets them go on.
    pub fn thaw(&self) -> Result<()> {
        self.signal_all(Signal::CONT)
    }

    fn signal_all(&self, signal: Signal) -> Result<()> {
        let Some(leader) = self.slot().as_ref().map(Daemon::pid) else { return Ok(()) };
        // The postmaster first, so that it makes no more of them.
        send(leader, signal);
        let path = format!("/proc/{leader}/task/{leader}/children");
        let children = fs::read_to_string(&path).map_err(HarnessError::file(path))?;
        children
            .split_whitespace()
            .filter_map(|child| child.parse().ok())
            .for_each(|child| send(child, signal));
        Ok(())
    }

    /// The port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Creates an empty database and returns its name.
    pub fn new_database(&self) -> Result<String> {
        let name = format!("berth_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"))?;
        Ok(name)
    }

    /// Throws a database away with all connections to it, and makes an empty one of its name.
    pub fn replace_database(&self, name: &str) -> Result<()> {
        self.sql("postgres", &format!("DROP DATABASE {name} WITH (FORCE)"))?;
        self.sql("postgres", &format!("CREATE DATABASE {name}")).map(drop)
    }

    /// Runs SQL in a database; returns rows, one a line, columns divided by `|`.
    pub fn sql(&self, database: &str, statement: &str) -> Result<String> {
        let url = self.url(database);
        Tool::new("psql")?.args(["--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", "-c", statement, &url]).run()
    }

    /// Connection URL of a database.
    pub fn url(&self, database: &str) -> String {
        Self::url_at(self.port, database)
    }

    /// Connection URL of a database past another port, such as a [`super::Wire`]'s.
    pub fn url_at(port: u16, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{port}/{database}?sslmode=disable")
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Daemon>> {
        self.daemon.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log_length(spec: &DaemonSpec) -> usize {
    // No log yet is a log of length nought.
    let length = fs::metadata(&spec.log).map_or(0, |meta| meta.len());
    usize::try_from(length).unwrap_or(usize::MAX)
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}
