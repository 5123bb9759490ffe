//! What is asked for: whose credentials, of which registry, in which file.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use berth_oci::{Reference, RepoName};

use super::super::{AuthFile, Credentials, Environment, Registries};
use crate::{Error, Result, Secret, Settings, Side};

/// The most that a password on standard input may be long, in bytes.
const MAX_PASSWORD: u64 = 64 << 10;

/// `login [-u USER] [-p PASSWORD] HOST[/NAMESPACE]`.
#[derive(Clone, Debug, Default)]
pub struct LoginRequest {
    /// `host[:port]`, a namespace or repository in it, or a URL of the host.
    pub registry: String,
    /// `--username`.
    pub user: Option<String>,
    /// `--password`, or what [`read_password`] read for `--password-stdin`.
    pub password: Option<Secret>,
    /// `--compat-auth-file`.
    pub compat_auth_file: Option<PathBuf>,
    /// `--get-login`: tell the user's name and do nothing.
    pub get_login: bool,
    /// `--verbose`: tell where the credentials are kept.
    pub verbose: bool,
    /// `--authfile`, `--cert-dir` and `--tls-verify`.
    pub side: Side,
}

/// `logout HOST[/NAMESPACE]` or `logout --all`.
#[derive(Clone, Debug, Default)]
pub struct LogoutRequest {
    /// As for a login; `None` with `all`.
    pub registry: Option<String>,
    /// `--all`.
    pub all: bool,
    /// `--compat-auth-file`.
    pub compat_auth_file: Option<PathBuf>,
    /// `--authfile`, and what a check of a login made elsewhere needs.
    pub side: Side,
}

/// Reads `--password-stdin`: all lines, without their ends.
///
/// # Errors
/// `Error::Usage` for more than 64 KiB, and for what is not UTF-8.
pub fn read_password(input: impl Read) -> Result<Secret> {
    let mut text = String::new();
    let read = input.take(MAX_PASSWORD + 1).read_to_string(&mut text);
    read.map_err(|error| Error::Usage(format!("--password-stdin: {error}")))?;
    if text.len() as u64 > MAX_PASSWORD {
        return Err(Error::Usage(format!("--password-stdin: longer than {MAX_PASSWORD} bytes")));
    }
    Ok(Secret::new(text.lines().collect::<String>()))
}

/// The credentials that a request reads and writes.
pub(super) fn credentials(
    environment: Environment,
    settings: &Settings,
    side: &Side,
    compat_auth_file: Option<&Path>,
) -> Result<Credentials> {
    if side.authfile.is_some() && compat_auth_file.is_some() {
        return Err(Error::Usage(
            "options for paths to the credential file and to the Docker-compatible credential file can not be set \
             simultaneously; give --authfile or --compat-auth-file"
                .to_owned(),
        ));
    }
    let named = side.authfile.as_ref().or(environment.registry_auth_file.as_ref());
    if compat_auth_file.is_none()
        && named.is_some_and(|file| environment.in_home(".docker/config.json").as_ref() == Some(file))
    {
        tracing::warn!(
            "saving credentials to ~/.docker/config.json, but not using Docker-compatible file format; --compat-auth-file does"
        );
    }
    let helpers = Registries::load_in(settings, &environment)?.credential_helpers().to_vec();
    // Only the file counts here: `--creds` would hide what is kept.
    let files = Side { authfile: side.authfile.clone(), ..Side::default() };
    // Whoever points DOCKER_CONFIG somewhere logs in and out there, and nowhere else.
    let docker = environment.docker_file().filter(|_| named.is_none());
    let compat = compat_auth_file.map(Path::to_owned).or(docker).map(AuthFile::Docker);
    Ok(Credentials::in_environment(&files, environment).with_helpers(&helpers).with_file(compat))
}

/// The key under which credentials are kept, and its host.
pub(super) fn parse_key(text: &str) -> Result<(String, &str)> {
    let fault = |rule: &str| Error::Usage(format!("{text:?} is no registry: {rule}"));
    if text.is_empty() {
        return Err(Error::Usage("please provide a registry to log in to".to_owned()));
    }
    // Of a URL the host is meant.
    let bare = ["https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let key = match bare {
        Some(rest) => rest.split(['/', '?', '#']).next().unwrap_or_default(),
        None => text,
    };
    let (host, path) = key.split_once('/').map_or((key, None), |(host, path)| (host, Some(path)));
    let any: Option<RepoName> = "a/a".parse().ok();
    if any.is_none_or(|any| Reference::new(host, any).is_err()) {
        return Err(fault("write HOST[:PORT], HOST/NAMESPACE or HOST/REPOSITORY"));
    }
    if path.is_some_and(|path| path.parse::<RepoName>().is_err()) {
        return Err(fault("behind the host stands a namespace or a repository, without tag and digest"));
    }
    Ok((key.to_owned(), host))
}
