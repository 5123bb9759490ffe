//! Who a request comes from.

use std::{fmt, str::FromStr};

use berth_oci::auth::Scope;

/// One who can be named in a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// Nobody said who they are.
    #[default]
    Anonymous,
    /// A person: `user:alice`.
    User(String),
    /// A program with a secret of ours: `robot:team/ci`.
    Robot(String),
    /// A program whom an outside issuer vouches for: `ci:github:octo/app`.
    Federated {
        /// The issuer's name in the configuration.
        issuer: String,
        /// Who it is there.
        name: String,
    },
    /// Whoever holds the key of a client certificate: `cert:builder`.
    Certificate(String),
    /// Whoever may open the control socket or the data directory: `local`.
    Local,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::User(name) => write!(f, "user:{name}"),
            Self::Robot(name) => write!(f, "robot:{name}"),
            Self::Federated { issuer, name } => write!(f, "ci:{issuer}:{name}"),
            Self::Certificate(name) => write!(f, "cert:{name}"),
            Self::Local => f.write_str("local"),
        }
    }
}

impl FromStr for Subject {
    type Err = String;

    /// Reads what `Display` writes.
    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || {
            format!(
                "{text:?} is nobody: write anonymous, local, user:NAME, robot:NAME, ci:ISSUER:NAME or cert:NAME"
            )
        };
        match text {
            "anonymous" => return Ok(Self::Anonymous),
            "local" => return Ok(Self::Local),
            _ => {}
        }
        let (kind, name) = text.split_once(':').filter(|(_, name)| !name.is_empty()).ok_or_else(fault)?;
        match (kind, name.split_once(':')) {
            ("user", _) => Ok(Self::User(name.to_owned())),
            ("robot", _) => Ok(Self::Robot(name.to_owned())),
            ("cert", _) => Ok(Self::Certificate(name.to_owned())),
            ("ci", Some((issuer, name))) if !issuer.is_empty() && !name.is_empty() => {
                Ok(Self::Federated { issuer: issuer.to_owned(), name: name.to_owned() })
            }
            _ => Err(fault()),
        }
    }
}

/// What decides what a principal may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Authority {
    /// The policy.
    #[default]
    Policy,
    /// These grants of a token and nothing else: whoever issued it asked the policy.
    Granted(Vec<Scope>),
}

/// A subject with what is known about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Principal {
    /// Who.
    pub subject: Subject,
    /// The groups it is in.
    pub groups: Vec<String>,
    /// What decides.
    pub authority: Authority,
    /// Whether it administers the registry: may do whatever can be done.
    pub admin: bool,
    /// Whether it showed a refresh token as its password. Such tokens lie in files of programs, end and can be revoked,
    /// so they administer nothing: what was made with one would outlive it.
    pub by_token: bool,
}

impl Principal {
    /// Nobody.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// The name that upload sessions and the audit log keep; empty for nobody.
    #[must_use]
    pub fn key(&self) -> String {
        match &self.subject {
            Subject::Anonymous => String::new(),
            subject => subject.to_string(),
        }
    }
}
