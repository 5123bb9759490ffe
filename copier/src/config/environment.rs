//! Where files are looked for: the variables of the process, read once.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

/// What decides where configuration files are. [`Environment::from_process`] for programs; tests make their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The user's folder: `HOME`, or what the system's user database says.
    pub home: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`.
    pub xdg_config_home: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`.
    pub xdg_runtime_dir: Option<PathBuf>,
    /// `XDG_CACHE_HOME`.
    pub xdg_cache_home: Option<PathBuf>,
    /// `DOCKER_CONFIG`: a folder.
    pub docker_config: Option<PathBuf>,
    /// `REGISTRY_AUTH_FILE`.
    pub registry_auth_file: Option<PathBuf>,
    /// `CONTAINERS_REGISTRIES_CONF`.
    pub registries_conf: Option<PathBuf>,
    /// `PATH`: where `docker-credential-…` programs are looked for.
    pub search_path: Option<OsString>,
    /// The user's number.
    pub uid: u32,
    /// What stands before `/etc`, `/run` and `/var`: `/`.
    pub root: PathBuf,
}

/// Whose files are looked for: root of a user namespace that was made for one user is that user, and the system's own
/// files are not.
fn user(own: u32, uid_map: &str) -> u32 {
    let mut first = uid_map.lines().next().unwrap_or_default().split_whitespace().map(str::parse);
    match (own, first.next(), first.next(), first.next()) {
        (0, Some(Ok(0)), Some(Ok(outside)), Some(Ok(1_u32))) => outside,
        _ => own,
    }
}

impl Environment {
    /// The environment of this process. Variables that are empty count as unset.
    #[must_use]
    pub fn from_process() -> Self {
        let path = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self {
            home: env::home_dir().filter(|home| !home.as_os_str().is_empty()),
            xdg_config_home: path("XDG_CONFIG_HOME"),
            xdg_runtime_dir: path("XDG_RUNTIME_DIR"),
            xdg_cache_home: path("XDG_CACHE_HOME"),
            docker_config: path("DOCKER_CONFIG"),
            registry_auth_file: path("REGISTRY_AUTH_FILE"),
            registries_conf: path("CONTAINERS_REGISTRIES_CONF"),
            search_path: env::var_os("PATH"),
            uid: user(
                rustix::process::getuid().as_raw(),
                &fs::read_to_string("/proc/self/uid_map").unwrap_or_default(),
            ),
            root: PathBuf::from("/"),
        }
    }

    /// An environment without variables: every file is under `folder`, which stands for the root and holds `home`.
    #[must_use]
    pub fn under(folder: &Path) -> Self {
        Self {
            home: Some(folder.join("home")),
            xdg_config_home: None,
            xdg_runtime_dir: None,
            xdg_cache_home: None,
            docker_config: None,
            registry_auth_file: None,
            registries_conf: None,
            search_path: None,
            uid: 1000,
            root: folder.to_owned(),
        }
    }

    /// `$DOCKER_CONFIG/config.json`.
    pub(super) fn docker_file(&self) -> Option<PathBuf> {
        self.docker_config.as_ref().map(|folder| folder.join("config.json"))
    }

    /// A file of the system, like `etc/containers/registries.conf`.
    pub(super) fn system(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// A file in the user's folder.
    pub(super) fn in_home(&self, path: &str) -> Option<PathBuf> {
        self.home.as_ref().map(|home| home.join(path))
    }

    /// A file in the user's folder of configuration: `$XDG_CONFIG_HOME` or `~/.config`.
    pub(super) fn user_config(&self, path: &str) -> Option<PathBuf> {
        match &self.xdg_config_home {
            Some(folder) => Some(folder.join(path)),
            None => self.in_home(".config").map(|folder| folder.join(path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_of_a_users_own_namespace_is_that_user() {
        let users = "         0       1002          1\n         1     165536      65536\n";
        assert_eq!(user(0, users), 1002);
        assert_eq!(user(0, "         0          0 4294967295\n"), 0, "the machine");
        assert_eq!(user(0, "         0     100000      65536\n"), 0, "a container");
        assert_eq!(user(1002, "         0          0 4294967295\n"), 1002);
        assert_eq!(user(0, ""), 0);
    }
}
