//! How registries are spoken to: settings of the session and of one side of a copy.

use std::path::PathBuf;

use berth_copier::{Secret, Session, Settings, Side, policy::Policy, session::Retry};
use berth_oci::Platform;

use crate::{error::Result, record::parse::Parsed};

/// How often an operation that failed for a moment is tried again, as podman does.
const RETRIES: u32 = 3;

/// Access to registries, as a command's options say.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    /// `--authfile`.
    pub(crate) authfile: Option<PathBuf>,
    /// `--creds`.
    pub(crate) credentials: Option<(String, Secret)>,
    /// `--cert-dir`.
    pub(crate) cert_dir: Option<PathBuf>,
    /// `--tls-verify`; `None` lets registries.conf say.
    pub(crate) tls_verify: Option<bool>,
    /// `--signature-policy`.
    pub(crate) policy: Option<PathBuf>,
    /// `--retry`.
    pub(crate) retries: u32,
    /// `--retry-delay`.
    pub(crate) retry_delay: Option<std::time::Duration>,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            authfile: None,
            credentials: None,
            cert_dir: None,
            tls_verify: None,
            policy: None,
            retries: RETRIES,
            retry_delay: None,
        }
    }
}

impl Access {
    /// `user[:password]`.
    ///
    /// # Errors
    /// A sentence, without a user.
    pub(crate) fn parse_credentials(text: &str) -> Parsed<(String, Secret)> {
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        if user.is_empty() {
            return Err("write USER:PASSWORD; the user is missing".into());
        }
        Ok((user.to_owned(), Secret::new(password)))
    }

    /// A session whose images have to satisfy the policy.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub(super) fn session(&self, platform: Option<&Platform>) -> Result<Session> {
        Ok(Session::new(self.settings(platform, false))?)
    }

    /// A session for images that are here: the policy was asked when they came, and every policy lets them out. One that
    /// was named still has to be one.
    ///
    /// # Errors
    /// As [`Session::new`] and [`Policy::load`].
    pub(super) fn outward_session(&self) -> Result<Session> {
        if self.policy.is_some() {
            Policy::load(&self.settings(None, false))?;
        }
        Ok(Session::new(self.settings(None, true))?)
    }

    /// Asks the policy whether the files in a tar may become an image.
    ///
    /// # Errors
    /// As [`Policy::load`] and [`Policy::check_unsigned`].
    pub(crate) fn judge_tar(&self) -> Result<()> {
        Ok(Policy::load(&self.settings(None, false))?.check_unsigned("tarball")?)
    }

    pub(crate) fn settings(&self, platform: Option<&Platform>, insecure_policy: bool) -> Settings {
        Settings {
            policy: self.policy.clone().filter(|_| !insecure_policy),
            insecure_policy,
            platform: platform.cloned().unwrap_or_default(),
            retry: Retry { times: self.retries, delay: self.retry_delay },
            user_agent_prefix: Some(concat!("berth-runner/", env!("CARGO_PKG_VERSION")).to_owned()),
            ..Settings::default()
        }
    }

    pub(crate) fn side(&self) -> Side {
        Side {
            authfile: self.authfile.clone(),
            credentials: self.credentials.clone(),
            cert_dir: self.cert_dir.clone(),
            tls_verify: self.tls_verify,
            ..Side::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_have_a_user() {
        let (user, password) = Access::parse_credentials("me:a:b").unwrap();
        assert_eq!((user.as_str(), password.expose()), ("me", "a:b"));
        assert!(Access::parse_credentials(":x").is_err());
    }
}
