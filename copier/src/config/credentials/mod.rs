//! Which user and password a registry gets: auth.json and Docker's files, and the helper programs that they name
//! (containers-auth.json(5)).

mod file;
mod helper;
mod locate;
mod store;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use berth_oci::Reference;

use self::{
    file::{Contents, Format, Found},
    helper::Helper,
};
use super::{Environment, read, scope::path_scopes};
use crate::{Error, Result, Secret, Side};

pub use locate::AuthFile;

/// The word of registries.conf's `credential-helpers` that means the files instead of a program.
const FILES: &str = "containers-auth.json";
/// How long a helper program may take. It may ask the user something.
const HELPER_LIMIT: Duration = Duration::from_secs(120);

/// What to prove to a registry's token service, or to the registry itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// User and password.
    Basic {
        /// The user's name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// An OAuth2 refresh token, which a token service takes in place of a password.
    IdentityToken {
        /// The user's name; empty where nobody noted it.
        user: String,
        /// The token.
        token: Secret,
    },
}

impl Credential {
    /// The user's name.
    #[must_use]
    pub fn user(&self) -> &str {
        match self {
            Self::Basic { user, .. } | Self::IdentityToken { user, .. } => user,
        }
    }
}

/// The credentials of one side of a copy. Nothing is read before something is asked, and everything is read anew each
/// time: a login in between is seen.
#[derive(Clone, Debug)]
pub struct Credentials {
    given: Option<Credential>,
    anonymous: bool,
    authfile: Option<AuthFile>,
    helpers: Vec<String>,
    environment: Environment,
    limit: Duration,
}

impl Credentials {
    /// As the flags of a side say: `--creds` before all files, `--no-creds` none, `--authfile` that file alone.
    /// (`--registry-token` is no credential: it goes to the registry as it is.)
    #[must_use]
    pub fn for_side(side: &Side) -> Self {
        Self::in_environment(side, Environment::from_process())
    }

    /// [`Self::for_side`] with another environment than the process's.
    #[must_use]
    pub fn in_environment(side: &Side, environment: Environment) -> Self {
        let given = side.credentials.clone().map(|(user, password)| Credential::Basic { user, password });
        Self {
            given,
            anonymous: side.anonymous,
            authfile: side.authfile.clone().map(AuthFile::Containers),
            helpers: vec![FILES.to_owned()],
            environment,
            limit: HELPER_LIMIT,
        }
    }

    /// With the helpers that registries.conf lists ([`super::Registries::credential_helpers`]), asked in their order.
    /// `containers-auth.json` among them stands for the files; an empty list is that one alone.
    #[must_use]
    pub fn with_helpers(mut self, helpers: &[String]) -> Self {
        if !helpers.is_empty() {
            self.helpers = helpers.to_vec();
        }
        self
    }

    /// With one file in place of all (`--authfile`, `--compat-auth-file`).
    #[must_use]
    pub fn with_file(mut self, file: Option<AuthFile>) -> Self {
        if file.is_some() {
            self.authfile = file;
        }
        self
    }

    /// The credential for a repository, from the narrowest key that there is one for; `None` if nobody has one.
    ///
    /// # Errors
    /// `Error::Configuration` for a faulty file, `Error::File` for one that cannot be read, `Error::Other` for a helper
    /// program that fails in another way than not to know.
    pub async fn find(&self, reference: &Reference) -> Result<Option<Credential>> {
        self.find_key(&format!("{}/{}", reference.host(), reference.name())).await
    }

    /// [`Self::find`] for `host[:port]`, `host/namespace` or `host/repository`.
    ///
    /// # Errors
    /// As for [`Self::find`].
    pub async fn find_key(&self, key: &str) -> Result<Option<Credential>> {
        if self.given.is_some() || self.anonymous {
            return Ok(self.given.clone());
        }
        let host = host_of(key);
        let mut fault = None;
        for name in &self.helpers {
            let found = if name == FILES {
                self.find_in_files(key, host).await
            } else {
                // Helpers know hosts, not repositories.
                self.helper(name)?.get(host).await
            };
            match found {
                Ok(None) => {}
                Ok(found) => return Ok(found),
                // Another helper may know. Should none, the first fault says why.
                Err(error) => fault = fault.or(Some(error)),
            }
        }
        fault.map_or(Ok(None), Err)
    }

    async fn find_in_files(&self, key: &str, host: &str) -> Result<Option<Credential>> {
        for (path, format) in self.files() {
            let Some(contents) = load(path, format).await? else { continue };
            let found = match contents.find(key, host)? {
                Found::Credential(credential) => Some(credential),
                // The user said that this host's credentials are there: its faults are told.
                Found::Helper { name, server } => self.helper(&name)?.get(&server).await?,
                Found::Store { name, server } => self.ask_store(&name, &server).await,
                Found::Nothing => None,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Asks `credsStore`. Docker Desktop and others write it for every host at once, often on machines where the
    /// program is not there or has no keychain to open. That must not keep anybody from a public image, so a fault is a
    /// warning.
    async fn ask_store(&self, name: &str, server: &str) -> Option<Credential> {
        let answer = match self.helper(name) {
            Ok(helper) => helper.get(server).await,
            Err(error) => Err(error),
        };
        answer.unwrap_or_else(|error| {
            tracing::warn!("credsStore \"{name}\" is passed over: {error}");
            None
        })
    }

    /// Every key that has credentials, with its user's name: `docker.io` for all of its old names.
    ///
    /// # Errors
    /// As for [`Self::find`].
    pub async fn list(&self) -> Result<BTreeMap<String, String>> {
        let mut keys = Vec::new();
        for name in &self.helpers {
            if name != FILES {
                keys.extend(self.helper(name)?.list().await?.into_keys());
                continue;
            }
            for (path, format) in self.files() {
                let Some(contents) = load(path, format).await? else { continue };
                keys.extend(contents.keys());
                if let Some(store) = contents.store() {
                    match self.helper(store)?.list().await {
                        Ok(known) => keys.extend(known.into_keys().map(|key| file::host_key(&key))),
                        Err(error) => tracing::warn!("credsStore \"{store}\" is passed over: {error}"),
                    }
                }
            }
        }
        let mut users = BTreeMap::new();
        for key in keys {
            if let Some(credential) = self.find_key(&key).await? {
                users.insert(key, credential.user().to_owned());
            }
        }
        Ok(users)
    }

    fn helper(&self, name: &str) -> Result<Helper> {
        Helper::new(name, self.environment.search_path.clone(), self.limit)
    }

    fn files(&self) -> Vec<(PathBuf, Format)> {
        locate::to_read(self.authfile.as_ref(), &self.environment)
    }
}

/// Reads a file off the threads that serve connections: it may be a pipe, or on a network's file system.
async fn load(path: PathBuf, format: Format) -> Result<Option<Contents>> {
    let reading = tokio::task::spawn_blocking(move || {
        read::file(&path)?.map(|bytes| Contents::parse(&path, format, &bytes)).transpose()
    });
    reading
        .await
        .map_err(|error| Error::Other { what: "reading credentials".to_owned(), source: error.into() })?
}

fn host_of(key: &str) -> &str {
    key.split('/').next().unwrap_or_default()
}

/// The keys that may hold the credential of `key`, the narrowest first.
fn lookup_order(key: &str) -> Vec<String> {
    path_scopes(key)
}
