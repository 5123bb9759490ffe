//! Logging in and out, as the commands of containers' tools do: a password is proven to the registry before it is kept.

#[cfg(test)]
mod tests;

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use berth_oci::{Reference, RepoName};

use super::{AuthFile, Credential, Credentials, Environment, Registries};
use crate::{Error, Result, Secret, Settings, Side, error::ResultExt as _};

/// The most that a password on standard input may be long, in bytes.
const MAX_PASSWORD: u64 = 64 << 10;

/// Who proves a user and password to a registry.
#[async_trait]
pub trait LoginCheck: Send + Sync {
    /// Asks the registry `host[:port]` whether it takes them.
    ///
    /// # Errors
    /// `Error::Authentication` if it does not.
    async fn check_login(&self, host: &str, user: &str, password: &Secret, side: &Side) -> Result<()>;
}

/// The person who logs in.
pub trait Terminal: Send {
    /// Tells a line.
    ///
    /// # Errors
    /// If nobody can be told.
    fn tell(&mut self, line: &str) -> io::Result<()>;

    /// Asks for the user's name; `known` is who is logged in so far.
    ///
    /// # Errors
    /// If nobody can be asked.
    fn user(&mut self, known: Option<&str>) -> Result<String>;

    /// Asks for the password, without showing it.
    ///
    /// # Errors
    /// If nobody can be asked.
    fn password(&mut self) -> Result<Secret>;
}

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

/// Logs in: proves the user and password (given, asked for, or kept from before) and keeps them. Everything that is told
/// goes to the terminal, in Skopeo's words.
///
/// # Errors
/// `Error::InvalidLogin` if the registry does not take them, `Error::NotLoggedIn` for `--get-login` without a login,
/// `Error::Usage` for a request that cannot be meant, and what [`Credentials::store`] says.
pub async fn login(
    check: &dyn LoginCheck,
    settings: &Settings,
    request: &LoginRequest,
    terminal: &mut dyn Terminal,
) -> Result<()> {
    login_in(Environment::from_process(), check, settings, request, terminal).await
}

/// [`login`] with another environment than the process's.
///
/// # Errors
/// As for [`login`].
pub async fn login_in(
    environment: Environment,
    check: &dyn LoginCheck,
    settings: &Settings,
    request: &LoginRequest,
    terminal: &mut dyn Terminal,
) -> Result<()> {
    let (key, host) = parse_key(&request.registry)?;
    let credentials = credentials(environment, settings, &request.side, request.compat_auth_file.as_deref())?;
    let known = credentials.find_key(&key).await.context("get credentials")?;
    if request.get_login {
        return match known.as_ref().map(Credential::user).filter(|user| !user.is_empty()) {
            Some(user) => tell(terminal, user),
            None => Err(Error::NotLoggedIn { key }),
        };
    }
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let password = request.password.clone().filter(|password| !password.expose().is_empty());
    let (user, known_user) = (given(&request.user), known.as_ref().map(|known| known.user().to_owned()));
    if user.is_none() && password.is_none() {
        match &known {
            Some(Credential::IdentityToken { .. }) => {
                return Err(Error::Usage(
                    "currently logged in, auth file contains an Identity token; log out first, or give --username and \
                     --password"
                        .to_owned(),
                ));
            }
            Some(Credential::Basic { user, password })
                if !user.is_empty() && !password.expose().is_empty() =>
            {
                tell(terminal, &format!("Authenticating with existing credentials for {key}"))?;
                match check.check_login(host, user, password, &request.side).await {
                    Ok(()) => {
                        let line = format!("Existing credentials are valid. Already logged in to {host}");
                        return tell(terminal, &line);
                    }
                    Err(error) if is_rejection(&error) => tell(
                        terminal,
                        "Existing credentials are invalid, please enter valid username and password",
                    )?,
                    // Another password would not help.
                    Err(error) => return Err(error.context(format!("authenticating creds for {key:?}"))),
                }
            }
            Some(Credential::Basic { .. }) | None => {}
        }
    }
    let user = match user {
        Some(user) => user,
        None => {
            let known = known_user.as_deref().filter(|user| !user.is_empty());
            let answer = terminal.user(known).context("getting username and password")?;
            // Just the return key means the name that was shown.
            if answer.trim().is_empty() { known.unwrap_or_default().to_owned() } else { answer }
        }
    };
    let user = user.trim().to_owned();
    // It could not be read back: what stands before the first colon is the user.
    if user.contains(':') {
        return Err(Error::Usage(format!("{user:?}: a user's name has no colon")));
    }
    let password = match password {
        Some(password) => password,
        None => terminal.password().context("getting username and password")?,
    };
    match check.check_login(host, &user, &password, &request.side).await {
        Ok(()) => {}
        Err(error) if is_rejection(&error) => {
            tracing::debug!("error logging into {key:?}: {error}");
            return Err(Error::InvalidLogin { key });
        }
        Err(error) => return Err(error.context(format!("authenticating creds for {key:?}"))),
    }
    let place = credentials.store(&key, &user, &password).await?;
    if request.verbose {
        tell(terminal, &format!("Used:  {place}"))?;
    }
    tell(terminal, "Login Succeeded!")
}

