//! Folders that vanish with their handle.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

use super::{HarnessError, Result};

const PREFIX: &str = "berth-it-";
const LOCK: &str = ".lock";

/// A folder under this process's scratch root, removed when the handle is dropped.
///
/// The root is `$BERTH_TEST_DIR`, else `/var/tmp` (on a disk, where `/tmp` may be memory), else the system's choice.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
}

impl Scratch {
    /// Makes a folder whose name starts with `name`, readable and searchable by other users (PostgreSQL runs as one).
    pub fn new(name: &str) -> Result<Self> {
        let root = root()?;
        let dir = tempfile::Builder::new()
            .prefix(&format!("{name}-"))
            .tempdir_in(root)
            .map_err(HarnessError::file(root))?;
        open_to_others(dir.path())?;
        Ok(Self { dir })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A path inside the folder.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file inside the folder and returns its path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.join(name);
        fs::write(&path, content).map_err(HarnessError::file(&path))?;
        Ok(path)
    }

    /// Makes a folder inside the folder and returns its path.
    pub fn subfolder(&self, name: &str) -> Result<PathBuf> {
        let path = self.join(name);
        fs::create_dir_all(&path).map_err(HarnessError::file(&path))?;
        Ok(path)
    }
}

fn open_to_others(path: &Path) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(HarnessError::file(path))
}

/// The process's own root. Its lock is held as long as the process lives, so that the next run can tell a root that
/// a killed process left behind from one in use.
fn root() -> Result<&'static Path> {
    static ROOT: OnceLock<std::result::Result<(PathBuf, File), String>> = OnceLock::new();
    match ROOT.get_or_init(|| make_root().map_err(|error| error.to_string())) {
        Ok((path, _)) => Ok(path),
        Err(message) => Err(HarnessError::Unexpected(message.clone())),
    }
}

fn make_root() -> Result<(PathBuf, File)> {
    let base = match std::env::var_os("BERTH_TEST_DIR") {
        Some(dir) => PathBuf::from(dir),
        None if Path::new("/var/tmp").is_dir() => PathBuf::from("/var/tmp"),
        None => std::env::temp_dir(),
    };
    fs::create_dir_all(&base).map_err(HarnessError::file(&base))?;
    sweep(&base);
    let path =
        tempfile::Builder::new().prefix(PREFIX).tempdir_in(&base).map_err(HarnessError::file(&base))?.keep();
    open_to_others(&path)?;
    let lock = File::create(path.join(LOCK)).map_err(HarnessError::file(&path))?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive)
        .map_err(|error| HarnessError::file(&path)(error.into()))?;
    Ok((path, lock))
}

/// Removes the roots of processes that are gone. Best effort: a root that cannot be removed costs disk, no test.
fn sweep(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        // Without a lock file the root is being made right now by another process.
        let Ok(lock) = OpenOptions::new().write(true).open(entry.path().join(LOCK)) else { continue };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}
