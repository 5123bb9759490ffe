//! A program that pulls images and runs containers, with a store of its own.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::SUBJECT;
use super::stage::{SHORT, Stage};
use crate::harness::{HarnessError, Result, Scratch, Tool, berth_program};

/// So many seconds a process may take to come to rest.
const AT_REST: usize = 20;

/// `berth-runner` or podman.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) name: &'static str,
    pub(super) version: String,
    stage: Rc<Stage>,
    program: PathBuf,
    /// Its configuration file, where it has one.
    settings: Option<PathBuf>,
    /// What is said before each command, besides where images lie.
    globals: Vec<OsString>,
    /// Where images lie: the last of the folders in this one.
    stores: PathBuf,
    store: PathBuf,
    /// How the process is called that stays beside each container.
    companion: &'static str,
}

impl Engine {
    pub(super) fn berth(stage: &Rc<Stage>, scratch: &Scratch) -> Result<Self> {
        let program = berth_program("BERTH_RUNNER_BIN", "berth-runner")?;
        let (stores, run) = (scratch.subfolder("berth-stores")?, scratch.subfolder("berth-run")?);
        let globals = vec!["--runroot".into(), run.into_os_string()];
        Self::new(stage, SUBJECT, program, None, globals, stores, "__supervise")
    }

    /// Podman as it comes, with limits that a machine without `CAP_SYS_RESOURCE` can set.
    pub(super) fn podman(stage: &Rc<Stage>, scratch: &Scratch, program: PathBuf) -> Result<Self> {
        let settings = scratch.write(
            "containers.conf",
            "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1000:1000\"]\n",
        )?;
        let (stores, run) = (scratch.subfolder("podman-stores")?, scratch.subfolder("podman-run")?);
        let run = run.file_name().map(|name| Path::new(SHORT).join(name)).unwrap_or(run);
        let words =
            ["--storage-driver", "overlay", "--cgroup-manager", "cgroupfs", "--events-backend", "file"];
        let globals = ["--runroot".into(), run.into_os_string()];
        let globals = globals.into_iter().chain(words.into_iter().map(OsString::from)).collect();
        let mut podman = Self::new(stage, "podman", program, Some(settings), globals, stores, "conmon")?;
        let runtime = podman.run(&["info", "--format", "{{.Host.OCIRuntime.Name}}"])?;
        podman.version = format!("{} with {}", podman.version, runtime.trim());
        Ok(podman)
    }

    fn new(
        stage: &Rc<Stage>,
        name: &'static str,
        program: PathBuf,
        settings: Option<PathBuf>,
        globals: Vec<OsString>,
        stores: PathBuf,
        companion: &'static str,
    ) -> Result<Self> {
        let version = Tool::at(&program).arg("--version").run()?.trim().to_owned();
        let stage = stage.clone();
        let store = stores.clone();
        let mut engine = Self { name, version, stage, program, settings, globals, stores, store, companion };
        engine.forget()?;
        Ok(engine)
    }

    /// Runs a command to its end; a status other than zero is an error.
    pub(super) fn run(&self, words: &[&str]) -> Result<String> {
        let root = ["--root".as_ref(), self.store.as_os_str()];
        let tool = self.stage.tool(&self.program).args(root).args(self.globals.clone());
        let tool = tool.args(words.iter().copied());
        match &self.settings {
            Some(settings) => tool.env("CONTAINERS_CONF", settings).run(),
            None => tool.run(),
        }
    }

    /// Goes on with an empty store, in a folder of its own. What the ones before hold stays until all is measured: ext4
    /// without a journal does not give out again for minutes what was just deleted, and each new file of a folder nearby
    /// looks at all of that first. Measured behind a removal, a pull's time is that of the removal.
    pub(super) fn forget(&mut self) -> Result<()> {
        let number = fs::read_dir(&self.stores).map_err(HarnessError::file(&self.stores))?.count();
        self.store = self.stores.join(number.to_string());
        fs::create_dir(&self.store).map_err(HarnessError::file(&self.store))
    }

    /// Removes every image of the last store.
    pub(super) fn empty(&self) -> Result<()> {
        self.run(&["rmi", "--all", "--force"]).map(drop)
    }

    /// Proportional memory of the process beside a container once it is at rest: when it has not changed for a second.
    /// Bytes.
    pub(super) fn companion(&self, id: &str) -> Result<u64> {
        let mut last = self.companion_now(id)?;
        for _ in 0..AT_REST {
            std::thread::sleep(std::time::Duration::from_secs(1));
            let now = self.companion_now(id)?;
            if std::mem::replace(&mut last, now) == now {
                break;
            }
        }
        Ok(last)
    }

    fn companion_now(&self, id: &str) -> Result<u64> {
        let processes = fs::read_dir("/proc").map_err(HarnessError::file("/proc"))?;
        for entry in processes.flatten() {
            let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words).into_owned();
            if !(words.contains(self.companion) && words.contains(id)) {
                continue;
            }
            // A process that ended meanwhile is another one's business.
            let Ok(memory) = fs::read_to_string(entry.path().join("smaps_rollup")) else { continue };
            let line = memory.lines().find_map(|line| line.strip_prefix("Pss:"));
            let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
            return kib.map(|kib| kib << 10).ok_or(HarnessError::Unexpected(memory));
        }
        Err(HarnessError::Unexpected(format!("no {} beside container {id}", self.companion)))
    }

    /// What its store takes on disk, bytes.
    pub(super) fn disk(&self) -> Result<u64> {
        let printed = Tool::new("du")?.args(["-s", "--block-size=1"]).arg(self.store.as_os_str()).run()?;
        let bytes = printed.split_whitespace().next().and_then(|word| word.parse().ok());
        bytes.ok_or_else(|| HarnessError::Unexpected(format!("du printed {printed:?}")))
    }
}

/// Makes a folder with busybox and its names in it.
pub(super) fn busybox(folder: &Path) -> Result<()> {
    let bin = folder.join("bin");
    fs::create_dir_all(&bin).map_err(HarnessError::file(&bin))?;
    for name in ["dev", "etc", "proc", "sys", "tmp"] {
        fs::create_dir_all(folder.join(name)).map_err(HarnessError::file(folder))?;
    }
    let to = bin.join("busybox");
    fs::copy(crate::harness::find_tool("busybox")?, &to).map_err(HarnessError::file(&to))?;
    for name in ["sh", "true", "sleep"] {
        let link = bin.join(name);
        std::os::unix::fs::symlink("busybox", &link).map_err(HarnessError::file(&link))?;
    }
    Ok(())
}
