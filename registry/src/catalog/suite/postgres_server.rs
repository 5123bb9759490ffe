//! A PostgreSQL of the tests' own: in a folder of its own, on a socket in there, gone with the
//! process that asked for it, however that ends.

use std::{
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
        mpsc::{self, Receiver, Sender},
    },
};

use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// A server. It is stopped, and its folder removed, when this is dropped.
pub(crate) struct Server {
    folder: PathBuf,
    databases: AtomicU32,
    // The shell that minds the server waits for the end of this.
    life: ChildStdin,
    // Closed when the server and its folder are gone.
    gone: Mutex<Receiver<()>>,
}

/// Minds the server: stops it when the tests' end of the pipe is closed. Signals from a terminal do not
/// reach it, since it is a process group of its own.
const MINDER: &str = r#"
"$@" </dev/null & server=$!
cat >/dev/null
kill -QUIT $server; wait $server; rm -rf "$FOLDER"
"#;

/// Where servers keep what they write.
const CONFIGURATION: &str = "\
listen_addresses = ''
fsync = off
full_page_writes = off
synchronous_commit = off
max_connections = 400
shared_buffers = 32MB
log_destination = 'stderr'
";

/// The folder of `initdb` and `postgres`, if PostgreSQL is installed.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<_> = debian.map(|version| version.path().join("bin")).collect();
    folders.sort();
    folders.reverse();
    folders.extend(std::env::split_paths(&path));
    folders.into_iter().find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())
}

/// A program of PostgreSQL's, which refuses to be root.
fn command(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    command
}

impl Server {
    /// Starts one and waits until it takes connections. `None` where PostgreSQL is not installed.
    pub(crate) fn start() -> Option<Self> {
        let programs = programs()?;
        let folder = tempfile::Builder::new().prefix("berth-pg-").tempdir().unwrap().keep();
        if rustix::process::geteuid().is_root() {
            assert!(Command::new("chown").arg("postgres:").arg(&folder).status().unwrap().success());
        }
        // With an order of text that is not that of bytes, so that the schema must ask for it.
        let initdb = command(&programs.join("initdb"))
            .args(["--no-sync", "--auth=trust", "--username=berth", "--encoding=UTF8", "--locale=C"])
            .args(["--locale-provider=icu", "--icu-locale=en", "--pgdata"])
            .arg(folder.join("data"))
            .current_dir(&folder)
            .output()
            .unwrap();
        assert!(initdb.status.success(), "{}", String::from_utf8_lossy(&initdb.stderr));
        let configuration = format!("{CONFIGURATION}unix_socket_directories = '{}'\n", folder.display());
        std::fs::write(folder.join("data/postgresql.auto.conf"), configuration).unwrap();
        let server = command(&programs.join("postgres"));
        let mut minder = Command::new("sh")
            .args(["-c", MINDER, "sh"])
            .arg(server.get_program())
            .args(server.get_args())
            .arg("-D")
            .arg(folder.join("data"))
            .env("FOLDER", &folder)
            .current_dir(&folder)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let life = minder.stdin.take().unwrap();
        let mut log = BufReader::new(minder.stderr.take().unwrap()).lines();
        let mut said = String::new();
        loop {
            let line = log.next().unwrap_or_else(|| panic!("PostgreSQL did not start: {said}")).unwrap();
            if line.contains("ready to accept connections") {
                break;
            }
            said += &line;
        }
        // The rest of the log must go somewhere, and the minder be waited for.
        let (alive, gone) = mpsc::channel();
        std::thread::spawn(move || {
            let _alive: Sender<()> = alive;
            log.for_each(drop);
            minder.wait()
        });
        Some(Self { folder, databases: AtomicU32::new(0), life, gone: Mutex::new(gone) })
    }

    /// The address of one of its databases.
    fn url(&self, database: &str) -> String {
        format!("postgres:///{database}?host={}&user=berth", self.folder.display())
    }

    /// Makes an empty database; its address.
    pub(crate) async fn database(&self) -> String {
        let name = format!("berth_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(&self.url("postgres")).await.unwrap();
        let create = AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE template0"));
        sqlx::raw_sql(create).execute(&mut connection).await.unwrap();
        self.url(&name)
    }

    /// Stops it at once, as a crash would, and waits until it has gone.
    pub(crate) fn stop(self) {
        let Self { life, gone, .. } = self;
        drop(life);
        // An error says that the thread which holds the other end has ended.
        let _ = gone.lock().unwrap().recv();
    }
}

/// The address of a fresh database on the server that this process's tests share. `None`, and a line
/// that says so, where PostgreSQL is not installed; a failure where it must be.
pub(crate) async fn database() -> Option<String> {
    static SHARED: OnceLock<Option<Server>> = OnceLock::new();
    match SHARED.get_or_init(Server::start) {
        Some(server) => Some(server.database().await),
        None => {
            let must = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
            assert!(!must("CI") && !must("BERTH_REQUIRE_ALL"), "postgresql is not installed");
            println!("SKIP: postgresql is not installed");
            None
        }
    }
}
