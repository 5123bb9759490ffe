//! Which files are read, and which one is written.

use std::path::PathBuf;

use super::{Environment, file::Format};
use crate::{Error, Result};

/// A file of credentials that somebody named. Both kinds are read alike; they are written differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthFile {
    /// `--authfile`, `REGISTRY_AUTH_FILE`: containers-auth.json(5).
    Containers(PathBuf),
    /// `--compat-auth-file`, `$DOCKER_CONFIG/config.json`: what the `docker` command reads too. No namespaces, and
    /// Docker Hub by its old key.
    Docker(PathBuf),
}

impl AuthFile {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &PathBuf {
        match self {
            Self::Containers(path) | Self::Docker(path) => path,
        }
    }
}

/// The one file that flags or `REGISTRY_AUTH_FILE` name.
fn named(given: Option<&AuthFile>, environment: &Environment) -> Option<AuthFile> {
    given.cloned().or_else(|| environment.registry_auth_file.clone().map(AuthFile::Containers))
}

/// The files that are read, in their order.
pub(super) fn to_read(given: Option<&AuthFile>, environment: &Environment) -> Vec<(PathBuf, Format)> {
    if let Some(file) = named(given, environment) {
        return vec![(file.path().clone(), Format::Keyed)];
    }
    let mut files = Vec::new();
    match primary(environment) {
        Ok(path) => files.push((path, Format::Keyed)),
        Err(error) => tracing::warn!("{error}"),
    }
    let docker = environment.docker_file().or_else(|| environment.in_home(".docker/config.json"));
    files.extend(environment.user_config("containers/auth.json").map(|path| (path, Format::Keyed)));
    files.extend(docker.map(|path| (path, Format::Keyed)));
    files.extend(environment.in_home(".dockercfg").map(|path| (path, Format::Bare)));
    files
}

/// The file that a login writes: `DOCKER_CONFIG` says where here, before the usual place.
///
/// # Errors
/// `Error::Usage` if `XDG_RUNTIME_DIR` is wrong.
pub(super) fn to_write(given: Option<&AuthFile>, environment: &Environment) -> Result<AuthFile> {
    let docker = || environment.docker_file().map(AuthFile::Docker);
    match named(given, environment).or_else(docker) {
        Some(file) => Ok(file),
        None => primary(environment).map(AuthFile::Containers),
    }
}

fn primary(environment: &Environment) -> Result<PathBuf> {
    let Some(folder) = &environment.xdg_runtime_dir else {
        return Ok(environment.system(&format!("run/containers/{}/auth.json", environment.uid)));
    };
    // Said here, because a path below it would leave people looking for the wrong thing.
    if folder.try_exists().is_ok_and(|exists| !exists) {
        return Err(Error::Usage(format!(
            "\"{}\", the folder that $XDG_RUNTIME_DIR names, does not exist; create it or unset the variable",
            folder.display()
        )));
    }
    Ok(folder.join("containers/auth.json"))
}