/// Logs out: forgets what a login kept.
///
/// # Errors
/// `Error::NotLoggedIn` if there was nothing, `Error::Usage` for a request that cannot be meant, `Error::File` for a file
/// that was named and is not there, and what [`Credentials::remove`] says.
pub async fn logout(
    check: &dyn LoginCheck,
    settings: &Settings,
    request: &LogoutRequest,
    terminal: &mut dyn Terminal,
) -> Result<()> {
    logout_in(Environment::from_process(), check, settings, request, terminal).await
}

/// [`logout`] with another environment than the process's.
///
/// # Errors
/// As for [`logout`].
pub async fn logout_in(
    environment: Environment,
    check: &dyn LoginCheck,
    settings: &Settings,
    request: &LogoutRequest,
    terminal: &mut dyn Terminal,
) -> Result<()> {
    for file in [&request.side.authfile, &request.compat_auth_file].into_iter().flatten() {
        std::fs::metadata(file).map_err(Error::file(file)).context("credential file is not accessible")?;
    }
    let compat = request.compat_auth_file.as_deref();
    let credentials = credentials(environment, settings, &request.side, compat)?;
    let registry = request.registry.as_deref().unwrap_or_default();
    if request.all {
        if request.registry.is_some() {
            return Err(Error::Usage("--all takes no arguments".to_owned()));
        }
        credentials.remove_all().await?;
        return tell(terminal, "Removed login credentials for all registries");
    }
    if registry.is_empty() {
        return Err(Error::Usage("please provide a registry to log out from".to_owned()));
    }
    let (key, host) = parse_key(registry)?;
    if credentials.remove(&key).await.context(format!("logging out of {key:?}"))? {
        return tell(terminal, &format!("Removed login credentials for {key}"));
    }
    // Another tool's login may still be found, in a file that is only read here.
    if let Some(Credential::Basic { user, password }) =
        credentials.find_key(&key).await.context("get credentials")?
        && check.check_login(host, &user, &password, &request.side).await.is_ok()
    {
        return tell(
            terminal,
            &format!(
                "Not logged into {key} with current tool. Existing credentials were established via docker login. Please use \
                 docker logout instead."
            ),
        );
    }
    Err(Error::NotLoggedIn { key })
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

fn credentials(
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
    let compat = compat_auth_file.map(|path| AuthFile::Docker(path.to_owned()));
    Ok(Credentials::in_environment(&files, environment).with_helpers(&helpers).with_file(compat))
}

/// The key under which credentials are kept, and its host.
fn parse_key(text: &str) -> Result<(String, &str)> {
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

fn is_rejection(error: &Error) -> bool {
    matches!(error.root(), Error::Authentication { .. } | Error::InvalidLogin { .. })
}

fn tell(terminal: &mut dyn Terminal, line: &str) -> Result<()> {
    terminal
        .tell(line)
        .map_err(|error| Error::Other { what: "writing output".to_owned(), source: error.into() })
}
