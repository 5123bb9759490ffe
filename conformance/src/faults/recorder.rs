//! The pusher as a process of its own: it lives on while the server dies.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use tokio::task::JoinSet;

use super::{Client, History, Journal, Pusher, Result, Taste};
use crate::harness::{Daemon, DaemonSpec, HarnessError, Scratch, Signal, until};

/// How long a pusher waits for a server that is not there.
const PAUSE: Duration = Duration::from_millis(10);

/// Pushes until it is killed; for the fault tests.
#[derive(Debug, Args)]
pub struct RecorderArgs {
    /// The registry.
    url: String,
    /// Where to write down what was acknowledged.
    #[arg(long)]
    journal: PathBuf,
    /// Pushers at a time.
    #[arg(long, default_value_t = 4)]
    workers: usize,
}

/// Runs `berth-conformance record`.
pub(crate) async fn record(args: RecorderArgs) -> Result<ExitCode> {
    let journal = Arc::new(Journal::open(args.journal)?);
    let mut workers = JoinSet::new();
    for worker in 0..args.workers {
        let (journal, url) = (journal.clone(), args.url.clone());
        workers.spawn(async move {
            let pusher =
                Pusher::new(Client::new(&url)?, journal, format!("faults/w{worker}"), Taste::Anything);
            loop {
                match pusher.image().await {
                    Ok(()) => {}
                    // The server is gone; it comes back.
                    Err(super::FaultError::Request(_)) => tokio::time::sleep(PAUSE).await,
                    Err(error) => return Err::<(), _>(error),
                }
            }
        });
    }
    // Only a fault of its own ends a worker, and then all of them.
    match workers.join_next().await {
        Some(Ok(Err(error))) => Err(error),
        Some(Ok(Ok(()))) | Some(Err(_)) | None => Ok(ExitCode::FAILURE),
    }
}

/// The recorder under the harness.
#[derive(Debug)]
pub struct Recorder {
    daemon: Daemon,
    path: PathBuf,
    _scratch: Scratch,
}

impl Recorder {
    /// Starts one that pushes to `url`.
    pub fn start(url: &str, workers: usize) -> Result<Self> {
        let scratch = Scratch::new("recorder")?;
        let (program, path) = (program()?, scratch.join("journal"));
        // The harness may look before the process has made it.
        drop(Journal::open(&path)?);
        let mut argv = vec![program.into_os_string(), "record".into(), url.into(), "--journal".into()];
        argv.extend([path.clone().into(), "--workers".into(), workers.to_string().into()]);
        let daemon =
            DaemonSpec::new("berth-conformance record", scratch.join("recorder.log"), argv).start()?;
        Ok(Self { daemon, path, _scratch: scratch })
    }

    /// What it was told so far.
    pub fn history(&self) -> Result<History> {
        History::read(&self.path)
    }

    /// Waits until `count` more was acknowledged than `history` says.
    pub fn wait_for(&mut self, history: &History, count: usize, limit: Duration) -> Result<()> {
        let wanted = history.acknowledged + count;
        let reached = until(limit, || match self.history() {
            Ok(now) if now.acknowledged >= wanted => Some(Ok(())),
            Ok(_) if self.daemon.ended().is_some() => {
                Some(Err(
                    HarnessError::Unexpected(format!("the recorder ended: {}", self.daemon.log())).into()
                ))
            }
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        });
        reached.unwrap_or_else(|| {
            let what = format!("{count} acknowledgements");
            Err(HarnessError::Deadline { what, after: limit, log: self.daemon.log() }.into())
        })
    }

    /// Holds it, so that it costs nothing.
    pub fn hold(&mut self) {
        self.daemon.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn go_on(&mut self) {
        self.daemon.signal(Signal::CONT);
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // There is nothing that it would have to put away, and a held process hears nothing else.
        self.daemon.signal(Signal::KILL);
    }
}

/// The program that holds the recorder: `$BERTH_CONFORMANCE_BIN`, the running one, or the one that cargo built beside
/// the running test.
fn program() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("BERTH_CONFORMANCE_BIN") {
        return Ok(PathBuf::from(path));
    }
    let own = std::env::current_exe()?;
    let found = own.ancestors().skip(1).take(2).map(|folder| folder.join("berth-conformance"));
    let found = found.into_iter().find(|path: &PathBuf| Path::is_file(path));
    Ok(found.ok_or_else(|| HarnessError::Missing {
        tool: "berth-conformance".to_owned(),
        install: "cargo build -p berth-conformance".to_owned(),
    })?)
}
