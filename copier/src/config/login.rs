//! Logging in and out, as the commands of containers' tools do: a password is proven to the registry before it is kept.

mod console;
mod request;
#[cfg(test)]
mod tests;

use std::io;

use async_trait::async_trait;

use self::request::{credentials, parse_key};
use super::{Credential, Environment};
use crate::{Error, Result, Secret, Settings, Side, error::ResultExt as _};

pub use console::Console;
pub use request::{LoginRequest, LogoutRequest, read_password};

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

fn is_rejection(error: &Error) -> bool {
    matches!(error.root(), Error::Authentication { .. } | Error::InvalidLogin { .. })
}

fn tell(terminal: &mut dyn Terminal, line: &str) -> Result<()> {
    terminal
        .tell(line)
        .map_err(|error| Error::Other { what: "writing output".to_owned(), source: error.into() })
}
