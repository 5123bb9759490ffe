//! Where everything lies. Root: `/var/lib/berth-runner` and `/run/berth-runner`; a user: the folders of the XDG rules.

use std::{
    env,
    path::{Path, PathBuf},
};

use berth_runtime::ContainerId;

use crate::error::{Result, RunnerError, While};

/// The folders of one user, as `--root` and `--runroot` may have changed them.
#[derive(Clone, Debug)]
pub(crate) struct Folders {
    /// What lasts.
    pub(crate) store: PathBuf,
    /// What a restart of the machine empties.
    pub(crate) run: PathBuf,
}

impl Folders {
    /// The folders of user `uid` (the real one, outside any namespace of ours).
    ///
    /// # Errors
    /// [`RunnerError::Unsupported`] for a user without a home folder.
    pub(crate) fn of(uid: u32, root: Option<PathBuf>, runroot: Option<PathBuf>) -> Result<Self> {
        let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let store = match (root, uid) {
            (Some(root), _) => root,
            (None, 0) => PathBuf::from("/var/lib/berth-runner"),
            (None, _) => absolute("XDG_DATA_HOME")
                .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
                .ok_or_else(|| {
                    RunnerError::Unsupported("HOME is not set: set it, or name a folder with --root".into())
                })?
                .join("berth-runner"),
        };
        let run = match (runroot, uid) {
            (Some(run), _) => run,
            (None, 0) => PathBuf::from("/run/berth-runner"),
            (None, _) => absolute("XDG_RUNTIME_DIR").map_or_else(
                || PathBuf::from(format!("/tmp/berth-runner-{uid}")),
                |run| run.join("berth-runner"),
            ),
        };
        // Other processes of ours get them, which stand in other folders.
        let whole = |path: PathBuf| std::path::absolute(&path).doing("finding", &path);
        Ok(Self { store: whole(store)?, run: whole(run)? })
    }

    /// Images: their names, and manifests and configurations by digest.
    pub(crate) fn images(&self) -> PathBuf {
        self.store.join("images")
    }

    /// Contents of large files, by SHA-256.
    pub(crate) fn objects(&self) -> PathBuf {
        self.store.join("objects")
    }

    /// Unpacked layers, by the digest of their tar.
    pub(crate) fn layers(&self) -> PathBuf {
        self.store.join("layers")
    }

    /// One folder per container.
    pub(crate) fn containers(&self) -> PathBuf {
        self.store.join("containers")
    }

    /// `desired.json config.json upper/ work/ log/` of a container.
    pub(crate) fn container(&self, id: &ContainerId) -> PathBuf {
        self.containers().join(id.as_str())
    }

    /// Named volumes.
    pub(crate) fn volumes(&self) -> PathBuf {
        self.store.join("volumes")
    }

    /// Networks that were made, one file each.
    pub(crate) fn networks(&self) -> PathBuf {
        self.store.join("networks")
    }

    /// Secrets, readable by the owner alone.
    pub(crate) fn secrets(&self) -> PathBuf {
        self.store.join("secrets")
    }

    /// `live.json sock lock root/ etc/` of a container: what a restart of the machine may empty.
    pub(crate) fn running(&self, id: &ContainerId) -> PathBuf {
        self.run.join("containers").join(id.as_str())
    }

    /// The state folder of the runtime core.
    pub(crate) fn runtime(&self) -> PathBuf {
        self.run.join("runtime")
    }

    /// Compiled filters of system calls.
    pub(crate) fn seccomp_cache(&self) -> PathBuf {
        self.store.join("seccomp")
    }

    /// Where events are written.
    pub(crate) fn events(&self) -> PathBuf {
        self.store.join("events.log")
    }

    /// Whether a path is one of ours, whatever links lead there: never bound into a container by accident.
    pub(crate) fn owns(&self, path: &Path) -> bool {
        let asked = real(path);
        [&self.store, &self.run].into_iter().any(|own| asked.starts_with(real(own)))
    }
}

/// A path without links and dots, as far as it is there.
fn real(path: &Path) -> PathBuf {
    let there = path.ancestors().find_map(|ancestor| {
        let rest = path.strip_prefix(ancestor).ok()?;
        Some(ancestor.canonicalize().ok()?.join(rest))
    });
    there.unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn what_is_ours_is_known_by_every_path_that_leads_there() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("disk/store/layers")).unwrap();
        fs::create_dir_all(at("run")).unwrap();
        fs::create_dir_all(at("other")).unwrap();
        // The store lies elsewhere, as where another disk has more room.
        symlink(at("disk/store"), at("store")).unwrap();
        symlink(at("store/layers"), at("other/link")).unwrap();
        let folders = Folders { store: at("store"), run: at("run") };
        for ours in [
            "store",
            "store/layers",
            "store/not/yet",
            "disk/store/layers",
            "other/link",
            "other/../run",
            "run/x",
        ] {
            assert!(folders.owns(&at(ours)), "{ours}");
        }
        for free in ["other", "disk", "storehouse", "other/not-there", "run/../other"] {
            assert!(!folders.owns(&at(free)), "{free}");
        }
    }
}
